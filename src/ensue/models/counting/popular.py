"""Popularity: what everybody takes, of all time or of late, of a category or in a segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Items
from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError, ConfigError, ModelError
from ensue.model import Conditions, Model, Training
from ensue.models.counting.groups import CategoryScoring, SegmentScoring
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.sequences import Queries
from ensue.spaces import Real, Space

MICROSECONDS_A_DAY = 86_400_000_000


@dataclass(frozen=True, eq=False)
class PopularScoring:
    """One score per item, whatever the history."""

    per_item: NDArray[np.float64]

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` the same row for every query."""
        scores: Scores = np.tile(self.per_item, (len(queries), 1))
        return scores

    def contributions(
        self, queries: Queries, items: Items
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What each event adds to the score of an item, which is nothing, and what does not hang on the history.

        Args:
            queries: `Q` histories.
            items: `[Q]` one item for each.

        Returns:
            `[E]` zeros, and `[Q]` the scores.
        """
        return np.zeros(int(queries.lengths.sum())), self.per_item[items]

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
    """Popularity of all time: the share of each item in the training events, of all or of a group of them.

    - `category="genres"` is popularity by category, a column of the item table. The next category is that of an event
      of the history, or with the weight of one more event that of any training event; the next item is any of that
      category, by popularity. An item of several categories belongs to each in equal parts.
    - `segment="country"` is popularity by segment, a column of the log: the share of each item in the training events
      with the value that the last event of the history has, with the weight of one event that of all. A history
      whose last event has no such value, or one that training has not seen, is answered by popularity of all.

    Attributes:
        category: column of the item table; text is cut at "|" into several categories. "" asks for none.
        segment: column of the log. "" asks for none; only one of the two can be asked for.
    """

    name: ClassVar[str] = "popular"
    summary: ClassVar[str] = "what everybody takes"
    space: ClassVar[Space] = {}  # nothing about it can be tuned but which column it asks

    category: str = ""
    segment: str = ""

    def __post_init__(self) -> None:
        if self.category and self.segment:
            raise ConfigError(
                f"popular: category={self.category!r} and segment={self.segment!r}: take one of the two."
            )

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The shares of the training events, or of the targets among them.

        Raises:
            ModelError: the column is not there, or groups are asked for with an objective.
        """
        scoring: PopularScoring | CategoryScoring | SegmentScoring
        plain = "leave category and segment out"
        if self.category:
            training.alike(self.name, plain)
            scoring = CategoryScoring.of(training.catalogue, self.category)
        elif self.segment:
            scoring = SegmentScoring.of(training.alike(self.name, plain), training.catalogue, self.segment)
        else:
            scoring = PopularScoring(training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(
        self, parts: Parts, catalogue: Catalogue
    ) -> PopularScoring | CategoryScoring | SegmentScoring:
        """The stored shares."""
        if self.category:
            return CategoryScoring.restored(parts, catalogue)
        if self.segment:
            return SegmentScoring.restored(parts, catalogue)
        return PopularScoring.restored(parts, catalogue)


@dataclass(frozen=True)
class Recent(Model):
    """Recent popularity: the share of each item in the last days of training.

    Attributes:
        days: length of the window that ends with the last training event; an event just so old is not in it.
    """

    name: ClassVar[str] = "recent"
    summary: ClassVar[str] = "what everybody takes of late"
    space: ClassVar[Space] = {"days": Real(0.5, 90.0, log=True)}

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
        weight = None if sequences.weight is None else sequences.weight[late]
        counts = np.bincount(sequences.items[late], weight, minlength=sequences.n_items)
        scoring = PopularScoring(
            counts / max(counts.sum(), 1e-9) + POPULARITY_SHARE * training.catalogue.share
        )
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> PopularScoring:
        """The stored shares."""
        return PopularScoring.restored(parts, catalogue)
