"""Session kNN: what others took who took the same things of late. V-SKNN and STAN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints, ranges
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError
from ensue.model import Conditions, Model, Training
from ensue.models.counting.session_index import LONGEST, Pairs, Recent, SessionIndex, blocks
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.sequences import MISSING_TIME, Queries

MICROSECONDS_A_DAY = 86_400_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class VSKNN(Model):
    """V-SKNN: the items of the training sequences that share the most recent items with the history.

    A history is the vector of its different items among the last ones, of which the j-th back of l has the weight
    `((l - j) / l)^decay`; its similarity to a training sequence is the sum of the weights of the items that both
    hold. The score of b is the sum of the similarities of the `neighbours` most similar sequences that hold b. As
    published, all items of a neighbour count (`reach=0`). In long sequences those that came soon after the most
    recent shared item tell more: `reach=r` counts the r different items after it, and no others; `reach=1` is the
    sequential filter of the paper (SF-SKNN).

    A sequence counts each of its items once, where it came last. Of the sequences that share an item, the `sample`
    that ended last are compared; without times, the last in the log. Items that no neighbour holds are ordered by
    popularity.

    A SAVED MODEL HOLDS THE TRAINING SEQUENCES (without the ids of users): personal data, to be kept as such.

    Attributes:
        neighbours: `k`, how many sequences answer.
        sample: how many sequences are compared, 0 for all.
        last: how many of the last events make the history, up to 500.
        decay: power of the linear decay of weights; 0 weighs all items alike.
        reach: how many items after the shared one count, 0 for all items of a neighbour.

    References:
        Ludewig, Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 28, 2018, section 3.2
        (S-KNN, V-SKNN, SF-SKNN).
    """

    name: ClassVar[str] = "v-sknn"
    summary: ClassVar[str] = "what others took who took the same things of late"

    neighbours: int = 200
    sample: int = 1000
    last: int = 10
    decay: float = 1.0
    reach: int = 10

    def __post_init__(self) -> None:
        _check(self.name, self.neighbours, self.sample, self.last)
        if self.reach < 0 or not 0 <= self.decay < float("inf"):
            raise ConfigError(
                f"v-sknn: reach={self.reach}, decay={self.decay:g}: both are numbers from 0 up."
            )

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The training sequences, indexed."""
        scoring = VectorScoring(
            self, SessionIndex.of(training.sequences, self.sample), training.catalogue.share
        )
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> VectorScoring:
        """The stored sequences."""
        return VectorScoring(
            VSKNN(**parts.settings), SessionIndex.restored(parts, catalogue), catalogue.share
        )


@dataclass(frozen=True)
class STAN(Model):
    """STAN: session kNN that knows the order within a history, the age of a neighbour, and the order within it.

    Similarity of a history s to a training sequence n is `sum of w1 / sqrt(|s| |n|)` over the items that both hold,
    and the score of b is the sum of `similarity x w2 x w3` over the k most similar sequences that hold b, where

        w1 = exp(-steps / lambda1)      steps: how many items came after the shared one in the history;
        w2 = exp(-days / lambda2)       days: from the end of n to the question, at least 0;
        w3 = exp(-distance / lambda3)   distance: between b and the most recent shared item, within n.

    and `backward` times that where b stands before the shared item. As published, both sides count alike
    (`backward=1`). The shared item itself gets nothing: the history knows it. A sequence counts each of its items
    once, where it came last. Of the sequences that share an item, the `sample` that ended last are compared. A
    question without a time is asked at its last event, or when training ended. If the log has no times, w2 is 1 and
    the sequences last in the log count as the newest. Items that no neighbour holds are ordered by popularity.

    A SAVED MODEL HOLDS THE TRAINING SEQUENCES (without the ids of users): personal data, to be kept as such.

    Attributes:
        neighbours: `k`, how many sequences answer.
        sample: how many sequences are compared, 0 for all.
        last: how many of the last events make the history, up to 500.
        lambda1: how fast weights fall within the history, in items.
        lambda2: how fast neighbours age, in days.
        lambda3: how fast weights fall with the distance within a neighbour, in items.
        backward: weight of what came before the shared item, from 0 (only what came after it counts) to 1.

    References:
        Garg, Gupta, Malhotra, Vig, Shroff, "Sequence and time aware neighborhood for session-based recommendations:
        STAN", SIGIR 2019, section 3.
    """

    name: ClassVar[str] = "stan"
    summary: ClassVar[str] = "what others took next who took the same things of late, the newest first"

    neighbours: int = 100
    sample: int = 1000
    last: int = 10
    lambda1: float = 8.0
    lambda2: float = 100.0
    lambda3: float = 8.0
    backward: float = 0.5

    def __post_init__(self) -> None:
        _check(self.name, self.neighbours, self.sample, self.last)
        for name in ("lambda1", "lambda2", "lambda3"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"stan: {name}={getattr(self, name):g} must be above 0; inf takes no decay at all."
                )
        if not 0 <= self.backward <= 1:
            raise ConfigError(f"stan: backward={self.backward:g} must lie from 0 to 1.")

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The training sequences, indexed."""
        scoring = StanScoring(
            self, SessionIndex.of(training.sequences, self.sample), training.catalogue.share
        )
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> StanScoring:
        """The stored sequences."""
        return StanScoring(STAN(**parts.settings), SessionIndex.restored(parts, catalogue), catalogue.share)


def _check(name: str, neighbours: int, sample: int, last: int) -> None:
    if neighbours < 1 or sample < 0 or not 1 <= last <= LONGEST:
        raise ConfigError(
            f"{name}: neighbours={neighbours}, sample={sample}, last={last}: neighbours is at least 1, "
            f"sample at least 0 (which takes all), last from 1 to {LONGEST}."
        )


@dataclass(frozen=True, eq=False)
class VectorScoring:
    """Scores of V-SKNN.

    Attributes:
        model: its settings.
        index: the training sequences.
        share: `[N]` share of the training events.
    """

    model: VSKNN
    index: SessionIndex
    share: Floats

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` summed similarities of the neighbours that hold each item."""
        model, index = self.model, self.index
        recent = Recent.of(queries, model.last)
        steps = np.arange(model.last)
        left = np.maximum(recent.counts[:, None] - steps, 0) / recent.counts[:, None]
        scores: Scores = np.tile(POPULARITY_SHARE * self.share, (len(queries), 1))
        for pairs in index.neighbours(recent, left**model.decay, model.neighbours, by_length=False):
            starts, ends = index.offsets[pairs.sequences], index.offsets[pairs.sequences + 1]
            if model.reach:
                starts, ends = pairs.places + 1, np.minimum(ends, pairs.places + 1 + model.reach)
            _add(scores, index, pairs, pairs.similarity, starts, ends)
        return scores

    def parts(self) -> Parts:
        """The training sequences and the settings."""
        return self.index.parts(self.model.settings())


