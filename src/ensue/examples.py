"""Questions with known answers: what every evaluation is over."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints, Items
from ensue.sequences import Queries


@dataclass(frozen=True, eq=False)
class Examples:
    """Questions with known answers: `Q` histories and the item that came next.

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
        )
