"""What came last: items by their age, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError, ConfigError, ModelError
from ensue.events.log import TIME
from ensue.model import Conditions, Model, Training
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.rules.freshness import FIRST_SEEN
from ensue.sequences import MISSING_TIME, Queries
from ensue.spaces import Real, Space

DAY = 86_400_000_000
"""Microseconds."""

LEAST = 1e-300
"""How much of popularity orders what has no score; less than is left of an item after 900 half-lives."""


@dataclass(frozen=True)
class Newest(Model):
    """The newer an item is when the question is asked, the higher: score = 0.5^(age / half_life).

    An item is there since the time in the column `first_seen` of the item table, if that has times, so that one that
    nobody has taken yet is scored as well; else since its first event in training. One that is not there yet, or of
    which nothing is known, has the score 0. A question without a time is asked at its last event, or else when the last
    item came. Equal ages are ordered by popularity.

    Attributes:
        half_life: days after which the score is half of what it was.
    """

    name: ClassVar[str] = "newest"
    summary: ClassVar[str] = "what came last"
    space: ClassVar[Space] = {"half_life": Real(0.05, 90.0, log=True)}

    half_life: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.half_life < float("inf"):
            raise ConfigError(f"newest: half_life={self.half_life:g} must be a number of days above 0.")

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """Since when each item is there.

        Raises:
            ModelError: neither the items nor the events have times.
        """
        since = known_times(training.catalogue)
        if since is None:
            since = _first(training)
        scoring = NewestScoring(self.half_life, since, training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> NewestScoring:
        """The stored times.

        Raises:
            ArtifactError: they are not those of the catalogue.
        """
        since = parts.arrays["since"]
        if since.shape != (len(catalogue),) or since.dtype != np.int64:
            raise ArtifactError(
                "The stored times do not fit their items: the artifact is damaged, save it anew."
            )
        return NewestScoring(self.half_life, since, catalogue.share)


@dataclass(frozen=True, eq=False)
class NewestScoring:
    """Scores by age.

    Attributes:
        half_life: in days.
        since: `[N]` microseconds since 1970 UTC, `MISSING_TIME` where nothing is known.
        share: `[N]` share of the training events.
        reads: the columns of events that it wants beside the items.
        when_asked: it reads when the question is asked.
    """

    reads: ClassVar[tuple[str, ...]] = ("time",)
    when_asked: ClassVar[bool] = True

    half_life: float
    since: Ints
    share: NDArray[np.float64]

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` what is left of each item's newness."""
        asked = self._asked(queries)
        age = (asked[:, None] - self.since).astype(np.float64) / DAY
        there = (self.since != MISSING_TIME) & (age >= 0)
        fresh = np.exp2(-np.where(there, age, 0.0) / self.half_life)
        # a share of popularity that is added, and not in proportion, is more than what some weeks leave of an item
        scores: Scores = (
            np.where(there, fresh, 0.0) * (1.0 + POPULARITY_SHARE * self.share) + LEAST * self.share
        )
        return scores

    def _asked(self, queries: Queries) -> Ints:
        """`[Q]` when each question is asked."""
        known = self.since[self.since != MISSING_TIME]
        asked = np.full(len(queries), known.max() if len(known) else 0, dtype=np.int64)
        for times in (_last(queries), queries.at):
            if times is not None:
                asked = np.where(times != MISSING_TIME, times, asked)
        return asked

    def parts(self) -> Parts:
        """The times."""
        return Parts({}, {"since": self.since})


def known_times(catalogue: Catalogue) -> Ints | None:
    """`[N]` since when each item is there, `MISSING_TIME` where that is not known; None where nothing says so."""
    features = catalogue.features
    if features is None or FIRST_SEEN not in features.columns:
        return None
    column = features[FIRST_SEEN]
    if column.dtype == pl.String:
        column = column.str.to_datetime(strict=False, time_unit="us", time_zone="UTC")
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if not isinstance(column.dtype, pl.Datetime) or column.null_count() == len(column):
        return None
    found = column.cast(TIME).dt.epoch("us").fill_null(MISSING_TIME)
    return found.to_numpy().astype(np.int64)


def _first(training: Training) -> Ints:
    """`[N]` the first event of each item in training."""
    time, items = training.sequences.time, training.sequences.items
    if time is None:
        raise ModelError(
            f"newest: neither the events have times nor the items a column '{FIRST_SEEN}': leave this model out."
        )
    since = np.full(training.sequences.n_items, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(since, items, time)
    return np.where(since == np.iinfo(np.int64).max, MISSING_TIME, since)


def _last(queries: Queries) -> Ints | None:
    """`[Q]` the time of the last event of each history."""
    if queries.time is None:
        return None
    held = queries.lengths > 0
    found = np.full(len(queries), MISSING_TIME, dtype=np.int64)
    found[held] = queries.time[queries.ends[held] - 1]
    return found
