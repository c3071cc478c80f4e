"""How sure a figure is: intervals over users, and paired tests between models.

The unit is the user, never the target: the targets of one user are not independent. Draws come from a
generator of their own, so that the same seed gives the same figures and no random state of the caller is
touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.errors import ConfigError, DataError

Values = NDArray[np.float64]

DRAWS = 1000
FLIPS = 9999
EXACT = 12
"""Up to this many users that differ, a paired test counts every choice of signs instead of drawing some."""

_BLOCK = 2**21
"""Numbers that one block of draws holds: 16 MB of float64."""


@dataclass(frozen=True)
class Interval:
    """A mean over users with what is known of its error.

    Attributes:
        value: the mean.
        low: lower end of the interval.
        high: upper end.
        error: standard error of the mean, s / sqrt(n); None for one user.
        n: users.
        level: share of such intervals that hold the true mean.
        note: why the interval says less than it seems to, or "".
    """

    value: float
    low: float
    high: float
    error: float | None
    n: int
    level: float = 0.95
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The interval for programs."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "error": self.error,
            "users": self.n,
        } | ({"note": self.note} if self.note else {})


@dataclass(frozen=True)
class Paired:
    """The difference between two models on the same users.

    Attributes:
        difference: mean of a - b over users, with its interval.
        p_value: two-sided sign-flip test of "a and b are alike"; never 0.
        differing: users on whom the two differ.
        smallest: the smallest true difference that this test would mostly have found, see `smallest_difference`; None
            for one user.
    """

    difference: Interval
    p_value: float
    differing: int
    smallest: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The comparison for programs."""
        return {
            "difference": self.difference.to_json(),
            "p_value": self.p_value,
            "differing_users": self.differing,
            "smallest_difference": self.smallest,
        }


@dataclass(frozen=True)
class Versus:
    """One model against the best.

    Attributes:
        model: the other model.
        value: its mean over users.
        paired: how much better the best is, on the same users.
        p_value: of the paired test, corrected for all comparisons made (Holm).
    """

    model: str
    value: float
    paired: Paired
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """The best model on one metric, and how surely it is better than each of the others.

    Attributes:
        metric: name of the metric.
        best: the model with the highest mean over users, or the lowest; the first of equals.
        value: its mean.
        others: all other models, best first.
        lowest: whether the lowest is the best, as of an error.
    """

    metric: str
    best: str
    value: float
    others: tuple[Versus, ...]
    lowest: bool = False

    def to_json(self) -> dict[str, Any]:
        """The comparison for programs."""
        rows = [
            {"model": other.model, "value": other.value, "p_value_holm": other.p_value}
            | other.paired.to_json()
            for other in self.others
        ]
        told = {"metric": self.metric, "best": self.best, "value": self.value, "others": rows}
        return told | ({"lowest": True} if self.lowest else {})

    def lines(self) -> list[str]:
        """The comparison as plain text."""
        lines = [f"{self.best} has the best {self.metric}: {self.value:.4f}"]
        for other in self.others:
            gap = other.paired.difference
            lines.append(
                f"{other.model}: {other.value:.4f}, {'higher' if self.lowest else 'lower'} by {gap.value:.4f} "
                f"({gap.low:.4f} to {gap.high:.4f}), p = {other.p_value:.2g} after Holm's correction"
            )
        return lines


