"""What each event of a history has to do with the score of an item: exact parts, or what is lost without the event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ensue.batching import Ints, Items, ranges
from ensue.blocks import blocks
from ensue.explaining.leaving_out import Floats, Ranking, without_one
from ensue.ranking import SCORES_AT_ONCE
from ensue.sequences import Queries

EVENTS_AT_MOST = 200
"""How many events of a history are left out one by one: the newest ones."""


@runtime_checkable
class AddsUp(Protocol):
    """A scoring whose scores are sums of what each event adds."""

    def contributions(self, queries: Queries, items: Items) -> tuple[Floats, Floats]:
        """`[E]` parts of all events of all histories as in `Queries.pairs`, and `[Q]` the rest; together the scores."""
        ...


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each event has to do with the score of each item.

    Attributes:
        parts: `[E, I]`; of all events of all histories as in `Queries.pairs`. What is left out of the trial is 0.
        rest: `[Q, I]` what does not hang on the history, where parts and rest add up to the score; else None.
        places: `[E, I]` place of the item without the event, 0 where it was not tried; None where parts add up.
        tried: how many events of a history were looked at, at most; None for all of them.
    """

    parts: Floats
    rest: Floats | None = None
    places: Ints | None = None
    tried: int | None = None

    @property
    def adds_up(self) -> bool:
        """Whether parts and rest add up to the score."""
        return self.rest is not None


def attribute(ranking: Ranking, queries: Queries, items: Items) -> Attribution:
    """Exact parts where the scoring has them, else what is lost by leaving one event out.

    Args:
        ranking: the recommender, and which items stand in its ranking.
        queries: `Q` histories of at least one item.
        items: `[Q, I]` items whose scores are looked at.
    """
    scoring = ranking.recommender.scoring
    if isinstance(scoring, AddsUp):
        found = [scoring.contributions(queries, items[:, column]) for column in range(items.shape[1])]
        parts, rest = zip(*found, strict=True)
        return Attribution(np.stack(parts, axis=1), np.stack(rest, axis=1))
    return occluded(ranking, queries, items)


def occluded(ranking: Ranking, queries: Queries, items: Items, most: int = EVENTS_AT_MOST) -> Attribution:
    """How much lower the score is without each event, for the newest events of each history.

    A history of one event has nothing left without it: then the part is the score itself less what popularity says,
    which is another scale, and only its sign means something.

    Args:
        ranking: the recommender, and which items stand in its ranking.
        queries: `Q` histories of at least one item.
        items: `[Q, I]` items whose scores are looked at.
        most: how many of the newest events are tried.
    """
    rows, positions = ranges(queries.starts, queries.ends)
    events = positions - queries.starts[rows]
    tried = np.flatnonzero(positions >= queries.ends[rows] - most)
    before, _ = ranking.standing(queries, queries, items)
    parts = np.zeros((len(rows), items.shape[1]))
    places = np.zeros(parts.shape, dtype=np.int64)
    for block in blocks(queries.lengths[rows[tried]] + queries.n_items, SCORES_AT_ONCE):
        some = tried[block]
        asked = without_one(queries, rows[some], events[some])
        after, places[some] = ranking.standing(asked, queries[rows[some]], items[rows[some]])
        parts[some] = before[rows[some]] - after
    return Attribution(parts, places=places, tried=most)
