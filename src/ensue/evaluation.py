"""How well a recommender answers questions with known answers: full ranking, then means over users.

Every figure is a mean over the targets of a user, then over users. Three groups of targets are reported:

- *all* (the headline): a cold target, an item that the catalogue does not hold, counts as a miss;
- *warm*: the targets that the catalogue holds; users without any are left out of it;
- *cold users*: the targets asked of a history without a single known item, which the fallback answers.

The ranking is the one that serves: the same exclusion of seen items, and mid-ranks for ties.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.blocks import blocks
from ensue.candidates import Candidates, Sampling
from ensue.catalogue import UNKNOWN
from ensue.errors import ConfigError, DataError, nearest
from ensue.evaluation_counts import Counts, counted
from ensue.metrics import DEFAULT, Metric, Ranked
from ensue.metrics import metric as metric_named
from ensue.progress import Progress, Silent
from ensue.ranking import Recommender, check_scores, exclude_histories, standings
from ensue.significance import Comparison, Interval, best_of, intervals
from ensue.splits import Examples, Split

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

BLOCK_BYTES = 64 * 2**20
EVENT_BYTES = 32
"""What one event of a history takes while its query is ranked (its row, its place and its item)."""

HEADLINE = "all targets; a target that the catalogue does not hold counts as a miss"


@dataclass(frozen=True, eq=False)
class Figures:
    """The metrics over one group of targets.

    Attributes:
        per_user: `[U]` mean over the user's targets, by the name of the metric.
        groups: `[U]` which group of the examples each of these users is, ascending.
        targets: how many targets the figures are over.
        intervals: mean over users with its bootstrap interval, by the name of the metric.
    """

    per_user: Mapping[str, Values] = field(repr=False)
    groups: Ints = field(repr=False)
    targets: int
    intervals: Mapping[str, Interval]

    @property
    def users(self) -> int:
        """How many users the figures are over."""
        return len(self.groups)

    def value(self, name: str) -> float:
        """Mean over users of a metric, such as "ndcg@10".

        Raises:
            ConfigError: the metric was not asked for.
        """
        return self.intervals[_asked(name, self.intervals)].value

    def to_json(self) -> dict[str, Any]:
        """The figures for programs, without anything of a single user."""
        found = {name: interval.to_json() for name, interval in self.intervals.items()}
        return {"users": self.users, "targets": self.targets, "metrics": found}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one recommender reached on one set of examples.

    Attributes:
        model: name of the model.
        protocol: what was asked, in words.
        all: the headline, over all targets; a cold one counts as a miss.
        warm: over the targets that the catalogue holds, or None if it holds none.
        cold_users: over the targets that the fallback answered, or None if there are none.
        counts: what the figures are made of.
        exclude_seen: whether items of the history were out of the ranking.
        group_ids: `[U]` the user (or session) of each group; stays in memory and is in no output.
        sampled: what the targets were ranked among, or None for all items of the catalogue (full ranking).
    """

    model: str
    protocol: str
    all: Figures
    warm: Figures | None
    cold_users: Figures | None
    counts: Counts
    exclude_seen: bool
    group_ids: pl.Series = field(repr=False)
    sampled: Sampling | None = None

    def value(self, name: str) -> float:
        """The headline value of a metric, such as "ndcg@10": mean over users, a cold target counts as a miss.

        Raises:
            ConfigError: the metric was not asked for.
        """
        return self.all.value(name)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics, in the order they were asked for."""
        return tuple(self.all.intervals)

    @property
    def intervals(self) -> Mapping[str, Interval]:
        """The headline intervals, by the name of the metric."""
        return self.all.intervals

    @property
    def per_user(self) -> Mapping[str, Values]:
        """The headline values of each user, by the name of the metric; `all.groups` says whose they are."""
        return self.all.per_user

    def to_json(self) -> dict[str, Any]:
        """The evaluation for programs; it holds no id of a user."""
        return {
            "model": self.model,
            "protocol": self.protocol,
            "exclude_seen": self.exclude_seen,
            "headline": HEADLINE,
            "all": self.all.to_json(),
            "warm": None if self.warm is None else self.warm.to_json(),
            "cold_users": None if self.cold_users is None else self.cold_users.to_json(),
            "counts": self.counts.to_json(),
            "sampled": None if self.sampled is None else self.sampled.to_json(),
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A table with a head: metric, headline, its interval, warm, cold users ("-" for no targets)."""
        level = f"{self.intervals[self.metrics[0]].level:.0%} interval"
        first = "metric" if self.sampled is None else "SAMPLED metric"
        table: list[tuple[str, ...]] = [(first, "all targets (headline)", level, "warm", "cold users")]
        for name, found in self.intervals.items():
            groups = (_shown(figures, name) for figures in (self.warm, self.cold_users))
            table.append((name, f"{found.value:.4f}", f"{found.low:.4f} to {found.high:.4f}", *groups))
        return table

    def lines(self) -> list[str]:
        """The evaluation as plain text: protocol, table, counts, notes."""
        table = self.rows()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        rows = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
        seen = "out of the ranking" if self.exclude_seen else "in the ranking"
        notes = sorted({f"note: {found.note}" for found in self.intervals.values() if found.note})
        return [
            f"{self.model}: {self.protocol}; items of the history are {seen}",
            f"headline: {HEADLINE}",
            *rows,
            *self.counts.lines(),
            *([] if self.sampled is None else self.sampled.lines()),
            *notes,
        ]


