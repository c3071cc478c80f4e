"""Frequency caps: how often one person is shown the same ad, ads of one campaign, or any ad, within a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Strict

from ensue.ads.history import SECOND, Past
from ensue.errors import ConfigError

Ints = NDArray[np.int64]

MOST_HOURS = 24 * 366 * 10


@dataclass(frozen=True)
class Cap:
    """At most so many showings to one person within some hours before.

    Attributes:
        most: showings; 0 shows none.
        per: "ad", "campaign" or "all".
        hours: how far back is looked.
        of: "shows", or "clicks": at most so many clicks, after which no more is shown.
    """

    most: Annotated[int, Strict()]
    per: Literal["ad", "campaign", "all"] = "ad"
    hours: Annotated[float, Strict()] = 24.0
    of: Literal["shows", "clicks"] = "shows"

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.most < 0 or not 0 < self.hours <= MOST_HOURS:
            raise ConfigError(
                f"A cap of most={self.most} within hours={self.hours:g}: give 0 or more, within a time above 0."
            )

    def left(self, candidates: pl.DataFrame, past: Past) -> Ints:
        """`[A]` how many more showings each candidate has, 0 or more.

        Args:
            candidates: `[A]` rows with `user`, `ad`, `time` and perhaps `campaign`; an ad without one has a cap of its
                campaign by itself alone.
            past: what was shown before.
        """
        within = int(self.hours * 3600 * SECOND)
        held, _ = past.before(candidates).count(self.per, clicks=self.of == "clicks", within=within)
        return np.maximum(self.most - held, 0)


@dataclass(frozen=True, eq=False)
class Room:
    """What caps leave of each candidate while a slate is filled.

    Attributes:
        caps: that hold.
        left: `[C, A]` showings that are left.
        members: `[C, A]` what is counted together, by number.
    """

    caps: tuple[Cap, ...]
    left: NDArray[np.int64]
    members: NDArray[np.int64]

    @classmethod
    def of(cls, caps: tuple[Cap, ...], candidates: pl.DataFrame, past: Past) -> Room:
        """The room that is left before anything is chosen."""
        n = len(candidates)
        if not caps:
            none = np.empty((0, n), dtype=np.int64)
            return cls(caps, none, none)
        left = np.stack([cap.left(candidates, past) for cap in caps])
        groups = {"ad": np.arange(n), "all": np.zeros(n, dtype=np.int64), "campaign": _campaigns(candidates)}
        return cls(caps, left, np.stack([groups[cap.per] for cap in caps]))

    @property
    def open(self) -> NDArray[np.bool_]:
        """`[A]` whether each candidate may be shown."""
        return np.asarray((self.left > 0).all(axis=0), dtype=np.bool_)

    def take(self, place: int) -> None:
        """Counts one more showing of a candidate."""
        for at, cap in enumerate(self.caps):
            if cap.of == "shows":
                self.left[at] -= self.members[at] == self.members[at, place]


def _campaigns(candidates: pl.DataFrame) -> Ints:
    """`[A]` the campaign of each candidate as a number; one without is a campaign of its own."""
    n = len(candidates)
    if "campaign" not in candidates.columns:
        return np.arange(n)
    known = candidates["campaign"].rank("dense").cast(pl.Int64).to_numpy(allow_copy=True)
    alone = n + 1 + np.arange(n)
    return np.where(candidates["campaign"].is_null().to_numpy(), alone, np.nan_to_num(known)).astype(np.int64)
