"""What a person had been shown and had clicked before a moment: counts, and how long ago, by ad and by campaign.

One rule for learning, judging, caps and answers: an event counts from the moment after it happened. What happens at the
same time as the question is not known yet, so that the ads of one slate know nothing of each other, and no outcome of
its own reaches an impression. An ad without a campaign is a campaign by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.ads.impressions import Impressions

Ints = NDArray[np.int64]
Values = NDArray[np.float64]

SECOND = 1_000_000
ALL, AD, CAMPAIGN = "all", "ad", "campaign"
"""What events are counted of: any of the person, those of the same ad, those of the same campaign."""

COUNTS = np.array([1, 2, 3, 4, 6, 10, 20, 50])
"""A count falls into one of 9 bins: 0, 1, 2, 3, 4 or 5, ..."""
AGES = np.array([60, 600, 3600, 6 * 3600, 86_400, 3 * 86_400, 7 * 86_400, 30 * 86_400]) * SECOND
STEPS = np.array([2, 4, 8, 16, 32, 64, 128, 256])
"""The same of ages; where the log has no times, of places in the log."""
WINDOW = 86_400 * SECOND
PRIOR = 20.0
"""Impressions that somebody's own click rate is drawn towards that of all by."""


@dataclass(frozen=True, eq=False)
class Past:
    """Everything that people were shown and have clicked.

    Attributes:
        frame: `[S]` events: `user`, `ad`, `campaign` (null where there are none) as text, `time` in microseconds, and
            `click` (false for a showing).
        timed: whether times are times, and not places in a log.
    """

    frame: pl.DataFrame
    timed: bool = True

    @classmethod
    def of(cls, impressions: Impressions) -> Past:
        """The events behind some impressions: each a showing, and a click where there was one."""
        shown = _asked(impressions.frame)
        clicks = shown.with_columns(time=impressions.frame["clicked_at"]).drop_nulls("time")
        frame = pl.concat([shown.with_columns(click=pl.lit(False)), clicks.with_columns(click=pl.lit(True))])
        return cls(frame, impressions.timed)

    @classmethod
    def none(cls) -> Past:
        """No events."""
        kinds = {
            "user": pl.String, "ad": pl.String, "campaign": pl.String, "time": pl.Int64, "click": pl.Boolean,
        }  # fmt: skip
        return cls(pl.DataFrame(schema=kinds))

    def before(self, asked: pl.DataFrame) -> Before:
        """What lies before some questions.

        Args:
            asked: `[Q]` rows with `user`, `ad`, `time` and perhaps `campaign`.
        """
        # questions come in blocks of few people: sorting the events of all for each would cost most of the time
        mine = self.frame.join(asked.select("user").unique(), on="user", how="semi")
        return Before(Past(mine, self.timed), _asked(asked))