@dataclass(frozen=True, eq=False)
class StanScoring:
    """Scores of STAN.

    Attributes:
        model: its settings.
        index: the training sequences.
        share: `[N]` share of the training events.
        reads: the columns of events that it wants beside the items.
    """

    reads: ClassVar[tuple[str, ...]] = ("time",)

    model: STAN
    index: SessionIndex
    share: Floats

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` decayed similarities of the neighbours that hold each item."""
        model, index = self.model, self.index
        recent = Recent.of(queries, model.last)
        decayed = np.broadcast_to(np.exp(-np.arange(model.last) / model.lambda1), recent.items.shape)
        scores: Scores = np.tile(POPULARITY_SHARE * self.share, (len(queries), 1))
        for pairs in index.neighbours(recent, decayed, model.neighbours, by_length=True):
            starts, ends = index.offsets[pairs.sequences], index.offsets[pairs.sequences + 1]
            if model.backward == 0:
                starts = pairs.places + 1
            weights = pairs.similarity * self._age(queries, pairs)
            _add(scores, index, pairs, weights, starts, ends, self._closeness)
        return scores

    def _closeness(self, distance: Ints) -> Floats:
        """w3 of items so many places after the shared one."""
        sides = np.array([self.model.backward, 0.0, 1.0])[np.sign(distance) + 1]
        closeness: Floats = sides * np.exp(-np.abs(distance) / self.model.lambda3)
        return closeness

    def _age(self, queries: Queries, pairs: Pairs) -> Floats:
        """`[P]` w2, divided by that of the newest neighbour: the same ranking, and no underflow after a long time."""
        ended = self.index.ended
        if ended is None or len(pairs.rows) == 0:
            return np.ones(len(pairs.rows))
        asked = np.full(len(pairs.rows), MISSING_TIME) if queries.at is None else queries.at[pairs.rows]
        if queries.time is not None:
            asked = np.where(asked == MISSING_TIME, queries.time[queries.ends[pairs.rows] - 1], asked)
        asked = np.where(asked == MISSING_TIME, ended[-1], asked)
        days = np.maximum(asked - ended[pairs.sequences], 0) / MICROSECONDS_A_DAY
        first = np.flatnonzero(np.diff(pairs.rows, prepend=-1))
        newest = np.minimum.reduceat(days, first)
        weights: Floats = np.exp(
            -(days - np.repeat(newest, np.diff(first, append=len(days)))) / self.model.lambda2
        )
        return weights

    def parts(self) -> Parts:
        """The training sequences and the settings."""
        return self.index.parts(self.model.settings())


def _add(
    scores: Scores,
    index: SessionIndex,
    pairs: Pairs,
    weights: Floats,
    starts: Ints,
    ends: Ints,
    closeness: Callable[[Ints], Floats] | None = None,
) -> None:
    """Adds to `[Q, N]` scores the weight of each neighbour, for its items at `starts..ends`.

    Args:
        scores: changed in place.
        index: the training sequences.
        pairs: neighbours, history by history.
        weights: `[P]` of each neighbour.
        starts: `[P]` place of its first item that counts.
        ends: `[P]` place after the last.
        closeness: what weights are multiplied by, given how far after the shared item something stands.
    """
    if len(pairs.rows) == 0:
        return
    first, n = int(pairs.rows[0]), index.n_items
    rows = pairs.rows - first
    costs = np.bincount(rows, np.maximum(ends - starts, 0)).astype(np.int64)
    for begin, after in blocks(costs):
        some = slice(*np.searchsorted(rows, [begin, after]))
        pair, places = ranges(starts[some], ends[some])
        values = weights[some][pair]
        if closeness is not None:
            values = values * closeness(places - pairs.places[some][pair])
        cells = (rows[some][pair] - begin) * n + index.items[places]
        found = np.bincount(cells, values, minlength=(after - begin) * n)
        scores[first + begin : first + after] += found.reshape(after - begin, n)
