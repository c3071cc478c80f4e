"""Ways to choose the ad of an impression, as chances over all ads: what `value` judges from a log of another one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.ads.click_model import Clicks, Estimate
from ensue.ads.exploring import NOTHING, Exploration
from ensue.ads.history import Past
from ensue.errors import DataError

Values = NDArray[np.float64]

BLOCK = 50_000
"""Pairs of an impression and an ad that are worked on at a time."""


class Policy(Protocol):
    """A way to choose ads."""

    @property
    def name(self) -> str:
        """How tables call it."""
        ...

    def chances(self, frame: pl.DataFrame, ads: pl.DataFrame, past: Past) -> Values:
        """`[E, A]` the chance of each ad at each impression; each row adds up to 1.

        Args:
            frame: `[E]` rows as in `Impressions.frame`: of their ads nothing is read.
            ads: `[A]` as in `Impressions.known_ads`.
            past: events; those before the time of a row may be read.
        """
        ...


@dataclass(frozen=True)
class Uniform:
    """Every ad has the same chance."""

    name: str = "uniform"

    def chances(self, frame: pl.DataFrame, ads: pl.DataFrame, past: Past) -> Values:
        """`[E, A]` all 1 / A."""
        return np.full((len(frame), len(ads)), 1 / len(ads))


@dataclass(frozen=True, eq=False)
class Shares:
    """The shares that the ads had of the showings of another log, at each value of a column.

    They stand for a policy that looks at nothing else, as it was on the average of that log.

    Attributes:
        counts: `ad`, the column, and `shown`.
        by: the column, such as "position".
    """

    counts: pl.DataFrame
    by: str
    name: str = "shares"

    @classmethod
    def of(cls, frame: pl.DataFrame, by: str = "position", name: str = "shares") -> Shares:
        """The shares in the impressions of another log."""
        return cls(frame.group_by("ad", by).agg(shown=pl.len()), by, name)

    def chances(self, frame: pl.DataFrame, ads: pl.DataFrame, past: Past) -> Values:
        """`[E, A]` shares; `DataError` if the other log never had such a place or such ads."""
        places = self.counts[self.by].unique().sort()
        grid = ads.select("ad").join(places.to_frame(), how="cross", maintain_order="left")
        counted = grid.join(self.counts, on=["ad", self.by], how="left", maintain_order="left")
        table = counted["shown"].fill_null(0).to_numpy().reshape(len(ads), len(places)).T.astype(np.float64)
        code = places.search_sorted(frame[self.by]).to_numpy()
        known = frame[self.by].is_in(places.implode()).to_numpy()
        total = table.sum(axis=1)
        if not known.all() or not (total > 0).all():
            raise DataError(
                f"The other log has no showings at some values of '{self.by}': take a column that both logs share."
            )
        found: Values = (table / total[:, None])[code]
        return found


@dataclass(frozen=True, eq=False)
class ByValue:
    """The ad that is worth the most, bid x probability of a click, with a share of exploration.

    Attributes:
        clicks: gives the probabilities.
        exploration: how much else is shown.
        bids: whether bids count; else the most likely click is taken.
    """

    clicks: Clicks
    exploration: Exploration = NOTHING
    bids: bool = True
    name: str = "by value"

    def chances(self, frame: pl.DataFrame, ads: pl.DataFrame, past: Past) -> Values:
        """`[E, A]` chances of the first place."""
        bids = ads["bid"].to_numpy() if self.bids and "bid" in ads.columns else np.ones(len(ads))
        found = np.empty((len(frame), len(ads)))
        for block, pairs in crossed(frame, ads):
            shape = (-1, block.stop - block.start, len(ads))
            if self.exploration.draws:
                drawn = self.clicks.drawn(pairs, past, self.exploration.draws, self.exploration.seed)
            else:
                drawn = self.clicks.probabilities(pairs, past)
            allowed = np.ones(shape[1:], dtype=bool)
            found[block] = self.exploration.chances(drawn.reshape(shape) * bids, allowed)
        return found


def crossed(frame: pl.DataFrame, ads: pl.DataFrame) -> Iterator[tuple[slice, pl.DataFrame]]:
    """Each impression with every ad, in blocks: which impressions, and `[b * A]` rows."""
    bare = frame.drop([name for name in ads.columns if name in frame.columns])
    size = max(BLOCK // max(len(ads), 1), 1)
    for first in range(0, len(frame), size):
        block = slice(first, min(first + size, len(frame)))
        yield block, bare[block].join(ads, how="cross", maintain_order="left_right")


def expected(
    policy: Values, estimate: Estimate, frame: pl.DataFrame, ads: pl.DataFrame, past: Past, bids: bool = False
) -> Values:
    """`[E]` what a policy would bring at each impression, by an estimate of the clicks.

    Args:
        policy: `[E, A]` its chances.
        estimate: of a click.
        frame: the impressions.
        ads: `[A]` the ads.
        past: events.
        bids: whether a click is worth its bid, or 1.
    """
    worth = ads["bid"].to_numpy() if bids else np.ones(len(ads))
    found = np.empty(len(frame))
    for block, pairs in crossed(frame, ads):
        p = estimate.probabilities(pairs, past).reshape(-1, len(ads))
        found[block] = (policy[block] * p * worth).sum(axis=1)
    return found


def of_shown(policy: Values, frame: pl.DataFrame, ads: pl.DataFrame) -> Values:
    """`[E]` the chance that a policy gives the ad that was shown; 0 for one that it does not know."""
    places = ads.select("ad").with_row_index("place")
    place = frame.select("ad").join(places, on="ad", how="left", maintain_order="left")["place"]
    known = place.is_not_null().to_numpy()
    at = place.fill_null(0).to_numpy()
    return np.where(known, policy[np.arange(len(frame)), at], 0.0)
