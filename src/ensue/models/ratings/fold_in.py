"""Expected ratings of whoever has a history: items' vectors are stored, and the user's is solved for when asked.

No vector of a user is kept. Who is new, or has rated more since, is answered like everybody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.batching import Items, ranges
from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError
from ensue.ranking import Parts, Scores
from ensue.sequences import Queries

Values = NDArray[np.float64]

NUMBERS_AT_ONCE = 4_000_000
"""How many numbers of users' equations are held at a time: 32 MB."""


@dataclass(frozen=True, eq=False)
class FactorRatings:
    """Ratings `mean + b_u + c_i + p_u . q_i`, the mean of them over `S` sets of items' vectors, inside the scale.

    A user is `x = (p_u, b_u)`, and solves, with `y_i = (q_i, 1)` over the rated events of the history,

        (L + w sum y_i y_i') x = w sum (r_i - mean - c_i) y_i + L m,    m = centre + sum of implicit_j / sqrt(n)

    where the last sum is over all n events of the history, rated or not. That is the mean of the user's posterior
    given the items, and the least squares of a matrix factorisation.

    Attributes:
        factors: `[S, N, D + 1]` `(q_i, c_i)` of each item.
        precision: `[S, D + 1, D + 1]` `L`.
        centre: `[S, D + 1]` the user of whom nothing is known.
        weights: `[S]` `w` of one rating.
        mean: of the training ratings.
        lowest: no rating lies below it.
        highest: none lies above it.
        implicit: `[S, N, D + 1]` what having an item says of its user, whatever its rating; None says nothing.
        per_rating: `L` counts once for every rating of the history, as in matrix factorisation by gradient descent.

    References:
        Koren, "Factorization meets the neighborhood", KDD 2008, equations 5 and 15; Salakhutdinov, Mnih, "Bayesian
        probabilistic matrix factorization using Markov chain Monte Carlo", ICML 2008, equation 11.
    """

    factors: NDArray[np.floating[Any]]
    precision: Values
    centre: Values
    weights: Values
    mean: float
    lowest: float
    highest: float
    implicit: NDArray[np.floating[Any]] | None = None
    per_rating: bool = False
    reads: ClassVar[tuple[str, ...]] = ("rating",)

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` the rating that is expected of each item."""
        own, wide = self._items
        found = np.empty((len(queries), self.factors.shape[1]))
        for rows, users in self._users(queries):
            vectors = users[:, :, :-1].reshape(len(rows), -1) / len(self.factors)
            found[rows] = vectors @ wide + users[:, :, -1].mean(axis=1)[:, None]
        scores: Scores = np.clip(self.mean + own + found, self.lowest, self.highest)
        return scores

    @cached_property
    def _items(self) -> tuple[Values, Values]:
        """`[N]` the mean bias of each item, and `[S x D, N]` its vectors below each other."""
        whole = self.factors.astype(np.float64)
        return whole[:, :, -1].mean(axis=0), whole[:, :, :-1].transpose(0, 2, 1).reshape(-1, whole.shape[1])

    def expected_of(self, queries: Queries, items: Items) -> Values:
        """`[Q]` the rating that is expected of one item for each history.

        Args:
            queries: `Q` histories of at least one item.
            items: `[Q]` one item for each.
        """
        found = np.empty(len(queries))
        for rows, users in self._users(queries):
            asked = self.factors[:, items[rows]].astype(np.float64)
            products = np.einsum("qsd,sqd->qs", users[:, :, :-1], asked[:, :, :-1])
            found[rows] = (products + users[:, :, -1] + asked[:, :, -1].T).mean(axis=1)
        answers: Values = np.clip(self.mean + found, self.lowest, self.highest)
        return answers

    def users(self, queries: Queries) -> Values:
        """`[Q, S, D + 1]` the vectors of whoever has each history."""
        found = np.empty((len(queries), *self.centre.shape))
        for rows, users in self._users(queries):
            found[rows] = users
        return found

    def _users(self, queries: Queries) -> Iterator[tuple[NDArray[np.int64], Values]]:
        """Places of queries, and their users, a block at a time; histories that begin together follow each other."""
        order = np.lexsort((queries.ends, queries.starts))
        samples, _, width = self.factors.shape
        most = max(NUMBERS_AT_ONCE // (width * (width + samples)), 1)
        for first in range(0, len(order), most):
            rows = order[first : first + most]
            yield rows, self._solved(queries[rows])

    def _solved(self, queries: Queries) -> Values:
        """`[Q, S, D + 1]` of queries in the order of their starts and ends: each adds what it holds beyond the last."""
        before = np.append(-1, queries.starts[:-1])
        again = queries.starts == before
        starts = np.where(again, np.append(0, queries.ends[:-1]), queries.starts)
        rows, places = ranges(starts, queries.ends)
        held, items = np.unique(queries.items[places], return_inverse=True)  # no other item is looked at
        ratings = np.full(len(places), np.nan) if queries.rating is None else queries.rating[places]
        rated = ~np.isnan(ratings)
        shape = (len(queries), len(held))
        seen = sp.csr_matrix((np.ones(len(rows)), (rows, items)), shape)
        rows, items, above = rows[rated], items[rated], ratings[rated].astype(np.float64) - self.mean
        given = sp.csr_matrix((np.ones(len(rows)), (rows, items)), shape)
        values = sp.csr_matrix((above, (rows, items)), shape)
        events = np.maximum(queries.lengths, 1)[:, None]
        number = _running(np.bincount(rows, minlength=len(queries)).astype(np.float64)[:, None], again)
        found = np.empty((len(queries), *self.centre.shape))
        width = self.factors.shape[2]
        upper = np.triu_indices(width)
        for sample, stored in enumerate(self.factors):
            factors = stored[held].astype(np.float64)
            design = np.concatenate([factors[:, :-1], np.ones((len(factors), 1))], axis=1)
            products = design[:, upper[0]] * design[:, upper[1]]
            weight, prior = self.weights[sample], self.precision[sample]
            half = weight * _running(given @ products, again)
            right = weight * _running(values @ design - given @ (factors[:, -1:] * design), again)
            left = np.empty((len(queries), width, width))
            left[:, upper[0], upper[1]] = half
            left[:, upper[1], upper[0]] = half
            times = np.maximum(number, 1)[:, :, None] if self.per_rating else 1.0
            middle = np.tile(self.centre[sample], (len(queries), 1))
            if self.implicit is not None:
                middle = middle + _running(
                    seen @ self.implicit[sample, held].astype(np.float64), again
                ) / np.sqrt(events)
            left += times * prior
            right += (times * (middle @ prior)[:, :, None])[:, :, 0] if self.per_rating else middle @ prior
            found[:, sample] = np.linalg.solve(left, right[:, :, None])[:, :, 0]
        return found

    def parts(self) -> Parts:
        """Everything, as it is."""
        settings = {
            "mean": self.mean,
            "lowest": self.lowest,
            "highest": self.highest,
            "per_rating": self.per_rating,
        }
        arrays = {name: getattr(self, name) for name in ("factors", "precision", "centre", "weights")}
        return Parts(settings, arrays | ({} if self.implicit is None else {"implicit": self.implicit}))

    @classmethod
    def restored(cls, parts: Parts, catalogue: Catalogue) -> FactorRatings:
        """The scoring from its stored parts.

        Raises:
            ArtifactError: the arrays do not fit each other or the catalogue, or are no numbers.
        """
        arrays: Mapping[str, NDArray[Any]] = parts.arrays
        factors = arrays["factors"]
        samples, width = (factors.shape[0], factors.shape[2]) if factors.ndim == 3 else (0, 0)
        shapes = {
            "factors": (samples, len(catalogue), width),
            "precision": (samples, width, width),
            "centre": (samples, width),
            "weights": (samples,),
            "implicit": (samples, len(catalogue), width),
        }
        fits = samples > 0 and width > 0
        for name, array in arrays.items():
            fits = fits and shapes.get(name) == array.shape and bool(np.isfinite(array).all())
        said = parts.settings
        scale = [float(said[name]) for name in ("mean", "lowest", "highest")]
        if not (fits and np.isfinite(scale).all() and scale[1] <= scale[2]):
            raise ArtifactError(
                "The stored vectors do not fit their items or each other: the artifact is damaged, save it anew."
            )
        mean, lowest, highest = scale
        return cls(
            factors,
            arrays["precision"],
            arrays["centre"],
            arrays["weights"],
            mean,
            lowest,
            highest,
            arrays.get("implicit"),
            bool(said["per_rating"]),
        )


def _running(added: Values, again: NDArray[np.bool_]) -> Values:
    """`[Q, ...]` sums over what each row and those before it add, anew wherever a row is not said to go on."""
    sums = np.cumsum(added, axis=0)
    first = np.flatnonzero(~again)
    before = np.where(first[:, None] > 0, sums[first - 1], 0.0)
    found: Values = sums - np.repeat(before, np.diff(np.append(first, len(again))), axis=0)
    return found
