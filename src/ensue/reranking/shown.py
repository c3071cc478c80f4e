"""Lists as they were shown: an engine's candidates in its order, what was chosen, and what its reader did before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints, Items, ranges
from ensue.errors import DataError
from ensue.sequences import MISSING_TIME

Values = NDArray[np.float64]

NONE = -1
"""The item of an event that concerns none (a filter, a search), and the choice of a list that nothing is known of."""

MOST_CANDIDATES = 10_000
"""The longest list that is taken."""


@dataclass(frozen=True, eq=False)
class Events:
    """What people did, end to end, oldest first within a session.

    Attributes:
        items: `[E]` places in the ids of the lists, `NONE` for an event that concerns no item.
        kinds: `[E]` what kind of event it was, as text; null where it is not known.
        time: `[E]` microseconds since 1970 UTC, `MISSING_TIME` where not known.
        groups: `[E]` the number of the session, as the lists count them.
    """

    items: Items
    kinds: pl.Series
    time: Ints
    groups: Ints

    @classmethod
    def none(cls) -> Events:
        """No events at all."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty.astype(np.int32), pl.Series("kind", [], dtype=pl.String), empty, empty)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, eq=False)
class Shown:
    """`Q` lists with `C` candidates in all, each list in the order of the engine.

    Attributes:
        ids: `[N]` the ids of all items, as written.
        items: `[C]` places in `ids`.
        offsets: `[Q+1]`; list q is `items[offsets[q]:offsets[q+1]]`, of at least one candidate, none of them twice.
        score: `[C]` the engine's score, NaN where it gives none.
        price: `[C]` above 0, NaN where none is known.
        chosen: `[Q]` where in `items` the chosen candidate stands, `NONE` where it is not known.
        groups: `[Q]` the number of the session that a list belongs to.
        at: `[Q]` when it was shown, microseconds since 1970 UTC, or `MISSING_TIME`.
        begins: `[Q]` when its session began, or `MISSING_TIME`.
        events: what was done.
        starts: `[Q]` where in `events` what came before the list begins.
        ends: `[Q]` after which event it ends.
        context: `[Q]` what else is known of a list (device, order, filters), by name, as text.
        set_aside: what could not be used, by reason.
        notes: what was decided, in words.
    """

    ids: pl.Series
    items: Items
    offsets: Ints
    score: Values
    price: Values
    chosen: Ints
    groups: Ints
    at: Ints
    begins: Ints
    events: Events
    starts: Ints
    ends: Ints
    context: Mapping[str, pl.Series] = field(default_factory=dict)
    set_aside: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = self.lengths
        if len(self.offsets) < 1 or self.offsets[-1] != len(self.items) or (lengths < 1).any():
            raise DataError("A list without a candidate cannot be ordered: leave it out.")
        if (lengths > MOST_CANDIDATES).any():
            raise DataError(
                f"A list has {int(lengths.max()):,} candidates; {MOST_CANDIDATES:,} are taken: send fewer."
            )
        if (np.diff(np.sort(self.rows * max(len(self.ids), 1) + self.items)) == 0).any():
            raise DataError("A list holds an item twice: name each candidate once.")
        held = self.chosen != NONE
        within = (self.chosen >= self.offsets[:-1]) & (self.chosen < self.offsets[1:])
        if (held & ~within).any():
            raise DataError("The choice of a list is none of its candidates: leave such lists out.")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, which: Ints | NDArray[np.bool_]) -> Shown:
        """The lists at these places, or where a mask is true; events and account are those of the whole."""
        places = np.flatnonzero(which) if which.dtype == np.bool_ else which
        _, kept = ranges(self.offsets[places], self.offsets[places + 1])
        offsets = np.concatenate([[0], np.cumsum(self.lengths[places])]).astype(np.int64)
        chosen = self.chosen[places]
        moved = np.where(chosen == NONE, NONE, chosen - self.offsets[places] + offsets[:-1])
        return replace(
            self,
            items=self.items[kept],
            offsets=offsets,
            score=self.score[kept],
            price=self.price[kept],
            chosen=moved,
            groups=self.groups[places],
            at=self.at[places],
            begins=self.begins[places],
            starts=self.starts[places],
            ends=self.ends[places],
            context={name: values.gather(places) for name, values in self.context.items()},
        )

    @property
    def lengths(self) -> Ints:
        """`[Q]` candidates of each list."""
        return np.diff(self.offsets)

    @cached_property
    def rows(self) -> Ints:
        """`[C]` the list of each candidate."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    @cached_property
    def position(self) -> Ints:
        """`[C]` the engine's place, from 1."""
        return np.arange(len(self.items), dtype=np.int64) - self.offsets[self.rows] + 1

    @property
    def sessions(self) -> int:
        """How many sessions have lists."""
        return len(np.unique(self.groups))

    def lines(self) -> list[str]:
        """The account in plain lines."""
        known = int((self.chosen != NONE).sum())
        first = (
            f"Lists: {len(self):,} with {len(self.items):,} candidates in {self.sessions:,} sessions, {known:,} with a "
            f"choice; {len(self.events):,} events."
        )
        aside = [f"  {count:,} x {reason}" for reason, count in self.set_aside.items() if count]
        return [first, *aside, *(f"Note: {note}" for note in self.notes)]


def known_before(shown: Shown, time: int) -> Events:
    """The events before a time.

    Args:
        shown: lists and events.
        time: microseconds since 1970 UTC; events whose time is not known are left out.
    """
    events = shown.events
    kept = (events.time < time) & (events.time != MISSING_TIME)
    return Events(
        events.items[kept], events.kinds.filter(pl.Series(kept)), events.time[kept], events.groups[kept]
    )
