"""How a metric grows with the cut-off: recall and NDCG at every k at once, from ranks that are known already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.errors import ConfigError, nearest
from ensue.metrics import Ranked

Values = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST = 100
"""The largest cut-off, unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Headline figures at each cut-off 1, 2, ..., K, by the word of the metric.

    Attributes:
        values: `[K]` mean over users at each cut-off; a cold target counts as a miss.
    """

    values: Mapping[str, Values] = field(repr=False)

    def value(self, word: str, k: int) -> float:
        """One point of a curve: `value("recall", 10)` is recall@10.

        Raises:
            ConfigError: there is no such curve, or it does not reach so far.
        """
        if word not in self.values:
            raise ConfigError(
                f"There is no curve of '{word}', but of {', '.join(self.values)}.{nearest(word, self.values)}"
            )
        found = self.values[word]
        if not 1 <= k <= len(found):
            raise ConfigError(f"The curve of {word} goes from k=1 to {len(found)}, not to k={k}.")
        return float(found[k - 1])

    def to_json(self) -> dict[str, Any]:
        """The curves for programs, each from k = 1 on."""
        return {word: found.tolist() for word, found in self.values.items()}


def curves(ranked: Ranked, groups: Ints, most: int = MOST) -> Curves:
    """Recall and NDCG at every cut-off, as means over users: the same numbers as `Recall(k)` and `NDCG(k)` give.

    A target is a hit from the cut-off on that its rank, rounded up, names; so one count of the ranks and one running
    sum give all cut-offs.

    Args:
        ranked: ranks of queries with one relevant item each.
        groups: `[Q]` whose each query is.
        most: `K`, the largest cut-off.

    Raises:
        ConfigError: a query has another number of relevant items than one.
    """
    if (ranked.relevant != 1).any():
        raise ConfigError(
            "Curves are drawn for queries with one relevant item each; take the metrics for others."
        )
    _, rows, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    weights = 1.0 / (sizes[rows] * len(sizes))
    near = ranked.ranks <= most
    ranks, weights = ranked.ranks[near], weights[near]
    first = np.ceil(ranks).astype(np.int64)

    def grown(worth: Values) -> Values:
        total: Values = np.cumsum(np.bincount(first, weights=worth, minlength=most + 1)[1:])
        return total

    return Curves({"recall": grown(weights), "ndcg": grown(weights / np.log2(1 + ranks))})
