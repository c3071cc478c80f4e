"""Interests that drift: at a known time other items come into fashion, and other items follow one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue.events.log import EventLog
from ensue.events.simulate.process import (
    Bools,
    Ints,
    Knowing,
    Source,
    Targets,
    cycle,
    numbered,
    raise_all,
    share,
    whole,
)
from ensue.events.simulate.reachable import Situations, Values, reached


@dataclass(frozen=True)
class DriftingSource(Source):
    """Two epochs, each with its own items in fashion and its own successors; what was learnt before grows stale.

    In each epoch F of the N items are in fashion (none of them in both), and an item drawn at random has the law
    q: s / F for each item in fashion, (1 - s) / (N - F) for each other one. The successors form a cycle through the
    items in fashion and another through the rest, so q is the law of the events at every step of the epoch. The next
    item is the successor with probability p, else it is drawn from q; the first event of a user, and a user's first
    event after the change, are drawn from q. So, given the last item, for targets in the epoch of the event before,

        p [item is the successor] + (1 - p) q[item],

    the same for both epochs. The last item is in fashion with probability s, so if the successor comes first and items
    in fashion next (p is not tiny, s / F >= (1 - s) / (N - F)), for k <= F:

        recall@k  =  p + (1 - p) [ s^2 / F + (1 - s)^2 / (N - F) + (k - 1) s / F ]

    and the other metrics alike, by the sum over ranks. One up-to-date ranking for everybody reaches k s / F.

    A model that weighs all of the past alike sees a mixture: with the share w of what it saw from before the change,
    popularity ranks by w q_before + (1 - w) q_after, and after the last item i a Markov chain ranks j by

        w q_before[i] P_before[i, j] + (1 - w) q_after[i] P_after[i, j].

    `all_time_popularity` and `all_time_first_order` are what these rankings reach after the change, given so many
    events that chance leaves them in this order.

    Attributes:
        items: N.
        in_fashion: F, at most N / 2.
        fashion: s.
        predictability: p.
        change: share of all events of a log that lie before the change.
        planted: draws the fashions and the successors.

    Example:
        >>> source = DriftingSource()
        >>> source.all_time_popularity("recall@10") < source.best_popularity("recall@10") < source.optimum(
        ...     "recall@10"
        ... )
        True
    """

    name: ClassVar[str] = "drifting"
    users: ClassVar[int] = 2000
    length: ClassVar[int] = 40

    items: int = 60
    in_fashion: int = 15
    fashion: float = 0.5
    predictability: float = 0.6
    change: float = 0.75
    planted: int = 0

    def _faults(self) -> Iterator[str]:
        found = [*whole("items", self.items, 3), *whole("in_fashion", self.in_fashion, 1)]
        yield from found
        if not found and 2 * self.in_fashion > self.items:
            yield f"in_fashion is {self.in_fashion}, and must be at most half of the {self.items} items"
        yield from share("fashion", self.fashion)
        yield from share("predictability", self.predictability)
        yield from share("change", self.change, inside=True)
        yield from whole("planted", self.planted, 0)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """`[N]` i00, i01, ..."""
        return numbered("i", self.items)

    @property
    def fashions(self) -> Bools:
        """`[2, N]` which items are in fashion before and after the change."""
        shuffled = np.random.default_rng([self.planted, 3]).permutation(self.items)
        fashions = np.zeros((2, self.items), dtype=bool)
        fashions[0, shuffled[: self.in_fashion]] = True
        fashions[1, shuffled[self.in_fashion : 2 * self.in_fashion]] = True
        return fashions

    @property
    def successors(self) -> Ints:
        """`[2, N]` the item that most likely follows each item, before and after the change."""
        rng = np.random.default_rng([self.planted, 4])
        return np.stack(
            [
                np.maximum(
                    cycle(np.flatnonzero(fashion), self.items, rng),
                    cycle(np.flatnonzero(~fashion), self.items, rng),
                )
                for fashion in self.fashions
            ]
        )

    @property
    def popularity(self) -> Values:
        """`[2, N]` the law q of a random item, before and after the change."""
        rest = self.items - self.in_fashion
        return np.where(self.fashions, self.fashion / self.in_fashion, (1 - self.fashion) / rest)

    def changed_at(self, log: EventLog) -> datetime:
        """The time of the first event after the change, in a log of this source."""
        moment: datetime = log.frame["time"].sort()[int(self.change * log.n_events)]
        return moment

    def all_time_first_order(self, metric: str, *, seen: float = 0.9) -> float:
        """What a Markov chain reaches after the change, if it was fitted on all that came before.

        Args:
            metric: as for `optimum`.
            seen: share of the log, from its beginning, that it was fitted on.
        """
        before = self._share_before(seen)
        past, now = self._transitions(0), self._transitions(1)
        old, new = self.popularity
        mixed = before * old[:, None] * past + (1 - before) * new[:, None] * now
        return reached(metric, Situations(now, new), mixed)

    def all_time_popularity(self, metric: str, *, seen: float = 0.9) -> float:
        """What popularity reaches after the change, if it was counted on all that came before.

        Args:
            metric: as for `optimum`.
            seen: share of the log, from its beginning, that was counted.
        """
        before = self._share_before(seen)
        old, new = self.popularity
        return reached(metric, Situations(new[None], np.ones(1)), (before * old + (1 - before) * new)[None])

    def _share_before(self, seen: float) -> float:
        raise_all(self.name, list(share("seen", seen)) if seen else ["seen is 0, and must be above it"])
        return min(self.change / seen, 1.0)

    def _transitions(self, epoch: int) -> NDArray[np.float64]:
        """`[N, N]` law of the next item after each item."""
        law = np.broadcast_to(
            (1 - self.predictability) * self.popularity[epoch], (self.items, self.items)
        ).copy()
        law[np.arange(self.items), self.successors[epoch]] += self.predictability
        return law

    def _draw(self, lengths: Ints, times: Ints, rng: np.random.Generator) -> Ints:
        users, steps = times.shape
        happened = np.sort(times[np.arange(steps) < lengths[:, None]])
        epoch = (times >= happened[int(self.change * len(happened))]).astype(np.int64)
        fresh = self._fresh(epoch, rng)
        follows = rng.random((users, steps)) < self.predictability
        follows[:, 1:] &= epoch[:, 1:] == epoch[:, :-1]
        successors, items = self.successors, fresh
        for step in range(1, steps):
            after = successors[epoch[:, step], items[:, step - 1]]
            items[:, step] = np.where(follows[:, step], after, items[:, step])
        return items

    def _fresh(self, epoch: Ints, rng: np.random.Generator) -> Ints:
        """`[U, T]` items drawn from the law q of each step's epoch."""
        laws = self.popularity
        return np.where(
            epoch == 0,
            rng.choice(self.items, size=epoch.shape, p=laws[0]),
            rng.choice(self.items, size=epoch.shape, p=laws[1]),
        )

    def _situations(self, knowing: Knowing, targets: Targets, length: int) -> Situations:
        law = self.popularity[1]
        if knowing == "nothing":
            return Situations(law[None], np.ones(1))
        return Situations(self._transitions(1), law)
