"""The slate before each user's last target, by the rule that serves, gathered while targets are ranked."""

from __future__ import annotations

import numpy as np

from ensue.batching import Ints, Items
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.examples import Examples
from ensue.ranking import Scores, top_k_rows
from ensue.sequences import Queries
from ensue.slate_metrics import K, Slates, head, popularity_order

_SCORES = 2_000_000
"""The most scores that slates are made of at once: where all of them tie, each takes ten times its own room."""


class Slating:
    """Takes the slate of each user's last query out of the scores that pass by.

    Args:
        examples: whose queries pass by, in order, in blocks.
        catalogue: of the recommender.
        excluding: whether items of the history are left out.
        k: items of a slate.
    """

    def __init__(self, examples: Examples, catalogue: Catalogue, excluding: bool, k: int = K) -> None:
        self.last = np.append(examples.groups[1:] != examples.groups[:-1], True)
        self.user = np.cumsum(self.last) - self.last
        users, n = int(self.last.sum()), len(catalogue)
        self.place = np.empty(n, dtype=np.int64)
        self.place[popularity_order(catalogue)] = np.arange(n)
        self.head = head(catalogue)
        self.slates = Slates(
            items=np.full((users, k), n, dtype=np.int32),
            targets=examples.targets[self.last],
            listed=np.zeros(users, dtype=bool),
            seen=np.zeros((users, k), dtype=bool),
            head_events=np.zeros(users),
            events=examples.queries.lengths[self.last].astype(np.float64),
            catalogue=catalogue,
            excluding=excluding,
        )

    def see(self, block: slice, queries: Queries, targets: Items, scores: Scores) -> None:
        """Looks at one block of queries.

        Args:
            block: which queries of the examples these are.
            queries: `[q]` of them.
            targets: `[q]` their targets.
            scores: `[q, N]`, items that are left out at minus infinity.
        """
        chosen = np.flatnonzero(self.last[block])
        if len(chosen) == 0:
            return
        users, k, n = self.user[block][chosen], self.slates.items.shape[1], scores.shape[1]
        step = max(_SCORES // n, 1)
        parts = (chosen[begin : begin + step] for begin in range(0, len(chosen), step))
        items = np.concatenate([top_k_rows(scores[part], k) for part in parts])
        self.slates.items[users] = items
        rows, known = queries[chosen].pairs()
        keys = np.unique(rows * n + known)
        listed = np.arange(len(chosen), dtype=np.int64)[:, None] * n + items
        self.slates.seen[users] = np.isin(listed, keys) & (items < n)
        self.slates.head_events[users] = np.bincount(rows, weights=self.head[known], minlength=len(chosen))
        self.slates.listed[users] = self._listed(targets[chosen], keys, k)

    def _listed(self, targets: Items, keys: Ints, k: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """`[q]` whether popularity lists a target, given `row x N + item` of the items of each history, each once."""
        n = len(self.place)
        place = self.place[np.maximum(targets, 0)]
        if self.slates.excluding:
            rows, items = np.divmod(keys, n)
            ahead = self.place[items] < place[rows]
            place = place - np.bincount(rows[ahead], minlength=len(targets))
        found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (targets != UNKNOWN) & (place < k)
        return found
