"""One model of a ladder: fitted, measured on validation, refitted, saved, loaded, tested as it will be served."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ensue import artifacts, runtime
from ensue.errors import DataError
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.expected_ratings import answers_ratings, has_ratings
from ensue.experiment import Experiment
from ensue.inputs import USER, Inputs
from ensue.ladder.outcome import Rung
from ensue.metrics import DEFAULT, metric
from ensue.model import Conditions, Model, Training, refit
from ensue.progress import Progress
from ensue.ranking import Recommender
from ensue.rating_evaluation import evaluate_ratings
from ensue.run_folder import MODELS
from ensue.splits import Split


def rung(
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
