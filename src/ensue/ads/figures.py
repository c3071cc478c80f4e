"""How good click probabilities are, how surely, and how they compare on the same impressions.

All figures are over impressions. Their intervals are from a bootstrap over people, whose impressions are drawn
together; over impressions where nobody is known. Every estimate sees the same draws, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.calibration import LEAST, Reliability, auc_global, binary_log_loss, calibration_error, reliability
from ensue.errors import DataError

Values = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 1000
LEVEL = 0.95
METRICS = ("log_loss", "normalised_entropy", "auc", "predicted_to_clicked")
PERFECT = 200
"""Draws of outcomes that say which calibration error chance alone makes."""


@dataclass(frozen=True)
class Ranged:
    """A figure with its interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """The figure for programs."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, eq=False)
class Figures:
    """What one estimate of clicks is worth.

    Attributes:
        name: of the estimate.
        metrics: by `METRICS`: log-loss; log-loss over that of the test's own click rate [normalised entropy]; AUC over
            all pairs; expected clicks over clicks.
        calibration_error: by bins of equally many.
        by_chance: the calibration error that 95 of 100 perfect estimates with these probabilities stay below.
        reliability: the table behind it.
        against: other estimate -> log-loss and AUC less its own, on the same draws.
    """

    name: str
    metrics: Mapping[str, Ranged]
    calibration_error: float
    by_chance: float
    reliability: Reliability
    against: Mapping[str, Mapping[str, Ranged]]

    def to_json(self) -> dict[str, Any]:
        """The figures for programs."""
        return {
            "name": self.name,
            "metrics": {name: one.to_json() for name, one in self.metrics.items()},
            "calibration_error": self.calibration_error,
            "calibration_error_by_chance": self.by_chance,
            "reliability": self.reliability.to_json(),
            "against": {
                name: {metric: one.to_json() for metric, one in ones.items()}
                for name, ones in self.against.items()
            },
        }


@dataclass(frozen=True, eq=False)
class Judged:
    """Estimates beside each other on the same impressions.

    Attributes:
        rows: one for each estimate.
        impressions: how many.
        clicks: how many of them were clicked.
        groups: people, or impressions where nobody is known.
        over: what was drawn, "people" or "impressions".
    """

    rows: tuple[Figures, ...]
    impressions: int
    clicks: int
    groups: int
    over: str

    def __getitem__(self, name: str) -> Figures:
        """The row of an estimate."""
        return next(row for row in self.rows if row.name == name)

    def to_json(self) -> dict[str, Any]:
        """The table for programs."""
        return {
            "impressions": self.impressions,
            "clicks": self.clicks,
            "groups": self.groups,
            "over": self.over,
            "estimates": [row.to_json() for row in self.rows],
        }


def judged(
    estimates: Mapping[str, Values],
    clicked: NDArray[np.bool_],
    groups: Ints,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Judged:
    """The figures of some estimates, each against every one before it.

    Args:
        estimates: `[E]` probabilities of each, by name.
        clicked: `[E]`.
        groups: `[E]` from 0, what is drawn together.
        draws: of the bootstrap.
        seed: same seed, same intervals.

    Raises:
        DataError: there is no click or nothing but clicks, which no figure can tell apart.

    References:
        He et al., "Practical lessons from predicting clicks on ads at Facebook", ADKDD 2014, eq. 1 (normalised
        entropy).
    """
    total = int(clicked.sum())
    if total in (0, len(clicked)):
        raise DataError(
            f"{total} of {len(clicked)} impressions were clicked: judging needs both kinds. Take a longer part."
        )
    of_draw = {name: np.empty((draws, len(METRICS))) for name in estimates}
    point = {name: _Sums.of(p, clicked) for name, p in estimates.items()}
    n = int(groups.max()) + 1
    rng = np.random.default_rng(seed)
    for draw in range(draws):
        weights = np.bincount(rng.integers(n, size=n), minlength=n)[groups].astype(np.float64)
        for name, sums in point.items():
            of_draw[name][draw] = sums.figures(weights)
    rows = []
    before: list[str] = []
    one = np.ones(len(clicked))
    whole = {name: sums.figures(one) for name, sums in point.items()}
    for name, p in estimates.items():
        against = {
            other: {
                metric: _ranged(
                    whole[name][at] - whole[other][at], of_draw[name][:, at] - of_draw[other][:, at]
                )
                for at, metric in enumerate(METRICS)
                if metric in ("log_loss", "auc")
            }
            for other in before
        }
        metrics = {
            metric: _ranged(whole[name][at], of_draw[name][:, at]) for at, metric in enumerate(METRICS)
        }
        chance = [calibration_error(p, rng.random(len(p)) < p) for _ in range(PERFECT)]
        told = reliability(p, clicked)
        rows.append(Figures(name, metrics, told.error, float(np.quantile(chance, LEVEL)), told, against))
        before.append(name)
    over = "impressions" if n == len(clicked) else "people"
    return Judged(tuple(rows), len(clicked), total, n, over)


@dataclass(frozen=True, eq=False)
class _Sums:
    """What a weighted figure needs, prepared once for all draws."""

    p: Values
    y: Values
    loss: Values
    code: Ints

    @classmethod
    def of(cls, p: Values, clicked: NDArray[np.bool_]) -> _Sums:
        binary_log_loss(p, clicked), auc_global(p, clicked)  # refuse what is no probability
        given = np.where(clicked, p, 1 - p)
        code = np.unique(p, return_inverse=True)[1].astype(np.int64)
        return cls(p, clicked.astype(np.float64), -np.log(np.clip(given, LEAST, None)), code)

    def figures(self, weights: Values) -> Values:
        """Those of `METRICS`, each impression counting by its weight; NaN where a draw held one kind only."""
        total, clicks = weights.sum(), weights @ self.y
        if not 0 < clicks < total:
            clicks = clicks * np.nan
        rate = clicks / total
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
            loss = weights @ self.loss / total
            positive = np.bincount(self.code, weights=weights * self.y)
            negative = np.bincount(self.code, weights=weights * (1 - self.y))
            below = np.cumsum(negative) - negative / 2
            auc = positive @ below / (clicks * (total - clicks))
            return np.array([loss, loss / entropy, auc, weights @ self.p / clicks])


def _ranged(value: float, drawn: Values) -> Ranged:
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Ranged(float(value), float(low), float(high))