def interval(values: Values, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The mean of `[U]` values, one for each user, with its percentile bootstrap interval.

    Args:
        values: one value for each user.
        level: share of such intervals that hold the true mean.
        draws: bootstrap samples.
        seed: same seed, same interval.

    Raises:
        DataError: there are no values, or some are not finite.
        ConfigError: the level is no share between 0 and 1.

    References:
        Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13 (percentile interval).
    """
    return intervals(np.asarray(values, dtype=np.float64)[:, None], level=level, draws=draws, seed=seed)[0]


def intervals(values: Values, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> list[Interval]:
    """One interval for each column of `[U, C]` values; all columns share the same draws of users.

    Memory stays at one block of draws, however many users there are.
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    if n == 0:
        raise DataError("There is no user to average over, so there is no interval.")
    if not np.isfinite(values).all():
        broken = int((~np.isfinite(values)).any(axis=1).sum())
        raise DataError(
            f"{broken} of {n} users have values that are not finite; such a figure is not reported."
        )
    if not 0 < level < 1:
        raise ConfigError(f"level={level} is not a share between 0 and 1, such as 0.95.")
    mean = np.ascontiguousarray(values.T).mean(axis=1)  # bit for bit the mean of a column alone
    if n == 1:
        note = "one user: nothing can be said about the error"
        return [Interval(m, m, m, None, 1, level, note) for m in mean.tolist()]
    error = values.std(axis=0, ddof=1) / np.sqrt(n)
    means = np.concatenate([weights @ (values - mean) for weights in _resamples(n, draws, seed)]) / n + mean
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    flat = np.ptp(values, axis=0) == 0
    low, high, error = np.where(flat, mean, low), np.where(flat, mean, high), np.where(flat, 0.0, error)
    notes = np.where(flat, "all users have the same value", "")
    columns = (mean.tolist(), low.tolist(), high.tolist(), error.tolist(), notes.tolist())
    return [Interval(m, lo, hi, e, n, level, note) for m, lo, hi, e, note in zip(*columns, strict=True)]


def paired(
    a: Values, b: Values, *, level: float = 0.95, draws: int = DRAWS, flips: int = FLIPS, seed: int = 0
) -> Paired:
    """How much model a is better than model b, from `[U]` values of both on the same users.

    The p-value is that of the sign-flip test: if the models are alike, each user's difference could as well
    have had the other sign. With few differing users all choices of signs are counted, otherwise `flips` of
    them are drawn and the observed one is counted among them, so that p is never 0.

    Raises:
        DataError: the two are not over the same number of users, or hold values that are not finite.

    References:
        Smucker, Allan & Carterette, "A comparison of statistical significance tests for information retrieval
        evaluation", CIKM 2007, sec. 3.1; Phipson & Smyth, SAGMB 2010 (the observed sample counts).
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise DataError(f"A paired test needs the same users on both sides; there are {len(a)} and {len(b)}.")
    difference = interval(a - b, level=level, draws=draws, seed=seed)
    differing = (a - b)[a != b]
    smallest = smallest_difference(a - b) if len(a) > 1 else None
    return Paired(difference, _sign_flip(differing, flips, seed), len(differing), smallest)


def smallest_difference(differences: Values, *, level: float = 0.05, power: float = 0.8) -> float:
    """The smallest true mean difference that a paired test on such users finds four times out of five.

    It is `(z(1 - level/2) + z(power)) sd / sqrt(U)`, 2.80 standard errors at the usual level and power: of a smaller
    one, a test on so many users more often than that says nothing.

    Args:
        differences: `[U]` of two models on each user.
        level: of a two-sided test.
        power: how often it is to be found.

    Raises:
        DataError: there are fewer than two users, or a value is not finite.
        ConfigError: level or power is no share between 0 and 1.

    References:
        Cohen, "Statistical power analysis for the behavioral sciences", 2nd ed. 1988, ch. 2; the normal approximation.
    """
    differences = np.asarray(differences, dtype=np.float64)
    if len(differences) < 2 or not np.isfinite(differences).all():
        raise DataError(
            f"What a test of {len(differences)} users can see is not known: give the differences of two users or more, "
            "all of them finite."
        )
    for name, value, usual in (("level", level, 0.05), ("power", power, 0.8)):
        if not 0 < value < 1:
            raise ConfigError(f"{name}={value} is not a share between 0 and 1, such as {usual}.")
    z = NormalDist().inv_cdf
    error: float = float(differences.std(ddof=1)) / len(differences) ** 0.5
    return (z(1 - level / 2) + z(power)) * error


def holm(p_values: Sequence[float] | Values) -> Values:
    """P-values corrected for having made all of these tests, in the order given.

    The family-wise error is kept at the level that the corrected values are compared with, however the tests
    depend on one another.

    References:
        Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 1979.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def best_of(values: Mapping[str, Values], metric: str, *, seed: int = 0, lowest: bool = False) -> Comparison:
    """The model with the highest mean, tested against each of the others; p-values are Holm-corrected.

    Args:
        values: `[U]` value for each user, the same users in the same order, by model.
        metric: the name of what the values are.
        seed: of the bootstrap and of the sign flips.
        lowest: take the model with the lowest mean, as of an error.

    Raises:
        DataError: there are no models, or not all have the same number of users.
    """
    if not values:
        raise DataError("There is no model to compare.")
    means = {model: float(np.mean(found)) for model, found in values.items()}
    sign = -1 if lowest else 1
    best, *rest = sorted(means, key=lambda model: -sign * means[model])
    tests = [paired(sign * values[best], sign * values[model], seed=seed) for model in rest]
    corrected = holm([test.p_value for test in tests]).tolist()
    others = tuple(Versus(m, means[m], test, p) for m, test, p in zip(rest, tests, corrected, strict=True))
    return Comparison(metric, best, means[best], others, lowest)


def _resamples(n: int, draws: int, seed: int) -> Iterator[Values]:
    """Blocks `[b, n]` of how often each of n users is in a bootstrap sample; `draws` rows in all."""
    rng = np.random.default_rng(seed)
    size = max(_BLOCK // n, 1)
    for first in range(0, draws, size):
        rows = min(size, draws - first)
        drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _sign_flip(differences: Values, flips: int, seed: int) -> float:
    """Two-sided p-value of `[n]` differences, none of them 0: how often chance signs give so large a sum."""
    n = len(differences)
    if n == 0:
        return 1.0
    observed = abs(differences.sum()) - 1e-9 * np.abs(differences).sum()
    if n <= EXACT:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
        return float((np.abs((1 - 2 * bits) @ differences) >= observed).mean())
    rng = np.random.default_rng(seed)
    size = max(_BLOCK // n, 1)
    beyond = 0
    for first in range(0, flips, size):
        rows = min(size, flips - first)
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(rows, n), dtype=np.int8)
        beyond += int((np.abs(signs @ differences) >= observed).sum())
    return (beyond + 1) / (flips + 1)
