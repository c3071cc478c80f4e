"""Matrix factorisation by alternating least squares: which items the same users take, whatever their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.batching import Ints, Items, ranges
from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError, ConfigError, MissingExtraError
from ensue.model import Conditions, Model, Training
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.sequences import Queries, Sequences
from ensue.spaces import OneOf, Real, Space, Whole

NUMBERS_AT_ONCE = 4_000_000
"""How many numbers of the users' equations are held at a time: 32 MB."""


@dataclass(frozen=True)
class ALS(Model):
    """Matrix factorisation of implicit feedback: the collaborative filtering that sequence models are compared with.

    Every user u and item i has a vector, fitted so that `x_u . y_i` is 1 where u took i and 0 elsewhere, the squares
    of what is missing weighed by a confidence of `1 + alpha x r_ui`, where u took i `r_ui` times. The items' vectors
    are fitted by the library *implicit*; the user's are worked out from the history when a question is asked,

        x = (Y'Y + Y'(C - I)Y + lambda I)^-1 Y'C p(u),

    so users that training has never seen are answered like any other, and no vector of a user is stored. The order of
    the history and all times are nothing to it. Users of a single item say nothing about which items go together, and
    are left out of the fit; what the vectors leave undecided is ordered by popularity.

    With an objective, `r_ui` is what the events count as targets: vectors say what is bought together, and the history,
    whose events are all alike, what whoever asks has to do with it.

    Attributes:
        factors: numbers in a vector.
        regularization: `lambda`, the weight of the vectors' squares.
        alpha: how much each event adds to the confidence.
        iterations: how often the users' and the items' vectors are fitted in turn.
        last: how many of the last events make the history; 0 takes all.

    References:
        Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008, equations 3 to 5;
        fitted by conjugate gradients as in Takács, Pilászy, Tikk, RecSys 2011.
    """

    name: ClassVar[str] = "als"
    summary: ClassVar[str] = "items that the same users take, whatever the order: matrix factorisation"
    space: ClassVar[Space] = {
        "factors": Whole(16, 256, log=True),
        "regularization": Real(1e-3, 100.0, log=True),
        "alpha": Real(0.5, 100.0, log=True),
        "iterations": Whole(5, 30),
        "last": OneOf((0, 5, 20, 50)),
    }

    factors: int = 64
    regularization: float = 1.0
    alpha: float = 10.0
    iterations: int = 15
    last: int = 0

    def __post_init__(self) -> None:
        faults = [
            f"{name}={getattr(self, name)} must be at least {least}"
            for name, least in (("factors", 1), ("iterations", 1), ("last", 0))
            if getattr(self, name) < least
        ]
        faults += [
            f"{name}={getattr(self, name):g} must be a number above 0"
            for name in ("regularization", "alpha")
            if not 0 < getattr(self, name) < float("inf")
        ]
        if faults:
            raise ConfigError(f"als: {'; '.join(faults)}.")

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The items' vectors of the training sequences; the same for the same seed, on however many threads.

        Raises:
            MissingExtraError: the library implicit is not installed.
        """
        scoring = FactorScoring(
            self._fitted(training.sequences, conditions),
            self.regularization,
            self.alpha,
            self.last,
            training.catalogue.share,
        )
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def _fitted(self, sequences: Sequences, conditions: Conditions) -> NDArray[np.float32]:
        """`[N, D]` the items' vectors."""
        try:
            from implicit.cpu.als import AlternatingLeastSquares
            from threadpoolctl import threadpool_limits
        except ModuleNotFoundError as fault:
            raise MissingExtraError(f"als needs {fault.name}: pip install 'ensue[implicit]'") from fault

        rows = np.repeat(np.arange(len(sequences)), sequences.lengths)
        taken, counts = _taken(rows, sequences)
        viewed = len(np.setdiff1d(sequences.items, taken[1]))
        if viewed:
            conditions.progress.say(
                f"als: {viewed:,} of {sequences.n_items:,} items are in histories, never a target: nothing is learnt "
                "of them, and in a history they tell nothing"
            )
        several = np.bincount(taken[0], minlength=len(sequences)) > 1
        kept = several[taken[0]]
        users, items = taken[0][kept], taken[1][kept]
        if not len(users):
            return np.zeros((sequences.n_items, self.factors), dtype=np.float32)
        users = np.unique(users, return_inverse=True)[1]
        confidence = (1 + self.alpha * counts[kept]).astype(np.float32)
        table = sp.csr_matrix((confidence, (users, items)), shape=(users[-1] + 1, sequences.n_items))
        with threadpool_limits(limits=1, user_api="blas"):  # rows go to threads, not the products within one
            fit = AlternatingLeastSquares(
                self.factors,
                regularization=self.regularization,
                alpha=1.0,
                iterations=self.iterations,
                num_threads=conditions.threads or 1,
                random_state=conditions.seed,
            )
            fit.fit(table, show_progress=False)
        factors: NDArray[np.float32] = np.ascontiguousarray(fit.item_factors, dtype=np.float32)
        return factors

    def restore(self, parts: Parts, catalogue: Catalogue) -> FactorScoring:
        """The stored vectors."""
        return FactorScoring.restored(parts, catalogue)


