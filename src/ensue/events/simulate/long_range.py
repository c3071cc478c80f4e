"""A process in which what comes next was decided long ago, and the steps in between say nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue.events.simulate.process import Ints, Knowing, Source, Targets, numbered, share, whole
from ensue.events.simulate.reachable import Situations

KEY, AGAIN, NOISE, CUE, ANSWER = range(5)
"""The kinds of step; AGAIN is a key that was stated before."""

MOST = 2000
"""The longest history: the closed forms look at all lengths up to it."""


@dataclass(frozen=True)
class LongRangeSource(Source):
    """Each user has two keys, which decide two answers that come ten or more unpredictable steps later, in their order.

    A history is a row of blocks, at least two. With d the distance, K keys and M noise items, a block is

        2 keys · d - 3 noise · the cue · 2 answers        (d + 2 steps)

    with the keys the same in all blocks of a user, and the noise of the first block longer by r, 0 <= r < d + 2.
    Keys and noise are uniform and independent. The first answer is the one that belongs to the first key with
    probability p, else any answer; the second likewise for the second key ("answer-3" belongs to "key-3"). The
    nearest event that tells anything of an answer is its key, d steps back (d + r in the first block). The last two
    events of every history are answers, so leave-last-out validates and tests on answers, and the answers of the
    user's earlier blocks are in training.

    *Last targets* are second answers. Knowing the history, the right answer has the law p + (1 - p) / K, each other
    one (1 - p) / K; knowing the last item alone, or nothing, each has 1 / K. With G(k) the sum of the metric's
    gains at the ranks 1..min(k, K), of which the first is 1:

        optimum                               =  p + (1 - p) G(k) / K       (recall@k: G(k) = min(k, K))
        best first order  =  best popularity  =  G(k) / K

    *Successive targets* mix steps of all kinds. The history tells which kind comes next, but within the noise of the
    first block, whose length nobody knows; given the kind, a key of the first block has the law 1 / K, one stated
    again 1, noise 1 / M, the cue 1, and an answer that above. The score is the exact mean over the steps of a
    user, then over the lengths of histories, which are equally likely: a finite sum, evaluated as it stands.

    Attributes:
        keys: K; there are as many answers.
        noise: M.
        distance: d.
        predictability: p.

    Example:
        >>> source = LongRangeSource(keys=16, predictability=0.9)
        >>> round(source.optimum("recall@10"), 4), source.best_first_order("recall@10")
        (0.9625, 0.625)

    References:
        Hochreiter, Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, section 5, poses tasks of
        this kind.
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
        yield from whole("distance", self.distance, 3, MOST // 2 - 2)
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

    @property
    def block(self) -> int:
        """Steps of a block, but for the first one's longer noise."""
        return self.distance + 2

    def _length_faults(self, length: int) -> Iterator[str]:
        yield from whole(f"length (two blocks of {self.block} steps or more)", length, 2 * self.block, MOST)

    def _lengths(self, length: int) -> Ints:
        return np.arange(max(-(-length // 2), 2 * self.block), length + 1, dtype=np.int64)

    def _kinds(self, lengths: Ints, steps: int) -> Ints:
        """`[U, T]` the kind of each step of histories of the given lengths `[U]`."""
        step = np.arange(steps)
        to_end = (lengths[:, None] - 1 - step) % self.block
        kinds = np.full(to_end.shape, NOISE, dtype=np.int64)
        kinds[to_end >= self.distance] = AGAIN
        kinds[to_end == 2] = CUE
        kinds[to_end < 2] = ANSWER
        kinds[step < 2 + lengths[:, None] % self.block] = NOISE
        kinds[:, :2] = KEY
        return kinds

    def _draw(self, lengths: Ints, times: Ints, rng: np.random.Generator) -> Ints:
        kinds = self._kinds(lengths, times.shape[1])
        keys = rng.integers(self.keys, size=(len(lengths), 2))
        to_end = (lengths[:, None] - 1 - np.arange(times.shape[1])) % self.block
        right = np.where((to_end == 0) | (to_end == self.distance), keys[:, 1:], keys[:, :1])
        right[:, :2] = keys
        by_chance = rng.random(times.shape) >= self.predictability
        answers = np.where(by_chance, rng.integers(self.keys, size=times.shape), right)
        items = self.keys + rng.integers(self.noise, size=times.shape)
        items = np.where(kinds <= AGAIN, right, items)
        items = np.where(kinds == CUE, self.keys + self.noise, items)
        return np.where(kinds == ANSWER, self.keys + self.noise + 1 + answers, items)

    def _situations(self, knowing: Knowing, targets: Targets, length: int) -> Situations:
        lengths = self._lengths(length)
        kinds = self._kinds(lengths, length)
        step = np.broadcast_to(np.arange(length), kinds.shape)
        first = lengths - 1 if targets == "last" else np.ones_like(lengths)
        wanted = (step >= first[:, None]) & (step < lengths[:, None])
        weight = np.broadcast_to(1 / (lengths - first)[:, None], kinds.shape)
        told = self._told(knowing, kinds)
        mix = np.zeros((int(told.max()) + 1, 5))
        np.add.at(mix, (told[wanted], kinds[wanted]), weight[wanted])
        mix = mix[mix.any(axis=1)]
        weights = mix.sum(axis=1)
        laws = mix / weights[:, None] @ self._law_of_kinds(knowing == "history")
        return Situations(laws, weights / weights.sum())

    def _told(self, knowing: Knowing, kinds: Ints) -> Ints:
        """`[U, T]` a number for all that is known of the kind of a step before it is seen."""
        if knowing == "nothing":
            return np.zeros_like(kinds)
        if knowing == "last item":
            seen = np.where(kinds == AGAIN, KEY, kinds)
            return np.roll(seen, 1, axis=1)
        step = np.arange(kinds.shape[1])
        cues = kinds == CUE
        return np.where(np.cumsum(cues, axis=1) > cues, kinds, 5 + step)

    def _law_of_kinds(self, keys_known: bool) -> NDArray[np.float64]:
        """`[5, N]` the law of the item given its kind; by symmetry, the user's key may be taken to be the first."""
        k, m = self.keys, self.noise
        follows = self.predictability if keys_known else 0.0
        law = np.zeros((5, 2 * k + m + 1))
        law[KEY, :k] = 1 / k
        law[AGAIN, :k] = [1.0, *[0.0] * (k - 1)] if keys_known else 1 / k
        law[NOISE, k : k + m] = 1 / m
        law[CUE, k + m] = 1.0
        law[ANSWER, k + m + 1 :] = (1 - follows) / k
        law[ANSWER, k + m + 1] += follows
        return law
