"""A first-order process: the last item says all that can be known of the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensue.events.simulate.process import Ints, Knowing, Source, Targets, cycle, numbered, share, whole
from ensue.events.simulate.reachable import Situations


@dataclass(frozen=True)
class MarkovSource(Source):
    """Each item has a planted successor, which follows with probability p; else any item does, all equally likely.

    The successors form one cycle through all `N` items. The first item is uniform, hence every item is at every step,
    and a history but for its last item says nothing. After any item the next one has the law

        p + (1 - p) / N  for its successor,    (1 - p) / N  for each other item,

    so, whatever the targets, with `G(k)` the sum of the metric's gains at the ranks 1..k:

        recall@k  =  p + (1 - p) k / N                  (k <= N)
        ndcg@k    =  p + (1 - p) G(k) / N,              G(k) = sum over r <= k of 1 / log2(1 + r)
        mrr@k     =  p + (1 - p) G(k) / N,              G(k) = sum over r <= k of 1 / r
        accuracy  =  p + (1 - p) / N

    One ranking for everybody reaches G(k) / N.

    Attributes:
        items: `N`.
        predictability: p; 0 is pure noise, 1 a deterministic cycle.
        planted: draws the cycle, independently of the seed of a log.

    Example:
        >>> source = MarkovSource(items=10, predictability=0.5)
        >>> round(source.optimum("recall@4"), 3)
        0.7
        >>> source.log(users=100, length=8).n_users
        100
    """

    name: ClassVar[str] = "markov"

    items: int = 50
    predictability: float = 0.8
    planted: int = 0

    def _faults(self) -> Iterator[str]:
        yield from whole("items", self.items, 2)
        yield from share("predictability", self.predictability)
        yield from whole("planted", self.planted, 0)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """`[N]` i00, i01, ..."""
        return numbered("i", self.items)

    @property
    def successor(self) -> Ints:
        """`[N]` the item that most likely follows each item."""
        return cycle(np.arange(self.items), self.items, np.random.default_rng([self.planted, 1]))

    def _draw(self, lengths: Ints, times: Ints, rng: np.random.Generator) -> Ints:
        successor = self.successor
        items = rng.integers(self.items, size=times.shape)
        follows = rng.random(times.shape) < self.predictability
        for step in range(1, times.shape[1]):
            items[:, step] = np.where(follows[:, step], successor[items[:, step - 1]], items[:, step])
        return items

    def _situations(self, knowing: Knowing, targets: Targets, length: int) -> Situations:
        follows = 0.0 if knowing == "nothing" else self.predictability
        law = np.full((1, self.items), (1 - follows) / self.items)
        law[0, 0] += follows
        return Situations(law, np.ones(1))
