"""What models of ratings have in common: what they learn from, and that they answer inside its scale."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.errors import ModelError
from ensue.expected_ratings import Scale, rating_facts
from ensue.model import Conditions, Model, Training
from ensue.ranking import Recommender, Scoring
from ensue.sequences import Sequences

Values = NDArray[np.float64]


@dataclass(frozen=True)
class RatingModel(Model, ABC):
    """A family that expects ratings and learns from nothing else."""

    rates: ClassVar[bool] = True

    def told(self, training: Training, conditions: Conditions) -> Scale:
        """The scale of the training ratings, said to whoever watches.

        Raises:
            ModelError: there are none.
        """
        ratings = training.sequences.rating
        if ratings is None or np.isnan(ratings).all():
            raise ModelError(
                f"{self.name}: the log has no ratings, and the model learns from nothing else: say which column holds "
                "them (--columns rating=NAME), or take a model of the next item."
            )
        scale = Scale.of(ratings)
        conditions.progress.say(f"{self.name}: {scale.words()}")
        return scale

    def answering(self, training: Training, scoring: Scoring, **facts: Any) -> Recommender:
        """The recommender of what was learnt, which says of itself that it answers with ratings.

        Args:
            training: what it was learnt from.
            scoring: what was learnt.
            facts: what else is known of its making.
        """
        said = {**rating_facts(training.sequences.rating), **facts}
        return Recommender(
            training.catalogue, scoring, self.name, self.settings(), training.exclude_seen, said
        )


@dataclass(frozen=True, eq=False)
class Rated:
    """Who rated what how, as tables of users by items.

    Attributes:
        users: `[E]` the row of each rating.
        items: `[E]` its column.
        above: `[E]` the rating minus the mean of all.
        mean: of all ratings.
        chosen: `[U, N]` 1/sqrt(n) where a user had an item, rated or not, with n the events of the user.
    """

    users: Ints
    items: Ints
    above: Values
    mean: float
    chosen: sp.csr_matrix

    @classmethod
    def of(cls, sequences: Sequences) -> Rated:
        """The ratings of some sequences, of which at least one event has one."""
        rows = np.repeat(np.arange(len(sequences), dtype=np.int64), sequences.lengths)
        ratings = np.asarray(sequences.rating, dtype=np.float64)
        known = ~np.isnan(ratings)
        mean = float(ratings[known].mean())
        weight = 1 / np.sqrt(np.maximum(sequences.lengths, 1))
        chosen = sp.csr_matrix((weight[rows], (rows, sequences.items)), (len(sequences), sequences.n_items))
        return cls(rows[known], sequences.items[known].astype(np.int64), ratings[known] - mean, mean, chosen)

    def table(self, values: Values) -> sp.csr_matrix:
        """`[U, N]` values `[E]` of the ratings as a table, those of one place added up."""
        return sp.csr_matrix((values, (self.users, self.items)), self.chosen.shape)

    @property
    def choosers(self) -> sp.csr_matrix:
        """`[N, U]` 1/sqrt(n) where an item was had by a user, with n the events of the item: `chosen`, turned."""
        times = self.chosen.copy()
        times.data = np.ones_like(times.data)
        counts = np.asarray((self.chosen > 0).sum(axis=0)).ravel()
        return sp.csr_matrix(sp.diags_array(1 / np.sqrt(np.maximum(counts, 1))) @ times.T)
