"""The sources: frozen dataclasses, each a law of what comes next, with its optimum.

In all of them the items that can come next have known probabilities, `p_1 >= p_2 >= ...`; the best ranking lists them in
that order, so that with full ranking and without exclusion of seen items, for one target,

    recall@k = sum over j <= k of p_j,   NDCG@k = sum over j <= k of p_j / log2(1 + j),   MRR@k = sum of p_j / j.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.errors import ConfigError
from ensue.events.log import EventLog

Probabilities = NDArray[np.float64]
Draws = NDArray[np.int64]

BEGIN = 1_600_000_000
"""The first second of a simulated log, Unix time (2020-09-13)."""

_GAINS: dict[str, Callable[[Probabilities], Probabilities]] = {
    "recall": np.ones_like,
    "hit": np.ones_like,
    "ndcg": lambda rank: 1 / np.log2(1 + rank),
    "mrr": np.reciprocal,
}


def best_score(metric: str, probabilities: Probabilities) -> float:
    """The expected value of a metric for one target, if items are ranked by their true probabilities.

    Args:
        metric: "recall@k", "hit@k", "ndcg@k", "mrr@k", or "accuracy" (k = 1).
        probabilities: `[N]` of each item to come next, in any order; they sum to 1.

    Raises:
        ConfigError: the metric has no closed form here.
    """
    name, _, cut = ("recall@1" if metric == "accuracy" else metric).partition("@")
    if name not in _GAINS or not cut.isdigit() or int(cut) < 1:
        raise ConfigError(f"No optimum is known for '{metric}': take accuracy, recall@k, ndcg@k or mrr@k.")
    best = np.sort(probabilities)[::-1][: int(cut)]
    return float((best * _GAINS[name](np.arange(1.0, len(best) + 1))).sum())


@dataclass(frozen=True)
class Source(ABC):
    """A law of what comes next."""

    name: ClassVar[str]

    @abstractmethod
    def draws(self, users: int, length: int, rng: np.random.Generator) -> Draws:
        """`[users, T]` item numbers, one row a user."""

    @abstractmethod
    def item(self, numbers: Draws) -> list[str]:
        """Ids of item numbers."""

    @abstractmethod
    def optimum(self, metric: str) -> float:
        """The best expected value of a metric on the targets that the source is made for."""

    def log(self, users: int = 500, length: int = 30, seed: int = 0) -> EventLog:
        """A log of this source; same seed, same log.

        Every step lies in a second of its own, and users take turns, so that a global temporal split cuts all of them.

        Raises:
            ConfigError: there is no user, or fewer than two events each.
        """
        if users < 1 or length < 2:
            raise ConfigError(f"users={users}, length={length}: a log needs a user, and two events of each.")
        drawn = self.draws(users, length, np.random.default_rng(seed))
        steps = drawn.shape[1]
        number = np.arange(int(drawn.max()) + 1)
        ids = pl.Series(self.item(number), dtype=pl.String)
        user = pl.Series([f"user{u}" for u in range(users)], dtype=pl.String)
        seconds = BEGIN + np.arange(steps)[None, :] * users * 60 + np.arange(users)[:, None] * 60
        frame = pl.DataFrame(
            {
                "user": user.gather(np.repeat(np.arange(users), steps)),
                "item": ids.gather(drawn.ravel()),
                "time": pl.from_epoch(pl.Series(seconds.ravel()), "s").cast(pl.Datetime("us", "UTC")),
            }
        )
        return EventLog.of(frame)


def _share(source: Source, name: str) -> None:
    value = getattr(source, name)
    if not 0 <= value <= 1:
        raise ConfigError(f"{source.name}: {name}={value:g} must lie between 0 and 1.")


def _at_least(source: Source, name: str, least: int) -> None:
    value = getattr(source, name)
    if value < least:
        raise ConfigError(f"{source.name}: {name}={value} must be at least {least}.")


@dataclass(frozen=True)
class MarkovSource(Source):
    """Each item has one successor, on a cycle through all of them; what comes next depends on the last item alone.

    With probability `predictability` the successor comes, else any item, evenly. So `p_1 = s + (1 - s) / N` and all
    others `(1 - s) / N`: 0 is noise, 1 a deterministic cycle.

    Attributes:
        items: `N`.
        predictability: `s`.
        shuffle: seed of the cycle itself.
    """

    name: ClassVar[str] = "markov"

    items: int = 50
    predictability: float = 0.7
    shuffle: int = 0

    def __post_init__(self) -> None:
        _share(self, "predictability")
        _at_least(self, "items", 2)

    def successors(self) -> Draws:
        """`[N]` the successor of each item."""
        cycle = np.random.default_rng([self.shuffle, 1]).permutation(self.items)
        successors = np.empty(self.items, dtype=np.int64)
        successors[cycle] = np.roll(cycle, -1)
        return successors

    def draws(self, users: int, length: int, rng: np.random.Generator) -> Draws:
        """Walks along the cycle, with jumps."""
        return _walk([self.successors()] * length, self.items, self.predictability, users, rng)

    def item(self, numbers: Draws) -> list[str]:
        """`item0`, `item1`, ..."""
        return [f"item{number}" for number in numbers]

    def probabilities(self) -> Probabilities:
        """`[N]` of the items to come next, the successor first."""
        return _one_likely(self.items, self.predictability)

    def optimum(self, metric: str) -> float:
        """For every target that has a predecessor."""
        return best_score(metric, self.probabilities())


@dataclass(frozen=True)
class LongRangeSource(Source):
    """What comes next was decided long before: keys at the start ask for answers many steps later.

    A user begins with two keys. Then come blocks of `distance` events: noise, a cue, the answer to the first key, the
    answer to the second. An answer is right with probability `predictability`, else any answer, evenly. The nearest
    events that tell an answer are `distance` steps back; the last item tells nothing of it.

    The targets it is made for are the last event of each user, and for validation the one before (leave one out):
    `p_1 = s + (1 - s) / K` for the right answer, `(1 - s) / K` for the `K - 1` others.

    Attributes:
        keys: `K`.
        noise: how many items noise is drawn from, evenly.
        distance: steps from what decides an answer to the answer, at least 4.
        predictability: `s`.
    """

    name: ClassVar[str] = "long-range"

    keys: int = 8
    noise: int = 12
    distance: int = 10
    predictability: float = 0.9

    def __post_init__(self) -> None:
        _share(self, "predictability")
        _at_least(self, "keys", 2)
        _at_least(self, "noise", 1)
        _at_least(self, "distance", 4)

    def draws(self, users: int, length: int, rng: np.random.Generator) -> Draws:
        """Two keys, then as many whole blocks as reach the length."""
        blocks = max(-(-(length - 2) // self.distance), 1)
        keys = rng.integers(self.keys, size=(users, 2))
        cue = 2 * self.keys + self.noise
        body = 2 * self.keys + rng.integers(self.noise, size=(users, blocks, self.distance))
        body[:, :, -3] = cue
        right = rng.random((users, blocks, 2)) < self.predictability
        other = rng.integers(self.keys, size=(users, blocks, 2))
        body[:, :, -2:] = self.keys + np.where(right, keys[:, None, :], other)
        return np.concatenate([keys, body.reshape(users, -1)], axis=1)

    def item(self, numbers: Draws) -> list[str]:
        """`key0`.., `answer0`.., `noise0`.., `cue`."""
        names = [f"key{k}" for k in range(self.keys)] + [f"answer{k}" for k in range(self.keys)]
        names += [f"noise{m}" for m in range(self.noise)] + ["cue"]
        return [names[number] for number in numbers]

    def optimum(self, metric: str) -> float:
        """For the last event of each user."""
        return best_score(metric, _one_likely(self.keys, self.predictability))

    def first_order_optimum(self, metric: str) -> float:
        """The best on the same targets of a model that knows the last item only: all answers are equally likely."""
        return best_score(metric, np.full(self.keys, 1 / self.keys))


@dataclass(frozen=True)
class DriftingSource(Source):
    """Interests drift: from one moment on, every item has another successor than before.

    Attributes:
        items: `N`.
        predictability: `s`, as in the Markov source.
        turn: the share of each user's events that lie before the change.
        shuffle: seed of both cycles.
    """

    name: ClassVar[str] = "drifting"

    items: int = 50
    predictability: float = 0.7
    turn: float = 0.7
    shuffle: int = 0

    def __post_init__(self) -> None:
        _share(self, "predictability")
        _share(self, "turn")
        _at_least(self, "items", 3)

    def successors(self) -> tuple[Draws, Draws]:
        """`[N]` the successor of each item before and after; no item keeps its own."""
        before = MarkovSource(self.items, shuffle=self.shuffle).successors()
        return before, before[before]

    def draws(self, users: int, length: int, rng: np.random.Generator) -> Draws:
        """Walks along the first cycle, then along the second."""
        before, after = self.successors()
        change = round(length * self.turn)
        laws = [before if step < change else after for step in range(length)]
        return _walk(laws, self.items, self.predictability, users, rng)

    def item(self, numbers: Draws) -> list[str]:
        """`item0`, `item1`, ..."""
        return [f"item{number}" for number in numbers]

    def optimum(self, metric: str) -> float:
        """For a target after the change, by who knows the law of its time."""
        return best_score(metric, _one_likely(self.items, self.predictability))

    def stationary(self, metric: str) -> float:
        """For a target after the change, by a chain that took mostly events from before it for one law.

        It ranks the old successor first and the new one second (if any event after the change was learnt from, and
        fewer than before it), so that the likely item stands in the second place.
        """
        likely = _one_likely(self.items, self.predictability)
        likely[[0, 1]] = likely[[1, 0]]
        name, _, cut = ("recall@1" if metric == "accuracy" else metric).partition("@")
        best_score(metric, likely)
        ranked = likely[: int(cut)]
        return float((ranked * _GAINS[name](np.arange(1.0, len(ranked) + 1))).sum())


@dataclass(frozen=True)
class OrderlessSource(Source):
    """Nothing comes *next*: every event is drawn from one law of popularity, whatever came before.

    Attributes:
        items: `N`.
        skew: item j (from 1) has a share proportional to `j ** -skew`; 0 draws evenly.
    """

    name: ClassVar[str] = "orderless"

    items: int = 50
    skew: float = 1.0

    def __post_init__(self) -> None:
        _at_least(self, "items", 2)
        if not 0 <= self.skew <= 10:
            raise ConfigError(f"orderless: skew={self.skew:g} must lie between 0 and 10.")

    def shares(self) -> Probabilities:
        """`[N]` the share of each item."""
        weights: Probabilities = np.arange(1.0, self.items + 1) ** -self.skew
        return weights / weights.sum()

    def draws(self, users: int, length: int, rng: np.random.Generator) -> Draws:
        """Independent draws."""
        return rng.choice(self.items, size=(users, length), p=self.shares())

    def item(self, numbers: Draws) -> list[str]:
        """`item0`, `item1`, ..."""
        return [f"item{number}" for number in numbers]

    def optimum(self, metric: str) -> float:
        """For every target; popularity reaches it."""
        return best_score(metric, self.shares())


def _one_likely(n: int, certainty: float) -> Probabilities:
    """`[n]` one item with the certainty on top of what all share evenly."""
    probabilities = np.full(n, (1 - certainty) / n)
    probabilities[0] += certainty
    return probabilities


def _walk(laws: list[Draws], items: int, certainty: float, users: int, rng: np.random.Generator) -> Draws:
    """`[users, T]` steps along the successors of each step's law, with even jumps."""
    drawn = np.empty((users, len(laws)), dtype=np.int64)
    drawn[:, 0] = rng.integers(items, size=users)
    jumps = rng.integers(items, size=(users, len(laws)))
    stays = rng.random((users, len(laws))) < certainty
    for step in range(1, len(laws)):
        drawn[:, step] = np.where(stays[:, step], laws[step][drawn[:, step - 1]], jumps[:, step])
    return drawn
