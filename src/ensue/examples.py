"""Questions with known answers: what every evaluation is over."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints, Items
from ensue.errors import DataError, LeakError
from ensue.sequences import MISSING_TIME, Context, Queries


@dataclass(frozen=True, eq=False)
class Examples:
    """Questions with known answers: `Q` histories and the item that came next.

    No history holds an event that is later than its question, and no target is padding: `LeakError` and `DataError` say
    so where they are made.

    Attributes:
        queries: the histories, all events before the target in its sequence; items unknown to the catalogue are
            left out of them (`left_out` counts them).
        targets: `[Q]` item index, or -1 for a cold item (not in the catalogue).
        groups: `[Q]` which sequence a query belongs to, `0..U-1`, ascending.
        group_ids: `[U]` the user (or session) of each group.
        target_ids: `[Q]` ids of the targets, as written.
        protocol: what was asked, in words.
        left_out: events of the histories that the catalogue does not hold.
        without_history: events of the part that are first in their sequence, and so can be no target.
        by: what a group is, "user" or "session".
        target_ratings: `[Q]` the rating that was given to each target, NaN where none was; None where the log has no
            ratings.
        target_context: `[Q]` other columns of the targets' own events, by name; none where they were not kept.
        opened: `[Q]` place in the items of the queries from which on a history is an open basket: what lies in it is no
            candidate. None where no basket is open.
    """

    queries: Queries
    targets: Items
    groups: Ints
    group_ids: pl.Series
    target_ids: pl.Series
    protocol: str
    left_out: int = 0
    without_history: int = 0
    by: str = "user"
    target_ratings: NDArray[np.float32] | None = None
    target_context: Context = field(default_factory=dict)
    opened: Ints | None = None

    def __post_init__(self) -> None:
        number, queries = len(self.targets), self.queries
        if not len(queries) == len(self.groups) == len(self.target_ids) == number:
            raise DataError(
                f"{len(queries)} queries, {len(self.groups)} groups, {len(self.target_ids)} ids and {number} targets: "
                "they must be one to one."
            )
        if number and int(self.targets.max()) >= queries.n_items:
            raise DataError(
                f"Target {int(self.targets.max())} is no item of a catalogue of {queries.n_items}: padding is never "
                "asked for."
            )
        later = _later_than_asked(queries)
        if later:
            raise LeakError(
                f"{later} of {number} histories hold an event that is later than their question ({self.protocol}): end "
                "each history before its target."
            )

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, which: Ints) -> Examples:
        """The examples at these places, ascending; groups keep their numbers, and the counts are those of the whole."""
        ratings = None if self.target_ratings is None else self.target_ratings[which]
        return replace(
            self,
            queries=self.queries[which],
            targets=self.targets[which],
            groups=self.groups[which],
            target_ids=self.target_ids.gather(which),
            target_ratings=ratings,
            target_context={name: values.gather(which) for name, values in self.target_context.items()},
            opened=None if self.opened is None else self.opened[which],
        )


def _later_than_asked(queries: Queries) -> int:
    """How many histories end with an event that is later than the time of their question, where both are known."""
    if queries.time is None or queries.at is None:
        return 0
    held = queries.lengths > 0
    last, asked = queries.time[queries.ends[held] - 1], queries.at[held]
    return int(((last > asked) & (asked != MISSING_TIME)).sum())
