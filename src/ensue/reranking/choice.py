"""Conditional logit: the probability that a candidate is chosen among those of its list, learnt by L-BFGS.

    P(c | list) = exp(w . x(c)) / sum over the list of exp(w . x(c'))

The score is a sum over features, so that what each adds to it is exact, and the probabilities are those of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.errors import ArtifactError, ModelError
from ensue.reranking import per_list

Values = NDArray[np.float64]

STEPS = 200
"""The most steps of L-BFGS."""

GAINED, SLOPE = 1e-10, 1e-6
"""It ends where a step gains less than this share of the loss, or the slope is below this."""


@dataclass(frozen=True, eq=False)
class Choice:
    """A fitted conditional logit.

    Attributes:
        weights: `[F]` of features as they are.
    """

    weights: Values

    def __post_init__(self) -> None:
        if self.weights.ndim != 1 or not np.isfinite(self.weights).all():
            raise ArtifactError("The weights of a re-ranker are not finite numbers: save it anew.")

    @classmethod
    def fit(cls, values: Values, offsets: Ints, chosen: Ints, strength: float) -> Choice:
        """The weights that make the choices likely, and small ones rather than large.

        The mean of the negative logarithms of the choices' probabilities plus `strength / 2` times the squared weights,
        those of features that are scaled to a deviation of 1 within lists.

        Args:
            values: `[C, F]`.
            offsets: `[Q+1]` of the lists.
            chosen: `[Q]` places of the choices.
            strength: of the penalty.

        Raises:
            ModelError: there is no list, or a feature is not finite.

        References:
            McFadden, "Conditional logit analysis of qualitative choice behavior", 1974, sec. III; Cao et al., "Learning
            to rank: from pairwise approach to listwise approach", ICML 2007 (the same loss, of the first place).
        """
        from scipy.linalg import cholesky, solve_triangular
        from scipy.optimize import minimize

        if len(offsets) < 2:
            raise ModelError("There is no list to learn from.")
        if not np.isfinite(values).all():
            raise ModelError("A feature of a candidate is no finite number; this is a fault of its family.")
        apart = per_list.centred(values, offsets)
        scale = np.sqrt((apart**2).mean(axis=0))
        scale[scale < 1e-9] = np.inf  # says nothing within lists
        apart /= scale
        n = len(offsets) - 1
        picked = apart[chosen].sum(axis=0)

        # the curvature where all weights are 0 and so all candidates alike: in coordinates in which it is round, few
        # steps are needed
        alike = np.repeat(1 / np.diff(offsets), np.diff(offsets))
        curved = (apart * alike[:, None]).T @ apart / n
        root = cholesky(curved + (strength + 1e-6) * np.eye(len(curved)), lower=True)

        def loss(turned: Values) -> tuple[float, Values]:
            weights = solve_triangular(root, turned, lower=True, trans="T")
            scores = apart @ weights
            top = np.maximum.reduceat(scores, offsets[:-1])
            raised = np.exp(scores - np.repeat(top, np.diff(offsets)))
            sums = per_list.total(raised, offsets)
            shares = raised / np.repeat(sums, np.diff(offsets))
            missed = float((np.log(sums) + top - scores[chosen]).sum())
            slope = (apart.T @ shares - picked) / n + strength * weights
            value = missed / n + strength / 2 * float(weights @ weights)
            return value, solve_triangular(root, slope, lower=True)

        begin: Any = np.zeros(apart.shape[1])
        how: Any = {"maxiter": STEPS, "ftol": GAINED, "gtol": SLOPE}
        found = minimize(loss, begin, jac=True, method="L-BFGS-B", options=how)
        weights = solve_triangular(root, np.asarray(found.x, dtype=np.float64), lower=True, trans="T")
        return cls(weights / scale)

    def parts(self, values: Values, offsets: Ints) -> Values:
        """`[C, F]` what each feature adds to the score, beside the average candidate of the list."""
        found: Values = per_list.centred(values, offsets) * self.weights
        return found

    def scores(self, values: Values, offsets: Ints) -> Values:
        """`[C]` the sums of the parts."""
        found: Values = self.parts(values, offsets).sum(axis=1)
        return found