def evaluate(
    recommender: Recommender,
    examples: Examples | Split,
    *,
    metrics: Sequence[Metric | str] = DEFAULT,
    exclude_seen: bool | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    block_bytes: int = BLOCK_BYTES,
    candidates: Candidates | None = None,
) -> Evaluation:
    """How well a recommender ranks the item that came next, among all items of its catalogue.

    Args:
        recommender: what answers.
        examples: histories with known answers, in the indices of the recommender's catalogue; a split stands for
            every event of its test part.
        metrics: what to report, as metrics or as names such as "ndcg@10".
        exclude_seen: leave items of the history out of the ranking; None takes the recommender's own rule.
        seed: of the bootstrap; same seed, same intervals.
        progress: who is told how far it is.
        block_bytes: most bytes that the scores of one block of queries take; it changes no figure.
        candidates: rank each target among these alone. Such figures say that they are sampled; they are not
            comparable with full ranking, which is what None does.

    Raises:
        DataError: there is nothing to predict, or the candidates are not those of these examples.
        QueryError: scores are not finite, or the examples were made for another catalogue.
        ConfigError: a metric does not exist, none is asked for, or the candidates have another rule for seen items.
    """
    asked = _metrics(metrics)
    if isinstance(examples, Split):
        examples = examples.examples("test", recommender.catalogue)
    if len(examples) == 0:
        raise DataError(
            f"There is nothing to predict ({examples.protocol}): this part holds no event with an earlier "
            "event of the same user. Split at an earlier time, or take the last of each user (split='last')."
        )
    excluding = recommender.exclude_seen if exclude_seen is None else exclude_seen
    if candidates is not None:
        candidates.check(examples, recommender.catalogue, excluding)
    ranked, tied, seen = _rank(
        recommender, examples, excluding, candidates, progress or Silent(), block_bytes
    )
    per_query = {found.name: found.per_query(ranked) for found in asked}
    warm, fallback = examples.targets != UNKNOWN, examples.queries.lengths == 0
    everything = _figures(per_query, examples.groups, np.ones(len(examples), dtype=bool), seed)
    told = None if candidates is None else candidates.sampling
    return Evaluation(
        model=recommender.model,
        protocol=examples.protocol if told is None else f"{examples.protocol}; {told}",
        all=everything,
        warm=_figures(per_query, examples.groups, warm, seed) if warm.any() else None,
        cold_users=_figures(per_query, examples.groups, fallback, seed) if fallback.any() else None,
        counts=counted(examples, tied, seen, excluding),
        exclude_seen=excluding,
        group_ids=examples.group_ids,
        sampled=told,
    )


