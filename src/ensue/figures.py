"""Metrics over one group of targets: means over users, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.errors import ConfigError, nearest
from ensue.metrics import metric as metric_named
from ensue.significance import DRAWS, Interval, intervals

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Figures:
    """The metrics over one group of targets.

    Attributes:
        per_user: `[U]` mean over the user's targets, by the name of the metric; of a pooled one what `shares` gives.
        groups: `[U]` which group of the examples each of these users is, ascending.
        targets: how many targets the figures are over.
        intervals: mean over users with its bootstrap interval, by the name of the metric.
    """

    per_user: Mapping[str, Values] = field(repr=False)
    groups: Ints = field(repr=False)
    targets: int
    intervals: Mapping[str, Interval]

    @property
    def users(self) -> int:
        """How many users the figures are over."""
        return len(self.groups)

    def value(self, name: str) -> float:
        """Mean over users of a metric, such as "ndcg@10".

        Raises:
            ConfigError: the metric was not asked for.
        """
        return self.intervals[asked(name, self.intervals)].value

    def to_json(self) -> dict[str, Any]:
        """The figures for programs, without anything of a single user."""
        found = {name: interval.to_json() for name, interval in self.intervals.items()}
        return {"users": self.users, "targets": self.targets, "metrics": found}


@dataclass(frozen=True, eq=False)
class Measured:
    """What the metrics gave for each query, before any mean.

    Attributes:
        groups: `[Q]` whose each query is.
        values: `[Q]` by the name of the metric.
        pooled: `[Q]` weights of the queries, by the name of each metric that is pooled over them.
        seed: of the bootstrap.
    """

    groups: Ints
    values: Mapping[str, Values]
    pooled: Mapping[str, Values] = field(default_factory=dict)
    seed: int = 0

    def over(self, chosen: Mask, draws: int = DRAWS) -> Figures:
        """Means over the chosen targets of each user, then over the users that have any.

        Args:
            chosen: `[Q]` which targets count; at least one.
            draws: bootstrap samples.
        """
        present, rows = np.unique(self.groups[chosen], return_inverse=True)
        sizes = np.bincount(rows)
        per_user: dict[str, Values] = {}
        for name, values in self.values.items():
            weights = self.pooled[name][chosen] if name in self.pooled else None
            if weights is None or not weights.any():
                per_user[name] = np.bincount(rows, weights=values[chosen]) / sizes
            else:
                sums = np.bincount(rows, weights=values[chosen] * weights).astype(np.float64)
                totals = np.bincount(rows, weights=weights).astype(np.float64)
                per_user[name] = shares(sums, totals)
        found = intervals(np.column_stack(list(per_user.values())), seed=self.seed, draws=draws)
        return Figures(per_user, present, int(chosen.sum()), dict(zip(per_user, found, strict=True)))


def shares(sums: Values, totals: Values) -> Values:
    """`[U]` values whose mean is sum(sums) / sum(totals), and whose spread is what the users make it vary by.

    They are the value of the ratio plus each user's influence on it, so that one bootstrap over users serves means over
    users and pooled figures alike. They may lie outside the range of the ratio.

    Args:
        sums: `[U]` above the line.
        totals: `[U]` below it, not all 0.

    References:
        Davison & Hinkley, "Bootstrap Methods and their Application", 1997, sec. 2.7 (influence values, delta method).
    """
    ratio = float(sums.sum() / totals.sum())
    values: Values = ratio + (sums - ratio * totals) / totals.mean()
    return values


def asked(name: str, reported: Mapping[str, Any]) -> str:
    """The name of a reported metric, however it is written.

    Raises:
        ConfigError: it is not reported.
    """
    known = name if name in reported else metric_named(name).name
    if known not in reported:
        have = ", ".join(reported)
        raise ConfigError(f"This evaluation does not report '{name}', but {have}.{nearest(name, reported)}")
    return known
