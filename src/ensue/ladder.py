"""The ladder: every model of an experiment fitted, chosen on validation, refitted, saved, and tested as saved."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from ensue import artifacts, runtime
from ensue.errors import ConfigError, DataError, MissingExtraError, ModelError
from ensue.evaluation import Evaluation, evaluate
from ensue.events import datasets
from ensue.events.audit import Audit, audit
from ensue.events.filtering import Fitted
from ensue.events.log import EventLog
from ensue.events.readers.sql import name_of, without_secrets
from ensue.events.simulate import demo_log
from ensue.events.source import read
from ensue.expected_ratings import answers_ratings, has_ratings
from ensue.experiment import DEFAULT_LADDER, Data, Experiment, described_model
from ensue.inputs import TIME, USER, Inputs
from ensue.metrics import DEFAULT, metric
from ensue.model import Conditions, Model, Training, refit
from ensue.progress import Progress, Silent
from ensue.ranking import Recommender
from ensue.rating_evaluation import RatingEvaluation, evaluate_ratings
from ensue.run_folder import FIGURES as FIGURES
from ensue.run_folder import HISTORIES as HISTORIES
from ensue.run_folder import MODELS as MODELS
from ensue.run_folder import RESULTS as RESULTS
from ensue.run_folder import comparison as comparison
from ensue.run_folder import histories as histories
from ensue.run_folder import load as load
from ensue.run_folder import model_folder as model_folder
from ensue.splits import TEST, Split, split
from ensue.version import __version__

SIMULATED = "simulated"


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

    def to_json(self) -> dict[str, Any]:
        """The row for programs."""
        return {
            "label": self.label,
            "model": self.model.name,
            "settings": self.model.settings(),
            "validation": self.validation,
            "test": self.test.to_json(),
            "ratings": None if self.ratings is None else self.ratings.to_json(),
            "fit_seconds": round(self.fit_seconds, 3),
            "test_seconds": round(self.test_seconds, 3),
            "facts": dict(self.facts),
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
    def recommender(self) -> Recommender:
        """The best model, loaded as it will be served."""
        return runtime.load(self.folder / MODELS / self.best)

    def to_json(self) -> dict[str, Any]:
        """The whole outcome for programs; no user's id is in it."""
        return {
            "ensue": __version__,
            "experiment": _shown(self.experiment),
            "data": {"fingerprint": self.log.fingerprint(), "reading": self.log.reading.to_json()},
            "audit": self.audit.to_json(),
            "split": {"rule": self.split.name, "sizes": self.split.sizes, "leaks": self.split.leaks},
            "filters": {name: fitted.to_json() for name, fitted in self.filtered.items()},
            "models": [rung.to_json() for rung in self.rungs],
            "best": self.best,
            "skipped": dict(self.skipped),
        }


def _shown(experiment: Experiment) -> dict[str, Any]:
    """An experiment as it may be kept and passed on: without the password of a database."""
    source = without_secrets(experiment.data.source)
    return replace(experiment, data=replace(experiment.data, source=source)).to_json()


def load_log(data: Data, say: Callable[[str], None] | None = None) -> EventLog:
    """The log that an experiment names: a path, a public data set, or a simulated one."""
    if data.source == SIMULATED:
        return demo_log()
    if data.source in datasets.DATASETS and not Path(data.source).exists():
        return datasets.fetch(data.source, say=say)
    return read(data.source, **reading(data))


def reading(data: Data) -> dict[str, Any]:
    """How the source of an experiment is read, as `read` takes it."""
    return {
        "format": data.format or None,
        "columns": data.columns or None,
        "delimiter": data.delimiter or None,
        "quoting": data.quoting,
        "decimal": data.decimal,
        "time_unit": data.time_unit or None,
    }


