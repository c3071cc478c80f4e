"""How much a prior beside a network should count: the weight that does best on validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from ensue.batching import Ints
from ensue.metrics import Ranked, metric
from ensue.prior_table import Leaning
from ensue.ranking import Scores, exclude_histories, standings
from ensue.sequences import Queries
from ensue.splits import Examples

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
SCORES, SCORES_OF_AN_EPOCH, FEWEST = 1_000_000_000, 100_000_000, 500
"""The most scores that the weight is chosen by, at last and to judge an epoch, of examples evenly spread over all; and
the fewest examples all the same.

A weight that 3,000 of 22,000 users chose cost up to 1.2 % of NDCG@10 on all of them (docs/log.md).
"""

AT_ONCE = 4_000_000
"""How many scores are held at a time."""


def weighed(
    score: Callable[[Queries], Scores],
    leaning: Leaning,
    examples: Examples,
    exclude_seen: bool,
    by: str,
    weights: Sequence[float] = WEIGHTS,
    most: int = SCORES,
) -> dict[float, float]:
    """What each weight of a prior scores, as `evaluate` would say it: each user's mean counts once.

    Histories without a known item are left out: a network is not asked about them, whatever the weight.

    Args:
        score: `[Q, N]` scores of a network alone.
        leaning: the prior; its own weight does not matter.
        examples: of validation.
        exclude_seen: whether items of the history are left out of the ranking.
        by: name of a metric.
        weights: that are tried.
        most: scores of the network, at about which examples are left out.
    """
    examples = examples[np.flatnonzero(examples.queries.lengths)]
    if not len(examples):
        return dict.fromkeys(map(float, weights), 0.0)
    few = _few(examples, most)
    if len(examples) > few:
        examples = examples[np.linspace(0, len(examples) - 1, few).astype(np.int64)]
    alone = Leaning(leaning.transitions, 1.0, leaning.scale)
    ranks = np.empty((len(weights), len(examples)))
    step = max(AT_ONCE // max(examples.queries.n_items, 1), 1)
    for begin in range(0, len(examples), step):
        block = slice(begin, begin + step)
        queries = examples.queries[block]
        plain = score(queries)
        added = np.zeros_like(plain)
        alone.add(added, queries)
        if exclude_seen:
            plain = exclude_histories(plain, queries)
        if examples.opened is not None:
            plain = exclude_histories(plain, replace(queries, starts=examples.opened[block]))
        for place, weight in enumerate(weights):
            both = plain + np.float32(weight) * added
            ranks[place, block], _ = standings(both, examples.targets[block])
    groups: Ints = np.unique(examples.groups, return_inverse=True)[1]
    sizes = np.bincount(groups)
    candidates = np.full(len(examples), examples.queries.n_items)
    found = {}
    for place, weight in enumerate(weights):
        values = metric(by).per_query(Ranked.single(ranks[place], candidates))
        found[float(weight)] = float((np.bincount(groups, weights=values) / sizes).mean())
    return found


def _few(examples: Examples, most: int) -> int:
    """How many examples make about so many scores, and no fewer than `FEWEST`."""
    return max(most // max(examples.queries.n_items, 1), FEWEST)


def none_left_out(examples: Examples, most: int) -> bool:
    """Whether `weighed` counts all of the examples, so that what it says of a weight is what `evaluate` would.

    Args:
        examples: of validation.
        most: as it is told.
    """
    return 0 < len(examples) <= _few(examples, most) and bool(examples.queries.lengths.all())


def best_of(scores: Mapping[float, float]) -> float:
    """The weight with the highest score, of equals the smallest.

    Args:
        scores: by weight.
    """
    return max(scores, key=lambda weight: (scores[weight], -weight))


class Beside(Protocol):
    """A prior beside a network.

    Attributes:
        alpha: its weight, a scalar tensor.
    """

    alpha: Any

    def leaning(self) -> Leaning:
        """What it adds to scores."""
        ...


class Weigher:
    """The weight of a prior beside a network while it trains: found anew whenever the network is judged.

    A network is asked once for all weights, and where no example is left out that is all that there is to know: neither
    is the epoch evaluated apart, nor the weight of the best one sought again at the end.

    Args:
        prior: beside the network; it is told each weight that is found.
        exclude_seen: whether items of the history are left out of the ranking.
        by: name of a metric.
    """

    def __init__(self, prior: Beside, exclude_seen: bool, by: str) -> None:
        self.prior, self.exclude_seen, self.by = prior, exclude_seen, by
        self._last: tuple[Examples, dict[float, float]] | None = None
        self._best: tuple[Examples, dict[float, float]] | None = None

    def judged(self, score: Callable[[Queries], Scores], examples: Examples) -> float | None:
        """Takes the weight that is best for the network as it is now; what it scores, None if not all were counted.

        Args:
            score: `[Q, N]` scores of the network alone.
            examples: by which epochs are judged.
        """
        scores = self._weighed(score, examples, SCORES_OF_AN_EPOCH)
        best = best_of(scores)
        self.prior.alpha.fill_(best)
        self._last = (examples, scores) if none_left_out(examples, SCORES_OF_AN_EPOCH) else None
        return scores[best] if self._last else None

    def kept(self) -> None:
        """The network that was judged last is the best so far."""
        self._best = self._last

    def at_last(self, score: Callable[[Queries], Scores], examples: Examples) -> dict[float, float]:
        """What each weight scores beside the best network.

        Args:
            score: `[Q, N]` scores of that network alone.
            examples: all of validation.
        """
        if self._best is not None and self._best[0] is examples:
            return self._best[1]
        return self._weighed(score, examples, SCORES)

    def _weighed(
        self, score: Callable[[Queries], Scores], examples: Examples, most: int
    ) -> dict[float, float]:
        return weighed(score, self.prior.leaning(), examples, self.exclude_seen, self.by, most=most)
