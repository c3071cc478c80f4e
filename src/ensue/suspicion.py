"""Signs that figures are not what they seem: a model that cannot tell items apart, or that has seen the answers.

`suspicions` looks at figures, and only warns: a world may be as simple as that. `probe` asks again without what must
not matter, and what it finds is a fault of the model.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from math import inf, sqrt

import numpy as np

from ensue.batching import Ints, ranges
from ensue.errors import LeakError, QueryError
from ensue.evaluation import Evaluation
from ensue.examples import Examples
from ensue.metrics import metric as metric_named
from ensue.ranking import Recommender, Scores, check_scores
from ensue.sequences import Queries
from ensue.tracks import when_asked

TIED_MANY = 0.9
"""Share of tied targets from which on figures are those of mid-ranks. Counts of a small log may well tie for a half."""

REPEATED = 0.5
"""Share of targets that are in their own history, from which on it is no wonder that they are found."""

TOO_GOOD = 0.9
"""Share of targets at the very top that no published model comes near, unless most targets repeat the history."""

ABOVE, ERRORS = 1.5, 4.0
"""Test figures are far above validation if they are so many times as high, and so many standard errors away."""

PROBED = 64
"""How many questions are asked again."""

NOISE = 0.01
"""How far scores may move when the same is asked in another batch, as a share of their spread."""


LOWEST = -1e30
"""Stands for minus infinity where scores are subtracted."""


def suspicions(
    found: Evaluation, validation: float | None = None, metric: str = "ndcg@10"
) -> tuple[str, ...]:
    """What is odd about the figures of one model, a sentence each; nothing, as a rule.

    - *tied*: nine of ten targets or more tie with another candidate.
    - *too good*: the target stands first in more than nine of ten questions, though most targets are no repeats. With
      one target for each question this is at least 2 x MRR - 1, so it is found whatever was measured.
    - *test above validation*: a model is chosen on validation, so its test figure is as high or lower but for chance
      and change. Half as high again, and four standard errors, is neither.

    Args:
        found: the figures on the test part.
        validation: the same metric on validation, by the model as it was chosen; None where there was none.
        metric: its name.
    """
    told = []
    counts = found.counts
    if counts.tied_share >= TIED_MANY:
        told.append(
            f"{counts.tied_share:.0%} of the targets tie with another candidate: the model hardly tells items apart, "
            "and its figures are those of the middle of the ties"
        )
    first = _least_first(found)
    if first > TOO_GOOD and counts.seen_targets < REPEATED * counts.targets:
        told.append(
            f"at least {first:.0%} of the targets stand first or tie for it: has the model seen the answers? Look for "
            "a column that knows what comes next (ensue data audit), and for test events in training"
        )
    name = metric_named(metric).name
    if validation is not None and name in found.intervals:
        test = found.intervals[name]
        gap = test.value - validation
        error = inf if test.error is None else test.error
        if test.value > ABOVE * validation and gap > ERRORS * sqrt(2) * error:
            told.append(
                f"{name} is {test.value:.4f} on the test and {validation:.4f} on validation, where the model was "
                "chosen: has it learnt from test events?"
            )
    return tuple(told)


def probe(
    recommender: Recommender,
    examples: Examples,
    reads: Collection[str] | None = None,
    most: int = PROBED,
) -> tuple[str, ...]:
    """Warnings about the answers of a recommender, once they are known to depend on nothing that they must not know.

    Some of the questions, spread evenly, are asked again: with everything taken away that lies outside their histories
    (an array of events goes on after the end of a history, and what stands there is the answer); and, of a model that
    does not say that it reads when it is asked, without the time of the question. The scores must stay as they are.

    Args:
        recommender: what answers.
        examples: what it is to be evaluated on.
        reads: the columns that it says it reads, beside user and item; None leaves the time of the question alone.
        most: how many questions are asked again.

    Raises:
        LeakError: scores depend on what lies after the question, or on its time unsaid.
        QueryError: scores are not finite, or are not one for each item of the catalogue.
    """
    usable = np.flatnonzero(examples.queries.lengths > 0)
    if not len(usable):
        return ()
    chosen = usable[np.linspace(0, len(usable) - 1, min(most, len(usable))).astype(np.int64)]
    queries = examples.queries[chosen]
    scores = _scored(recommender, queries)
    moved = _moved(scores, _scored(recommender, _alone(queries)))
    if moved:
        raise LeakError(
            f"{recommender.model} scores {moved} of {len(chosen)} questions otherwise when the events after them are "
            "taken away: it has read the answers. Read no further than `queries.ends`."
        )
    if reads is not None and not when_asked(recommender.scoring) and queries.at is not None:
        moved = _moved(scores, _scored(recommender, replace(queries, at=None)))
        if moved:
            raise LeakError(
                f"{recommender.model} scores {moved} of {len(chosen)} questions otherwise when their times are not "
                "told, and does not say that it reads them: give its scoring `when_asked = True`, so that its figures "
                "stand with those of time-aware models."
            )
    return _at_the_end(examples)


def _scored(recommender: Recommender, queries: Queries) -> Scores:
    """`[Q, N]` scores, once they are known to be one for each item."""
    scores = recommender.scores(queries)
    expected = (len(queries), len(recommender.catalogue))
    if scores.shape != expected:
        raise QueryError(
            f"{recommender.model} gives scores of shape {scores.shape} for {expected[0]} questions and {expected[1]} "
            "items: padding and mask are no items, and must not be ranked."
        )
    check_scores(scores)
    return scores


def _alone(queries: Queries) -> Queries:
    """The same questions over arrays that hold their histories and nothing else."""
    _, kept = ranges(queries.starts, queries.ends)
    ends = np.cumsum(queries.lengths)
    return replace(
        queries,
        items=queries.items[kept],
        starts=ends - queries.lengths,
        ends=ends,
        time=None if queries.time is None else queries.time[kept],
        rating=None if queries.rating is None else queries.rating[kept],
        context={name: values.gather(kept) for name, values in queries.context.items()},
    )


def _moved(before: Scores, after: Scores) -> int:
    """How many rows of scores differ by more than noise; an item that cannot be served counts as one of no score."""
    first, second = (np.maximum(scores.astype(np.float64), LOWEST) for scores in (before, after))
    spread = np.ptp(first, axis=1) + np.finfo(np.float32).eps * np.abs(first).max(axis=1)
    return int((np.abs(first - second).max(axis=1) > NOISE * np.maximum(spread, 1e-12)).sum())


def _at_the_end(examples: Examples) -> tuple[str, ...]:
    """A warning if many targets stand at the end of their own history, at the very time of the question."""
    queries = examples.queries
    if queries.time is None or queries.at is None:
        return ()
    held = np.flatnonzero(queries.lengths > 0)
    last: Ints = queries.ends[held] - 1
    same = (queries.items[last] == examples.targets[held]) & (queries.time[last] == queries.at[held])
    if same.sum() < REPEATED * len(held):
        return ()
    return (
        f"{int(same.sum()):,} of {len(held):,} targets stand at the end of their own history, at the same time: "
        'histories that end one event too late, or duplicates in the log ([events] duplicates = "first")',
    )


def _least_first(found: Evaluation) -> float:
    """The least share of targets above rank 2 that the figures allow, each question having one target.

    What is not first gains at most 1/2 in MRR and 1/log2(3) in NDCG.
    """
    known = [0.0]
    for name, interval in found.intervals.items():
        word, _, cut = name.partition("@")
        if word in ("accuracy", "recall", "precision", "hit", "ndcg", "mrr", "map") and (
            cut == "1" or word == "accuracy"
        ):
            known.append(interval.value)
        elif word in ("mrr", "map"):
            known.append(2 * interval.value - 1)
        elif word == "ndcg":
            second = 1 / np.log2(3)
            known.append(float((interval.value - second) / (1 - second)))
    return max(known)
