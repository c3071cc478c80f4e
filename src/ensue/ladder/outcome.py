"""What a ladder of models came to: a row for each of them, and the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ensue import runtime
from ensue.basket_evaluation import BasketEvaluation
from ensue.evaluation import Evaluation
from ensue.events.audit import Audit
from ensue.events.filtering import Fitted
from ensue.events.log import EventLog
from ensue.events.readers.sql import without_secrets
from ensue.experiment import RMSE, Experiment
from ensue.ladder.costs import Cost
from ensue.model import Model
from ensue.ranking import Recommender
from ensue.rating_evaluation import RatingEvaluation
from ensue.run_folder import MODELS
from ensue.splits import Split
from ensue.version import __version__


@dataclass(frozen=True, eq=False)
class Rung:
    """One model of the ladder, as it was measured.

    Attributes:
        label: its name in the experiment.
        model: the description that was fitted.
        validation: the metric that the best is chosen by, on the validation part; None if that has no targets.
        test: its figures on the test part, taken through the saved artifact.
        fit_seconds: time to fit, choose and refit.
        test_seconds: time to rank all test targets.
        folder: where it is saved.
        facts: what the fit says of itself.
        reads: the columns of events, beside user and item, that its answers depend on.
        ratings: how far off its expected ratings are on the test part; None where its scores are none.
        cost: what it costs beside that time: memory, size, latency; None where it was not measured.
        warnings: what is odd about its figures or its answers, a sentence each.
        baskets: how much of whole baskets it finds; None where the split asks for none.
    """

    label: str
    model: Model
    validation: float | None
    test: Evaluation
    fit_seconds: float
    test_seconds: float
    folder: Path
    facts: Mapping[str, Any]
    reads: tuple[str, ...] = ()
    ratings: RatingEvaluation | None = None
    cost: Cost | None = None
    warnings: tuple[str, ...] = ()
    baskets: BasketEvaluation | None = None

    def to_json(self) -> dict[str, Any]:
        """The row for programs."""
        return {
            "label": self.label,
            "model": self.model.name,
            "settings": self.model.settings(),
            "validation": self.validation,
            "test": self.test.to_json(),
            "ratings": None if self.ratings is None else self.ratings.to_json(),
            "baskets": None if self.baskets is None else self.baskets.to_json(),
            "fit_seconds": round(self.fit_seconds, 3),
            "test_seconds": round(self.test_seconds, 3),
            "cost": None if self.cost is None else self.cost.to_json(),
            "facts": dict(self.facts),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an experiment came to.

    Attributes:
        experiment: as it was run, every automatic choice filled in.
        log: what was read.
        audit: what the log is.
        split: which events were tested.
        rungs: the models, in the order of the experiment.
        best: label of the one that was best on validation.
        folder: where it all lies.
        skipped: models that could not run, with the reason.
        filtered: what filters took out of training, as fitted on the training part and on all before the test.
    """

    experiment: Experiment
    log: EventLog
    audit: Audit
    split: Split
    rungs: tuple[Rung, ...]
    best: str
    folder: Path
    skipped: Mapping[str, str]
    filtered: Mapping[str, Fitted] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Label -> metric -> headline value, RMSE before the others where models were chosen by that."""
        found = {
            rung.label: {name: rung.test.value(name) for name in rung.test.metrics} for rung in self.rungs
        }
        rated = {rung.label: rung.ratings.value(RMSE) for rung in self.rungs if rung.ratings is not None}
        if self.experiment.evaluation.choose_on != RMSE or len(rated) < len(found):
            return found
        return {label: {RMSE: rated[label]} | own for label, own in found.items()}

    @property
    def recommender(self) -> Recommender:
        """The best model, loaded as it will be served."""
        return runtime.load(self.folder / MODELS / self.best)

    def to_json(self) -> dict[str, Any]:
        """The whole outcome for programs; no user's id is in it."""
        return {
            "ensue": __version__,
            "experiment": shown(self.experiment),
            "data": {"fingerprint": self.log.fingerprint(), "reading": self.log.reading.to_json()},
            "audit": self.audit.to_json(),
            "split": {"rule": self.split.name, "sizes": self.split.sizes, "leaks": self.split.leaks},
            "filters": {name: fitted.to_json() for name, fitted in self.filtered.items()},
            "models": [rung.to_json() for rung in self.rungs],
            "best": self.best,
            "skipped": dict(self.skipped),
        }


def shown(experiment: Experiment) -> dict[str, Any]:
    """An experiment as it may be kept and passed on: without the password of a database."""
    source = without_secrets(experiment.data.source)
    return replace(experiment, data=replace(experiment.data, source=source)).to_json()
