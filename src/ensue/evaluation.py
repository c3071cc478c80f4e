"""How well a recommender answers questions with known answers: full ranking, then means over users.

Every figure is a mean over the targets of a user, then over users. Three groups of targets are reported:

- *all* (the headline): a cold target, an item that the catalogue does not hold, counts as a miss;
- *warm*: the targets that the catalogue holds; users without any are left out of it;
- *cold users*: the targets asked of a history without a single known item, which the fallback answers.

The ranking is the one that serves: the same exclusion of seen items, and mid-ranks for ties. On request the same pass
over the scores gives more: curves over the cut-off, what slates are like, figures of parts of the targets, and whether
probabilities mean what they say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.abreast import abreast, cores_of, most_at_once
from ensue.batching import Ints, Items
from ensue.blocks import blocks
from ensue.calibration import Gauging, Probabilities, scale_of
from ensue.candidates import Candidates, Sampling
from ensue.catalogue import UNKNOWN
from ensue.curves import Curves
from ensue.curves import curves as curves_of
from ensue.errors import ConfigError, DataError
from ensue.evaluation_counts import Counts, counted
from ensue.figures import Figures, Measured, asked
from ensue.metrics import DEFAULT, Metric, Ranked, metrics_of
from ensue.progress import Progress, Silent
from ensue.ranking import Recommender, Scores, check_scores, exclude_histories, marked, standings
from ensue.segments import Segment, Segmenting
from ensue.segments import segments as segments_of
from ensue.sequences import Queries
from ensue.significance import Comparison, Interval, best_of
from ensue.slate_metrics import SlateFigures, slate_figures
from ensue.slating import Slating
from ensue.splits import Examples, Split, check_learnt
from ensue.tracks import SAID, TIME_BLIND, refuse_mixed, track_of

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

BLOCK_BYTES = 64 * 2**20
EVENT_BYTES = 32
"""What one event of a history takes while its query is ranked (its row, its place and its item)."""

SHOWN = "ndcg@10"
"""The metric that is shown of parts of the targets, if it was asked for; else the first."""

HEADLINE = "all targets; a target that the catalogue does not hold counts as a miss"


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
        curves: recall and NDCG at every cut-off, where they were asked for.
        slates: what the slates are like beyond their hits, where that was asked for.
        segments: figures of parts of the targets, by the name of what parts them, where they were asked for.
        probabilities: log-loss and calibration, where they were asked for and scores are logits or probabilities.
        track: "time-aware" where the recommender reads when it is asked, else "time-blind".
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
    curves: Curves | None = None
    slates: SlateFigures | None = None
    segments: Mapping[str, tuple[Segment, ...]] = field(default_factory=dict)
    probabilities: Probabilities | None = None
    track: str = TIME_BLIND

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
            "track": self.track,
            "protocol": self.protocol,
            "exclude_seen": self.exclude_seen,
            "headline": HEADLINE,
            "all": self.all.to_json(),
            "warm": None if self.warm is None else self.warm.to_json(),
            "cold_users": None if self.cold_users is None else self.cold_users.to_json(),
            "counts": self.counts.to_json(),
            "sampled": None if self.sampled is None else self.sampled.to_json(),
            "curves": None if self.curves is None else self.curves.to_json(),
            "slates": None if self.slates is None else self.slates.to_json(),
            "segments": {name: [one.to_json() for one in parts] for name, parts in self.segments.items()},
            "probabilities": None if self.probabilities is None else self.probabilities.to_json(),
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
            *([] if self.slates is None else self.slates.lines()),
            *([] if self.probabilities is None else self.probabilities.lines()),
            *(self._parted(name) for name in self.segments),
            *self.counts.lines(),
            SAID[self.track],
            *([] if self.sampled is None else self.sampled.lines()),
            *notes,
        ]

    def _parted(self, name: str) -> str:
        """One metric of each part, in one line."""
        shown = SHOWN if SHOWN in self.metrics else self.metrics[0]
        parts = ", ".join(f"{one.label} {one.figures.value(shown):.4f}" for one in self.segments[name])
        return f"{shown} by {name}: {parts}"


class Watching(Protocol):
    """Whoever takes something out of the scores that pass by."""

    def see(self, block: slice, queries: Queries, targets: Items, scores: Scores) -> None:
        """Looks at one block of queries, with the items that are left out at minus infinity."""
        ...


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
    curves: bool = False,
    slates: bool = False,
    segments: Sequence[Segmenting | str] = (),
    probabilities: bool = False,
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
        curves: report recall and NDCG at every cut-off up to 100.
        slates: report what the slates of 10 are like: coverage, novelty, diversity, popularity bias, ... One slate for
            each user counts, the one before the last target.
        segments: report the figures of parts of the targets too: ways of parting them, or their names, such as
            "history" (`ensue.segments.DEFAULT` has the usual ones); one that the examples do not tell of is left out.
        probabilities: report log-loss and calibration, if the model's scores are logits or probabilities.

    Raises:
        DataError: there is nothing to predict, or the candidates are not those of these examples.
        LeakError: the recommender was fitted on the whole log of the split, tested events included.
        QueryError: scores are not finite, or the examples were made for another catalogue.
        ConfigError: a metric or a way of parting does not exist, no metric is asked for, or the candidates have another
            rule for seen items, or slates or probabilities are asked for among them.
    """
    wanted = metrics_of(metrics)
    if isinstance(examples, Split):
        check_learnt(examples, recommender.catalogue, same_log=False)
        examples = examples.examples("test", recommender.catalogue)
    if len(examples) == 0:
        raise DataError(
            f"There is nothing to predict ({examples.protocol}): this part holds no event with an earlier "
            "event of the same user. Split at an earlier time, or take the last of each user (split='last')."
        )
    excluding = recommender.exclude_seen if exclude_seen is None else exclude_seen
    if candidates is not None:
        if slates or probabilities:
            raise ConfigError("Slates and probabilities are those of full ranking: leave the candidates out.")
        candidates.check(examples, recommender.catalogue, excluding)
    slating = Slating(examples, recommender.catalogue, excluding) if slates else None
    scale = scale_of(recommender) if probabilities else None
    gauging = Gauging(examples, scale) if scale else None
    watching: list[Watching] = [one for one in (slating, gauging) if one is not None]
    ranked, tied, seen = _rank(
        recommender, examples, excluding, candidates, progress or Silent(), block_bytes, watching
    )
    weights = {one.name: one.weights(ranked) for one in wanted}
    pooled = {name: found for name, found in weights.items() if found is not None}
    measured = Measured(examples.groups, {one.name: one.per_query(ranked) for one in wanted}, pooled, seed)
    warm, fallback = examples.targets != UNKNOWN, examples.queries.lengths == 0
    told = None if candidates is None else candidates.sampling
    return Evaluation(
        model=recommender.model,
        protocol=examples.protocol if told is None else f"{examples.protocol}; {told}",
        all=measured.over(np.ones(len(examples), dtype=bool)),
        warm=measured.over(warm) if warm.any() else None,
        cold_users=measured.over(fallback) if fallback.any() else None,
        counts=counted(examples, tied, seen, excluding),
        exclude_seen=excluding,
        group_ids=examples.group_ids,
        sampled=told,
        curves=curves_of(ranked, examples.groups) if curves else None,
        slates=None if slating is None else slate_figures(slating.slates, seed),
        segments=segments_of(segments, examples, recommender.catalogue, measured),
        probabilities=None if gauging is None else gauging.found(seed),
        track=track_of(recommender),
    )


