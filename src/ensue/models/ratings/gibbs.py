"""Vectors of one side of a table of ratings, drawn from what is believed of them given the other side."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Values = NDArray[np.float64]

FIRST_PRECISION, FIRST_SHARING = 10.0, 0.5
"""Where the precision of vectors, and that of what is said by who had what, begin."""

PRIOR_COUNT = 2.0
"""How many vectors of zero the centre is taken to have beside those that there are."""

SHAPE, RATE = 1e-3, 1e-3
"""Of the gamma priors of the two precisions that are numbers: they say next to nothing."""


class Side:
    """The users, or the items: a vector `(p, b)` of each around `centre + features . sharing`.

    Args:
        ratings: `[n, m]` ratings above the mean, those of one place added up.
        counts: `[n, m]` how many ratings each place holds.
        features: `[n, F]` what else is known of each; None if nothing is.
        factors: `D`, numbers in a vector beside its bias.
        rng: every draw comes from it.

    References:
        Salakhutdinov, Mnih, "Bayesian probabilistic matrix factorization using Markov chain Monte Carlo", ICML 2008,
        equations 11 to 14; features as in Simm et al., "Macau: scalable Bayesian multi-relational factorization with
        side information using MCMC", arXiv:1509.04610, equations 4 to 6.
    """

    def __init__(
        self,
        ratings: sp.csr_matrix,
        counts: sp.csr_matrix,
        features: sp.csr_matrix | None,
        factors: int,
        rng: np.random.Generator,
    ) -> None:
        self.ratings, self.counts, self.features, self.rng = ratings, counts, features, rng
        self.width = factors + 1
        self.upper = np.triu_indices(self.width)
        self.rated = np.flatnonzero(np.diff(counts.indptr) > 0)
        self.vectors: Values = rng.normal(0, 0.1, (ratings.shape[0], self.width))
        self.centre: Values = np.zeros(self.width)
        self.precision: Values = np.eye(self.width) * FIRST_PRECISION
        self.sharing: Values | None = None
        self.sharing_precision = FIRST_SHARING
        if features is not None:
            self.sharing = np.zeros((features.shape[1], self.width))
            strengths, turns = np.linalg.eigh((features.T @ features).toarray())
            self._strengths, self._turns = np.maximum(strengths, 0.0), turns

    @property
    def middle(self) -> Values:
        """`[n, D + 1]` where each vector is expected to lie before its ratings are seen."""
        if self.features is None or self.sharing is None:
            return np.tile(self.centre, (len(self.vectors), 1))
        found: Values = self.centre + self.features @ self.sharing
        return found

    def believe(self) -> None:
        """Draws the centre, the precision and what features share, given the vectors."""
        self._draw_precision()
        noise = self.rng.normal(size=self.width)
        self.centre = self._mean + np.linalg.solve(np.linalg.cholesky(self.precision).T, noise) / np.sqrt(
            PRIOR_COUNT + len(self.rated)
        )
        if self.features is None or self.sharing is None:
            return
        towards = self.vectors - self.centre + self._noise(len(self.vectors))
        right = self.features.T @ towards + np.sqrt(self.sharing_precision) * self._noise(len(self.sharing))
        strengths = (self._strengths + self.sharing_precision)[:, None]
        self.sharing = self._turns @ ((self._turns.T @ right) / strengths)
        size = float(np.einsum("fd,de,fe->", self.sharing, self.precision, self.sharing))
        self.sharing_precision = self.rng.gamma(SHAPE + self.sharing.size / 2) / (RATE + size / 2)

    def _draw_precision(self) -> None:
        """The precision, Wishart given how the vectors spread; `_mean` is where the centre is expected."""
        beyond = (self.vectors - (self.middle - self.centre))[self.rated]
        number, mean = len(beyond), beyond.mean(axis=0)
        spread = (beyond - mean).T @ (beyond - mean)
        shift = PRIOR_COUNT * number / (PRIOR_COUNT + number)
        scale = np.eye(self.width) + spread + shift * np.outer(mean, mean)
        freedom = float(self.width + number)
        if self.sharing is not None:
            scale += self.sharing_precision * self.sharing.T @ self.sharing
            freedom += len(self.sharing)
        self._mean: Values = number * mean / (PRIOR_COUNT + number)
        self.precision = _wishart(np.linalg.inv(scale), freedom, self.rng)

    def _noise(self, number: int) -> Values:
        """`[number, D + 1]` draws around zero, of the precision of the vectors."""
        root = np.linalg.cholesky(self.precision)
        drawn = self.rng.normal(size=(self.width, number))
        noise: Values = np.linalg.solve(root.T, drawn).T
        return noise

    def draw(self, other: Side, weight: float) -> None:
        """Draws all vectors, given those of the other side.

        Args:
            other: the other side.
            weight: precision of one rating.
        """
        design = np.concatenate([other.vectors[:, :-1], np.ones((len(other.vectors), 1))], axis=1)
        half = weight * (self.counts @ (design[:, self.upper[0]] * design[:, self.upper[1]]))
        left = np.empty((len(self.vectors), self.width, self.width))
        left[:, self.upper[0], self.upper[1]] = half
        left[:, self.upper[1], self.upper[0]] = half
        left += self.precision
        own = self.ratings @ design - self.counts @ (other.vectors[:, -1:] * design)
        right = weight * own + self.middle @ self.precision
        inverse = np.linalg.inv(np.linalg.cholesky(left))
        drawn = np.matmul(inverse, right[:, :, None]) + self.rng.normal(size=(*right.shape, 1))
        self.vectors = np.matmul(inverse.transpose(0, 2, 1), drawn)[:, :, 0]


def _wishart(scale: Values, freedom: float, rng: np.random.Generator) -> Values:
    """One draw of a Wishart distribution, by Bartlett's decomposition."""
    width = len(scale)
    lower = np.tril(rng.normal(size=(width, width)), -1)
    lower[np.diag_indices(width)] = np.sqrt(rng.chisquare(freedom - np.arange(width)))
    root = np.linalg.cholesky(scale) @ lower
    found: Values = root @ root.T
    return found
