"""What a policy would have brought, from the log of another one whose chances are known [off-policy evaluation].

An impression that the new policy would have shown with the chance pi, and that was shown with the chance p, stands for
w = pi / p impressions of the new policy.

    ips   mean of w r                          true on average, and restless where some w are large
    snips sum of w r / sum of w                a little biased, calmer
    dr    mean of q(policy) + w (r - q(shown)) true on average if the chances or the estimate q are right

References:
    Horvitz & Thompson 1952; Swaminathan & Joachims, "The self-normalized estimator for counterfactual learning",
    NIPS 2015; Dudik, Langford & Li, "Doubly robust policy evaluation and learning", ICML 2011, eq. 2; Kong 1992
    (effective sample size).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.errors import DataError

Values = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Value:
    """What one estimator says that a policy brings at an impression.

    Attributes:
        estimator: "ips", "snips", "dr", or "on policy" for the plain mean of a log of the policy itself.
        value: mean reward of an impression.
        low: lower end of its interval, by a bootstrap over people (impressions where nobody is known).
        high: upper end.
    """

    estimator: str
    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """The value for programs."""
        return {"estimator": self.estimator, "value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Support:
    """How well the log speaks for the policy.

    Attributes:
        impressions: of the log.
        effective: how many of the policy's own they are worth: (sum of w)^2 / sum of w^2.
        mean_weight: 1 but for chance, where the log shows whatever the policy would and nothing is clipped.
        largest: weight, before clipping.
        clipped: share of the impressions whose weight was clipped.
    """

    impressions: int
    effective: float
    mean_weight: float
    largest: float
    clipped: float

    def to_json(self) -> dict[str, Any]:
        """The facts for programs."""
        return {
            "impressions": self.impressions,
            "effective_impressions": self.effective,
            "mean_weight": self.mean_weight,
            "largest_weight": self.largest,
            "clipped_share": self.clipped,
        }


@dataclass(frozen=True)
class Valued:
    """A policy, judged."""

    policy: str
    values: tuple[Value, ...]
    support: Support

    def __getitem__(self, estimator: str) -> Value:
        """What an estimator says."""
        return next(one for one in self.values if one.estimator == estimator)

    def to_json(self) -> dict[str, Any]:
        """All of it for programs."""
        values = [one.to_json() for one in self.values]
        return {"policy": self.policy, "values": values, "support": self.support.to_json()}


def valued(
    policy: str, rewards: Values, chances: Values, propensities: Values, groups: Ints, *,
    estimated: tuple[Values, Values] | None = None, clip: float = np.inf, draws: int = DRAWS, seed: int = 0,
) -> Valued:  # fmt: skip
    """What a policy would have brought.

    Args:
        policy: its name.
        rewards: `[E]` what each impression brought.
        chances: `[E]` of the ad that was shown, under the policy.
        propensities: `[E]` of the same, when it was shown.
        groups: `[E]` from 0, what is drawn together in the bootstrap.
        estimated: `[E]` rewards of what was shown, and of the policy, by an estimate that was learnt elsewhere; None
            leaves "dr" out.
        clip: the largest weight; smaller is calmer and draws the value down.
        draws: of the bootstrap.
        seed: same seed, same intervals.

    Raises:
        DataError: lengths differ, a propensity is no chance above 0, or the policy shows nothing that the log shows.
    """
    n = len(rewards)
    if not n or any(len(one) != n for one in (chances, propensities, groups, *(estimated or ()))):
        raise DataError(
            f"{n} rewards do not fit as many chances, propensities and groups, or there are none."
        )
    if not ((propensities > 0) & (propensities <= 1)).all() or not ((chances >= 0) & (chances <= 1)).all():
        raise DataError("A chance is not from 0 to 1, or that of an ad which was shown is 0.")
    if not clip > 0:
        raise DataError(f"clip={clip:g}: the largest weight must be above 0.")
    raw = chances / propensities
    w = np.minimum(raw, clip)
    if not w.any():
        raise DataError(
            f"The policy '{policy}' would have shown nothing that this log shows: its value is unknown."
        )
    support = Support(
        n, float(w.sum() ** 2 / (w**2).sum()), float(w.mean()), float(raw.max()), float((raw > clip).mean())
    )
    columns = [np.ones(n), w, w * rewards]
    if estimated is not None:
        shown, own = estimated
        columns.append(own + w * (rewards - shown))
    sums = np.stack([np.bincount(groups, weights=column) for column in columns], axis=1).astype(np.float64)
    point, drawn = sums.sum(axis=0), _drawn(sums, draws, seed)
    values = [
        _value("ips", point[2] / point[0], drawn[:, 2] / drawn[:, 0]),
        _value("snips", point[2] / point[1], _ratio(drawn[:, 2], drawn[:, 1])),
    ]
    if estimated is not None:
        values.append(_value("dr", point[3] / point[0], drawn[:, 3] / drawn[:, 0]))
    return Valued(policy, tuple(values), support)


def on_policy(rewards: Values, groups: Ints, *, draws: int = DRAWS, seed: int = 0) -> Value:
    """What the policy that wrote a log brought.

    Args:
        rewards: `[E]`.
        groups: `[E]` from 0.
        draws: of the bootstrap.
        seed: same seed, same interval.
    """
    columns = np.ones(len(rewards)), rewards
    sums = np.stack([np.bincount(groups, weights=one) for one in columns], axis=1).astype(np.float64)
    drawn = _drawn(sums, draws, seed)
    return _value("on policy", float(rewards.mean()), drawn[:, 1] / drawn[:, 0])


def _drawn(sums: Values, draws: int, seed: int) -> Values:
    """`[draws, C]` sums over groups that are drawn with replacement."""
    rng = np.random.default_rng(seed)
    n = len(sums)
    found = np.empty((draws, sums.shape[1]))
    for draw in range(draws):
        found[draw] = np.bincount(rng.integers(n, size=n), minlength=n) @ sums
    return found


def _ratio(above: Values, below: Values) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)


def _value(name: str, value: float, drawn: Values) -> Value:
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Value(name, float(value), float(low), float(high))
