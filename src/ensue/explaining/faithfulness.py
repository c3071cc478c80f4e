"""Whether explanations name what matters: taking out the events named first, against taking out any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensue.batching import Items, ranges
from ensue.errors import QueryError
from ensue.examples import Examples
from ensue.explaining.attribution import attribute
from ensue.explaining.leaving_out import Floats, Marks, Ranking, left
from ensue.ranking import SCORES_AT_ONCE, Recommender
from ensue.sequences import Queries
from ensue.significance import Interval, interval

Naming = Callable[[Ranking, Queries, Items], Floats]
"""What each event has to do with the score of an item: `[E]` for `Q` histories and `[Q]` items."""


@dataclass(frozen=True)
class Faithfulness:
    """How much more is lost without the events named first than without as many events drawn at random.

    Attributes:
        score: the drop of the score, named less random: mean over users with its interval.
        rank: the same for the rise of log2(place): 1 more means twice as far down the list.
        named: mean drop of the score and mean rise of log2(place) without the events named first.
        random: the same without random ones.
        events: how many events were taken out of each history.
        queries: how many questions were asked.
        left_out: questions with too short a history.
    """

    score: Interval
    rank: Interval
    named: tuple[float, float]
    random: tuple[float, float]
    events: int
    queries: int
    left_out: int

    @property
    def holds(self) -> bool:
        """Whether both intervals lie above 0."""
        return self.score.low > 0 and self.rank.low > 0

    def to_json(self) -> dict[str, Any]:
        """The figures for programs."""
        return {
            "events_taken_out": self.events,
            "queries": self.queries,
            "left_out": self.left_out,
            "score": self.score.to_json(),
            "log2_place": self.rank.to_json(),
            "named": dict(zip(("score", "log2_place"), self.named, strict=True)),
            "random": dict(zip(("score", "log2_place"), self.random, strict=True)),
            "holds": self.holds,
        }

    def lines(self) -> list[str]:
        """The figures as plain text."""
        events = "event" if self.events == 1 else f"{self.events} events"
        verdict = "explanations name what matters" if self.holds else "NOT SHOWN to name what matters"
        return [
            f"without the {events} named first the score falls by {self.named[0]:.4g}, without random ones by "
            f"{self.random[0]:.4g}: {self.score.value:.4g} more ({self.score.low:.4g} to {self.score.high:.4g})",
            f"log2 of the place rises by {self.named[1]:.4g} and {self.random[1]:.4g}: {self.rank.value:.4g} more "
            f"({self.rank.low:.4g} to {self.rank.high:.4g})",
            f"{verdict}, over {self.queries:,} questions of {self.score.n:,} users",
        ]


def parts_of_events(ranking: Ranking, queries: Queries, items: Items) -> Floats:
    """`[E]` what `explain` says of each event: the naming whose faithfulness is usually asked for."""
    return attribute(ranking, queries, items[:, None]).parts[:, 0]


def faithfulness(
    recommender: Recommender,
    examples: Examples,
    *,
    events: int = 1,
    most: int = 500,
    repeats: int = 5,
    seed: int = 0,
    naming: Naming = parts_of_events,
) -> Faithfulness:
    """Deletion: for the best item of each question, what is lost without the events named first, and without others.

    Args:
        recommender: what answers and is explained.
        examples: questions; their targets are not looked at.
        events: how many events are taken out of each history.
        most: how many questions are asked; of more, so many are drawn.
        repeats: how often random events are drawn for each question.
        seed: same seed, same figures.
        naming: what names the events.

    Raises:
        QueryError: no history has more events than are taken out, or a number is below 1.

    References:
        Samek, Binder, Montavon, Lapuschkin, Müller, "Evaluating the visualization of what a deep neural network has
        learned", IEEE TNNLS 28, 2017, section III (deletion in the order named, against a random order).
    """
    if min(events, most, repeats) < 1:
        raise QueryError(f"events={events}, most={most}, repeats={repeats}: each is at least 1.")
    long = np.flatnonzero(examples.queries.lengths > events)
    if len(long) == 0:
        raise QueryError(
            f"No history has more than {events} known events, so none can be taken out: ask with fewer events, or "
            "with longer histories."
        )
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(long)[:most])
    queries, groups = examples.queries[chosen], examples.groups[chosen]
    ranking = Ranking(recommender, recommender.exclude_seen, np.zeros(0, dtype=np.int32))
    items = _best(ranking, queries)
    before = np.stack(_lost(ranking, queries, items, None))
    first = _first(naming(ranking, queries, items), queries, events)
    named = np.stack(_lost(ranking, queries, items, first)) - before
    drawn = np.zeros_like(named)
    for _ in range(repeats):
        random = _first(rng.random(int(queries.lengths.sum())), queries, events)
        drawn += (np.stack(_lost(ranking, queries, items, random)) - before) / repeats
    users, user = np.unique(groups, return_inverse=True)
    sizes = np.bincount(user, minlength=len(users))
    score, rank = (
        interval(np.bincount(user, row, minlength=len(users)) / sizes, seed=seed) for row in named - drawn
    )
    return Faithfulness(
        score,
        rank,
        (float(named[0].mean()), float(named[1].mean())),
        (float(drawn[0].mean()), float(drawn[1].mean())),
        events,
        len(chosen),
        len(examples) - len(long),
    )


def _best(ranking: Ranking, queries: Queries) -> Items:
    """`[Q]` the first item of each answer."""
    best = np.empty(len(queries), dtype=np.int32)
    step = max(SCORES_AT_ONCE // queries.n_items, 1)
    for begin in range(0, len(queries), step):
        block = queries[begin : begin + step]
        best[begin : begin + step] = ranking.free(block, block).argmax(axis=1)
    return best


def _lost(ranking: Ranking, queries: Queries, items: Items, gone: Marks | None) -> tuple[Floats, Floats]:
    """`[Q]` the score, negated, and log2 of the place of each item, some events taken out."""
    asked = queries if gone is None else left(queries, gone)
    scores, places = ranking.standing(asked, queries, items[:, None])
    return -scores[:, 0], np.log2(places[:, 0])


def _first(parts: Floats, queries: Queries, events: int) -> Marks:
    """`[E]` the events with the largest parts of each history, of equals the newest."""
    rows, positions = ranges(queries.starts, queries.ends)
    order = np.lexsort((-positions, -parts, rows))
    begins = np.cumsum(queries.lengths) - queries.lengths
    gone = np.zeros(len(rows), dtype=np.bool_)
    gone[order[np.arange(len(rows)) - begins[rows] < events]] = True
    return gone
