"""UP-CF: how popular an item is with the user and with users who take the same things."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError, ConfigError
from ensue.model import Conditions, Model, Training
from ensue.models.counting.personal import BASKET, Taken, check_settings, each_once
from ensue.models.counting.tifu_knn import nearest, others, stored_table, table_arrays, user_blocks
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.sequences import Queries
from ensue.spaces import OneOf, Real, Space, Whole

Floats = NDArray[np.float64]

SAME = 2.0
"""Above every similarity: of a user who has taken exactly what the asker has."""


@dataclass(frozen=True)
class UPCF(Model):
    """UP-CF: popularity with the user, and with similar users, who count the more the more similar they are.

    The popularity p(u, i) of an item with a user is the share of the last r baskets that hold it. Users are alike by
    the asymmetric cosine of what they have ever taken, `sim(u, v) = |u and v| / (|u|^alpha |v|^(1 - alpha))`, and

        score(i) = p(u, i) + sum over the k most similar other training users of sim(u, v)^locality x p(v, i).

    A basket is as for `personal`; items without a score are ordered by popularity. It needs repeats to be answered
    (`exclude_seen = false`).

    The user's own popularity counts once, as of a neighbour with the similarity 1, whether they were in training or
    not: one training user who has taken exactly what the asker has, if there is one, is taken for the asker and left
    out, since a fitted model holds no ids.

    A SAVED MODEL HOLDS WHAT EACH TRAINING USER HAS TAKEN (without ids): personal data, to be kept as such.

    Attributes:
        last: `r`, how many of the last baskets make the popularity; 0 takes all.
        alpha: 0.5 is the cosine; above it, similar users are to have taken little else, below it, the user.
        locality: `q`, power of the similarity; the higher, the less do distant users count. 0 weighs all alike.
        neighbours: `k`, how many users are asked.

    References:
        Faggioli, Polato, Aiolli, "Recency aware collaborative filtering for next basket recommendation", UMAP 2020,
        section 4; Aiolli, "Efficient top-n recommendation for very large scale binary rated datasets", RecSys 2013
        (asymmetric cosine).
    """

    name: ClassVar[str] = "up-cf"
    summary: ClassVar[str] = "what is popular with the user and with similar users; for repeats"
    space: ClassVar[Space] = {
        "last": OneOf((0, 1, 5, 10, 20, 50)),
        "alpha": Real(0.0, 1.0),
        "locality": Real(0.0, 50.0),
        "neighbours": Whole(50, 1000, log=True),
    }

    last: int = 0
    alpha: float = 0.25
    locality: float = 10.0
    neighbours: int = 500

    def __post_init__(self) -> None:
        whole = {"last": (self.last, 0), "neighbours": (self.neighbours, 1)}
        check_settings(self.name, whole, {"alpha": self.alpha})
        if not 0 <= self.locality < float("inf"):
            raise ConfigError(f"up-cf: locality={self.locality:g} must be a number from 0 up, such as 10.")

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """What the training users have taken, and how popular it is with each.

        Raises:
            ModelError: there is an objective.
        """
        popularity, sets = self.tables(training.alike(self.name).queries())
        scoring = UPCFScoring(self, popularity, sets, training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def tables(self, queries: Queries) -> tuple[sp.csr_array, sp.csr_array]:
        """`[Q, N]` the popularity of each item with each history, and 1 for what it holds at all."""
        taken = Taken.of(queries)
        baskets = np.minimum(taken.baskets, self.last) if self.last else taken.baskets
        popularity = taken.table(taken.within(self.last) / baskets[taken.rows])
        sets = taken.table(taken.part)
        sets.data = np.ones(len(sets.data))
        return popularity, sets

    def restore(self, parts: Parts, catalogue: Catalogue) -> UPCFScoring:
        """The stored users.

        Raises:
            ArtifactError: the arrays do not make tables of the same users.
        """
        popularity, sets = (stored_table(parts, name, len(catalogue)) for name in ("popularity", "sets"))
        if popularity.shape != sets.shape:
            raise ArtifactError(
                "The stored users do not fit together: the artifact is damaged, save it anew."
            )
        return UPCFScoring(UPCF(**parts.settings), popularity, sets, catalogue.share)


@dataclass(frozen=True, eq=False)
class UPCFScoring:
    """Scores of UP-CF.

    Attributes:
        model: its settings.
        popularity: `[U, N]` share of the last baskets of each training user that hold each item.
        sets: `[U, N]` 1 for what a training user has taken.
        share: `[N]` share of the training events.
        reads: the columns of events that it wants beside the items.
    """

    reads: ClassVar[tuple[str, ...]] = (BASKET,)

    model: UPCF
    popularity: sp.csr_array
    sets: sp.csr_array
    share: Floats

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` popularity with the user, and with the most similar users."""
        asked, which = each_once(queries)
        model = self.model
        own, sets = model.tables(asked)
        scores: Scores = own.toarray() + POPULARITY_SHARE * self.share
        sizes = np.diff(sets.indptr).astype(np.float64)
        for block in user_blocks(len(asked), self.sets, model.neighbours):
            shared = (sets[block] @ self._by_item).toarray()
            scale = sizes[block, None] ** model.alpha * self._sizes ** (1 - model.alpha)
            similar = np.where(shared > 0, shared / scale, -np.inf)
            same = (shared == sizes[block, None]) & (shared == self._sizes)
            near = others(
                nearest(np.where(same, SAME, similar), model.neighbours + 1), SAME, model.neighbours
            )
            near.data = np.minimum(near.data, 1.0) ** model.locality
            scores[block] += (near @ self.popularity).toarray()
        return scores[which]

    @cached_property
    def _by_item(self) -> sp.csr_array:
        """`[N, U]` what users have taken, laid out by item."""
        return sp.csr_array(self.sets.T)

    @cached_property
    def _sizes(self) -> Floats:
        """`[U]` how much each user has taken; 1 for one who has taken nothing."""
        return np.maximum(np.diff(self.sets.indptr), 1).astype(np.float64)

    def parts(self) -> Parts:
        """Both tables, and the settings."""
        arrays = table_arrays(self.popularity, "popularity") | table_arrays(self.sets, "sets")
        return Parts(self.model.settings(), arrays)
