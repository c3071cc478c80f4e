"""Logistic regression on sparse columns, with how sure it is of each weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, ndtri

from ensue.errors import ModelError

Values = NDArray[np.float64]

STEPS = 500
TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Weights:
    """What a logistic regression has learnt: `logit = x . weights + bias`.

    Attributes:
        weights: `[D]`.
        bias: a number.
        precision: `[D]` of each weight: one over its variance, as if weights knew nothing of each other.
    """

    weights: Values
    bias: float
    precision: Values

    def logits(self, x: sparse.csr_matrix) -> Values:
        """`[E]` logits of `[E, D]` columns."""
        found: Values = x @ self.weights + self.bias
        return found


def fitted(x: sparse.csr_matrix, y: NDArray[np.bool_], l2: float, start: Weights | None = None) -> Weights:
    """The weights that make `log-loss summed over E + l2 / 2 |weights|^2` smallest; the bias is not drawn to 0.

    Args:
        x: `[E, D]` columns.
        y: `[E]` outcomes.
        l2: above 0.
        start: where the search begins; what it finds is the same, sooner.

    Raises:
        ModelError: all outcomes are alike, or the penalty is not above 0.

    References:
        Chapelle & Li, "An empirical evaluation of Thompson sampling", NIPS 2011, alg. 3 (the precision of each weight
        by itself); Liu & Nocedal 1989 (L-BFGS).
    """
    if not l2 > 0:
        raise ModelError(f"l2={l2:g}: the penalty must be above 0, such as 1.")
    total = int(y.sum())
    if total in (0, len(y)):
        what = "clicks" if total == 0 else "showings without a click"
        raise ModelError(
            f"Among {len(y)} impressions there are no {what}: a click probability needs both to be learnt."
        )
    sign = np.where(y, 1.0, -1.0)
    turned = x.T.tocsr()

    def loss(at: Values) -> tuple[float, Values]:
        margin = sign * (x @ at[1:] + at[0])
        missing = -sign * expit(-margin)
        value = np.logaddexp(0.0, -margin).sum() + l2 / 2 * at[1:] @ at[1:]
        return float(value), np.concatenate([[missing.sum()], turned @ missing + l2 * at[1:]])

    begin = np.zeros(x.shape[1] + 1)
    begin[0] = np.log(total / (len(y) - total))
    if start is not None:
        begin[0], begin[1:] = start.bias, start.weights
    found = minimize(
        loss, begin, jac=True, method="L-BFGS-B",
        options={"maxiter": STEPS, "ftol": TOLERANCE * 1e-4, "gtol": TOLERANCE * len(y)},
    ).x  # fmt: skip
    p = expit(x @ found[1:] + found[0])
    squared = turned.multiply(turned)
    precision = l2 + np.asarray(squared @ (p * (1 - p))).ravel()
    return Weights(found[1:], float(found[0]), precision)


def noise(draws: int, columns: NDArray[np.int64], seed: int) -> Values:
    """`[M, C]` standard normal numbers: one for each draw and column, the same whichever other columns are asked for.

    Args:
        draws: M.
        columns: `[C]` numbers of columns.
        seed: of all of them.

    References:
        Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (the mixing of the bits).
    """
    start = np.random.default_rng(seed).integers(2**64, size=draws, dtype=np.uint64)
    with np.errstate(over="ignore"):
        bits = start[:, None] + (columns.astype(np.uint64) + np.uint64(1))[None, :] * np.uint64(
            0x9E3779B97F4A7C15
        )
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
        bits ^= bits >> np.uint64(31)
    found: Values = ndtri(((bits >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53)
    return found
