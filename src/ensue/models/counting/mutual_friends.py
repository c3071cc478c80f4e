"""Mutual friends: who shares friends with the one who asks. The baseline where items are users."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.catalogue import UNKNOWN, Catalogue
from ensue.model import Conditions, Model, Training
from ensue.models.counting.personal import each_once
from ensue.models.counting.tifu_knn import stored_table, table_arrays
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.sequences import Queries
from ensue.spaces import OneOf, Space

Floats = NDArray[np.float64]

FRIENDS = "friends"
"""Of a scoring's arrays: who is whose friend."""


@dataclass(frozen=True)
class MutualFriends(Model):
    """Candidates by the friends that they have in common with the user, as the history names them.

    With F the friends in the history and N(z) the friends of z in training, in either direction, the score of i is

        common           |F and N(i)|
        adamic-adar      sum over z in F and N(i) of 1 / ln |N(z)|
        allocation       sum over z in F and N(i) of 1 / |N(z)|
        jaccard          |F and N(i)| / |F or N(i)|.

    What is left equal is ordered by popularity. In a log whose items are no users nobody has a friend, and this is
    popularity.

    A SAVED MODEL HOLDS WHO IS WHOSE FRIEND: personal data, to be kept as such.

    Attributes:
        measure: "common", "adamic-adar", "allocation" or "jaccard".

    References:
        Liben-Nowell, Kleinberg, "The link-prediction problem for social networks", JASIST 58, 2007, section 3.
        Adamic, Adar, "Friends and neighbors on the Web", Social Networks 25, 2003.
        Zhou, Lü, Zhang, "Predicting missing links via local information", EPJ B 71, 2009 (resource allocation).
    """

    name: ClassVar[str] = "mutual-friends"
    summary: ClassVar[str] = "people who share friends with the user; for logs whose items are users"
    space: ClassVar[Space] = {"measure": OneOf(("common", "adamic-adar", "allocation", "jaccard"))}

    measure: Literal["common", "adamic-adar", "allocation", "jaccard"] = "adamic-adar"

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """Who is whose friend."""
        scoring = MutualScoring(self, friendships(training), training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> MutualScoring:
        """The stored friendships."""
        return MutualScoring(self, stored_table(parts, FRIENDS, len(catalogue)), catalogue.share)


@dataclass(frozen=True, eq=False)
class MutualScoring:
    """Scores by mutual friends.

    Attributes:
        model: its settings.
        friends: `[N, N]` 1 where two are friends, symmetric.
        share: `[N]` share of the training events.
    """

    model: MutualFriends
    friends: sp.csr_array
    share: Floats

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` how much each candidate shares with each history."""
        asked, which = each_once(queries)
        own = named(asked)
        shared: Floats = (own @ self._weighed).toarray()
        if self.model.measure == "jaccard":
            either = np.diff(own.indptr)[:, None] + np.diff(self.friends.indptr) - shared
            shared /= np.maximum(either, 1.0)
        scores: Scores = shared + POPULARITY_SHARE * self.share
        return scores[which]

    @cached_property
    def _weighed(self) -> sp.csr_array:
        """`[N, N]` what a friend (row) in common with a candidate counts."""
        degree = np.diff(self.friends.indptr).astype(np.float64)
        weight = {
            "adamic-adar": 1.0 / np.log(np.maximum(degree, 2.0)),
            "allocation": 1.0 / np.maximum(degree, 1.0),
        }.get(self.model.measure, np.ones(len(degree)))
        return sp.csr_array(sp.diags_array(weight) @ self.friends)

    def parts(self) -> Parts:
        """The friendships."""
        return Parts(self.model.settings(), table_arrays(self.friends, FRIENDS))


def friendships(training: Training) -> sp.csr_array:
    """`[N, N]` 1 where one of two items is a user who has the other in training, in either direction; none with itself.

    Args:
        training: sequences whose users are items, as far as anybody is anybody's friend.
    """
    sequences, n = training.sequences, training.sequences.n_items
    users = sequences.keys if sequences.users is None else sequences.users
    known = training.catalogue.encode(users)
    who, whom = np.repeat(known, sequences.lengths), np.asarray(sequences.items)
    held = (who != UNKNOWN) & (who != whom)
    who, whom = who[held], whom[held]
    cells = (np.ones(2 * len(who)), (np.concatenate([who, whom]), np.concatenate([whom, who])))
    found = sp.csr_array(sp.coo_array(cells, shape=(n, n)))
    found.sum_duplicates()
    found.data[:] = 1.0
    return found


def named(queries: Queries) -> sp.csr_array:
    """`[Q, N]` 1 for each item that a history names."""
    rows, items = queries.pairs()
    table = sp.csr_array(
        sp.coo_array((np.ones(len(rows)), (rows, items)), shape=(len(queries), queries.n_items))
    )
    table.sum_duplicates()
    table.data[:] = 1.0
    return table