def run(
    experiment: Experiment | str | Path, progress: Progress | None = None, log: EventLog | None = None
) -> Outcome:
    """Reads, audits and splits a log, fits and tests the ladder of models, and saves them all.

    The best is chosen on validation; test figures are taken through the saved artifacts, by the code that serves.

    Args:
        experiment: what to do; a path stands for the default experiment on that log, kept in "runs/<its name>".
        progress: who is told how far it is.
        log: the events, if they are in memory already.

    Raises:
        EnsueError: nothing could be read, split or fitted; a model that cannot run alone is skipped and named.
    """
    if not isinstance(experiment, Experiment):
        name = name_of(str(experiment)) or "log"
        experiment = Experiment(data=Data(source=str(experiment)), out=f"runs/{name}")
    progress = progress or Silent()
    log = load_log(experiment.data, progress.say) if log is None else log
    for line in log.reading.lines():
        progress.say(line)
    by, shape = experiment.sequences.by, experiment.shape
    shape.said(by)  # a rule that no model could keep is refused before any work
    log = shape.apply(log, progress.say)
    found = audit(log, by)
    for line in found.lines():
        progress.say(line)
    experiment = _settled(experiment, found)
    parts = _split(experiment, log)
    progress.say(
        f"split: {parts.name}; " + ", ".join(f"{size:,} {name}" for name, size in parts.sizes.items())
    )
    for note in (*parts.notes, *([f"this split leaks: {parts.leaks}"] if parts.leaks else [])):
        progress.say(f"split: {note}")
    learnable, filtered = _learnable(experiment, parts, progress)
    folder = _folder(experiment)
    rungs: list[Rung] = []
    skipped: dict[str, str] = {}
    _clear(folder, experiment)
    for label, settings in experiment.models.items():
        try:
            model = described_model(label, settings)
            rungs.append(_rung(label, model, experiment, parts, learnable, folder, progress))
        except (MissingExtraError, ModelError) as fault:
            skipped[label] = str(fault)
            progress.say(f"{label}: left out. {fault}")
    if not rungs:
        raise ModelError("No model of this experiment could run: " + "; ".join(skipped.values()))
    best = _best(rungs)
    outcome = Outcome(experiment, log, found, parts, tuple(rungs), best, folder, skipped, filtered)
    if experiment.keep_histories:
        _kept(log, rungs, by).write_parquet(folder / HISTORIES)
    _figures(rungs, experiment.evaluation.choose_on).write_parquet(folder / FIGURES)
    (folder / RESULTS).write_text(
        json.dumps(outcome.to_json(), indent=1, ensure_ascii=False), encoding="utf-8"
    )
    return outcome


def _settled(experiment: Experiment, found: Audit) -> Experiment:
    """The experiment with every automatic choice made."""
    models = experiment.models or {name: {} for name in DEFAULT_LADDER}
    rule: Any = found.advised("split") if experiment.split.rule == "auto" else experiment.split.rule
    seen = experiment.evaluation.exclude_seen
    return replace(
        experiment,
        models=models,
        split=replace(experiment.split, rule=rule),
        evaluation=replace(
            experiment.evaluation,
            exclude_seen=bool(found.advised("exclude_seen")) if seen == "auto" else seen,
        ),
    )


def _split(experiment: Experiment, log: EventLog) -> Split:
    rule, by = experiment.split.rule, experiment.sequences.by
    if rule == "last":
        return split(log, "last", by=by)
    if rule == "basket":
        if by != "user":
            raise ConfigError(
                "split.rule = 'basket' leaves out baskets of users: take sequences.by = 'user'."
            )
        return split(log, "basket")
    return split(log, rule, test=experiment.split.test, validation=experiment.split.validation, by=by)


def _learnable(
    experiment: Experiment, parts: Split, progress: Progress
) -> tuple[tuple[EventLog, EventLog], Mapping[str, Fitted]]:
    """What of the training part, and of all before the test, is learnt from; and the filters, fitted on each."""
    train, before = parts.train, parts.before_test
    filters = experiment.filters
    if not filters.fitted:
        return (train, before), {}
    fitted = {"train": filters.fit(train)}
    if experiment.refit:
        fitted["before_test"] = filters.fit(before)
    for name, one in fitted.items():
        for line in one.lines():
            progress.say(f"{name.replace('_', ' ')}: {line}")
    last = fitted.get("before_test", fitted["train"])
    found = last.later(parts.log.where(parts.part == TEST))
    progress.say(
        f"test: {found['cold']:,} events are on items that are not learnt from, and misses; "
        f"{found['not_learnt_from']:,} are of users that are not learnt from, and asked about by their histories"
    )
    return (fitted["train"].learnt_from(train), last.learnt_from(before)), fitted


def _folder(experiment: Experiment) -> Path:
    """The folder of the run: new, empty, or of an earlier run."""
    if not experiment.out:
        raise ConfigError('The experiment names no folder for its results: give out = "runs/NAME" or --out.')
    folder = Path(experiment.out)
    if (
        folder.is_dir()
        and any(folder.iterdir())
        and not (folder / RESULTS).exists()
        and not (folder / MODELS).exists()
    ):
        raise ConfigError(
            f"{folder} holds something other than a run: choose another folder, or empty it first."
        )
    (folder / MODELS).mkdir(parents=True, exist_ok=True)
    return folder


def _clear(folder: Path, experiment: Experiment) -> None:
    """Takes the models of an earlier run out of the folder, those that this one does not write anew."""
    for place in (folder / MODELS).iterdir():
        if place.name not in experiment.models and (place / artifacts.DESCRIPTION).is_file():
            shutil.rmtree(place)


