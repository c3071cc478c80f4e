"""Less to learn from: the same test, asked of models that have learnt from a share of the users alone.

Users are thinned, whole, and not events or days: a sequence with holes is another sequence, and an earlier end of
training another question. The users of a smaller share are all among those of a larger one, so that a curve over the
shares is of one sample that shrinks. Nothing of the test changes: the same targets, asked from the same whole
histories, also of users who are not learnt from. An item that only users left out have taken is cold, and a miss: that
is what sparsity costs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, isfinite
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from ensue import runtime
from ensue.batching import Ints
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, DataError, MissingExtraError, ModelError
from ensue.evaluation import Evaluation, evaluate
from ensue.events.log import EventLog
from ensue.examples import Examples
from ensue.experiment import described_model
from ensue.ladder.learnable import Learnable
from ensue.ladder.outcome import Outcome
from ensue.ladder.rungs import rung
from ensue.progress import Progress, Silent
from ensue.segments import Bins, Segmenting
from ensue.splits import Split

WHOLE = 1.0


@dataclass(frozen=True, eq=False)
class WholeHistory(Segmenting):
    """By the number of events before the target, known to a model or not: the same targets in a part for every model.

    Attributes:
        labels: of the parts.
        codes: `[Q]` the part of each target; None parts nothing.
    """

    word: ClassVar[str] = "whole_history"

    labels: tuple[str, ...] = ()
    codes: Ints | None = None

    @classmethod
    def of(cls, parts: Split, targets: str, seed: int = 0) -> WholeHistory:
        """Three parts of about as many targets of a test each: short, middling and long histories.

        Args:
            parts: the split.
            targets: which events of the test are asked for.
            seed: of the random ones.
        """
        lengths = parts.examples("test", Catalogue.fit(parts.log), targets, seed=seed).queries.lengths
        least, most = int(lengths.min()), int(lengths.max())
        cuts = np.unique(np.quantile(lengths, [1 / 3, 2 / 3], method="lower"))
        cuts = cuts[cuts < most]
        edges = pairwise([least - 1, *cuts.tolist(), most])
        labels = tuple(
            f"{low + 1}-{high} events" if low + 1 < high else f"{high} events" for low, high in edges
        )
        return cls(labels, np.searchsorted(cuts, lengths).astype(np.int64))

    def bins(self, examples: Examples, catalogue: Catalogue) -> Bins | None:
        """The parts as they were made; none for other examples."""
        if self.codes is None or len(self.codes) != len(examples):
            return None
        return Bins(self.labels, self.codes)


@dataclass(frozen=True, eq=False)
class Point:
    """What every model reached with one share of the users to learn from.

    Attributes:
        share: of the users that have events before the test.
        users: how many are learnt from.
        events: of theirs, before the test.
        items: that these events are on.
        tests: figures on the test part, by the label of the model.
        skipped: models that could not run on so little, with the reason.
    """

    share: float
    users: int
    events: int
    items: int
    tests: Mapping[str, Evaluation]
    skipped: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The point for programs."""
        return {
            "share": self.share,
            "users": self.users,
            "events": self.events,
            "items": self.items,
            "models": {label: found.to_json() for label, found in self.tests.items()},
            "skipped": dict(self.skipped),
        }


@dataclass(frozen=True, eq=False)
class Thinned:
    """The curve of every model against less to learn from.

    Attributes:
        metric: the metric of the curve; the others are in the figures of each point.
        points: the largest share first.
        seed: draws the users.
    """

    metric: str
    points: tuple[Point, ...]
    seed: int

    def curve(self, label: str) -> dict[float, float]:
        """The metric of a model by share; shares at which it could not run are left out."""
        return {
            point.share: point.tests[label].value(self.metric)
            for point in self.points
            if label in point.tests
        }

    def to_json(self) -> dict[str, Any]:
        """The curves for programs."""
        return {
            "metric": self.metric,
            "of": "users that are learnt from; the test is the same for all",
            "seed": self.seed,
            "points": [point.to_json() for point in self.points],
        }


