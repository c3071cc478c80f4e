"""Repeats: the learnt chance that what was taken before is taken again now."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints, Items
from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError, ConfigError
from ensue.model import Conditions, Model, Training
from ensue.models.counting.personal import BASKET, Taken, each_once
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.sequences import Queries
from ensue.spaces import Real, Space

Floats = NDArray[np.float64]

TIMES = np.array([1, 2, 3, 4, 6, 9, 14, 22])
"""From how many baskets with the item on each row of the table begins."""
GAPS = np.array([0.0, 1.0, 1.5, 2.5, 4.0, 7.0, 12.0, 25.0])
"""From which mean gap between them on; the first is for an item that was taken once."""
LAGS = np.array([1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 23, 32, 45, 64, 100, 200, 500])
"""From how many baskets after the last one on: 1 is the very next."""
COARSE = np.array([0, 2, 4, 7, 10])
"""Which of these begin the lags by which items are told apart."""
FARTHEST = 1000
"""Lags from here on are alike."""


@dataclass(frozen=True)
class Repeats(Model):
    """Repeat purchases and repeat plays: a hazard, counted, of what was taken before.

    For an item that a user has taken in n baskets, m baskets apart in the mean, and l baskets before the one that is
    asked about, the score is

        chance(n, m, l) x factor(item, l),

    `chance` being in how many such cases of training the item was in that basket, pulled towards what (n, l) and l
    alone say. `factor` is how often the item was taken again, over how often `chance` would have had it, apart for
    short and long l (what is bought every fifth time is not bought the next time), pulled towards that of the item over
    all l, and this towards 1. What the user has never taken follows, by popularity. A basket is as for `personal`.

    It needs repeats to be answered (`exclude_seen = false`).

    Attributes:
        shrinkage: how many expected repeats weigh as much as the prior of a factor.
        pull: how many cases weigh as much as the prior of a chance.

    References:
        Anderson, Kumar, Tomkins, Vassilvitskii, "The dynamics of repeat consumption", WWW 2014 (recency, quality,
        and gaps); Bhagat, Muralidharan, Lobzhanidze, Vishwanath, "Buy it again: modeling repeat purchase
        recommendations", KDD 2018 (the item's own gaps).
    """

    name: ClassVar[str] = "repeats"
    summary: ClassVar[str] = "when what was taken before is due again, learnt from gaps; for repeats"
    space: ClassVar[Space] = {"shrinkage": Real(1.0, 100.0, log=True), "pull": Real(1.0, 300.0, log=True)}

    shrinkage: float = 10.0
    pull: float = 30.0

    def __post_init__(self) -> None:
        for name, value in (("shrinkage", self.shrinkage), ("pull", self.pull)):
            if not 0 < value < float("inf"):
                raise ConfigError(f"repeats: {name}={value:g} must be a number above 0, such as 10.")

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The chances and the factors of the training sequences.

        Raises:
            ModelError: there is an objective.
        """
        spells = Spells.of(Taken.of(training.alike(self.name).queries()))
        chances = _chances(spells, self.pull)
        factors = _factors(spells, chances, self.shrinkage)
        scoring = RepeatScoring(self, chances, factors, training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> RepeatScoring:
        """The stored tables.

        Raises:
            ArtifactError: they are not such tables.
        """
        chances, factors = parts.arrays["chances"], parts.arrays["factors"]
        shapes = (len(TIMES) * len(GAPS), len(LAGS)), (len(catalogue), len(COARSE))
        sound = (chances.shape, factors.shape) == shapes
        if not sound or not (np.isfinite(chances).all() and np.isfinite(factors).all()):
            raise ArtifactError(
                "The stored chances of repeats do not fit: the artifact is damaged, save it anew."
            )
        return RepeatScoring(Repeats(**parts.settings), chances, factors, catalogue.share)


@dataclass(frozen=True, eq=False)
class RepeatScoring:
    """Scores of what is due again.

    Attributes:
        model: its settings.
        chances: `[times x gaps, lags]` the chance that it is taken again.
        factors: `[N, coarse lags]` by how much more each item is than others.
        share: `[N]` share of the training events.
        reads: the columns of events that it wants beside the items.
    """

    reads: ClassVar[tuple[str, ...]] = (BASKET,)

    model: Repeats
    chances: Floats
    factors: Floats
    share: Floats

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` chances, and below them popularity."""
        asked, which = each_once(queries)
        spells = Spells.of(Taken.of(asked))
        now = ~spells.ended
        lag = _place(LAGS, spells.length[now] + 1)  # the basket that is asked about comes after all of these
        coarse = _place(COARSE, lag)
        items = spells.items[now]
        scores: Scores = np.tile(POPULARITY_SHARE * self.share, (len(asked), 1))
        scores[spells.rows[now], items] += self.chances[spells.kind[now], lag] * self.factors[items, coarse]
        return scores[which]

    def parts(self) -> Parts:
        """Both tables, and the settings."""
        return Parts(self.model.settings(), {"chances": self.chances, "factors": self.factors})


@dataclass(frozen=True, eq=False)
class Spells:
    """What passes after each basket with an item, until its user takes the item again, or the history ends.

    Attributes:
        rows: `[P]` the history.
        items: `[P]`.
        number: `[P]` in how many baskets the user has taken the item by then.
        gap: `[P]` mean number of baskets from one of these to the next; 0 for the first.
        length: `[P]` how many baskets later the item was taken again, or how many came without it.
        ended: `[P]` whether it was taken again.
        n_items: `N`.
    """

    rows: Ints
    items: Items
    number: Ints
    gap: Floats
    length: Ints
    ended: NDArray[np.bool_]
    n_items: int

    @classmethod
    def of(cls, taken: Taken) -> Spells:
        """The spells of all items of all histories."""
        width = int(taken.baskets.max(initial=1))
        place = taken.baskets[taken.rows] - 1 - taken.ago
        keys = np.unique((taken.rows * taken.n_items + taken.items) * width + place)
        pair, basket = np.divmod(keys, width)
        first = np.ones(len(pair), dtype=bool)
        first[1:] = pair[1:] != pair[:-1]
        begin = np.flatnonzero(first)
        own = np.cumsum(first) - 1
        number = np.arange(len(pair)) - begin[own] + 1
        since = basket - basket[begin[own]]
        ended = np.zeros(len(pair), dtype=bool)
        ended[:-1] = ~first[1:]
        rows, items = np.divmod(pair, taken.n_items)
        later = np.append(basket[1:], 0)
        length = np.where(ended, later, taken.baskets[rows] - 1) - basket
        gap = since / np.maximum(number - 1, 1)
        return cls(rows, items.astype(np.int32), number, gap, length, ended, taken.n_items)

    @cached_property
    def kind(self) -> Ints:
        """`[P]` the row of the table of chances."""
        return _place(TIMES, self.number) * len(GAPS) + _place(GAPS, self.gap)


def _place(edges: NDArray[np.generic], values: NDArray[np.generic]) -> Ints:
    """The last edge that each value reaches."""
    return np.asarray(np.searchsorted(edges, values, side="right") - 1, dtype=np.int64)


def _chances(spells: Spells, pull: float) -> Floats:
    """`[times x gaps, lags]` hits over cases, each level of detail pulled towards the one above it.

    A spell of length l is a case at each of the lags 1 to l, and a hit at the last if it ended.
    """
    kinds = len(TIMES) * len(GAPS)
    length = np.minimum(spells.length, FARTHEST)
    shape = (kinds, FARTHEST + 1)
    ends = np.bincount(spells.kind * shape[1] + length, minlength=kinds * shape[1]).reshape(shape)
    cases = np.flip(np.flip(ends, axis=1).cumsum(axis=1), axis=1).astype(np.float64)
    beyond = np.bincount(spells.kind, weights=spells.length - length, minlength=kinds)
    cases[:, FARTHEST] += beyond
    again = spells.ended
    hits = np.bincount(spells.kind[again] * shape[1] + length[again], minlength=kinds * shape[1]).reshape(
        shape
    )
    table = [np.add.reduceat(one, LAGS, axis=1).reshape(len(TIMES), len(GAPS), -1) for one in (hits, cases)]
    most, by_lag = table[0].sum() / max(table[1].sum(), 1.0), [one.sum(axis=(0, 1)) for one in table]
    chance = (by_lag[0] + pull * most) / (by_lag[1] + pull)
    by_times = [one.sum(axis=1) for one in table]
    chance = (by_times[0] + pull * chance) / (by_times[1] + pull)
    chance = (table[0] + pull * chance[:, None]) / (table[1] + pull)
    return np.asarray(chance.reshape(kinds, -1), dtype=np.float64)


def _factors(spells: Spells, chances: Floats, shrinkage: float) -> Floats:
    """`[N, coarse lags]` hits of each item over those that the chances had it expected to have."""
    n = spells.n_items
    lags = np.arange(FARTHEST + 1)
    fine = np.maximum(_place(LAGS, lags), 0)
    length = np.minimum(spells.length, FARTHEST)
    expected, hits = np.zeros((n, len(COARSE))), np.zeros((n, len(COARSE)))
    for place in range(len(COARSE)):
        within = (_place(COARSE, fine) == place) & (lags > 0)
        summed = np.cumsum(chances[:, fine] * within, axis=1)
        expected[:, place] = np.bincount(spells.items, summed[spells.kind, length], minlength=n)
        here = spells.ended & within[length]
        hits[:, place] = np.bincount(spells.items[here], minlength=n)
    every = (hits.sum(axis=1) + shrinkage) / (expected.sum(axis=1) + shrinkage)
    return np.asarray((hits + shrinkage * every[:, None]) / (expected + shrinkage), dtype=np.float64)