@dataclass(frozen=True, eq=False)
class FactorScoring:
    """Scores from items' vectors and a user's, which is solved for from the history.

    Attributes:
        factors: `[N, D]` the items' vectors, `Y`.
        regularization: `lambda`.
        alpha: how much each event adds to the confidence.
        last: how many of the last events make the history; 0 takes all.
        share: `[N]` share of the training events.
    """

    factors: NDArray[np.float32]
    regularization: float
    alpha: float
    last: int
    share: NDArray[np.float64]

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` float64 scores."""
        users = self.users(queries).astype(np.float32)
        # One product for each query, of the same shape in any batch: so its bits are the same too.
        products = np.matmul(users[:, None, :], self.factors.T)[:, 0, :]
        scores: Scores = products + POPULARITY_SHARE * self.share
        return scores

    def contributions(
        self, queries: Queries, items: Items
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What each event adds to the score of an item, and popularity; together the score, to single precision.

        A score is linear in what the events say of their items: with W the inverse of the equations that the history
        sets, an item x that came n times adds `(1 + alpha n) y_i' W y_x`, parted equally among its events.

        Args:
            queries: `Q` histories of at least one item.
            items: `[Q]` one item for each.

        Returns:
            `[E]` parts, of all events of all histories as in `Queries.pairs`, and `[Q]` the rest.

        References:
            Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008, section 5.
        """
        towards = self._solved(queries, items)
        rows, places = ranges(queries.starts, queries.ends)
        near = np.flatnonzero((queries.ends[rows] - places <= self.last) | (self.last == 0))
        rows, events = rows[near], queries.items[places[near]]
        _, same, counts = np.unique(
            rows * np.int64(queries.n_items) + events, return_inverse=True, return_counts=True
        )
        weight = (1.0 + self.alpha * counts[same]) / counts[same]
        parts = np.zeros(len(places))
        parts[near] = weight * (towards[rows] * self.factors[events]).sum(axis=1)
        return parts, POPULARITY_SHARE * self.share[items]

    def users(self, queries: Queries) -> NDArray[np.float64]:
        """`[Q, D]` the vector of whoever has each history."""
        return self._solved(queries)

    def _solved(self, queries: Queries, towards: Items | None = None) -> NDArray[np.float64]:
        """`[Q, D]` what solves the equations of each history: for its user, or for the vectors of some items."""
        starts = np.maximum(queries.starts, queries.ends - self.last) if self.last else queries.starts
        asked = Queries(queries.items, starts, queries.ends, queries.n_items)
        pairs, sizes, counts = distinct(*asked.pairs(), queries.n_items, len(queries))
        items, begins = pairs[1], np.cumsum(sizes) - sizes
        found = np.zeros((len(queries), self.factors.shape[1]))
        for rows in self._alike(sizes):
            places = begins[rows][:, None] + np.arange(sizes[rows[0]])
            taken = self.factors[items[places]].astype(np.float64)
            extra = self.alpha * counts[places][:, :, None]
            left = self._gram + np.matmul(taken.transpose(0, 2, 1), extra * taken)
            if towards is None:
                right = np.matmul(taken.transpose(0, 2, 1), 1 + extra)
            else:
                right = self.factors[towards[rows]].astype(np.float64)[:, :, None]
            found[rows] = np.linalg.solve(left, right)[:, :, 0]
        return found

    @cached_property
    def _gram(self) -> NDArray[np.float64]:
        """`Y'Y + lambda I`."""
        whole = self.factors.astype(np.float64)
        gram: NDArray[np.float64] = whole.T @ whole + self.regularization * np.eye(whole.shape[1])
        return gram

    def _alike(self, sizes: Ints) -> Iterator[Ints]:
        """Queries of as many different items, so many at once as their equations fit into memory."""
        width = self.factors.shape[1]
        order = np.argsort(sizes, kind="stable")
        for size in np.unique(sizes[sizes > 0]).tolist():
            begin, end = np.searchsorted(sizes[order], [size, size + 1])
            most = max(NUMBERS_AT_ONCE // (width * (2 * width + 2 * size)), 1)
            for first in range(begin, end, most):
                yield order[first : min(first + most, end)]

    def parts(self) -> Parts:
        """The vectors and what a user's is solved with."""
        settings = {"regularization": self.regularization, "alpha": self.alpha, "last": self.last}
        return Parts(settings, {"factors": self.factors})

    @classmethod
    def restored(cls, parts: Parts, catalogue: Catalogue) -> FactorScoring:
        """The scoring from its stored parts.

        Raises:
            ArtifactError: the vectors are not those of the catalogue, or no numbers.
        """
        factors = parts.arrays["factors"]
        if factors.ndim != 2 or len(factors) != len(catalogue) or not np.isfinite(factors).all():
            raise ArtifactError(
                "The stored vectors do not fit their items: the artifact is damaged, save it anew."
            )
        said = parts.settings
        return cls(
            factors.astype(np.float32),
            float(said["regularization"]),
            float(said["alpha"]),
            int(said["last"]),
            catalogue.share,
        )


