"""Last seen: what the user has taken comes again, the latest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue.catalogue import Catalogue
from ensue.model import Conditions, Model, Training
from ensue.models.counting.personal import BASKET, Taken
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.sequences import Queries
from ensue.spaces import Space


@dataclass(frozen=True)
class LastSeen(Model):
    """Recency: the items of the history, those of the newest basket first, and the rest by popularity.

    The score of an item is `1 / (1 + ago)`, with ago baskets of the history after the newest that holds it; a basket is
    as for `personal`. It is the bar of every model of repeats, and needs them to be answered (`exclude_seen = false`).

    References:
        Anderson, Kumar, Tomkins, Vassilvitskii, "The dynamics of repeat consumption", WWW 2014, section 4 (recency).
    """

    name: ClassVar[str] = "last-seen"
    summary: ClassVar[str] = "what the user has taken, the latest first; for data with repeats"
    space: ClassVar[Space] = {}

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """Popularity, for what a user has never taken."""
        scoring = LastSeenScoring(training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> LastSeenScoring:
        """Nothing is stored."""
        return LastSeenScoring(catalogue.share)


@dataclass(frozen=True, eq=False)
class LastSeenScoring:
    """Scores from when each item was taken last.

    Attributes:
        share: `[N]` share of the training events.
        reads: the columns of events that it wants beside the items.
    """

    reads: ClassVar[tuple[str, ...]] = (BASKET,)

    share: NDArray[np.float64]

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` the newer the higher."""
        taken = Taken.of(queries)
        scores = np.zeros((len(queries), queries.n_items))
        np.maximum.at(scores, (taken.rows, taken.items), 1.0 / (1.0 + taken.ago))
        return scores + POPULARITY_SHARE * self.share

    def parts(self) -> Parts:
        """Nothing beside the catalogue."""
        return Parts()
