"""From scores to probabilities that mean what they say, learnt on impressions that the scores were not learnt on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit

Values = NDArray[np.float64]

Kind = Literal["platt", "isotonic", "none"]
STRENGTH = 50.0
"""Clicks, about, from which on a line of Platt goes by what it has seen more than by the line that changes nothing."""
KINDS: tuple[Kind, ...] = ("platt", "isotonic", "none")


def _empty() -> Values:
    return np.empty(0)


@dataclass(frozen=True, eq=False)
class Calibration:
    """How logits become probabilities.

    Attributes:
        kind: "platt" (a line through the logits), "isotonic" (any rising curve), "none" (a sigmoid).
        x: slope and shift of the line; or `[B]` logits of the curve, ascending.
        y: `[B]` probabilities of the curve.
    """

    kind: Kind = "none"
    x: Values = field(default_factory=_empty)
    y: Values = field(default_factory=_empty)

    @classmethod
    def fit(cls, kind: Kind, logits: Values, outcomes: NDArray[np.bool_]) -> Calibration:
        """The calibration of some logits; "none" where all outcomes are alike, or where they contradict the logits.

        Args:
            kind: one of `KINDS`.
            logits: `[E]`.
            outcomes: `[E]`.

        References:
            Platt, "Probabilistic outputs for support vector machines", 1999 (here drawn towards the line that changes
            nothing, in place of his targets short of 0 and 1); Zadrozny & Elkan, KDD 2002 (isotonic).
        """
        total = int(outcomes.sum())
        if kind == "none" or total in (0, len(outcomes)):
            return cls()
        if kind == "isotonic":
            return cls("isotonic", *_rising(logits, outcomes))
        same = np.array([1.0, 0.0])

        def loss(line: Values) -> tuple[float, Values]:
            score = line[0] * logits + line[1]
            gap, away = expit(score) - outcomes, line - same
            value = (np.logaddexp(0.0, score) - outcomes * score).sum() + STRENGTH / 2 * away @ away
            return float(value), np.array([gap @ logits, gap.sum()]) + STRENGTH * away

        line = minimize(loss, same, jac=True, method="BFGS").x
        return cls("platt", line) if line[0] > 0 else cls()

    def probabilities(self, logits: Values) -> Values:
        """Probabilities of logits, of the same shape, never falling where logits rise."""
        if self.kind == "platt":
            found: Values = expit(self.x[0] * logits + self.x[1])
            return found
        if self.kind == "isotonic":
            return np.interp(logits, self.x, self.y)
        plain: Values = expit(logits)
        return plain


def _rising(logits: Values, outcomes: NDArray[np.bool_]) -> tuple[Values, Values]:
    """Ends of the level stretches of the best rising curve; between them a line is drawn.

    A stretch without a click is no proof that there is none: no probability is below 1 / (E + 2) or above 1 less that.
    """
    places, code, counts = np.unique(logits, return_inverse=True, return_counts=True)
    share = np.bincount(code, weights=outcomes) / counts
    found = isotonic_regression(share, weights=counts.astype(np.float64))
    begins = found.blocks[:-1]
    ends = found.blocks[1:] - 1
    chosen = np.unique(np.concatenate([begins, ends]))
    least = 1 / (len(logits) + 2)
    return places[chosen], np.clip(found.x[chosen], least, 1 - least)
