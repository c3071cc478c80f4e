"""Noise: some items are more popular than others, and there is nothing else to find."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensue.events.simulate.process import Ints, Knowing, Source, Targets, numbered, positive, whole
from ensue.events.simulate.reachable import Situations, Values


@dataclass(frozen=True)
class OrderlessSource(Source):
    """Every event is drawn from one law of popularity, independently of users, times and all that came before.

    The i-th most popular item has the probability `q[i] = i^-s / (sum over j of j^-s)` (Zipf's law), so the best of
    all rankings, whatever is known of the history, is by popularity:

        recall@k = q[1] + ... + q[k],   ndcg@k = sum over r <= k of q[r] / log2(1 + r),   accuracy = q[1].

    A model that scores above it on a large test has seen the answers.

    Attributes:
        items: `N`.
        skew: s; 0 makes all items equally popular.
        planted: draws which item has which popularity.

    Example:
        >>> OrderlessSource(items=3, skew=1.0).optimum("accuracy") == 1 / (1 + 1 / 2 + 1 / 3)
        True
    """

    name: ClassVar[str] = "orderless"

    items: int = 100
    skew: float = 1.0
    planted: int = 0

    def _faults(self) -> Iterator[str]:
        yield from whole("items", self.items, 2)
        yield from positive("skew", self.skew)
        yield from whole("planted", self.planted, 0)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """`[N]` i00, i01, ..."""
        return numbered("i", self.items)

    @property
    def popularity(self) -> Values:
        """`[N]` probability of each item."""
        weights = np.arange(1, self.items + 1, dtype=np.float64) ** -self.skew
        shuffled: Values = np.random.default_rng([self.planted, 2]).permutation(weights / weights.sum())
        return shuffled

    def _draw(self, lengths: Ints, times: Ints, rng: np.random.Generator) -> Ints:
        return rng.choice(self.items, size=times.shape, p=self.popularity)

    def _situations(self, knowing: Knowing, targets: Targets, length: int) -> Situations:
        return Situations(self.popularity[None], np.ones(1))
