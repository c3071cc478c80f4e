"""A process in which what comes next was decided long ago, and the steps in between say nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue.events.simulate.process import MOST, Ints, Knowing, Source, Targets, numbered, share, whole
from ensue.events.simulate.reachable import Situations

KEY, NOISE, CUE, ANSWER = range(4)
"""The kinds of step."""


@dataclass(frozen=True)
class LongRangeSource(Source):
    """Two keys at the beginning decide, in their order, the two answers that end every later block of steps.

    A history of n events, with d the distance, K keys and M noise items:

        2 keys · r noise · one block or more, each of  d - 3 noise · the cue · 2 answers        r = (n - 2) mod d

    Keys and noise are uniform and independent. The first answer of a block is the one that belongs to the first key
    with probability p, else any answer; the second likewise for the second key ("answer-3" belongs to "key-3").
    The nearest events that tell anything of an answer, a key or an earlier answer to the same key, lie exactly d
    steps back in later blocks, and d + r in the first one. The last two events of every history are answers, so
    leave-last-out validates and tests on answers, with answers to the same keys in training unless n < 2 + 2d.

    Last targets (always the second answer, after the first). Knowing the history, the law is p + (1 - p) / K for the
    right answer and (1 - p) / K for each other one; knowing the last item only, or nothing, it is 1 / K for each
    answer. With G(k) the sum of the metric's gains at the ranks 1..min(k, K), and gain 1 at rank 1:

        optimum           =  p + (1 - p) G(k) / K        recall@k: p + (1 - p) min(k, K) / K
        best first order  =  best popularity  =  G(k) / K

    Successive targets mix steps of all kinds. Step by step, the history tells which kind comes next (but within the
    first stretch of noise, whose length it does not know), and given the kind: a key has the law 1 / K, noise 1 / M,
    the cue 1, an answer that above. The score is the exact mean over the steps of a user, then over the lengths n,
    which are uniform: a finite sum, evaluated as it stands.

    Attributes:
        keys: K, as many keys as answers.
        noise: M.
        distance: d, steps between a key and its answers.
        predictability: p.

    Example:
        >>> source = LongRangeSource(keys=16, predictability=0.9)
        >>> round(source.optimum("recall@10"), 4), source.best_first_order("recall@10")
        (0.9625, 0.625)

    References:
        Hochreiter, Schmidhuber, "Long short-term memory", 1997, sections 5.2 and 5.6, pose tasks of this kind.
    """

    name: ClassVar[str] = "long-range"
    users: ClassVar[int] = 2000
    length: ClassVar[int] = 50

    keys: int = 16
    noise: int = 12
    distance: int = 10
    predictability: float = 0.9

    def _faults(self) -> Iterator[str]:
        yield from whole("keys", self.keys, 2)
        yield from whole("noise", self.noise, 1)
        yield from whole("distance", self.distance, 3, MOST // 2)
        yield from share("predictability", self.predictability)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """`[N]` keys, noise, the cue, answers: N = 2 K + M + 1."""
        return (
            *numbered("key-", self.keys),
            *numbered("noise-", self.noise),
            "cue",
            *numbered("answer-", self.keys),
        )

    def _length_faults(self, length: int) -> Iterator[str]:
        return whole("length", length, 2 + self.distance, MOST)

    def _lengths(self, length: int) -> Ints:
        return np.arange(max(-(-length // 2), 2 + self.distance), length + 1, dtype=np.int64)

    def _kinds(self, lengths: Ints, steps: int) -> Ints:
        """`[U, T]` the kind of each step of histories of the given lengths."""
        step = np.arange(steps)
        from_end = lengths[:, None] - 1 - step
        in_block = self.distance - 1 - from_end % self.distance
        kinds = np.full(from_end.shape, NOISE, dtype=np.int64)
        kinds[in_block == self.distance - 3] = CUE
        kinds[in_block >= self.distance - 2] = ANSWER
        extra = step < 2 + (lengths[:, None] - 2) % self.distance
        kinds[extra] = NOISE
        kinds[:, :2] = KEY
        return kinds

    def _draw(self, lengths: Ints, times: Ints, rng: np.random.Generator) -> Ints:
        kinds = self._kinds(lengths, times.shape[1])
        keys = rng.integers(self.keys, size=(len(lengths), 2))
        items = self.keys + rng.integers(self.noise, size=times.shape)
        items[:, :2] = keys
        items[kinds == CUE] = self.keys + self.noise
        second = (lengths[:, None] - 1 - np.arange(times.shape[1])) % self.distance == 0
        asked = np.where(second, keys[:, 1:], keys[:, :1])
        by_chance = rng.random(times.shape) >= self.predictability
        answers = np.where(by_chance, rng.integers(self.keys, size=times.shape), asked)
        answering = kinds == ANSWER
        items[answering] = self.keys + self.noise + 1 + answers[answering]
        return items

    def _situations(self, knowing: Knowing, targets: Targets, length: int) -> Situations:
        lengths = self._lengths(length)
        kinds = self._kinds(lengths, length)
        step = np.broadcast_to(np.arange(length), kinds.shape)
        of_user = 1 / (lengths - 1) if targets == "successive" else np.ones(len(lengths))
        wanted = (step >= 1) & (step < lengths[:, None])
        if targets == "last":
            wanted &= step == lengths[:, None] - 1
        weight = np.broadcast_to((of_user / len(lengths))[:, None], kinds.shape)
        told = self._told(knowing, kinds)
        mix = np.zeros((int(told.max()) + 1, 4))
        np.add.at(mix, (told[wanted], kinds[wanted]), weight[wanted])
        weights = mix.sum(axis=1)
        mix, weights = mix[weights > 0], weights[weights > 0]
        follows = self.predictability if knowing == "history" else 0.0
        return Situations(mix / weights[:, None] @ self._law_of_kinds(follows), weights / weights.sum())

    def _told(self, knowing: Knowing, kinds: Ints) -> Ints:
        """`[U, T]` a number for all that is known of the kind of a step before it is seen."""
        if knowing == "nothing":
            return np.zeros_like(kinds)
        if knowing == "last item":
            return np.roll(kinds, 1, axis=1)
        step = np.broadcast_to(np.arange(kinds.shape[1]), kinds.shape)
        cues_before = np.cumsum(kinds == CUE, axis=1) - (kinds == CUE)
        return np.where(cues_before == 0, 4 + step, kinds)

    def _law_of_kinds(self, follows: float) -> NDArray[np.float64]:
        """`[4, N]` the law of the item given its kind; of the answers, the right one is the first."""
        k, m = self.keys, self.noise
        law = np.zeros((4, 2 * k + m + 1))
        law[KEY, :k] = 1 / k
        law[NOISE, k : k + m] = 1 / m
        law[CUE, k + m] = 1.0
        law[ANSWER, k + m + 1 :] = (1 - follows) / k
        law[ANSWER, k + m + 1] += follows
        return law
