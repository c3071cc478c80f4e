"""A log of advertisements from a known process: people with interests, ads that tire, bids, logged propensities.

At each of a person's visits one ad is shown. Its logit of a click is

    quality of the ad + interest of the person in its campaign
      - fatigue x ln(1 + times the person was shown this ad since they last clicked it)
      + kindling, where the person clicked an ad of this campaign within their last `recent` visits,

so that part of it lies in the sequence of the person and nowhere else. Ads are drawn by a softmax of bid x quality,
mixed with a uniform draw; the chance of the drawn ad is logged. The true chance of a click is known for each row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit, softmax

from ensue.events.log import EventLog
from ensue.events.simulate.process import (
    BEGIN,
    account,
    numbered,
    positive,
    raise_all,
    share,
    utc,
    whole,
)

Values = NDArray[np.float64]
Ints = NDArray[np.int64]

DAYS = 28
NEVER = -1_000_000


@dataclass(frozen=True, eq=False)
class Drawn:
    """A log and what is known of it.

    Attributes:
        log: each event an ad that was shown, clicked or not.
        chance: `[E]` the true probability of a click, beside the events of the log.
        uniform: the expected clicks of a visit if ads were drawn uniformly, with the pasts as they were.
    """

    log: EventLog
    chance: Values
    uniform: float


@dataclass(frozen=True)
class AdSource:
    """The process; its knobs are the fields.

    Attributes:
        campaigns: of advertisers.
        ads: of each campaign.
        fatigue: how much a showing without a click takes away.
        kindling: what a recent click on the campaign adds.
        recent: visits that a click is recent for.
        interest: spread of the persons' interests in campaigns, in logits.
        base: logit of a click without all of this.
        explored: share of the visits whose ad is drawn uniformly.
        planted: draws qualities and bids.
    """

    campaigns: int = 8
    ads: int = 4
    fatigue: float = 0.8
    kindling: float = 1.2
    recent: int = 5
    interest: float = 0.8
    base: float = -2.5
    explored: float = 0.3
    planted: int = 0

    def __post_init__(self) -> None:
        raise_all("ads", self._faults())

    def _faults(self) -> Iterator[str]:
        yield from whole("campaigns", self.campaigns, 1, 1000)
        yield from whole("ads", self.ads, 1, 1000)
        yield from whole("recent", self.recent, 1)
        for knob in ("fatigue", "kindling", "interest"):
            yield from positive(knob, getattr(self, knob))
        yield from share("explored", self.explored)
        yield from whole("planted", self.planted, 0)

    @property
    def campaign_of(self) -> Ints:
        """`[A]` the campaign of each ad."""
        return np.repeat(np.arange(self.campaigns), self.ads)

    @property
    def laws(self) -> tuple[Values, Values, Values]:
        """`[A]` quality in logits, bid, and the chance of being drawn, of each ad."""
        rng = np.random.default_rng([self.planted, 7])
        quality = rng.normal(0, 0.5, self.campaigns * self.ads)
        bids = np.asarray(np.exp(rng.normal(0, 0.5, self.campaigns)).round(2)[self.campaign_of], np.float64)
        drawn = softmax(np.log(bids) + quality)
        return quality, bids, self.explored / len(drawn) + (1 - self.explored) * drawn

    def drawn(self, users: int = 1000, visits: int = 30, seed: int = 0) -> Drawn:
        """A log, with the true chances beside it: the same bits for the same arguments.

        Args:
            users: people.
            visits: of each; one ad is shown at each.
            seed: draws times, interests, ads and clicks.

        Raises:
            ConfigError: an argument is out of range.
        """
        raise_all(
            "ads", [*whole("users", users, 1), *whole("visits", visits, 1, 100_000), *whole("seed", seed, 0)]
        )
        rng = np.random.default_rng([seed, 8])
        quality, bids, law = self.laws
        campaign, n = self.campaign_of, len(quality)
        times = np.sort(rng.integers(DAYS * 86_400, size=(users, visits)), axis=1) + np.arange(visits)
        interest = rng.normal(0, self.interest, (users, self.campaigns))
        own = self.base + quality + interest[:, campaign]  # [U, A]
        tired = np.zeros((users, n))
        kindled = np.full((users, self.campaigns), NEVER)
        every = np.arange(users)
        shown = np.empty((users, visits), dtype=np.int64)
        clicked = np.empty((users, visits), dtype=bool)
        chance = np.empty((users, visits))
        uniform = 0.0
        for visit in range(visits):
            lit = (visit - kindled <= self.recent)[:, campaign]
            chances = expit(own - self.fatigue * np.log1p(tired) + self.kindling * lit)
            uniform += float(chances.mean()) / visits
            ad = rng.choice(n, size=users, p=law)
            p = chances[every, ad]
            hit = rng.random(users) < p
            tired[every, ad] = np.where(hit, 0, tired[every, ad] + 1)
            kindled[every[hit], campaign[ad[hit]]] = visit
            shown[:, visit], clicked[:, visit], chance[:, visit] = ad, hit, p
        flat = shown.ravel()
        frame = pl.DataFrame(
            {
                "user": pl.Series(numbered("u", users)).gather(np.repeat(every, visits)),
                "item": pl.Series(numbered("ad", n)).gather(flat),
                "time": utc(times.ravel() + BEGIN),
                "event": pl.Series(["impression", "click"]).gather(clicked.ravel().astype(np.int64)),
                "campaign": pl.Series(numbered("c", self.campaigns)).gather(campaign[flat]),
                "bid": bids[flat],
                "propensity": law[flat],
            }
        )
        note = f"simulated: {self!r}, {visits} visits of each of {users} users, seed {seed}"
        # users are numbered in the order of their names, and their visits rise: the order of the log already
        return Drawn(EventLog.of(frame, reading=account(frame, note)), chance.ravel(), uniform)

    def log(self, users: int = 1000, visits: int = 30, seed: int = 0) -> EventLog:
        """The log alone; see `drawn`."""
        return self.drawn(users, visits, seed).log
