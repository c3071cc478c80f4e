"""How far off expected ratings are: RMSE and MAE on ratings that came next, beside those of simple baselines.

Only a target that was rated counts. Two groups of them are reported:

- *warm* (the headline): the targets that the catalogue holds;
- *all*: the others too; what no network can answer is answered by the mean rating of its training.

A history without a single known item is answered by that mean as well. Figures are given over targets, each weighing
the same, as papers have them, and as means over users. Intervals are over users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.catalogue import UNKNOWN
from ensue.errors import ConfigError, DataError, nearest
from ensue.events.log import EventLog
from ensue.expected_ratings import (
    BLOCK_BYTES,
    Biases,
    Scale,
    has_ratings,
    mean_rating,
    rated_places,
    ratings_by,
    scale_told,
)
from ensue.progress import Progress
from ensue.ranking import Recommender
from ensue.significance import Interval, Paired, intervals, paired
from ensue.splits import Examples, Split

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

METRICS = ("rmse", "mae", "user_rmse", "user_mae")
"""Root of the mean squared error and mean absolute error over targets; then the means over users of those of each."""

HEADLINE = "rated targets that the catalogue holds"


@dataclass(frozen=True, eq=False)
class Errors:
    """How far off the answers are over one group of targets.

    Attributes:
        targets: how many ratings the figures are over.
        intervals: each of `METRICS` with its bootstrap interval over users.
        per_user: `[U]` the RMSE of each user, in the order of the groups of the examples; in no output.
        shares: `[U]` the RMSE over targets as a mean over users, in the same order: what each makes it vary by.
    """

    targets: int
    intervals: Mapping[str, Interval]
    per_user: Values = field(repr=False)
    shares: Values = field(repr=False)

    @property
    def users(self) -> int:
        """How many users the figures are over."""
        return len(self.per_user)

    def value(self, name: str) -> float:
        """One of `METRICS`, such as "rmse".

        Raises:
            ConfigError: there is no such metric.
        """
        if name not in self.intervals:
            raise ConfigError(
                f"There is no metric '{name}' of ratings: take one of {', '.join(METRICS)}.{nearest(name, METRICS)}"
            )
        return self.intervals[name].value

    def to_json(self) -> dict[str, Any]:
        """The figures for programs, without anything of a single user."""
        found = {name: interval.to_json() for name, interval in self.intervals.items()}
        return {"users": self.users, "targets": self.targets, "metrics": found}


@dataclass(frozen=True, eq=False)
class Judged:
    """The figures of one that answers: over the warm targets and over all."""

    warm: Errors
    all: Errors

    def to_json(self) -> dict[str, Any]:
        """The figures for programs."""
        return {"warm": self.warm.to_json(), "all": self.all.to_json()}


@dataclass(frozen=True)
class RatingCounts:
    """How many of what an evaluation of ratings is made of.

    Attributes:
        targets: questions asked, `Q`.
        rated: targets with a rating; all others are left out of every figure.
        cold_items: rated targets that the catalogue does not hold, answered by the mean rating of training.
        cold_user_targets: rated targets that it holds, asked of a history without a known item, answered likewise.
        cold_users: users with at least one of these.
        mean_rating: that mean.
        by: what a user is here, "user" or "session".
    """

    targets: int
    rated: int
    cold_items: int
    cold_user_targets: int
    cold_users: int
    mean_rating: float
    by: str = "user"

    @property
    def unrated(self) -> int:
        """Targets without a rating."""
        return self.targets - self.rated

    def to_json(self) -> dict[str, Any]:
        """The counts for programs."""
        return dict(vars(self)) | {"unrated": self.unrated}

    def lines(self) -> list[str]:
        """The counts for people; what is 0 is said, since it is a finding."""
        mean = f"answered by the mean rating of training, {self.mean_rating:.4f}"
        return [
            f"{self.rated:,} of {self.targets:,} targets are rated; {self.unrated:,} are not and count nowhere",
            f"{self.cold_items:,} rated targets are cold: not in the catalogue, {mean}",
            f"{self.cold_user_targets:,} other targets of {self.cold_users:,} {self.by}s have no known item in their "
            f"history and are {mean}",
        ]


@dataclass(frozen=True, eq=False)
class RatingEvaluation:
    """How far off one recommender's expected ratings are on one set of examples, and those of the baselines.

    Attributes:
        model: name of the model.
        protocol: what was asked, in words.
        own: the recommender's figures.
        baselines: those of what is simple, on the same targets, by name (`ensue.expected_ratings.NAMES`).
        against: the RMSE of each user by the recommender minus that by each baseline, on warm targets; below 0 the
            recommender is better.
        counts: what the figures are made of.
        scale: the ratings of the recommender's training, as its facts have them; None where they say nothing of it.
    """

    model: str
    protocol: str
    own: Judged
    baselines: Mapping[str, Judged]
    against: Mapping[str, Paired]
    counts: RatingCounts
    scale: Scale | None = None

    @property
    def warm(self) -> Errors:
        """The recommender's headline figures."""
        return self.own.warm

    @property
    def all(self) -> Errors:
        """The recommender's figures over all rated targets."""
        return self.own.all

    def value(self, name: str) -> float:
        """The headline value of one of `METRICS`, such as "rmse".

        Raises:
            ConfigError: there is no such metric.
        """
        return self.warm.value(name)

    def to_json(self) -> dict[str, Any]:
        """The evaluation for programs; it holds no id of a user."""
        return {
            "model": self.model,
            "protocol": self.protocol,
            "headline": HEADLINE,
            **self.own.to_json(),
            "baselines": {name: found.to_json() for name, found in self.baselines.items()},
            "against": {name: found.to_json() for name, found in self.against.items()},
            "counts": self.counts.to_json(),
            "scale": None if self.scale is None else asdict(self.scale),
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A table with a head: who answers, RMSE with its interval, MAE, both as means over users, RMSE over all."""
        level = f"{self.warm.intervals['rmse'].level:.0%} interval"
        by = self.counts.by
        table: list[tuple[str, ...]] = [
            ("rating by", "RMSE", level, "MAE", f"{by} RMSE", f"{by} MAE", "RMSE with cold")
        ]
        for name, found in {self.model: self.own, **self.baselines}.items():
            rmse, *others = (found.warm.intervals[metric] for metric in METRICS)
            plain = (f"{other.value:.4f}" for other in others)
            table.append(
                (
                    name,
                    f"{rmse.value:.4f}",
                    f"{rmse.low:.4f} to {rmse.high:.4f}",
                    *plain,
                    f"{found.all.value('rmse'):.4f}",
                )
            )
        return table

    def lines(self) -> list[str]:
        """The evaluation as plain text: protocol, table, what is better, counts, notes."""
        table = self.rows()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        rows = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
        notes = sorted({f"note: {found.note}" for found in self.warm.intervals.values() if found.note})
        return [
            f"{self.model}: {self.protocol}; the rating of the target is expected",
            *(() if self.scale is None else (f"{self.scale.words()}, as found in training",)),
            f"headline: the {self.warm.targets:,} {HEADLINE}, of {self.warm.users:,} {self.counts.by}s",
            *rows,
            *self._versus(),
            *self.counts.lines(),
            *notes,
        ]

    def _versus(self) -> list[str]:
        """How the recommender stands to the best of the baselines, if there are any."""
        if not self.baselines:
            return ["no baseline stands beside it: give the training events"]
        best = min(self.baselines, key=lambda name: self.baselines[name].warm.value("user_rmse"))
        found = self.against[best]
        gap = found.difference
        return [
            f"{self.counts.by} RMSE minus that of the best baseline, {best}: {gap.value:+.4f} "
            f"({gap.low:+.4f} to {gap.high:+.4f}), p = {found.p_value:.2g}; below 0 {self.model} is better"
        ]


def evaluate_ratings(
    recommender: Recommender,
    examples: Examples | Split,
    *,
    training: EventLog | Biases | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> RatingEvaluation:
    """How far off a recommender's expected ratings of the items that came next are, beside simple baselines.

    Args:
        recommender: a model of ratings, or a network with a loss for them, as fitted or as loaded.
        examples: histories with known answers, in the indices of the recommender's catalogue; a split stands for every
            event of its test part.
        training: the events that the recommender has learnt from, or biases fitted on them: what the baselines know.
            None takes everything before the test of a split; without any ratings there are no baselines.
        seed: of the bootstrap and of the sign flips; same seed, same intervals.
        progress: who is told how far it is.
        block_bytes: most bytes that the scores of one block of queries take; it changes no figure.

    Raises:
        QueryError: the recommender does not answer with ratings, scores are not finite, or the examples were made for
            another catalogue.
        DataError: no target has a rating and is in the catalogue, or no training event has a rating.
    """
    if isinstance(examples, Split):
        before = examples.before_test
        training = before if training is None and has_ratings(before) else training
        examples = examples.examples("test", recommender.catalogue)
    mean = mean_rating(recommender)
    rated = rated_places(examples, warm=False)
    asked = examples[rated]
    warm = asked.targets != UNKNOWN
    if asked.target_ratings is None or not warm.any():
        raise DataError(
            f"There is no rating to expect ({examples.protocol}): none of its {len(examples)} targets has a rating and "
            "is known to the model. Name the column of the ratings, or split at an earlier time."
        )
    given = asked.target_ratings.astype(np.float64)
    own = ratings_by(recommender, asked, progress=progress, block_bytes=block_bytes)
    answers: dict[str, Values] = {}
    if training is not None:
        biases = training if isinstance(training, Biases) else Biases.fit(training)
        answers = biases.answers(asked, recommender.catalogue)
    first, *others = (_judged(found - given, asked.groups, warm, seed) for found in (own, *answers.values()))
    baselines = dict(zip(answers, others, strict=True))
    cold_users = warm & (asked.queries.lengths == 0)
    return RatingEvaluation(
        model=recommender.model,
        protocol=examples.protocol,
        own=first,
        baselines=baselines,
        against={
            name: paired(first.warm.per_user, found.warm.per_user, seed=seed)
            for name, found in baselines.items()
        },
        counts=RatingCounts(
            targets=len(examples),
            rated=len(asked),
            cold_items=int((~warm).sum()),
            cold_user_targets=int(cold_users.sum()),
            cold_users=len(np.unique(asked.groups[cold_users])),
            mean_rating=mean,
            by=examples.by,
        ),
        scale=scale_told(recommender),
    )


def _judged(off: Values, groups: Ints, warm: Mask, seed: int) -> Judged:
    """The figures over the warm targets and over all, of `[Q]` differences between what was expected and given."""
    return Judged(_errors(off[warm], groups[warm], seed), _errors(off, groups, seed))


def _errors(off: Values, groups: Ints, seed: int) -> Errors:
    """The figures over `[Q]` differences between what was expected and what was given."""
    _, rows = np.unique(groups, return_inverse=True)
    sizes = np.bincount(rows).astype(np.float64)
    squares = np.bincount(rows, weights=off**2).astype(np.float64)
    sums = np.bincount(rows, weights=np.abs(off)).astype(np.float64)
    per_user: Values = np.sqrt(squares / sizes)
    shares = _root_of_share(squares, sizes)
    columns = (shares, _share(sums, sizes), per_user, sums / sizes)
    found = intervals(np.column_stack(columns), seed=seed)
    return Errors(len(off), dict(zip(METRICS, found, strict=True)), per_user, shares)


def _share(sums: Values, sizes: Values) -> Values:
    """`[U]` values whose mean is sum(sums) / sum(sizes), and whose spread is what the users make it vary by.

    They are the value of the ratio plus each user's influence on it, so that one bootstrap over users serves means over
    users and over targets alike.

    References:
        Davison & Hinkley, "Bootstrap Methods and their Application", 1997, sec. 2.7 (influence values, delta method).
    """
    ratio = float(sums.sum() / sizes.sum())
    values: Values = ratio + (sums - ratio * sizes) / sizes.mean()
    return values


def _root_of_share(squares: Values, sizes: Values) -> Values:
    """`[U]` the same for the root of the ratio."""
    root = float(np.sqrt(squares.sum() / sizes.sum()))
    if root == 0:
        return np.zeros(len(sizes))
    values: Values = root + (_share(squares, sizes) - root**2) / (2 * root)
    return values
