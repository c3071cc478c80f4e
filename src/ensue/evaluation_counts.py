"""How many of what an evaluation is made of: what is behind a mean, and what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.catalogue import UNKNOWN
from ensue.splits import Examples

Mask = NDArray[np.bool_]

DAY = 86_400_000_000
"""Microseconds."""


@dataclass(frozen=True)
class Counts:
    """How many of what an evaluation is made of.

    Attributes:
        users: users (or sessions) with at least one target.
        targets: questions asked, `Q`.
        cold_targets: targets that the catalogue does not hold.
        tied_targets: targets whose score equals that of another candidate.
        seen_targets: targets that are in their own history.
        excluded_targets: those of them that exclusion of seen items took out of the ranking; they cannot be
            hit.
        cold_user_targets: targets asked of a history without a known item, answered by the fallback.
        cold_users: users with at least one such target.
        left_out_events: events of histories that the catalogue does not hold; queries share events, each
            counts.
        without_history: events that could be no target, since they are the first of their sequence.
        by: what a user is here, "user" or "session".
        horizon_days: time from the first target to the last, or None for a log without times.
    """

    users: int
    targets: int
    cold_targets: int
    tied_targets: int
    seen_targets: int
    excluded_targets: int
    cold_user_targets: int
    cold_users: int
    left_out_events: int
    without_history: int
    horizon_days: float | None
    by: str = "user"

    @property
    def cold_share(self) -> float:
        """Share of the targets that the catalogue does not hold."""
        return self.cold_targets / self.targets

    @property
    def tied_share(self) -> float:
        """Share of the targets that tie with another candidate."""
        return self.tied_targets / self.targets

    def to_json(self) -> dict[str, Any]:
        """The counts for programs."""
        return dict(vars(self)) | {"cold_share": self.cold_share, "tied_share": self.tied_share}

    def lines(self) -> list[str]:
        """The counts for people; what is 0 is said, since it is a finding."""
        who = f"{self.by}s"
        span = "" if self.horizon_days is None else f" over {self.horizon_days:.1f} days"
        return [
            f"{self.targets:,} targets of {self.users:,} {who}{span}",
            f"{self.cold_targets:,} targets ({self.cold_share:.2%}) are cold: not in the catalogue",
            f"{self.tied_targets:,} targets ({self.tied_share:.2%}) tie with another candidate",
            f"{self.seen_targets:,} targets are in their own history, {self.excluded_targets:,} of them are "
            "excluded as seen and cannot be hit",
            f"{self.cold_user_targets:,} targets of {self.cold_users:,} {who} have no known item in their "
            "history and are answered by popularity",
            f"{self.left_out_events:,} events of histories are not in the catalogue and are left out",
            f"{self.without_history:,} events are the first of their sequence and are no targets",
        ]


def counted(examples: Examples, tied: Mask, seen: Mask, excluding: bool) -> Counts:
    """The counts of an evaluation.

    Args:
        examples: what was asked.
        tied: `[Q]` targets whose score equals that of another candidate.
        seen: `[Q]` targets that are in their own history.
        excluding: whether seen items were out of the ranking.
    """
    fallback, at = examples.queries.lengths == 0, examples.queries.at
    return Counts(
        users=len(np.unique(examples.groups)),
        targets=len(examples),
        cold_targets=int((examples.targets == UNKNOWN).sum()),
        tied_targets=int(tied.sum()),
        seen_targets=int(seen.sum()),
        excluded_targets=int(seen.sum()) if excluding else 0,
        cold_user_targets=int(fallback.sum()),
        cold_users=len(np.unique(examples.groups[fallback])),
        left_out_events=examples.left_out,
        without_history=examples.without_history,
        by=examples.by,
        horizon_days=None if at is None else float((at.max() - at.min()) / DAY),
    )