def checked_shares(shares: Sequence[float]) -> tuple[float, ...]:
    """The shares, the largest first, each once, and the whole among them.

    Raises:
        ConfigError: one is no share above 0 and up to 1.
    """
    for share in shares:
        if not isfinite(share) or not 0 < share <= 1:
            raise ConfigError(
                f"{share:g} is no share of the users: take numbers above 0 and up to 1, such as 0.25."
            )
    return tuple(sorted({WHOLE, *shares}, reverse=True))


def kept_users(log: EventLog, share: float, seed: int = 0) -> pl.Series:
    """The users of a log that a share of them keeps: at least one, and all of those that a smaller share keeps.

    Args:
        log: whose users they are.
        share: above 0 and up to 1.
        seed: same seed, same users.
    """
    users = log.frame["user"].unique().sort()
    drawn = np.random.default_rng([seed, 8]).permutation(len(users))
    return users.gather(np.sort(drawn[: ceil(share * len(users) - 1e-9)]))


def of_users(log: EventLog, users: pl.Series) -> EventLog:
    """The events of these users, in the order of the log."""
    return log.where(log.frame["user"].is_in(users.implode()))


def thinned(
    outcome: Outcome, shares: Sequence[float], progress: Progress | None = None, seed: int = 0
) -> Thinned:
    """The curve of every model of a run against less to learn from; the run itself is its first point.

    Each network has as many minutes as it had in the run, and its automatic settings anew.

    Args:
        outcome: of the run.
        shares: of the users.
        progress: who is told how far it is.
        seed: draws the users.

    Raises:
        ConfigError: a share is none.
    """
    wanted, progress = checked_shares(shares), progress or Silent()
    before, asked = outcome.split.before_test, outcome.experiment.evaluation
    by = WholeHistory.of(outcome.split, asked.targets, asked.target_seed)
    points = []
    for share in wanted:
        users = kept_users(before, share, seed)
        less = of_users(before, users)
        if share == WHOLE:
            tests, skipped = _parted(outcome, by), dict(outcome.skipped)
        else:
            progress.say(
                f"learning from {len(users):,} users, {share:g} of them, with {less.n_events:,} events before the test"
            )
            tests, skipped = _tests(outcome, users, by, progress)
        points.append(Point(share, len(users), less.n_events, less.n_items, tests, skipped))
    name, measured = outcome.experiment.evaluation.choose_on, outcome.rungs[0].test.metrics
    return Thinned(name if name in measured else measured[0], tuple(points), seed)


def _parted(outcome: Outcome, by: Segmenting) -> dict[str, Evaluation]:
    """The figures of the run itself, parted as those of its thinned copies are."""
    found = {}
    for one in outcome.rungs:
        served = runtime.load(one.folder)
        examples = outcome.experiment.evaluation.examples(outcome.split, "test", served.catalogue)
        found[one.label] = evaluate(served, examples, metrics=one.test.metrics, segments=(by,))
    return found


def _tests(
    outcome: Outcome, users: pl.Series, by: Segmenting, progress: Progress
) -> tuple[dict[str, Evaluation], dict[str, str]]:
    """The figures of all models that have learnt from these users alone, and those that could not run."""
    experiment, parts = outcome.experiment, outcome.split
    try:
        learnable = Learnable.of(experiment, of_users(parts.train, users), of_users(parts.before_test, users))
    except DataError as fault:  # the filters leave nothing of so little
        return {}, {label: str(fault) for label in experiment.models}
    tests: dict[str, Evaluation] = {}
    skipped: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="thinned-") as place:
        for label, settings in experiment.models.items():
            try:
                model = described_model(label, settings)
                found = rung(label, model, experiment, parts, learnable, Path(place), progress, (by,))
            except (MissingExtraError, ModelError) as fault:
                skipped[label] = str(fault)
                progress.say(f"{label}: left out. {fault}")
                continue
            tests[label] = found.test
    return tests, skipped
