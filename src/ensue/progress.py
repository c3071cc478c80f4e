"""How long work tells that it goes on: a protocol, silence, and a bar in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One piece of work under way."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Says that `amount` more of the total is done, with a short note to show beside it."""
        ...


class Progress(Protocol):
    """Somebody who wants to know how far the work is."""

    def task(self, name: str, total: float) -> AbstractContextManager[Task]:
        """A context in which a piece of work of a known size goes on."""
        ...

    def say(self, text: str) -> None:
        """A line for the reader, such as an automatic choice with its reason."""
        ...


class _Quiet:
    def advance(self, amount: float = 1, note: str = "") -> None:
        """Nothing is shown."""


class Silent:
    """Shows nothing: the default for use as a library."""

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Task]:
        """A task that shows nothing."""
        yield _Quiet()

    def say(self, text: str) -> None:
        """Nothing is said."""