@dataclass(frozen=True, eq=False)
class Before:
    """What lies before `Q` questions, each about a person, an ad and a moment."""

    past: Past
    asked: pl.DataFrame

    @cached_property
    def _codes(self) -> dict[str, Ints]:
        """Numbers `[S + Q]` of what is counted together; equal ones belong together."""
        ids = ["user", "ad", "campaign"]
        both = pl.concat([self.past.frame.select(ids), self.asked.select(ids)])
        ranks = both.select(pl.col(ids).rank("dense").fill_null(0).cast(pl.Int64))
        user, ad, campaign = (ranks[name].to_numpy() for name in ids)
        campaign = np.where(campaign > 0, campaign, campaign.max(initial=0) + ad)
        pairs = {ALL: user, AD: user * (ad.max(initial=0) + 1) + ad}
        pairs[CAMPAIGN] = user * (campaign.max(initial=0) + 1) + campaign
        return {
            name: np.unique(pair, return_inverse=True)[1].astype(np.int64) for name, pair in pairs.items()
        }

    @cached_property
    def _moments(self) -> tuple[Ints, Ints]:
        """All times in order, and the place `[S + Q]` of each event and question among them."""
        times = np.concatenate([self.past.frame["time"].to_numpy(), self.asked["time"].to_numpy()])
        moments, places = np.unique(times, return_inverse=True)
        return moments.astype(np.int64), places.astype(np.int64)

    def count(self, of: str, *, clicks: bool, within: int | Ints | None = None) -> tuple[Ints, Ints]:
        """How many events lie before each question, and when the last of them was.

        Args:
            of: "all", "ad" or "campaign".
            clicks: count clicks, or showings.
            within: so many microseconds before the question at most, `[Q]` or one for all; None is ever.

        Returns:
            `[Q]` counts and `[Q]` microseconds since the last, -1 where there is none.
        """
        codes, (moments, places) = self._codes[of], self._moments
        size, n = len(moments) + 1, self.past.frame.height
        chosen = np.flatnonzero(self.past.frame["click"].to_numpy() == clicks)
        held = np.sort(codes[chosen] * size + places[chosen])
        group, now = codes[n:] * size, self.asked["time"].to_numpy()
        first = 0 if within is None else np.searchsorted(moments, now - within)
        begin, end = np.searchsorted(held, group + first), np.searchsorted(held, group + places[n:])
        counts = end - begin
        if not len(held):
            return counts, np.full(len(now), -1, dtype=np.int64)
        last = moments[held[np.maximum(end - 1, 0)] % size]
        return counts, np.where(counts > 0, now - last, -1)

    def since_click(self, of: str) -> Ints:
        """`[Q]` how many showings lie after the last click before each question; all showings where there is none.

        Args:
            of: "all", "ad" or "campaign".
        """
        shown, _ = self.count(of, clicks=False)
        clicked, ages = self.count(of, clicks=True)
        after, _ = self.count(of, clicks=False, within=ages - 1)
        return np.where(clicked > 0, after, shown)

    def bins(self, campaigns: bool) -> dict[str, tuple[Ints, int]]:
        """What a model reads of the past: by name `[Q]` bins, and how many there are.

        Args:
            campaigns: whether ads belong to campaigns.
        """
        edges = AGES if self.past.timed else STEPS
        found: dict[str, tuple[Ints, int]] = {}
        for of in (ALL, AD, CAMPAIGN) if campaigns else (ALL, AD):
            for clicks, word in ((False, "shown"), (True, "clicked")):
                counts, ages = self.count(of, clicks=clicks)
                found[f"{of} {word}"] = np.searchsorted(COUNTS, counts, side="right"), len(COUNTS) + 1
                age = np.where(ages < 0, 0, 1 + np.searchsorted(edges, ages, side="right"))
                found[f"{of} {word} ago"] = age, len(edges) + 2
            if of != ALL:
                counts = self.since_click(of)
                found[f"{of} shown since clicked"] = (
                    np.searchsorted(COUNTS, counts, side="right"),
                    len(COUNTS) + 1,
                )
            if self.past.timed:
                counts, _ = self.count(of, clicks=False, within=WINDOW)
                found[f"{of} shown in a day"] = np.searchsorted(COUNTS, counts, side="right"), len(COUNTS) + 1
        return found

    def rate(self, base: float) -> Values:
        """`[Q]` how much more, in log-odds, each person has clicked than all do, drawn towards 0 by `PRIOR` showings.

        Args:
            base: the click rate of all.
        """
        shown, clicked = self.count(ALL, clicks=False)[0], self.count(ALL, clicks=True)[0]
        base = min(max(base, 1e-6), 1 - 1e-6)
        own = (np.minimum(clicked, shown) + PRIOR * base) / (shown + PRIOR)
        found: Values = np.log(own / (1 - own)) - np.log(base / (1 - base))
        return found


def _asked(frame: pl.DataFrame) -> pl.DataFrame:
    campaign = pl.col("campaign") if "campaign" in frame.columns else pl.lit(None, dtype=pl.String)
    return frame.select("user", "ad", campaign.alias("campaign"), pl.col("time").cast(pl.Int64))
