"""Together: what lies in one basket with an item, or in the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError, ConfigError
from ensue.model import Conditions, Model, Training
from ensue.models.counting.personal import BASKET, Taken, check_settings, each_once
from ensue.models.counting.tifu_knn import table_arrays
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.sequences import Queries
from ensue.spaces import OneOf, Real, Space, Whole
from ensue.transitions import check_table, largest

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Together(Model):
    """Items of one basket, in no order: what else for an open one, or what in the next.

    For `ahead` = 0 two items meet where one basket of training holds both; for 1, where a user's next basket holds the
    second; for 2 the one after it, and so on. With n(a, b) such meetings, the score of an item b is

        sum over the items a of the asker's `last` newest baskets of n(a, b) / (n(a) + shrinkage) / n(b)^popularity,

    n(a) and n(b) being in how many baskets each is, divided by the number of these items. With ahead = 0 no item meets
    itself. A basket is as for `personal`; without the column no two items share one, and only ahead > 0 says anything.
    Items without a score are ordered by popularity.

    Attributes:
        ahead: how many baskets lie between the two, 0 for the same one.
        last: how many of the newest baskets are asked.
        shrinkage: takes weight from rare items.
        popularity: 0 answers what is likely, 1 what is likelier than elsewhere.
        most: how many items are kept of each, those that met it most often.

    References:
        Sarwar, Karypis, Konstan, Riedl, "Item-based collaborative filtering recommendation algorithms", WWW 2001;
        Deshpande, Karypis, "Item-based top-N recommendation algorithms", TOIS 22, 2004, section 4.1.2 (conditional
        probability, and a power of popularity).
    """

    name: ClassVar[str] = "together"
    summary: ClassVar[str] = "what lies in one basket with the items of the newest; for open baskets"
    space: ClassVar[Space] = {
        "ahead": OneOf((0, 1)),
        "last": Whole(1, 5),
        "shrinkage": Real(0.0, 100.0),
        "popularity": Real(0.0, 1.0),
    }

    ahead: int = 0
    last: int = 1
    shrinkage: float = 10.0
    popularity: float = 0.3
    most: int = 500

    def __post_init__(self) -> None:
        check_settings(
            self.name,
            {"ahead": (self.ahead, 0), "last": (self.last, 1), "most": (self.most, 1)},
            {"popularity": self.popularity},
        )
        if not 0 <= self.shrinkage < float("inf"):
            raise ConfigError(
                f"together: shrinkage={self.shrinkage:g} must be a number from 0 up, such as 10."
            )

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The meetings of all items.

        Raises:
            ModelError: there is an objective.
        """
        table = self.table(training.alike(self.name).queries())
        scoring = TogetherScoring(self, table, training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def table(self, queries: Queries) -> sp.csr_array:
        """`[N, N]` meetings over n(a) + shrinkage and n(b)^popularity.

        Args:
            queries: what is learnt from.
        """
        taken = Taken.of(queries)
        before = np.cumsum(taken.baskets) - taken.baskets
        basket = before[taken.rows] + taken.ago
        some = int(taken.baskets.sum())
        cells = (np.ones(len(basket)), (basket, taken.items))
        holds = sp.csr_array(sp.coo_array(cells, shape=(some, taken.n_items)))
        holds.data = np.ones(len(holds.data))
        if self.ahead:  # `ago` falls from basket to basket: the later one stands so many rows before
            earlier = np.flatnonzero(_ago(taken.baskets) >= self.ahead)
            met = holds[earlier].T @ holds[earlier - self.ahead]
        else:
            met = holds.T @ holds
            met.setdiag(0)
            met.eliminate_zeros()
        met = sp.csr_array(met)
        met.sort_indices()
        kept = largest(sp.csr_array(met.astype(np.float32)), self.most)
        frequent = np.bincount(holds.indices, minlength=taken.n_items).astype(np.float64)
        rows = np.repeat(np.arange(taken.n_items), np.diff(kept.indptr))
        data = kept.data / (frequent[rows] + self.shrinkage) / frequent[kept.indices] ** self.popularity
        return sp.csr_array((data, kept.indices, kept.indptr), shape=kept.shape)

    def restore(self, parts: Parts, catalogue: Catalogue) -> TogetherScoring:
        """The stored meetings.

        Raises:
            ArtifactError: the arrays make no such table.
        """
        n = len(catalogue)
        data, indices, offsets = (parts.arrays[f"met.{part}"] for part in ("data", "indices", "indptr"))
        check_table(data, indices, offsets, n, n)
        if data.ndim != 1 or (data < 0).any():
            raise ArtifactError(
                "The stored meetings are no numbers of them: the artifact is damaged, save it anew."
            )
        table = sp.csr_array((data.astype(np.float64), indices, offsets), shape=(n, n))
        return TogetherScoring(Together(**parts.settings), table, catalogue.share)


def _ago(baskets: NDArray[np.int64]) -> NDArray[np.int64]:
    """`[B]` how many baskets of its history come after each, from the newest on."""
    return np.arange(int(baskets.sum())) - np.repeat(np.cumsum(baskets) - baskets, baskets)


@dataclass(frozen=True, eq=False)
class TogetherScoring:
    """Scores of what meets the items of the newest baskets.

    Attributes:
        model: its settings.
        met: `[N, N]` the weights of meetings.
        share: `[N]` share of the training events.
        reads: the columns of events that it wants beside the items.
    """

    reads: ClassVar[tuple[str, ...]] = (BASKET,)

    model: Together
    met: sp.csr_array
    share: Floats

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` mean weights of meetings."""
        asked, which = each_once(queries)
        taken = Taken.of(asked)
        newest = taken.table(np.where(taken.ago < self.model.last, 1.0, 0.0))
        sizes = np.diff(newest.indptr)
        newest.data = np.repeat(1.0 / np.maximum(sizes, 1), sizes)
        scores: Scores = np.asarray((newest @ self.met).toarray()) + POPULARITY_SHARE * self.share
        return scores[which]

    def parts(self) -> Parts:
        """The table as three arrays, and the settings."""
        return Parts(self.model.settings(), table_arrays(self.met, "met"))
