"""The Pareto front of accuracy, latency and size, and which of its models is taken.

Taken is the smallest model of the front that no bigger one surely beats. What is big is measured, and not a name: how
long one answer takes, and of models that are alike in that, how much space they take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.ladder.costs import Latency
from ensue.significance import Interval, Paired, holm, paired

QUICK = 2.0
"""Answers of less processor time, in milliseconds, count as equally quick; above, those within a doubling do."""

STEP = 10_000
"""Sizes are told apart in steps of so many bytes."""

SURE = 0.05
"""A gain is told from chance below this p-value, corrected for all pairs of the front (Holm)."""

FLIPS = 4999

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Standing:
    """Where a model stands at the end of the race.

    Attributes:
        label: its name.
        per_user: `[U]` its validation for each user.
        value: the mean, with its interval.
        latency: of one answer of the saved model.
        size: of the saved model, in bytes.
    """

    label: str
    per_user: Values = field(repr=False)
    value: Interval
    latency: Latency
    size: int

    @property
    def bigness(self) -> tuple[int, int]:
        """What orders models from small to big: processor time of an answer, in doublings; then size."""
        doublings = floor(log2(max(self.latency.work, QUICK) / QUICK))
        return doublings, ceil(self.size / STEP)

    def to_json(self) -> dict[str, Any]:
        """The standing for programs."""
        return {
            "label": self.label,
            "validation": self.value.to_json(),
            "latency_ms": self.latency.to_json(),
            "artifact_bytes": self.size,
        }


@dataclass(frozen=True)
class Limits:
    """What a model may cost.

    Attributes:
        latency_ms: that 99 in 100 answers may take; 0 is no limit.
        size_mb: that the saved model may take, in megabytes; 0 is no limit.
    """

    latency_ms: float = 0.0
    size_mb: float = 0.0

    def broken(self, standing: Standing) -> str:
        """Which limits a model breaks, in words; "" for none."""
        found = []
        if self.latency_ms and standing.latency.p99 > self.latency_ms:
            found.append(
                f"1 in 100 answers takes {standing.latency.p99:.3g} ms or more, and {self.latency_ms:g} are allowed"
            )
        if self.size_mb and standing.size > 1e6 * self.size_mb:
            found.append(f"it takes {standing.size / 1e6:.3g} MB, and {self.size_mb:g} are allowed")
        return "; ".join(found)


@dataclass(frozen=True, eq=False)
class Choice:
    """Which model is taken, and what it was weighed against.

    Attributes:
        taken: its label.
        front: the labels of the front, small ones first.
        gains: of each other model within the limits, its validation less that of the one that is taken.
        sure: the p-value of each pair of the front, corrected for all of them: (smaller, bigger) -> p.
        surer: of each smaller model of the front, the bigger one that surely beats it.
        over: of each model that is not on the front, one of it that is at least as accurate, as quick and as small.
    """

    taken: str
    front: tuple[str, ...]
    gains: Mapping[str, Paired]
    sure: Mapping[tuple[str, str], float]
    surer: Mapping[str, str]
    over: Mapping[str, str]


def front(standings: Sequence[Standing]) -> list[Standing]:
    """The models that no other is as good as in all three of accuracy, latency and size: small ones first.

    Of models that are alike in all three the first is kept.

    Args:
        standings: at least one.
    """
    found = [one for place, one in enumerate(standings) if _over(one, standings, place) is None]
    return sorted(found, key=lambda one: one.bigness)


def choose(standings: Sequence[Standing], seed: int = 0) -> Choice:
    """The smallest model of the front that no bigger one surely beats.

    Args:
        standings: at least one, on the same users.
        seed: of the tests.
    """
    best = front(standings)
    pairs = [(small, big) for at, small in enumerate(best) for big in best[at + 1 :]]
    tests = [paired(big.per_user, small.per_user, flips=FLIPS, seed=seed) for small, big in pairs]
    corrected = holm([test.p_value for test in tests]).tolist()
    sure = {(small.label, big.label): p for (small, big), p in zip(pairs, corrected, strict=True)}
    beaten: dict[str, str] = {}
    for (small, big), test, p in zip(pairs, tests, corrected, strict=True):
        if test.difference.value > 0 and p < SURE:
            beaten.setdefault(small.label, big.label)
    taken = next(one for one in best if one.label not in beaten)
    smaller = [one.label for one in best[: best.index(taken)]]
    gains = {
        one.label: paired(one.per_user, taken.per_user, flips=FLIPS, seed=seed)
        for one in standings
        if one.label != taken.label
    }
    surer = {label: beaten[label] for label in smaller}
    over = {
        one.label: next(other.label for other in best if _dominates(other, one, earlier=True))
        for one in standings
        if one not in best
    }
    return Choice(taken.label, tuple(one.label for one in best), gains, sure, surer, over)


def within(standings: Sequence[Standing], limits: Limits) -> tuple[list[Standing], dict[str, str]]:
    """The models within the limits, and which limits each of the others breaks.

    Args:
        standings: all of them.
        limits: what a model may cost.
    """
    broken = {one.label: limits.broken(one) for one in standings}
    return (
        [one for one in standings if not broken[one.label]],
        {label: why for label, why in broken.items() if why},
    )


def _over(one: Standing, standings: Sequence[Standing], place: int) -> Standing | None:
    """A model that dominates the one at this place; None if none does."""
    others = (
        other
        for at, other in enumerate(standings)
        if at != place and _dominates(other, one, earlier=at < place)
    )
    return next(others, None)


def _dominates(one: Standing, other: Standing, *, earlier: bool) -> bool:
    """Whether one is at least as good in all three, and better in some; of equals, the earlier."""
    mine = (-one.value.value, *one.bigness)
    theirs = (-other.value.value, *other.bigness)
    as_good = all(a <= b for a, b in zip(mine, theirs, strict=True))
    return as_good and (mine != theirs or earlier)
