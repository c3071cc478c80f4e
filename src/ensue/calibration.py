"""Whether probabilities mean what they say: log-loss, calibration error, reliability, and AUC over all of them.

The functions take probabilities `p` and outcomes `y` (0 or 1), such as those of clicks. `Gauging` gathers the same for
the probabilities that a ranking model gives the items of its catalogue: a scoring whose scores are logits, or
probabilities up to a factor, says so by an attribute `scores_are`; any other has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints, Items
from ensue.catalogue import UNKNOWN
from ensue.errors import DataError
from ensue.examples import Examples
from ensue.expected_ratings import answers_ratings
from ensue.figures import Measured
from ensue.ranking import Recommender, Scores
from ensue.sequences import Queries
from ensue.significance import Interval

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

BINS = 15
LEAST = 1e-15
"""No probability is taken to be nearer to 0 (or 1) than this, so that one fault does not make a loss infinite."""

LOGITS, PROBABILITIES = "logits", "probabilities"
"""What a scoring's `scores_are`: to be put through a softmax, or to be divided by their sum."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Probabilities in bins of about the same number of them, beside what came true.

    Attributes:
        confidence: `[B]` mean probability of each bin, ascending.
        accuracy: `[B]` share of its outcomes that came true.
        counts: `[B]` how many it holds.
    """

    confidence: Values
    accuracy: Values
    counts: Ints

    @property
    def error(self) -> float:
        """The expected calibration error: mean over all of |accuracy - confidence| of their bins."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float((self.counts * gaps).sum() / self.counts.sum())

    def to_json(self) -> list[dict[str, Any]]:
        """One row for each bin."""
        rows = zip(self.confidence.tolist(), self.accuracy.tolist(), self.counts.tolist(), strict=True)
        return [{"confidence": mean, "accuracy": share, "count": count} for mean, share, count in rows]


def binary_log_loss(p: Values, y: NDArray[Any]) -> float:
    """Mean negative log-probability of what happened.

    Args:
        p: `[E]` probability that each outcome is 1.
        y: `[E]` outcomes, 0 or 1.

    Raises:
        DataError: there are none, or they are no probabilities and outcomes.

    >>> round(binary_log_loss([0.5, 0.25], [1, 0]), 4)  # -(ln 0.5 + ln 0.75) / 2
    0.4904
    """
    p, true = _checked(p, y)
    given = np.where(true, p, 1 - p)
    return float(-np.log(np.clip(given, LEAST, None)).mean())


def reliability(p: Values, y: NDArray[Any], bins: int = BINS) -> Reliability:
    """Probabilities in bins between their quantiles, beside what came true.

    Equal probabilities are in one bin, so that the table depends on no order of the events; there may be fewer bins.

    Args:
        p: `[E]` probability that each outcome is 1.
        y: `[E]` outcomes, 0 or 1.
        bins: how many at most.

    Raises:
        DataError: there are none, or they are no probabilities and outcomes.

    References:
        Nguyen & O'Connor, "Posterior calibration and exploratory analysis for natural language processing models",
        EMNLP 2015, sec. 3 (bins of equal mass).
    """
    p, true = _checked(p, y)
    edges = np.quantile(p, np.arange(1, bins) / bins)
    codes = np.searchsorted(edges, p)
    counts = np.bincount(codes, minlength=bins)
    held = counts > 0
    sums = np.bincount(codes, weights=p, minlength=bins), np.bincount(codes, weights=true, minlength=bins)
    confidence, accuracy = (found[held] / counts[held] for found in sums)
    return Reliability(confidence, accuracy, counts[held].astype(np.int64))


def calibration_error(p: Values, y: NDArray[Any], bins: int = BINS) -> float:
    """Expected calibration error, by bins of equal mass: how far probabilities are from what comes true, on average.

    Args:
        p: `[E]` probability that each outcome is 1.
        y: `[E]` outcomes, 0 or 1.
        bins: how many at most.

    Raises:
        DataError: there are none, or they are no probabilities and outcomes.

    References:
        Naeini, Cooper & Hauskrecht, AAAI 2015; Guo et al., "On calibration of modern neural networks", ICML 2017,
        eq. 3.
    """
    return reliability(p, y, bins).error


