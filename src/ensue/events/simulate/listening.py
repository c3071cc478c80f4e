"""Listening with repeats: tracks come again after gaps of their own, the sooner the more often they were heard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensue.events.simulate.process import Ints, Knowing, Source, Targets, numbered, positive, whole
from ensue.events.simulate.reachable import Situations, Values

SAMPLED = {"last": 1000, "successive": 100}
"""How many listeners the best scores are estimated on, by what is asked."""


@dataclass(frozen=True)
class ListeningSource(Source):
    """Each track is due again a planted number of plays after it was heard; now and then anything is played.

    After a history in which track j was heard n times, and l plays ago the last time (1 is the last play), the next
    track is j with a probability in proportion to

        novelty x q[j]  +  n^loyalty x exp(-(log l - log gap[j])^2 / (2 spread^2)),     the second only if n > 0,

    q falling as a power of the rank (Zipf), gap[j] one of three planted ones. So what was heard last is not what is
    heard next: recency alone misses what is due, and a count alone when it is.

    The law hangs on the whole history, and there is no closed form of the best scores: they are means over drawn
    listeners, the same ones each time, with a standard error of about 0.01 at most (1,000 listeners for "last"
    targets, 100 with all their plays for "successive" ones). What knows less than the history is told by the mean law
    of those listeners.

    Attributes:
        items: N.
        novelty: how much of anything at all beside what is due.
        short: the least gap, in plays; a third of the tracks have it.
        middle: that of another third.
        long: that of the rest.
        spread: how far in logarithms a repeat may lie off the gap.
        loyalty: how much what was heard often counts; 0 counts everything heard alike.
        skew: the power of popularity.
        planted: draws which track has which gap.

    Example:
        >>> source = ListeningSource(items=30)
        >>> source.best_popularity("recall@5") < source.optimum("recall@5")
        True
    """

    name: ClassVar[str] = "listening"
    users: ClassVar[int] = 1000
    length: ClassVar[int] = 80

    items: int = 300
    novelty: float = 0.5
    short: float = 2.0
    middle: float = 8.0
    long: float = 25.0
    spread: float = 0.35
    loyalty: float = 0.5
    skew: float = 1.0
    planted: int = 0

    def _faults(self) -> Iterator[str]:
        yield from whole("items", self.items, 3)
        for knob in ("novelty", "short", "middle", "long", "spread"):
            found = list(positive(knob, getattr(self, knob)))
            yield from found
            if not found and getattr(self, knob) == 0:
                yield f"{knob} is 0, and must be above it"
        yield from positive("loyalty", self.loyalty)
        yield from positive("skew", self.skew)
        yield from whole("planted", self.planted, 0)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """`[N]` t00, t01, ..."""
        return numbered("t", self.items)

    @property
    def gaps(self) -> Values:
        """`[N]` after how many plays each track is due again."""
        three = np.array([self.short, self.middle, self.long], dtype=np.float64)
        return three[np.random.default_rng([self.planted, 9]).permutation(self.items) % 3]

    @property
    def popularity(self) -> Values:
        """`[N]` the law q of a track that is not due."""
        weights = np.arange(1, self.items + 1, dtype=np.float64) ** -self.skew
        return np.asarray(weights / weights.sum(), dtype=np.float64)

    def law(self, heard: Ints, ago: Ints) -> Values:
        """`[U, N]` the probabilities of the next track.

        Args:
            heard: `[U, N]` how often each track was heard.
            ago: `[U, N]` how many plays ago the last time, 1 for the last play; of no meaning where never.
        """
        off = np.log(np.maximum(ago, 1)) - np.log(self.gaps)
        due = np.exp(-(off**2) / (2 * self.spread**2)) * np.maximum(heard, 1) ** self.loyalty
        weights = self.novelty * self.popularity + np.where(heard > 0, due, 0.0)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)

    def _draw(self, lengths: Ints, times: Ints, rng: np.random.Generator) -> Ints:
        return np.stack([items for items, _ in self._played(times.shape[0], times.shape[1], rng)], axis=1)

    def _played(self, users: int, steps: int, rng: np.random.Generator) -> Iterator[tuple[Ints, Values]]:
        """For each step, the tracks of all users and the laws that they were drawn from."""
        heard, last = (
            np.zeros((users, self.items), dtype=np.int64),
            np.zeros((users, self.items), dtype=np.int64),
        )
        rows = np.arange(users)
        for step in range(steps):
            law = self.law(heard, step - last)
            drawn = rng.random((users, 1)) < np.cumsum(law, axis=1)
            drawn[:, -1] = True
            items = drawn.argmax(axis=1)
            heard[rows, items] += 1
            last[rows, items] = step
            yield items, law

    def _situations(self, knowing: Knowing, targets: Targets, length: int) -> Situations:
        users = SAMPLED[targets]
        rng = np.random.default_rng([self.planted, 10])
        lengths = rng.choice(self._lengths(length), size=users)
        laws, before, weights = [], [], []
        items = np.full(users, -1, dtype=np.int64)
        for step, (played, law) in enumerate(self._played(users, int(lengths.max()), rng)):
            asked = np.flatnonzero(
                lengths == step + 1 if targets == "last" else (step > 0) & (step < lengths)
            )
            laws.append(law[asked])
            before.append(items[asked])
            weights.append(1.0 / (np.ones(len(asked)) if targets == "last" else lengths[asked] - 1))
            items = played
        found, weight = np.concatenate(laws), np.concatenate(weights)
        weight /= weight.sum()
        if knowing == "history":
            return Situations(found, weight)
        known = np.concatenate(before) if knowing == "last item" else np.zeros(len(found), dtype=np.int64)
        present, group = np.unique(known, return_inverse=True)
        mean, shared = np.zeros((len(present), self.items)), np.bincount(group, weight).astype(np.float64)
        np.add.at(mean, group, found * weight[:, None])
        return Situations(mean / shared[:, None], shared)