def _taken(rows: Ints, sequences: Sequences) -> tuple[tuple[Ints, Ints], NDArray[np.float64]]:
    """The different `(users, items)` that count, ascending, and how often each was taken, or by what weight."""
    if sequences.weight is None:
        found, _, counts = distinct(rows, sequences.items, sequences.n_items)
        return found, counts.astype(np.float64)
    some = np.flatnonzero(sequences.weight > 0)
    keys = rows[some].astype(np.int64) * sequences.n_items + sequences.items[some]
    different, which = np.unique(keys, return_inverse=True)
    weights: NDArray[np.float64] = np.bincount(
        which, sequences.weight[some], minlength=len(different)
    ).astype(np.float64)
    return (different // sequences.n_items, different % sequences.n_items), weights


def distinct(
    rows: NDArray[np.integer], items: NDArray[np.integer], n_items: int, n_rows: int = 0
) -> tuple[tuple[Ints, Ints], Ints, Ints]:
    """The different items of each row, ascending: their `(rows, items)`, how many each row has, how often each came.

    Args:
        rows: `[E]` of each event, from 0.
        items: `[E]` of each event.
        n_items: `N`.
        n_rows: how many rows there are at least.
    """
    keys, counts = np.unique(rows.astype(np.int64) * n_items + items, return_counts=True)
    found = (keys // n_items, keys % n_items)
    return found, np.bincount(found[0], minlength=n_rows), counts
