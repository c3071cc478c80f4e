"""One model of a ladder: fitted, measured on validation, refitted, saved, loaded, tested as it will be served."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ensue import artifacts, runtime
from ensue.basket_evaluation import evaluate_baskets
from ensue.errors import DataError, MissingExtraError
from ensue.evaluation import Evaluation, evaluate
from ensue.events.log import EventLog
from ensue.expected_ratings import has_ratings, rates
from ensue.experiment import RMSE, Experiment
from ensue.inputs import USER, Inputs
from ensue.ladder.choosing import validation_rmse
from ensue.ladder.costs import Cost, folder_bytes, latency, process_peak
from ensue.ladder.learnable import Learnable
from ensue.ladder.outcome import Rung
from ensue.metrics import DEFAULT, metric
from ensue.model import Conditions, Model, Training, refit
from ensue.model import models as families
from ensue.objective import NONE, Objective
from ensue.presets import PRESETS, preset
from ensue.progress import Progress
from ensue.ranking import Recommender
from ensue.rating_evaluation import evaluate_ratings
from ensue.rules import with_first_seen
from ensue.run_folder import MODELS
from ensue.segments import DEFAULT as SEGMENTS
from ensue.segments import Segmenting
from ensue.sequences import Sequences
from ensue.splits import Split, check_learnt
from ensue.suspicion import probe, suspicions


@dataclass(frozen=True, eq=False)
class FirstFit:
    """A model fitted on the training part and measured on validation, from which it goes on to a test.

    Attributes:
        model: the description, with what was left to the data as it was chosen.
        recommender: as it came out of the fit.
        validation: its figures, on all validation targets; None if there are none, or if ratings are judged.
        score: the figure by which it is chosen; None if there is nothing to choose on.
        seconds: what that took.
        peak: the most memory that the process had held before; None where the system does not tell.
    """

    model: Model
    recommender: Recommender
    validation: Evaluation | None
    score: float | None
    seconds: float
    peak: float | None


def described(label: str, sequences: Sequences) -> dict[str, Any]:
    """A model of a ladder as an experiment describes it: a preset by its name, any other without settings.

    Args:
        label: the name of a preset or of a model.
        sequences: what it will learn from.
    """
    if label not in PRESETS:
        return {}
    found = preset(label, sequences)
    return {"model": found.model, **found.settings}


def refuse_unknown(name: str, asked: Mapping[str, Any]) -> None:
    """Nothing, if a model may exist: one of the experiment, a preset, or a model by its name.

    Args:
        name: of it.
        asked: the models of the experiment, by label.

    Raises:
        ConfigError: it does not.
    """
    if name in asked or name in PRESETS:
        return
    with contextlib.suppress(MissingExtraError):  # it is named later, with its remedy
        families.get(name)


def trains(model: Model) -> bool:
    """Whether a model learns in epochs, for minutes, and with a seed: a network, and none that counts."""
    return any(field.name == "epochs" for field in fields(model))


def first_fit(model: Model, training: Training, conditions: Conditions, chosen_on: str) -> FirstFit:
    """A model fitted on the training part and measured on validation.

    Args:
        model: what is fitted.
        training: with the validation examples, or None where there are none.
        conditions: how the fit goes.
        chosen_on: the metric on validation.
    """
    began, peak = time.monotonic(), process_peak()
    fitted = model.fit(training, conditions)
    model = replace(model, **fitted.settings)  # what was left to the data stays as it was chosen
    found = score = None
    if training.validation is not None and chosen_on != RMSE:
        found = evaluate(fitted, training.validation, metrics=(metric(chosen_on),))
        score = found.value(chosen_on)
    elif training.validation is not None:
        score = validation_rmse(fitted, training.validation)
    return FirstFit(model, fitted, found, score, time.monotonic() - began, peak)


def validated(log: EventLog, parts: Split, experiment: Experiment) -> Training:
    """What a first fit learns from, with the validation examples if there are any.

    Args:
        log: the events of the training part that are learnt from.
        parts: the split.
        experiment: what a sequence is, what is asked, and whether seen items are left out.
    """
    by, seen = experiment.sequences.by, bool(experiment.evaluation.exclude_seen)
    training = Training.of(log, by, seen, experiment.objective, experiment.evaluation.cold_items)
    check_learnt(parts, training.catalogue, "validation")
    validation = experiment.evaluation.examples(parts, "validation", training.catalogue)
    return replace(training, validation=validation if len(validation) else None)


def rung(
    label: str,
    model: Model,
    experiment: Experiment,
    parts: Split,
    learnable: Learnable,
    folder: Path,
    progress: Progress,
    segments: Sequence[Segmenting | str] = SEGMENTS,
) -> Rung:
    """One model: fitted, measured on validation, refitted, saved, loaded, tested.

    Args:
        label: its name in the experiment.
        model: what is fitted.
        experiment: with every automatic choice made.
        parts: which events are tested.
        learnable: what is learnt from.
        folder: where it is saved, in a folder of models.
        progress: who is told how far it is.
        segments: ways of parting the tested targets, for figures of each part.
    """
    conditions = Conditions(
        seed=experiment.seed,
        progress=progress,
        max_minutes=experiment.max_minutes,
        processes=experiment.processes,
    )
    progress.say(f"{label}: {model.summary}")
    began = time.monotonic()
    training = validated(learnable.train, parts, experiment)
    first = first_fit(model, training, conditions, experiment.evaluation.choose_on)
    first = replace(first, seconds=time.monotonic() - began)
    return finished(label, first, experiment, parts, learnable, folder, conditions, segments)


def finished(
    label: str,
    first: FirstFit,
    experiment: Experiment,
    parts: Split,
    learnable: Learnable,
    folder: Path,
    conditions: Conditions,
    segments: Sequence[Segmenting | str] = SEGMENTS,
) -> Rung:
    """What comes after a first fit: refitted if so wanted, saved, loaded, and tested as it will be served."""
    began = time.monotonic()
    by, seen = experiment.sequences.by, bool(experiment.evaluation.exclude_seen)
    progress, targets = conditions.progress, experiment.evaluation.targets
    chosen = experiment.evaluation.choose_on
    fitted, score = first.recommender, first.score
    if experiment.refit and (parts.part == 1).any():
        cold = experiment.evaluation.cold_items
        again = Training.of(learnable.before_test, by, seen, experiment.objective, cold)
        fitted = refit(first.model, fitted, again, conditions)
    place = folder / MODELS / label
    fit_seconds = first.seconds + time.monotonic() - began
    peak = process_peak()
    before = parts.before_test if experiment.refit else parts.train
    if before.has_time:  # what rules of freshness read
        fitted = replace(fitted, catalogue=with_first_seen(fitted.catalogue, before))
    split = experiment.to_json()["split"]
    what = learnt(parts.log, before, experiment.shape.said(by), split, experiment.objective)
    kept = learnable.before_test if experiment.refit else learnable.train
    what |= {"events": kept.n_events, "targets": targets, "target_seed": experiment.evaluation.target_seed}
    artifacts.save(fitted, place, facts={"validation": score, "label": label, "learnt": what})
    served = runtime.load(place)
    began = time.monotonic()
    metrics = tuple(metric(name) for name in experiment.evaluation.metrics) or DEFAULT
    check_learnt(parts, served.catalogue)
    examples = experiment.evaluation.examples(parts, "test", served.catalogue)
    figures = evaluate(
        served, examples, metrics=metrics, curves=True, slates=True, segments=segments, probabilities=True
    )
    test_seconds = time.monotonic() - began
    warnings = (
        *probe(served, examples, reads(served)),
        *(suspicions(figures) if chosen == RMSE else suspicions(figures, score, chosen)),
    )
    for warning in warnings:
        progress.say(f"{label}: warning: {warning}")
    ratings, rating = None, rates(served)
    if rating is not None:
        try:
            ratings = evaluate_ratings(rating, examples, training=before if has_ratings(before) else None)
        except DataError as fault:
            progress.say(f"{label}: {fault}")
    baskets = None
    if experiment.split.rule == "basket" and targets == "successive":
        baskets = evaluate_baskets(served, examples)
        for line in baskets.lines():
            progress.say(f"{label}: {line}")
    cost = Cost(
        folder_bytes(place),
        latency(served, examples),
        figures.all.users / max(test_seconds, 1e-9),
        peak,
        None if peak is None or first.peak is None else peak - first.peak,
    )
    return Rung(
        label, first.model, score, figures, fit_seconds, test_seconds, place, fitted.facts, reads(served), ratings,
        cost, warnings, baskets,
    )  # fmt: skip


def reads(recommender: Recommender) -> tuple[str, ...]:
    """The columns of events, beside user and item, that a recommender's answers depend on: "time", "rating", others.

    A network says it by its inputs; a counting model by `reads` of its scoring, and reads none where it has no such.
    """
    inputs = getattr(recommender.scoring, "inputs", None)
    found = inputs.columns if isinstance(inputs, Inputs) else getattr(recommender.scoring, "reads", ())
    return tuple(name for name in found if name != USER)


def learnt(
    log: EventLog,
    training: EventLog,
    sequences: Mapping[str, Any],
    split: Mapping[str, Any] | None = None,
    objective: Objective = NONE,
) -> dict[str, Any]:
    """What a saved model says of the events it has learnt from, so that it can be evaluated on others later.

    Args:
        log: all events that were read.
        training: those that the model was fitted on.
        sequences: what a sequence is, as in an experiment.
        split: which events of the log were tested, as in an experiment; None if none were.
        objective: what it was to predict from what.
    """
    until = training.frame["time"].max() if training.has_time else None
    return {
        "log": log.fingerprint(),
        "events": training.n_events,
        "until": until.isoformat() if isinstance(until, datetime) else None,
        "sequences": dict(sequences),
        "split": None if split is None else dict(split),
        **({"objective": objective.to_json()} if objective else {}),
    }
