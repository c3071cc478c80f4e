"""The score that a known process allows: closed forms over the laws of the next item.

If the next item has the probabilities `q[1..N]` and a ranking puts item j at rank `rank(j)`, the expected gain of a
metric is `sum over j of q[j] * gain(rank(j))`. Gains never rise with the rank, so by the rearrangement inequality the
best ranking is by falling probability, and the best reachable score is `sum over r of gain(r) * q sorted falling[r]`.

Nothing is excluded from the ranking (in these processes items do come again), and every item is in the catalogue. The
bound is over rankings without ties: a metric that gives tied items their mid-rank can exceed it, if many items tie.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensue.errors import ConfigError, nearest

Values = NDArray[np.float64]

METRICS = ("recall@10", "ndcg@10", "mrr@10", "accuracy")
"""Examples of the metrics that have a closed form; any cut-off goes."""


@dataclass(frozen=True, eq=False)
class Situations:
    """All that a model can be faced with, told apart as far as its knowledge reaches.

    Attributes:
        laws: `[C, N]` probabilities of the next item in each situation; rows sum to 1.
        weights: `[C]` share of the targets that are met in each situation; they sum to 1.
    """

    laws: Values
    weights: Values


def gains(metric: str, n: int) -> Values:
    """`[N]` what a target gains at the ranks 1..N.

    Args:
        metric: "recall@k", "ndcg@k", "mrr@k" with any k from 1, or "accuracy".
        n: number of items ranked.

    Raises:
        ConfigError: there is no closed form of this name.

    Example:
        >>> gains("mrr@2", 4).tolist()
        [1.0, 0.5, 0.0, 0.0]
    """
    rank = np.arange(1, n + 1, dtype=np.float64)
    by_word: dict[str, Values] = {"recall": np.ones(n), "ndcg": 1 / np.log2(1 + rank), "mrr": 1 / rank}
    parsed = re.fullmatch(r"([a-z]+)@([1-9][0-9]*)", "recall@1" if metric == "accuracy" else metric)
    if parsed is None or parsed[1] not in by_word:
        raise ConfigError(
            f"There is no closed form of '{metric}': take accuracy, or recall, ndcg or mrr with a cut-off, "
            f"such as recall@10.{nearest(metric, METRICS)}"
        )
    return by_word[parsed[1]] * (rank <= int(parsed[2]))


def reachable(metric: str, situations: Situations) -> float:
    """The expected score of the best ranking in each situation, between 0 and 1.

    Args:
        metric: as for `gains`.
        situations: what the model can tell apart.
    """
    return reached(metric, situations, situations.laws)


def reached(metric: str, situations: Situations, scores: Values) -> float:
    """The expected score of a given ranking; items of equal score stand in random order.

    Args:
        metric: as for `gains`.
        situations: the situations and the true laws.
        scores: `[C, N]` what items are ranked by, highest first. Differences below 1e-12 count as ties.
    """
    laws = situations.laws
    scores = np.round(scores, 12)
    order = np.argsort(-scores, axis=1, kind="stable")
    falling = np.take_along_axis(scores, order, axis=1)
    new = np.ones(falling.shape, dtype=bool)
    new[:, 1:] = falling[:, 1:] != falling[:, :-1]
    run = np.cumsum(new).reshape(falling.shape) - 1
    gain = np.broadcast_to(gains(metric, laws.shape[1]), laws.shape)
    shared = (np.bincount(run.ravel(), gain.ravel()) / np.bincount(run.ravel()))[run]
    return float(situations.weights @ (shared * np.take_along_axis(laws, order, axis=1)).sum(axis=1))
