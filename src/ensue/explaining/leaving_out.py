"""Questions without some of their events, and where items stand in the answers to them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints, Items, ranges
from ensue.blocks import blocks
from ensue.ranking import (
    SCORES_AT_ONCE,
    Recommender,
    Scores,
    check_scores,
    exclude_histories,
    exclude_own,
)
from ensue.sequences import Queries

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]


def left(queries: Queries, gone: Marks) -> Queries:
    """The queries without some of their events; times, ratings and context of the others stay beside them.

    Args:
        queries: `Q` histories.
        gone: `[E]` which events are taken out, of all events of all histories as in `Queries.pairs`.
    """
    rows, positions = ranges(queries.starts, queries.ends)
    places = positions[~gone]
    lengths = np.bincount(rows[~gone], minlength=len(queries)).astype(np.int64)
    ends = np.cumsum(lengths)
    return replace(
        queries,
        items=queries.items[places],
        starts=ends - lengths,
        ends=ends,
        time=None if queries.time is None else queries.time[places],
        rating=None if queries.rating is None else queries.rating[places],
        context={name: values.gather(places) for name, values in queries.context.items()},
    )


def without_one(queries: Queries, rows: Ints, events: Ints) -> Queries:
    """Queries that each lack one event.

    Args:
        queries: `Q` histories.
        rows: `[V]` which of them.
        events: `[V]` which event of it, 0 for the oldest.
    """
    asked = queries[rows]
    gone = np.zeros(int(asked.lengths.sum()), dtype=np.bool_)
    gone[np.cumsum(asked.lengths) - asked.lengths + events] = True
    return left(asked, gone)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Who stands in a list: the items of the catalogue without those that no answer may hold.

    What belongs to whoever asks is in no answer either.

    Attributes:
        recommender: what ranks.
        exclude_seen: leave out the items of the *whole* history, also those whose events are taken out, so that
            places can be compared.
        excluded: indices of other items that are left out.
    """

    recommender: Recommender
    exclude_seen: bool
    excluded: Items

    def free(self, queries: Queries, whole: Queries) -> Scores:
        """`[V, N]` scores, minus infinity for what is left out.

        Args:
            queries: `V` histories, some events taken out.
            whole: the same with all their events.
        """
        return self._free(self.recommender.unruled(queries), whole)

    def standing(self, queries: Queries, whole: Queries, items: Items) -> tuple[Floats, Ints]:
        """Where items stand: `[V, I]` their scores, and their places in the list, 1 for the best.

        Equal scores stand in the order of the catalogue, as in a slate. An item that no answer may hold is given the
        place that it would have.

        Args:
            queries: `V` histories, some events taken out.
            whole: the same with all their events.
            items: `[V, I]` items of the catalogue.
        """
        scores = np.empty(items.shape)
        places = np.empty(items.shape, dtype=np.int64)
        order = np.arange(queries.n_items)
        for block in blocks(queries.lengths + queries.n_items, SCORES_AT_ONCE):
            asked = self.recommender.unruled(queries[block])
            own = np.take_along_axis(asked, items[block].astype(np.int64), axis=1)
            free = self._free(asked, whole[block])
            for column in range(items.shape[1]):
                score, item = own[:, column, None], items[block, column, None]
                ahead = (free > score) | ((free == score) & (order < item))
                places[block, column] = 1 + np.count_nonzero(ahead, axis=1)
            scores[block] = own
        return scores, places

    def _free(self, scores: Scores, whole: Queries) -> Scores:
        check_scores(scores)
        free = exclude_own(scores, whole, self.recommender.catalogue)
        kept = exclude_histories(free, whole) if self.exclude_seen else np.array(free)
        kept[:, self.excluded] = -np.inf
        return kept
