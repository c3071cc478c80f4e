"""TIFU-kNN: how often and how lately the user and users like them have taken an item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.batching import Items
from ensue.blocks import blocks
from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError
from ensue.model import Conditions, Model, Training
from ensue.models.counting.personal import BASKET, Taken, check_settings, each_once
from ensue.ranking import POPULARITY_SHARE, SCORES_AT_ONCE, Parts, Recommender, Scores, top_k_rows
from ensue.sequences import Queries
from ensue.spaces import OneOf, Real, Space, Whole
from ensue.transitions import check_table

Floats = NDArray[np.float64]

ALIKE = 1e-12
"""So close to the same, in proportion, rounding alone tells two users apart."""


@dataclass(frozen=True)
class TIFUKNN(Model):
    """TIFU-kNN: a user's frequencies, decayed twice, blended with the mean of those of the nearest users.

    The baskets of a history are cut into `groups` of like size, the newer ones larger by one where they do not come out
    even, or into single baskets where there are fewer. With G groups, the vector of a user has for each item

        v(i) = 1/G x sum over groups of group_decay^g / size x sum over its baskets that hold i of basket_decay^b,

    g groups after it and b baskets after it in its group. The score is `alpha x v + (1 - alpha) x mean of v over the
    nearest training users`, by Euclidean distance. A basket is as for `personal`; items without a score are ordered by
    popularity. Nobody is a neighbour of their own: one training user with the very vector of the asker, if there is
    one, is taken for the asker and left out, since a fitted model holds no ids.

    The programme of the authors departs from their paper, which is followed here: it decays baskets over the whole
    history and not within groups, and with fewer baskets than groups it scales a vector by `group_decay^(missing)`.

    It needs repeats to be answered (`exclude_seen = false`).

    A SAVED MODEL HOLDS A VECTOR OF EACH TRAINING USER (without ids): personal data, to be kept as such.

    Attributes:
        neighbours: how many users are asked.
        groups: into how many groups a history is cut.
        basket_decay: `r_b`, weight of each basket further back within a group, from 0 to 1.
        group_decay: `r_g`, weight of each group further back, from 0 to 1.
        alpha: how much the user's own vector counts, from 0 to 1.
        last: how many of the last baskets make a history; 0 takes all.

    References:
        Hu, He, Gao, Zhang, "Modeling personalized item frequency information for next-basket recommendation", SIGIR
        2020, arXiv:2006.00556, section 4.
    """

    name: ClassVar[str] = "tifu-knn"
    summary: ClassVar[str] = "what the user and users like them take often and of late; for repeats"
    space: ClassVar[Space] = {
        "neighbours": Whole(50, 1000, log=True),
        "groups": Whole(1, 20),
        "basket_decay": Real(0.5, 1.0),
        "group_decay": Real(0.3, 1.0),
        "alpha": Real(0.0, 1.0),
        "last": OneOf((0, 5, 20, 50)),
    }

    neighbours: int = 300
    groups: int = 7
    basket_decay: float = 0.9
    group_decay: float = 0.7
    alpha: float = 0.7
    last: int = 0

    def __post_init__(self) -> None:
        whole = {"neighbours": (self.neighbours, 1), "groups": (self.groups, 1), "last": (self.last, 0)}
        shares = {name: getattr(self, name) for name in ("basket_decay", "group_decay", "alpha")}
        check_settings(self.name, whole, shares)

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The vectors of the training users.

        Raises:
            ModelError: there is an objective.
        """
        table = self.vectors(training.alike(self.name).queries())
        scoring = TIFUScoring(self, table, training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def vectors(self, queries: Queries) -> sp.csr_array:
        """`[Q, N]` the vector of each history."""
        taken = Taken.of(queries)
        baskets = np.minimum(taken.baskets, self.last) if self.last else taken.baskets
        groups = np.maximum(np.minimum(baskets, self.groups), 1)
        size, larger = np.divmod(baskets, groups)
        size, larger, groups = size[taken.rows], larger[taken.rows], groups[taken.rows]
        ago, newer = taken.ago, larger * (size + 1)  # baskets in the larger groups, which are the newest
        in_larger = ago < newer
        own = size + in_larger
        group = np.where(in_larger, ago // own, larger + (ago - newer) // np.maximum(size, 1))
        back = np.where(in_larger, ago % own, (ago - newer) % np.maximum(size, 1))
        decay = self.group_decay ** group.astype(np.float64) * self.basket_decay ** back.astype(np.float64)
        return taken.table(taken.within(self.last) * decay / (own * groups))

    def restore(self, parts: Parts, catalogue: Catalogue) -> TIFUScoring:
        """The stored vectors."""
        table = stored_table(parts, "vectors", len(catalogue))
        return TIFUScoring(TIFUKNN(**parts.settings), table, catalogue.share)


@dataclass(frozen=True, eq=False)
class TIFUScoring:
    """Scores of TIFU-kNN.

    Attributes:
        model: its settings.
        vectors: `[U, N]` of the training users.
        share: `[N]` share of the training events.
        reads: the columns of events that it wants beside the items.
    """

    reads: ClassVar[tuple[str, ...]] = (BASKET,)

    model: TIFUKNN
    vectors: sp.csr_array
    share: Floats

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` the user's frequencies, blended with those of the nearest users."""
        asked, which = each_once(queries)
        own, alpha = self.model.vectors(asked), self.model.alpha
        squares = _squared(own)
        scores: Scores = alpha * own.toarray() + POPULARITY_SHARE * self.share
        for block in user_blocks(len(asked), self.vectors, self.model.neighbours):
            # nearest by |v|^2 - 2 u.v, since |u|^2 is the same for all of them
            nearness = 2 * (own[block] @ self._by_item).toarray() - self._squares
            near = nearest(nearness, self.model.neighbours + 1)
            near = others(near, squares[block] * (1 - ALIKE), self.model.neighbours)
            sizes = np.diff(near.indptr)
            near.data = np.repeat(1.0 / np.maximum(sizes, 1), sizes)
            scores[block] += (1 - alpha) * (near @ self.vectors).toarray()
        return scores[which]

    @cached_property
    def _by_item(self) -> sp.csr_array:
        """`[N, U]` the vectors, laid out by item."""
        return sp.csr_array(self.vectors.T)

    @cached_property
    def _squares(self) -> Floats:
        """`[U]` the squared length of each vector."""
        return _squared(self.vectors)

    def parts(self) -> Parts:
        """The vectors as three arrays, and the settings."""
        return Parts(self.model.settings(), table_arrays(self.vectors, "vectors"))


def user_blocks(queries: int, table: sp.csr_array, k: int) -> Iterator[slice]:
    """Stretches of queries whose scores of all users, and what k of these have taken, fit into memory.

    Args:
        queries: how many there are.
        table: `[U, N]` what users have taken.
        k: how many users are asked.
    """
    users = table.shape[0]
    cost = users + min(k, users) * max(table.nnz // max(users, 1), 1) + table.shape[1]
    yield from blocks(np.full(queries, cost, dtype=np.int64), SCORES_AT_ONCE)


def nearest(nearness: Floats, k: int) -> sp.csr_array:
    """`[Q, U]` a table of the k users nearest to each query with their nearness; of equals those that come first.

    Args:
        nearness: `[Q, U]`, higher is nearer; minus infinity leaves a user out.
        k: how many users at most.
    """
    queries, users = nearness.shape
    best: Items = top_k_rows(nearness, min(k, users))
    rows, places = np.nonzero(best < users)
    chosen = best[rows, places]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=queries))])
    return sp.csr_array((nearness[rows, chosen], chosen, offsets), shape=nearness.shape)


def others(near: sp.csr_array, least: Floats | float, k: int) -> sp.csr_array:
    """The neighbours without the asker: the first of a row is, where it is so near; of others the last one too many.

    Args:
        near: `[Q, U]` up to k + 1 neighbours of each query, as `nearest` gives them.
        least: `[Q]`, or one for all, from which nearness on a neighbour is the asker.
        k: how many are wanted.
    """
    sizes = np.diff(near.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(rows)) - near.indptr[rows]
    self_first = np.zeros(len(sizes), dtype=bool)
    some = np.flatnonzero(sizes)
    self_first[some] = near.data[near.indptr[some]] >= np.broadcast_to(least, len(sizes))[some]
    kept = (place >= self_first[rows]) & (place < k + self_first[rows])
    offsets = np.append(0, np.cumsum(kept))[near.indptr]
    return sp.csr_array((near.data[kept], near.indices[kept], offsets), shape=near.shape)


def _squared(table: sp.csr_array) -> Floats:
    """`[rows]` the squared length of each row."""
    return np.asarray(table.multiply(table).sum(axis=1), dtype=np.float64).ravel()


def table_arrays(table: sp.csr_array, name: str) -> dict[str, NDArray[np.generic]]:
    """What `stored_table` makes the table of again."""
    return {
        f"{name}.data": table.data,
        f"{name}.indices": table.indices.astype(np.int32),
        f"{name}.indptr": table.indptr.astype(np.int64),
    }


def stored_table(parts: Parts, name: str, n_items: int) -> sp.csr_array:
    """`[U, N]` a table of users from its stored arrays.

    Raises:
        ArtifactError: they do not make one over so many items.
    """
    data, indices, offsets = (parts.arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    if len(offsets) < 1 or data.ndim != 1:
        raise ArtifactError(f"The stored {name} hold no users: the artifact is damaged, save it anew.")
    users = len(offsets) - 1
    check_table(data, indices, offsets, users, n_items)
    return sp.csr_array((data.astype(np.float64), indices, offsets), shape=(users, n_items))
