"""Friendships as a table, and what all models have in common that score candidates by them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.catalogue import UNKNOWN, Catalogue
from ensue.model import Conditions, Model, Training
from ensue.models.counting.personal import each_once
from ensue.models.counting.tifu_knn import stored_table, table_arrays
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.sequences import Queries

Floats = NDArray[np.float64]

FRIENDS = "friends"
"""Of a scoring's arrays: who is whose friend."""


@dataclass(frozen=True, eq=False)
class FriendScoring(ABC):
    """Scores by who is whose friend; what is left equal is ordered by popularity.

    Attributes:
        model: its settings.
        friends: `[N, N]` 1 where two are friends, symmetric.
        share: `[N]` share of the training events.
    """

    model: Model
    friends: sp.csr_array
    share: Floats

    @abstractmethod
    def reached(self, own: sp.csr_array) -> Floats:
        """`[Q, N]` how much each candidate has to do with the friends whom histories name.

        Args:
            own: `[Q, N]` 1 for each friend that a history names.
        """

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` how much each candidate has to do with each history."""
        asked, which = each_once(queries)
        scores: Scores = self.reached(named(asked)) + POPULARITY_SHARE * self.share
        return scores[which]

    def parts(self) -> Parts:
        """The friendships."""
        return Parts(self.model.settings(), table_arrays(self.friends, FRIENDS))


@dataclass(frozen=True)
class FriendModel(Model, ABC):
    """A family that learns who is whose friend, and nothing else."""

    @abstractmethod
    def scored(self, friends: sp.csr_array, share: Floats) -> FriendScoring:
        """The scoring by some friendships.

        Args:
            friends: `[N, N]` 1 where two are friends, symmetric.
            share: `[N]` share of the training events.
        """

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """Who is whose friend."""
        scoring = self.scored(friendships(training), training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> FriendScoring:
        """The stored friendships."""
        return self.scored(stored_table(parts, FRIENDS, len(catalogue)), catalogue.share)


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