def _rung(
    label: str,
    model: Model,
    experiment: Experiment,
    parts: Split,
    learnable: tuple[EventLog, EventLog],
    folder: Path,
    progress: Progress,
) -> Rung:
    """One model: fitted, measured on validation, refitted, saved, loaded, tested."""
    began = time.monotonic()
    by, seen = experiment.sequences.by, bool(experiment.evaluation.exclude_seen)
    conditions = Conditions(seed=experiment.seed, progress=progress, max_minutes=experiment.max_minutes)
    targets = experiment.evaluation.targets
    progress.say(f"{label}: {model.summary}")
    training = Training.of(learnable[0], by, seen)
    validation = parts.examples("validation", training.catalogue, targets)
    usable = len(validation) > 0
    fitted = model.fit(replace(training, validation=validation if usable else None), conditions)
    model = replace(model, **fitted.settings)  # what was left to the data stays as it was chosen
    wanted = metric(experiment.evaluation.choose_on)
    score = evaluate(fitted, validation, metrics=(wanted,)).value(wanted.name) if usable else None
    if experiment.refit and (parts.part == 1).any():
        fitted = refit(model, fitted, Training.of(learnable[1], by, seen), conditions)
    place = folder / MODELS / label
    fit_seconds = time.monotonic() - began
    before = parts.before_test if experiment.refit else parts.train
    what = learnt(parts.log, before, experiment.shape.said(by), experiment.to_json()["split"])
    what["events"] = learnable[1 if experiment.refit else 0].n_events
    artifacts.save(fitted, place, facts={"validation": score, "label": label, "learnt": what})
    served = runtime.load(place)
    began = time.monotonic()
    metrics = tuple(metric(name) for name in experiment.evaluation.metrics) or DEFAULT
    examples = parts.examples("test", served.catalogue, targets)
    tested = evaluate(served, examples, metrics=metrics)
    test_seconds = time.monotonic() - began
    ratings = None
    if answers_ratings(served):
        try:
            ratings = evaluate_ratings(served, examples, training=before if has_ratings(before) else None)
        except DataError as fault:
            progress.say(f"{label}: {fault}")
    return Rung(
        label, model, score, tested, fit_seconds, test_seconds, place, fitted.facts, reads(served), ratings
    )


def reads(recommender: Recommender) -> tuple[str, ...]:
    """The columns of events, beside user and item, that a recommender's answers depend on: "time", "rating", others.

    A network says it by its inputs; a counting model by `reads` of its scoring, and reads none where it has no such.
    """
    inputs = getattr(recommender.scoring, "inputs", None)
    found = inputs.columns if isinstance(inputs, Inputs) else getattr(recommender.scoring, "reads", ())
    return tuple(name for name in found if name != USER)


def _kept(log: EventLog, rungs: list[Rung], by: str) -> pl.DataFrame:
    """What a run keeps of its users' histories: items, times, and what its models read beside them; nothing more.

    Times tell, when new events come, which of them are new.
    """
    wanted = {name for rung in rungs for name in rung.reads} | {"session" if by == "session" else TIME}
    known = set(log.columns) - (set() if log.has_time else {TIME})
    return log.frame.select("user", "item", *(name for name in log.columns if name in wanted & known))


def _best(rungs: list[Rung]) -> str:
    """The model that was best on validation; without validation targets, the last of the ladder."""
    scored = [rung for rung in rungs if rung.validation is not None]
    return max(scored, key=lambda rung: rung.validation or 0.0).label if scored else rungs[-1].label


def learnt(
    log: EventLog, training: EventLog, sequences: Mapping[str, Any], split: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a saved model says of the events it has learnt from, so that it can be evaluated on others later.

    Args:
        log: all events that were read.
        training: those that the model was fitted on.
        sequences: what a sequence is, as in an experiment.
        split: which events of the log were tested, as in an experiment; None if none were.
    """
    until = training.frame["time"].max() if training.has_time else None
    return {
        "log": log.fingerprint(),
        "events": training.n_events,
        "until": until.isoformat() if isinstance(until, datetime) else None,
        "sequences": dict(sequences),
        "split": None if split is None else dict(split),
    }


def _figures(rungs: list[Rung], metric: str) -> pl.DataFrame:
    """One column for each model: its value for each tested user, in an order that does not tell who they are."""
    name = metric if metric in rungs[0].test.metrics else rungs[0].test.metrics[0]
    columns = {f"{rung.label} {name}": rung.test.per_user[name] for rung in rungs}
    return pl.DataFrame(columns).sort(list(columns))
