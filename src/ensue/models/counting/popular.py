"""Popularity: what everybody takes, of all time or of late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError, ConfigError, ModelError
from ensue.model import Conditions, Model, Training
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.sequences import Queries

MICROSECONDS_A_DAY = 86_400_000_000


@dataclass(frozen=True, eq=False)
class PopularScoring:
    """One score per item, whatever the history."""

    per_item: NDArray[np.float64]

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` the same row for every query."""
        scores: Scores = np.tile(self.per_item, (len(queries), 1))
        return scores

    def parts(self) -> Parts:
        """The row of scores."""
        return Parts({}, {"per_item": self.per_item})

    @classmethod
    def restored(cls, parts: Parts, catalogue: Catalogue) -> PopularScoring:
        """The scoring from its stored parts."""
        per_item = parts.arrays["per_item"]
        if per_item.shape != (len(catalogue),) or not np.isfinite(per_item).all():
            raise ArtifactError(
                "The stored popularity does not fit its items: the artifact is damaged, save it anew."
            )
        return cls(per_item)


@dataclass(frozen=True)
class Popular(Model):
    """Popularity of all time: the share of each item in the training events."""

    name: ClassVar[str] = "popular"
    summary: ClassVar[str] = "what everybody takes"

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The shares of the training events."""
        scoring = PopularScoring(training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> PopularScoring:
        """The stored shares."""
        return PopularScoring.restored(parts, catalogue)


@dataclass(frozen=True)
class Recent(Model):
    """Recent popularity: the share of each item in the last days of training.

    Attributes:
        days: length of the window that ends with the last training event; an event just so old is not in it.
    """

    name: ClassVar[str] = "recent"
    summary: ClassVar[str] = "what everybody takes of late"

    days: float = 7.0

    def __post_init__(self) -> None:
        if not self.days > 0:
            raise ConfigError(f"recent: days={self.days:g} is no window: take a number above 0, such as 7.")

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The shares within the window; all-time popularity orders the items that are not in it.

        Raises:
            ModelError: the log has no times.
        """
        sequences = training.sequences
        if sequences.time is None:
            raise ModelError(
                "recent: this log has no times, so nothing in it is recent; leave this model out."
            )
        late = (sequences.time.max() - sequences.time) / MICROSECONDS_A_DAY < self.days
        counts = np.bincount(sequences.items[late], minlength=sequences.n_items)
        scoring = PopularScoring(counts / counts.sum() + POPULARITY_SHARE * training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> PopularScoring:
        """The stored shares."""
        return PopularScoring.restored(parts, catalogue)