def compare(evaluations: Mapping[str, Evaluation], metric: str = "ndcg@10", *, seed: int = 0) -> Comparison:
    """The best of several models on one metric, with a paired test against each other one on the same users.

    Args:
        evaluations: one for each model, all on the same examples.
        metric: what to compare by; its headline values count.
        seed: of the bootstrap and of the sign flips.

    Raises:
        DataError: there are no evaluations, or they are over different examples or different candidates.
        ConfigError: an evaluation does not report the metric, or models are of both tracks (see `ensue.tracks`).
    """
    if not evaluations:
        raise DataError("There is no evaluation to compare: evaluate at least one model first.")
    refuse_mixed({model: found.track for model, found in evaluations.items()}, "A comparison")
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
    name = asked(metric, evaluations[first].per_user)
    values = {model: found.per_user[asked(name, found.per_user)] for model, found in evaluations.items()}
    return best_of(values, name, seed=seed)


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
    watching: Sequence[Watching] = (),
) -> tuple[Ranked, Mask, Mask]:
    """Ranks of all targets, `[Q]` which of them tie, and `[Q]` which are in their own history."""
    ranks = np.empty(len(examples), dtype=np.float64)
    candidates = np.empty(len(examples), dtype=np.int64)
    tied, seen = np.empty(len(examples), dtype=bool), np.empty(len(examples), dtype=bool)
    costs: Ints = examples.queries.n_items * 8 + examples.queries.lengths * EVENT_BYTES
    cores = 1 if watching else cores_of(recommender, len(examples))  # what watches sees the blocks in order
    most = most_at_once(block_bytes, int(costs.sum()), cores)

    def rank(recommender: Recommender, block: slice) -> int:
        queries, targets = examples.queries[block], examples.targets[block]
        scores = recommender.scores(queries)
        rows, items = queries.pairs()
        seen[block] = np.bincount(rows, weights=items == targets[rows], minlength=len(targets)) > 0
        check_scores(scores)  # before the exclusion hides what is broken
        if excluding:
            scores = exclude_histories(scores, queries)
        if examples.opened is not None:
            scores = exclude_histories(scores, replace(queries, starts=examples.opened[block]))
        for one in watching:
            one.see(block, queries, targets, scores)
        if among is not None:
            scores, targets = among.among(scores, targets, block), np.zeros_like(targets)
        ranks[block], tied[block] = standings(scores, targets)
        every = among is None and not excluding and examples.opened is None
        candidates[block] = scores.shape[1] if every else marked(scores > -np.inf)
        return len(targets)

    with progress.task(f"evaluating {recommender.model}", len(examples)) as task:
        for done in abreast(recommender, blocks(costs, most, examples.groups), rank, cores):
            task.advance(done)
    return Ranked.single(ranks, candidates), tied, seen


def _shown(figures: Figures | None, name: str) -> str:
    """A value for a table, or "-" where there is nothing to average."""
    return "-" if figures is None else f"{figures.value(name):.4f}"
