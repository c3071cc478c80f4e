"""The user's own frequency: what they have taken often and of late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.batching import Ints, Items, ranges
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError
from ensue.model import Conditions, Model, Training
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.sequences import Queries
from ensue.spaces import OneOf, Real, Space

BASKET = "basket"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Personal(Model):
    """Personal frequency: how often the user has taken an item, and how lately.

    The score of an item is the sum of `decay^ago` over the baskets of the history that hold it, with ago = 0 for the
    newest; decay=1 counts them alike. What the user has never taken is ordered by popularity. A basket is a run of
    events with one id in the column "basket", in no order; without it each event is a basket of its own.

    It says something only where repeats may be answered (`exclude_seen = false`): without them it is popularity. On
    data of repeat purchases it is what a next-basket model has to beat, and what many published ones do not.

    Attributes:
        decay: weight of each basket further back, from 0 to 1.
        last: how many of the last baskets count; 0 takes all.

    References:
        Li, Jullien, Ariannezhad, de Rijke, "A next basket recommendation reality check", TOIS 41, 2023,
        arXiv:2109.14233, sections 4.1 and 5 (P-TopFreq, GP-TopFreq).
    """

    name: ClassVar[str] = "personal"
    summary: ClassVar[str] = "what the user has taken often and of late; for data with repeats"
    space: ClassVar[Space] = {"decay": Real(0.3, 1.0), "last": OneOf((0, 5, 20, 50))}

    decay: float = 0.9
    last: int = 0

    def __post_init__(self) -> None:
        check_settings(self.name, {"last": (self.last, 0)}, {"decay": self.decay})

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The settings, and popularity for what a user has never taken."""
        scoring = PersonalScoring(self, training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> PersonalScoring:
        """The settings."""
        return PersonalScoring(Personal(**parts.settings), catalogue.share)


@dataclass(frozen=True, eq=False)
class PersonalScoring:
    """Scores from the history alone.

    Attributes:
        model: its settings.
        share: `[N]` share of the training events.
        reads: the columns of events that it wants beside the items.
    """

    reads: ClassVar[tuple[str, ...]] = (BASKET,)

    model: Personal
    share: Floats

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` decayed numbers of baskets."""
        taken = Taken.of(queries)
        scores: Scores = taken.table(self._weights(taken)).toarray()
        scores += POPULARITY_SHARE * self.share
        return scores

    def contributions(self, queries: Queries, items: Items) -> tuple[Floats, Floats]:
        """What each event adds to the score of an item, and what does not hang on the history; together the score.

        Events on one item in one basket count once together, in equal parts.

        Args:
            queries: `Q` histories of at least one item.
            items: `[Q]` one item for each.

        Returns:
            `[E]` parts, of all events of all histories as in `Queries.pairs`, and `[Q]` the rest.
        """
        taken = Taken.of(queries)
        parts = np.where(taken.items == items[taken.rows], self._weights(taken), 0.0)
        return parts, POPULARITY_SHARE * self.share[items]

    def _weights(self, taken: Taken) -> Floats:
        """`[E]` what each event adds to the score of its item."""
        return taken.within(self.model.last) * self.model.decay ** taken.ago.astype(np.float64)

    def parts(self) -> Parts:
        """The settings."""
        return Parts(self.model.settings(), {})


@dataclass(frozen=True, eq=False)
class Taken:
    """All events of all histories, as in `Queries.pairs`, and which basket of its history each is in.

    Attributes:
        rows: `[E]` the history of each event.
        items: `[E]`.
        ago: `[E]` how many baskets of the history come after its own.
        part: `[E]` 1, divided by how many events of its basket have its item.
        baskets: `[Q]` how many baskets each history has.
        n_items: `N`.
    """

    rows: Ints
    items: Items
    ago: Ints
    part: Floats
    baskets: Ints
    n_items: int

    @classmethod
    def of(cls, queries: Queries) -> Taken:
        """The events of histories of at least one item, by their column "basket"."""
        rows, places = ranges(queries.starts, queries.ends)
        items = queries.items[places]
        values = queries.context.get(BASKET)
        if values is None or not len(rows):
            ago = queries.ends[rows] - 1 - places
            return cls(rows, items, ago, np.ones(len(rows)), queries.lengths, queries.n_items)
        begin, end = int(queries.starts.min()), int(queries.ends.max())
        given = values[begin:end]
        alone = (given != given.shift(1)).fill_null(True)  # an event of no basket is one of its own
        number = np.cumsum(alone.to_numpy()).astype(np.int64)
        newest, oldest = number[queries.ends - 1 - begin], number[queries.starts - begin]
        ago, baskets = newest[rows] - number[places - begin], newest - oldest + 1
        before = np.cumsum(baskets) - baskets
        keys = (before[rows] + ago) * queries.n_items + items
        _, same, counts = np.unique(keys, return_inverse=True, return_counts=True)
        return cls(rows, items, ago, 1.0 / counts[same], baskets, queries.n_items)

    def within(self, last: int) -> Floats:
        """`[E]` `part` of what is in the last baskets, 0 elsewhere; 0 takes all."""
        return self.part if last == 0 else np.where(self.ago < last, self.part, 0.0)

    def table(self, weights: Floats) -> sp.csr_array:
        """`[Q, N]` sums over the events of each item; a weight of 0 leaves an event out.

        Args:
            weights: `[E]`.
        """
        some = np.flatnonzero(weights)
        cells = (weights[some], (self.rows[some], self.items[some]))
        return sp.csr_array(sp.coo_array(cells, shape=(len(self.baskets), self.n_items)))


def each_once(queries: Queries) -> tuple[Queries, Ints]:
    """The different questions, and `[Q]` which of them each query is: all items of a basket are asked for by one.

    Questions with one history that are asked at different times are different ones.
    """
    keys = queries.starts * (len(queries.items) + 1) + queries.ends
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    if queries.at is not None:
        moments, moment = np.unique(queries.at, return_inverse=True)
        _, first, which = np.unique(which * len(moments) + moment, return_index=True, return_inverse=True)
    return queries[first], which


def check_settings(name: str, least: dict[str, tuple[int, int]], shares: dict[str, float]) -> None:
    """Nothing, if the settings of a model make sense.

    Args:
        name: of the model.
        least: whole numbers, and the least that each can be.
        shares: numbers from 0 to 1.

    Raises:
        ConfigError: some do not.
    """
    faults = [f"{key}={value} must be at least {low}" for key, (value, low) in least.items() if value < low]
    faults += [
        f"{key}={value:g} must lie from 0 to 1" for key, value in shares.items() if not 0 <= value <= 1
    ]
    if faults:
        raise ConfigError(f"{name}: {'; '.join(faults)}.")
