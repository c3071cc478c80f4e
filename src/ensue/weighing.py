"""How much a prior beside a network should count: the weight that does best on validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

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
    few = max(most // max(examples.queries.n_items, 1), FEWEST)
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


def best_of(scores: Mapping[float, float]) -> float:
    """The weight with the highest score, of equals the smallest.

    Args:
        scores: by weight.
    """
    return max(scores, key=lambda weight: (scores[weight], -weight))
