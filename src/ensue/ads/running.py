"""A run with ads, from a log to a judged click model: learnt on the earlier impressions, judged on the later ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.ads.baselines import BaseRate, OwnRate
from ensue.ads.click_model import ClickModel, Clicks, Estimate
from ensue.ads.figures import Judged, judged
from ensue.ads.history import Past
from ensue.ads.impressions import Impressions
from ensue.ads.policies import Policy, expected, of_shown
from ensue.ads.value import Value, Valued, on_policy, valued
from ensue.errors import DataError
from ensue.progress import Progress, Silent

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AdRun:
    """A click model with its figures.

    Attributes:
        clicks: learnt on the earlier part.
        judged: it and what stands beside it, on the later part.
        train: the earlier part.
        test: the later part.
        past: all events of the log; a question sees those before it.
    """

    clicks: Clicks
    judged: Judged
    train: Impressions
    test: Impressions
    past: Past

    def to_json(self) -> dict[str, Any]:
        """The figures for programs."""
        facts = {name: self.clicks.facts[name] for name in ("impressions", "clicks", "l2")}
        return {"training": facts, "test": self.judged.to_json()}


def run_ads(
    impressions: Impressions,
    model: ClickModel,
    *,
    test: float = 0.25,
    seed: int = 0,
    progress: Progress | None = None,
) -> AdRun:
    """Learns of the earlier impressions and judges on the later ones, beside the baselines.

    A model that reads histories stands beside the same one that does not, so that what the sequence adds is seen.

    Args:
        impressions: of a log.
        model: of clicks.
        test: the last share of the impressions.
        seed: of the bootstrap.
        progress: told how far it is.

    Raises:
        DataError: the log cannot be parted, or a part has no clicks.
        ModelError: nothing was clicked in training.
    """
    told = progress or Silent()
    for note in impressions.notes:
        told.say(note)
    train, later = impressions.parted(test)
    past = Past.of(impressions)
    clicks = model.fit(train, past, told)
    estimates: list[Estimate] = [BaseRate.fit(train)]
    if train.ads:
        estimates.append(OwnRate.fit(train))
    if clicks.columns.history:
        estimates.append(replace(model, history=False).fit(train, past, told))
    estimates.append(clicks)
    return AdRun(clicks, judge(estimates, later, past, seed=seed), train, later, past)


@dataclass(frozen=True, eq=False)
class Halves:
    """Two click models, each learnt of one half of a log by time and asked about the other: for "dr".

    Attributes:
        cut: the time of the second half's first impression.
        early: learnt of the first half.
        late: learnt of the second.
    """

    cut: int
    early: Estimate
    late: Estimate
    name: str = "halves"

    @classmethod
    def fit(cls, model: ClickModel, impressions: Impressions, past: Past) -> Halves:
        """The two models.

        Raises:
            DataError: the log cannot be halved.
            ModelError: nothing was clicked in a half.
        """
        first, second = impressions.parted(0.5)
        cut = int(second.frame["time"][0])
        return cls(cut, model.fit(first, past), model.fit(second, past))

    def probabilities(self, frame: pl.DataFrame, past: Past) -> Values:
        """`[E]` those of the half that an impression does not belong to."""
        second = frame["time"].to_numpy() >= self.cut
        found = np.empty(len(frame))
        for chosen, estimate in ((second, self.early), (~second, self.late)):
            if chosen.any():
                found[chosen] = estimate.probabilities(frame.filter(pl.Series(chosen)), past)
        return found


def judge(estimates: list[Estimate], impressions: Impressions, past: Past, *, seed: int = 0) -> Judged:
    """Estimates beside each other on some impressions.

    Args:
        estimates: each against all before it.
        impressions: none of which they were learnt from.
        past: events of the log.
        seed: of the bootstrap.
    """
    found = {one.name: one.probabilities(impressions.frame, past) for one in estimates}
    return judged(found, impressions.clicked, impressions.groups, seed=seed)


def value_of(
    policies: list[Policy], impressions: Impressions, past: Past, estimate: Estimate | None = None, *,
    bids: bool = False, clip: float = np.inf, seed: int = 0,
) -> tuple[Value, list[Valued]]:  # fmt: skip
    """What the policy of a log brought, and what others would have brought in its place.

    Args:
        policies: others.
        impressions: with the propensities of what was shown.
        past: events of the log.
        estimate: of clicks, learnt elsewhere, for "dr".
        bids: whether a click is worth its bid, or 1.
        clip: the largest weight.
        seed: of the bootstraps.

    Raises:
        DataError: the log has no propensities, or no bids where these are to count.
    """
    frame = impressions.frame
    for name in ("propensity", *(("bid",) if bids else ())):
        if name not in frame.columns:
            raise DataError(
                f"The log has no column of the {name} of what was shown: name it, as in {name}=COLUMN."
            )
    ads = impressions.known_ads()
    rewards = impressions.clicked * (frame["bid"].to_numpy() if bids else 1.0)
    groups = impressions.groups
    found = []
    for policy in policies:
        chances = policy.chances(frame, ads, past)
        estimated = None
        if estimate is not None:
            shown = estimate.probabilities(frame, past) * (frame["bid"].to_numpy() if bids else 1.0)
            estimated = shown, expected(chances, estimate, frame, ads, past, bids)
        own = of_shown(chances, frame, ads)
        found.append(
            valued(
                policy.name,
                rewards,
                own,
                frame["propensity"].to_numpy(),
                groups,
                estimated=estimated,
                clip=clip,
                seed=seed,
            )
        )
    return on_policy(rewards, groups, seed=seed), found
