"""A few answers of a model to real histories, as a run keeps them for its report. They do not say whose they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from ensue.catalogue import UNKNOWN, Catalogue
from ensue.examples import Examples
from ensue.ranking import Recommender, exclude_histories, mid_ranks, top_k

COUNT, K, SHOWN = 4, 5, 5
"""How many answers, items of each, and items of the end of a history."""


def samples(
    recommender: Recommender, examples: Examples, count: int = COUNT, k: int = K
) -> list[dict[str, Any]]:
    """Answers to histories of different lengths, beside what really came next.

    Args:
        recommender: what answers, by its own rule for seen items.
        examples: histories with known answers, in the indices of its catalogue.
        count: how many, evenly spread from short to long histories.
        k: items of each answer.

    Returns:
        For each: `history` (the end of it, oldest first), `before` (how many events stand before that), `next` (what
        came next), its `rank` among all candidates (None where it could not be served), and the `slate`.
    """
    lengths = examples.queries.lengths
    asked = np.flatnonzero(lengths > 0)
    if len(asked) == 0:
        return []
    order = asked[np.argsort(lengths[asked], kind="stable")]
    places = np.linspace(0, len(order) - 1, min(count, len(order)) + 2)[1:-1] if len(order) > count else ()
    which = order[np.unique(np.round(places).astype(np.int64))] if len(places) else order
    queries, targets = examples.queries[which], examples.targets[which]
    scores = recommender.scores(queries)
    if recommender.exclude_seen:
        scores = exclude_histories(scores, queries)
    ranks, ends = mid_ranks(scores, targets), queries.last(SHOWN)
    found = []
    for row, place in enumerate(which.tolist()):
        ending = ends[row][ends[row] < queries.n_items][::-1]
        slate = [_item(recommender.catalogue, item) for item in top_k(scores[row], k).tolist()]
        target = int(targets[row])
        after = {"item": str(examples.target_ids[place])}
        found.append(
            {
                "history": [_item(recommender.catalogue, item) for item in ending.tolist()],
                "before": int(queries.lengths[row]) - len(ending),
                "next": after if target == UNKNOWN else _item(recommender.catalogue, target),
                "rank": float(ranks[row]) if np.isfinite(ranks[row]) else None,
                "slate": slate,
            }
        )
    return found


def _item(catalogue: Catalogue, index: int) -> dict[str, str]:
    """An item by its id, and its title where it has one."""
    title = catalogue.titles[index]
    (item,) = catalogue.decode([index])
    return {"item": item} | ({"title": title} if title is not None else {})
