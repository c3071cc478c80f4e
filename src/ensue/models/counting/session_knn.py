"""Session kNN: what others took who took the same things of late. V-SKNN and STAN."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints, Items, ranges
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError
from ensue.model import Conditions, Model, Training
from ensue.models.counting.session_index import LONGEST, Pairs, Recent, SessionIndex, blocks
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.sequences import MISSING_TIME, Queries
from ensue.spaces import OneOf, Real, Space, Whole

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

    With an objective, neighbours are found by all events, and an item of theirs counts as much as its event in the
    sequence counts as a target.

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
    space: ClassVar[Space] = {
        "neighbours": Whole(50, 1000, log=True),
        "sample": Whole(500, 5000, log=True),
        "last": Whole(1, 30),
        "decay": Real(0.0, 3.0),
        "reach": OneOf((0, 1, 3, 10, 20)),
    }

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
        index = SessionIndex.of(training.sequences, self.sample)
        scoring = VectorScoring(self, index, training.catalogue.share)
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

    With an objective, neighbours are found by all events, and an item of theirs counts as much as its event in the
    sequence counts as a target.

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
    space: ClassVar[Space] = {
        "neighbours": Whole(50, 1000, log=True),
        "sample": Whole(500, 5000, log=True),
        "last": Whole(1, 30),
        "lambda1": Real(0.5, 50.0, log=True),
        "lambda2": Real(1.0, 1000.0, log=True),
        "lambda3": Real(0.5, 50.0, log=True),
        "backward": Real(0.0, 1.0),
    }

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
        index = SessionIndex.of(training.sequences, self.sample)
        scoring = StanScoring(self, index, training.catalogue.share)
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
class Answers:
    """What some neighbours add to the scores of their items.

    Attributes:
        pairs: neighbours, history by history.
        values: `[P]` what each adds.
        starts: `[P]` place of its first item that counts.
        ends: `[P]` place after the last.
        closeness: what values are multiplied by, given how far after the shared item something stands.
    """

    pairs: Pairs
    values: Floats
    starts: Ints
    ends: Ints
    closeness: Callable[[Ints], Floats] | None = None


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
        recent = Recent.of(queries, self.model.last)
        scores: Scores = np.tile(POPULARITY_SHARE * self.share, (len(queries), 1))
        for answers in self._answering(recent):
            _add(scores, self.index, answers)
        return scores

    def contributions(self, queries: Queries, items: Items) -> tuple[Floats, Floats]:
        """What each event adds to the score of an item, and what does not hang on the history; together the score.

        What a neighbour adds is parted among the items that it shares with the history, by their weights. Of an item
        that stands in the history twice, the most recent event counts.

        Args:
            queries: `Q` histories of at least one item.
            items: `[Q]` one item for each.

        Returns:
            `[E]` parts, of all events of all histories as in `Queries.pairs`, and `[Q]` the rest.
        """
        recent = Recent.of(queries, self.model.last)
        added = _parted(self.index, items, recent, self._weights(recent), self._answering(recent))
        return _by_event(queries, self.model.last, added), POPULARITY_SHARE * self.share[items]

    def _weights(self, recent: Recent) -> Floats:
        """`[Q, L]` the weight of each item of a history."""
        left = np.maximum(recent.counts[:, None] - np.arange(self.model.last), 0) / recent.counts[:, None]
        weights: Floats = left**self.model.decay
        return weights

    def _answering(self, recent: Recent) -> Iterator[Answers]:
        """The neighbours that answer, block by block of histories."""
        model, index = self.model, self.index
        for pairs in index.neighbours(recent, self._weights(recent), model.neighbours, by_length=False):
            starts, ends = index.offsets[pairs.sequences], index.offsets[pairs.sequences + 1]
            if model.reach:
                starts, ends = pairs.places + 1, np.minimum(ends, pairs.places + 1 + model.reach)
            yield Answers(pairs, pairs.similarity, starts, ends)

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
        when_asked: it reads when the question is asked.
    """

    reads: ClassVar[tuple[str, ...]] = ("time",)
    when_asked: ClassVar[bool] = True

    model: STAN
    index: SessionIndex
    share: Floats

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` decayed similarities of the neighbours that hold each item."""
        recent = Recent.of(queries, self.model.last)
        scores: Scores = np.tile(POPULARITY_SHARE * self.share, (len(queries), 1))
        for answers in self._answering(queries, recent):
            _add(scores, self.index, answers)
        return scores

    def contributions(self, queries: Queries, items: Items) -> tuple[Floats, Floats]:
        """What each event adds to the score of an item, and what does not hang on the history; together the score.

        What a neighbour adds is parted among the items that it shares with the history, by their weights. Of an item
        that stands in the history twice, the most recent event counts.

        Args:
            queries: `Q` histories of at least one item.
            items: `[Q]` one item for each.

        Returns:
            `[E]` parts, of all events of all histories as in `Queries.pairs`, and `[Q]` the rest.
        """
        recent = Recent.of(queries, self.model.last)
        added = _parted(self.index, items, recent, self._weights(recent), self._answering(queries, recent))
        return _by_event(queries, self.model.last, added), POPULARITY_SHARE * self.share[items]

    def _weights(self, recent: Recent) -> Floats:
        """`[Q, L]` w1 of each item of a history."""
        return np.broadcast_to(np.exp(-np.arange(self.model.last) / self.model.lambda1), recent.items.shape)

    def _answering(self, queries: Queries, recent: Recent) -> Iterator[Answers]:
        """The neighbours that answer, block by block of histories."""
        model, index = self.model, self.index
        for pairs in index.neighbours(recent, self._weights(recent), model.neighbours, by_length=True):
            starts, ends = index.offsets[pairs.sequences], index.offsets[pairs.sequences + 1]
            if model.backward == 0:
                starts = pairs.places + 1
            values = pairs.similarity * self._age(queries, pairs)
            yield Answers(pairs, values, starts, ends, self._closeness)

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


def _add(scores: Scores, index: SessionIndex, answers: Answers) -> None:
    """Adds to `[Q, N]` scores, in place, what each neighbour adds to its items."""
    pairs, starts, ends = answers.pairs, answers.starts, answers.ends
    if len(pairs.rows) == 0:
        return
    first, n = int(pairs.rows[0]), index.n_items
    rows = pairs.rows - first
    costs = np.bincount(rows, np.maximum(ends - starts, 0)).astype(np.int64)
    for begin, after in blocks(costs):
        some = slice(*np.searchsorted(rows, [begin, after]))
        pair, places = ranges(starts[some], ends[some])
        values = answers.values[some][pair]
        if answers.closeness is not None:
            values = values * answers.closeness(places - pairs.places[some][pair])
        if index.weight is not None:
            values = values * index.weight[places]
        cells = (rows[some][pair] - begin) * n + index.items[places]
        found = np.bincount(cells, values, minlength=(after - begin) * n)
        scores[first + begin : first + after] += found.reshape(after - begin, n)


def _parted(
    index: SessionIndex, items: Items, recent: Recent, weights: Floats, answering: Iterator[Answers]
) -> Floats:
    """`[Q, L]` what each item of a history adds to the score of one item, all neighbours together."""
    added = np.zeros(recent.items.shape)
    for answers in answering:
        pairs = answers.pairs
        place = index.places(pairs.sequences, items[pairs.rows])
        value = np.where((place >= answers.starts) & (place < answers.ends), answers.values, 0.0)
        if answers.closeness is not None:
            value = value * answers.closeness(place - pairs.places)
        if index.weight is not None:
            value = value * index.weight[np.maximum(place, 0)]
        some = np.flatnonzero(value)
        rows = pairs.rows[some]
        own = np.maximum(weights[rows], np.finfo(np.float64).tiny)
        own = own * index.holds(recent.items[rows], pairs.sequences[some])
        np.add.at(added, rows, value[some, None] * own / own.sum(axis=1, keepdims=True))
    return added


def _by_event(queries: Queries, last: int, added: Floats) -> Floats:
    """`[E]` what belongs to each event, of what `[Q, L]` belongs to the different items at the end of a history."""
    _, new = Recent.newest(queries, last)
    rows, steps = np.nonzero(new)
    parts = np.zeros(int(queries.lengths.sum()))
    parts[np.cumsum(queries.lengths)[rows] - 1 - steps] = added[
        rows, (np.cumsum(new, axis=1) - 1)[rows, steps]
    ]
    return parts
