"""How long work tells that it goes on: a protocol, silence, and a stretch of time in words."""

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


def spoken(minutes: float) -> str:
    """A stretch of time in words: seconds below a minute, else minutes.

    Args:
        minutes: from 0 up.

    Example:
        >>> [spoken(minutes) for minutes in (20, 1, 2.25, 1 / 30, 1 / 60, 0.001)]
        ['20 minutes', '1 minute', '2.25 minutes', '2 seconds', '1 second', '0.06 seconds']
    """
    seconds = f"{60 * minutes:.2g}"
    if float(seconds) < 60:
        return f"{seconds} second{'s' * (seconds != '1')}"
    number = f"{float(f'{max(minutes, 1):.3g}'):g}"
    return f"{number} minute{'s' * (number != '1')}"
