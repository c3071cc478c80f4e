"""What can be had: lists of items, and what is withdrawn while questions are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import ClassVar

import numpy as np

from ensue.rules.columns import Columns, Marks
from ensue.rules.rule import Filter


@dataclass(frozen=True)
class Listed(Filter):
    """Items that may be answered, and items that may not; ids that a catalogue does not hold change nothing.

    Attributes:
        allow: ids, and no others; None allows all.
        deny: ids.
    """

    name: ClassVar[str] = "availability"

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()

    def banned(self, columns: Columns) -> Marks:
        """`[N]` what is not allowed, or is denied."""
        banned = np.full(len(columns.catalogue), self.allow is not None)
        if self.allow is not None:
            banned[columns.codes(self.allow)[0]] = False
        banned[columns.codes(self.deny)[0]] = True
        return banned


class Availability:
    """Items that are withdrawn for now; shared by threads and by models, and changed while questions are answered.

    An item may be withdrawn that no catalogue holds yet: it stays so when a new one does.

    Args:
        withdrawn: ids to begin with.
    """

    def __init__(self, withdrawn: Iterable[str] = ()) -> None:
        self._lock = Lock()
        self._state: tuple[int, frozenset[str]] = (0, frozenset(withdrawn))

    @property
    def state(self) -> tuple[int, frozenset[str]]:
        """A number that grows with every change, and what is withdrawn: both of one moment."""
        return self._state

    @property
    def version(self) -> int:
        """A number that grows with every change."""
        return self._state[0]

    def withdraw(self, *items: str) -> int:
        """Leaves items out of every answer from now on; gives the version that says so."""
        return self._change(lambda held: held.union(items))

    def restore(self, *items: str) -> int:
        """Lets withdrawn items in again; gives the version that says so."""
        return self._change(lambda held: held.difference(items))

    def _change(self, change: Callable[[frozenset[str]], frozenset[str]]) -> int:
        with self._lock:
            version, held = self._state
            changed = change(held)
            if changed != held:
                self._state = (
                    version + 1,
                    changed,
                )  # one assignment: a reader sees the old pair or the new one
            return self._state[0]