def auc_global(scores: Values, y: NDArray[Any]) -> float:
    """The chance that any outcome of 1 has a greater score than any of 0, whosever they are; ties count half.

    Args:
        scores: `[E]` on one scale for all, such as probabilities.
        y: `[E]` outcomes, 0 or 1.

    Raises:
        DataError: there are none, not both outcomes occur, or a score is not a number.

    References:
        Hanley & McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982.
    """
    scores, true = _paired(scores, y)
    positives, negatives = int(true.sum()), int((~true).sum())
    if not positives or not negatives:
        raise DataError(
            f"All {len(true)} outcomes are {int(true[0])}: AUC compares those that are 1 with those that are 0."
        )
    _, place, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    ranks = (ends - (sizes - 1) / 2)[place]  # the mean place of equal scores, from 1
    return float((ranks[true].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _paired(values: Values, y: NDArray[Any]) -> tuple[Values, Mask]:
    values, outcomes = np.asarray(values, dtype=np.float64), np.asarray(y)
    if values.shape != outcomes.shape or values.ndim != 1 or len(values) == 0:
        raise DataError(
            f"There are values of shape {values.shape} and outcomes of shape {outcomes.shape}: give one outcome for "
            "each value, and at least one."
        )
    if not np.isin(outcomes, (0, 1)).all():
        wrong = outcomes[~np.isin(outcomes, (0, 1))][0]
        raise DataError(f"The outcome {wrong} is neither 0 nor 1.")
    if np.isnan(values).any():
        raise DataError(
            f"{int(np.isnan(values).sum())} of {len(values)} values are not numbers: the model is broken."
        )
    return values, outcomes.astype(bool)


def _checked(p: Values, y: NDArray[Any]) -> tuple[Values, Mask]:
    values, outcomes = _paired(p, y)
    outside = (values < 0) | (values > 1)
    if outside.any():
        raise DataError(
            f"{values[outside][0]:g} is no probability, which is from 0 to 1: put logits through a sigmoid first."
        )
    return values, outcomes


@dataclass(frozen=True, eq=False)
class Probabilities:
    """Whether a model's probabilities over the candidates mean what they say.

    Attributes:
        scores_are: "logits" (put through a softmax) or "probabilities".
        targets: that the figures are over: those that could be served and were not asked of an empty history.
        left_out: all others.
        log_loss: mean negative natural logarithm of the target's probability, over the targets of a user, then users.
        reliability: of the probability of the best candidate, beside how often it was the target.
    """

    scores_are: str
    targets: int
    left_out: int
    log_loss: Interval
    reliability: Reliability

    @property
    def calibration_error(self) -> float:
        """Expected calibration error of the best candidate's probability."""
        return self.reliability.error

    def to_json(self) -> dict[str, Any]:
        """The figures for programs."""
        return {
            "scores_are": self.scores_are,
            "targets": self.targets,
            "left_out": self.left_out,
            "log_loss": self.log_loss.to_json(),
            "calibration_error": self.calibration_error,
            "reliability": self.reliability.to_json(),
        }

    def lines(self) -> list[str]:
        """The figures in one line."""
        through = "scores through a softmax" if self.scores_are == LOGITS else "probabilities"
        return [
            f"{through}: log-loss {self.log_loss.value:.4f}, calibration error of the best item "
            f"{self.calibration_error:.4f}, over the {self.targets:,} targets that could be served"
        ]


def scale_of(recommender: Recommender) -> str | None:
    """What a recommender's scores are, as its scoring says: "logits", "probabilities", or None for neither."""
    found: str | None = getattr(recommender.scoring, "scores_are", None)
    return None if answers_ratings(recommender) else found


class Gauging:
    """Takes the probabilities of the targets, and of the best candidates, out of the scores that pass by.

    Probabilities are over the candidates: what the excluded items had is shared among the others, as in a slate.

    Args:
        examples: whose queries pass by, in blocks.
        scores_are: "logits" or "probabilities".
    """

    def __init__(self, examples: Examples, scores_are: str) -> None:
        self.scores_are = scores_are
        self.groups = examples.groups
        self.served = np.zeros(len(examples), dtype=bool)
        self.loss, self.best = np.zeros(len(examples)), np.zeros(len(examples))
        self.right = np.zeros(len(examples), dtype=bool)

    def see(self, block: slice, queries: Queries, targets: Items, scores: Scores) -> None:
        """Looks at one block of queries.

        Args:
            block: which queries of the examples these are.
            queries: `[q]` of them.
            targets: `[q]` their targets.
            scores: `[q, N]`, items that are left out at minus infinity.
        """
        each = np.arange(len(targets))
        own = scores[each, np.maximum(targets, 0)].astype(np.float64)
        place = scores.argmax(axis=1)
        top = scores[each, place].astype(np.float64)
        self.served[block] = (targets != UNKNOWN) & (queries.lengths > 0) & (own > -np.inf)
        self.right[block] = place == targets
        with np.errstate(
            invalid="ignore", divide="ignore"
        ):  # of rows without a candidate, which are not served
            if self.scores_are == LOGITS:
                total = np.exp(scores - top[:, None].astype(scores.dtype)).sum(axis=1).astype(np.float64)
                self.loss[block], self.best[block] = top + np.log(total) - own, 1 / total
            else:
                total = np.where(scores > -np.inf, scores, 0).sum(axis=1, dtype=np.float64)
                self.loss[block], self.best[block] = -np.log(np.maximum(own / total, LEAST)), top / total

    def found(self, seed: int = 0) -> Probabilities | None:
        """The figures, or None where no target could be served.

        Args:
            seed: of the bootstrap.
        """
        chosen = self.served
        if not chosen.any():
            return None
        figures = Measured(self.groups, {"log_loss": self.loss}, seed=seed).over(chosen)
        told = reliability(np.clip(self.best[chosen], 0.0, 1.0), self.right[chosen])
        left_out = len(chosen) - figures.targets
        return Probabilities(self.scores_are, figures.targets, left_out, figures.intervals["log_loss"], told)