def compare(evaluations: Mapping[str, Evaluation], metric: str = "ndcg@10", *, seed: int = 0) -> Comparison:
    """The best of several models on one metric, with a paired test against each other one on the same users.

    Args:
        evaluations: one for each model, all on the same examples.
        metric: what to compare by; its headline values count.
        seed: of the bootstrap and of the sign flips.

    Raises:
        DataError: there are no evaluations, or they are over different examples or different candidates.
        ConfigError: an evaluation does not report the metric.
    """
    if not evaluations:
        raise DataError("There is no evaluation to compare: evaluate at least one model first.")
    first, *others = evaluations
    a = evaluations[first]
    for other in others:
        b = evaluations[other]
        if a.sampled != b.sampled:
            raise DataError(
                f"'{first}' and '{other}' were ranked among different items ({_ranking(a)}; {_ranking(b)}): evaluate "
                "both by full ranking, or on the same candidates."
            )
        same = a.protocol == b.protocol and a.counts.targets == b.counts.targets
        if not (same and a.group_ids.equals(b.group_ids)):
            raise DataError(
                f"'{first}' and '{other}' were evaluated on different examples ({a.counts.targets} targets, "
                f"{a.protocol}; {b.counts.targets} targets, {b.protocol}): evaluate both on the same split."
            )
    name = _asked(metric, evaluations[first].per_user)
    values = {model: found.per_user[_asked(name, found.per_user)] for model, found in evaluations.items()}
    return best_of(values, name, seed=seed)


def _metrics(wanted: Sequence[Metric | str]) -> tuple[Metric, ...]:
    """The metrics asked for, each once."""
    found = {m.name: m for m in (metric_named(m) if isinstance(m, str) else m for m in wanted)}
    if not found:
        raise ConfigError("No metric is asked for: name at least one, such as 'ndcg@10'.")
    return tuple(found.values())


def _asked(name: str, reported: Mapping[str, Any]) -> str:
    """The name of a reported metric, however it is written."""
    known = name if name in reported else metric_named(name).name
    if known not in reported:
        have = ", ".join(reported)
        raise ConfigError(f"This evaluation does not report '{name}', but {have}.{nearest(name, reported)}")
    return known


def _ranking(found: Evaluation) -> str:
    """What targets were ranked among, in words that differ where the candidates do."""
    return "full ranking" if found.sampled is None else f"{found.sampled}, {found.sampled.fingerprint}"


def _rank(
    recommender: Recommender,
    examples: Examples,
    excluding: bool,
    among: Candidates | None,
    progress: Progress,
    block_bytes: int,
) -> tuple[Ranked, Mask, Mask]:
    """Ranks of all targets, `[Q]` which of them tie, and `[Q]` which are in their own history."""
    ranks = np.empty(len(examples), dtype=np.float64)
    candidates = np.empty(len(examples), dtype=np.int64)
    tied, seen = np.empty(len(examples), dtype=bool), np.empty(len(examples), dtype=bool)
    with progress.task(f"evaluating {recommender.model}", len(examples)) as task:
        costs: Ints = examples.queries.n_items * 8 + examples.queries.lengths * EVENT_BYTES
        for block in blocks(costs, block_bytes, examples.groups):
            queries, targets = examples.queries[block], examples.targets[block]
            scores = recommender.scores(queries)
            rows, items = queries.pairs()
            seen[block] = np.bincount(rows, weights=items == targets[rows], minlength=len(targets)) > 0
            check_scores(scores)  # before the exclusion hides what is broken
            if excluding:
                scores = exclude_histories(scores, queries)
            if among is not None:
                scores, targets = among.among(scores, targets, block), np.zeros_like(targets)
            ranks[block], tied[block] = standings(scores, targets)
            every = among is None and not excluding
            candidates[block] = scores.shape[1] if every else np.count_nonzero(scores > -np.inf, axis=1)
            task.advance(len(targets))
    return Ranked.single(ranks, candidates), tied, seen


def _figures(per_query: Mapping[str, Values], groups: Ints, chosen: Mask, seed: int) -> Figures:
    """Means over the chosen targets of each user, then over the users that have any."""
    present, rows = np.unique(groups[chosen], return_inverse=True)
    sizes = np.bincount(rows)
    per_user = {name: np.bincount(rows, weights=values[chosen]) / sizes for name, values in per_query.items()}
    found = intervals(np.column_stack(list(per_user.values())), seed=seed)
    return Figures(per_user, present, int(chosen.sum()), dict(zip(per_user, found, strict=True)))


def _shown(figures: Figures | None, name: str) -> str:
    """A value for a table, or "-" where there is nothing to average."""
    return "-" if figures is None else f"{figures.value(name):.4f}"
