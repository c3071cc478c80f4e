"""A few events without which an item would not have been in the list."""

from __future__ import annotations

import numpy as np

from ensue.batching import Ints
from ensue.catalogue import UNKNOWN
from ensue.explaining.leaving_out import Floats, Ranking, left
from ensue.ranking import top_k
from ensue.sequences import Queries

REMOVED_AT_MOST = 10
"""The most events that are taken out together."""


def taken_away(
    ranking: Ranking, queries: Queries, item: int, place: int, k: int, parts: Floats
) -> tuple[Ints, int, int] | None:
    """Events without which the item leaves the first k, found greedily.

    The events with the largest parts are taken out, one more at a time, until the item is gone from the list. Then
    each that can be put back without bringing the item back is put back, the weakest first.

    Args:
        ranking: the recommender, and which items stand in its ranking.
        queries: one history.
        item: index of the item.
        place: where it stands.
        k: length of the list.
        parts: `[E]` what each event has to do with the score.

    Returns:
        The events, in the order of the history, the item's place without them and the item that has its old place
        then (-1 for none); None if the item is not in the list, or if no few events do it.

    References:
        Tran, Ghazimatin, Saha Roy, "Counterfactual explanations for neural recommenders", SIGIR 2021, section 3
        (which events, greedily, by their influence).
    """
    if place > k:
        return None
    order = np.argsort(-parts, kind="stable")
    order = order[parts[order] > 0][:REMOVED_AT_MOST]
    if len(order) == 0:
        return None
    sets = [*([event] for event in order.tolist()), *(order[: n + 1].tolist() for n in range(1, len(order)))]
    places = _places(ranking, queries, item, sets)
    enough = np.flatnonzero(places > k)
    if len(enough) == 0:
        return None
    gone = sets[int(enough[0])]
    while len(gone) > 1:
        fewer = [gone[:n] + gone[n + 1 :] for n in reversed(range(len(gone)))]
        enough = np.flatnonzero(_places(ranking, queries, item, fewer) > k)
        if len(enough) == 0:
            break
        gone = fewer[int(enough[0])]
    last = _lacking(queries, [gone])
    scores = ranking.free(last, queries)[0]
    best = top_k(scores, place)
    instead = int(best[place - 1]) if len(best) >= place else UNKNOWN
    then = int(_places(ranking, queries, item, [gone])[0])
    return np.sort(np.array(gone, dtype=np.int64)), then, instead


def _places(ranking: Ranking, queries: Queries, item: int, sets: list[list[int]]) -> Ints:
    """`[V]` where the item stands without each of some sets of events."""
    rows = np.zeros(len(sets), dtype=np.int64)
    items = np.full((len(sets), 1), item, dtype=np.int32)
    _, places = ranking.standing(_lacking(queries, sets), queries[rows], items)
    return places[:, 0]


def _lacking(queries: Queries, sets: list[list[int]]) -> Queries:
    """`V` copies of one history, each without a set of its events."""
    gone = np.zeros((len(sets), int(queries.lengths[0])), dtype=np.bool_)
    for row, events in enumerate(sets):
        gone[row, events] = True
    return left(queries[np.zeros(len(sets), dtype=np.int64)], gone.ravel())
