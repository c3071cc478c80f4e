"""A tuning from its log to the tuned experiment: parts, study, trials, and what is written."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensue.errors import ConfigError, DataError, MissingExtraError, ModelError
from ensue.events.log import EventLog
from ensue.experiment import Experiment
from ensue.ladder.choosing import ranking
from ensue.ladder.logs import load_log
from ensue.ladder.parting import Parted, parted
from ensue.ladder.rungs import validated
from ensue.model import Training
from ensue.progress import Progress, Silent, Task
from ensue.splits import TEST, Split
from ensue.tracks import TIME_BLIND
from ensue.tuning.outcome import DONE, FAILED, LOST, STOPPED, TUNED, TUNING, Tried, Tuned
from ensue.tuning.search import Search
from ensue.tuning.study import AT_WORK, CLAIMS, FAULT, STUDY, TRACK, alone, library, lost, opened, recover
from ensue.tuning.trials import Terms, work
from ensue.tuning.workers import together

if TYPE_CHECKING:
    from optuna import Study

IDENTITY, MINUTES = "identity", "minutes"
"""What a study keeps about itself: what it is about, and how long a network of one trial may train."""

ENOUGH = 10
"""Trials of a model from which the importance of its settings is told."""


def tune(
    experiment: Experiment,
    *,
    trials: int = 30,
    minutes: float = 20.0,
    workers: int = 1,
    progress: Progress | None = None,
    log: EventLog | None = None,
) -> Tuned:
    """Searches the settings of an experiment's models on validation, and writes the experiment with the best.

    A study that lies in the folder already is gone on with, up to so many trials in all. The first trials are the
    models as they are. Settings that the experiment gives are not searched.

    Args:
        experiment: what to read, how to split it, and which models; its folder keeps the study.
        trials: how many in all.
        minutes: how long to search; every trial has the same share of it. 0 is no limit but the experiment's
            `max_minutes` for each trial.
        workers: processes on this machine that run trials side by side.
        progress: who is told how far it is.
        log: the events, if they are in memory already.

    Raises:
        ConfigError: there is nothing to tune, it is to be chosen by RMSE, or the folder holds something else, or is
            being tuned in.
        DataError: the validation part asks nothing.
        MissingExtraError: Optuna is not installed, or what a model needs is not.
        ModelError: no trial could be done.
    """
    progress = progress or Silent()
    _here("optuna")
    if trials < 1 or workers < 1:
        raise ConfigError(f"trials={trials}, workers={workers}: both are at least 1.")
    cores = os.cpu_count() or 1
    if workers > cores:
        raise ConfigError(
            f"workers={workers}: this machine has {cores} cores, and more than one each is slower."
        )
    experiment = ranking(experiment, "A tuning")
    search = Search.of(experiment.models)
    folder = _folder(experiment)
    log = load_log(experiment.data, progress.say) if log is None else log
    with alone(
        folder / AT_WORK, 0.0, f"{folder} is being tuned in by another process: wait for it, or stop it."
    ):
        parts = parted(experiment, log, progress)
        training = learnt_from(parts)
        share = minutes_of_a_trial(experiment.max_minutes, minutes, trials, workers)
        with opened(folder) as study:
            share = _begun(study, parts, search, share)
            if again := recover(study):
                progress.say(f"tuning: {again} of the trials were cut short, and are begun anew")
            terms = Terms(
                trials,
                experiment.seed,
                share,
                time.time() + 60 * minutes if minutes else 0.0,
                experiment.evaluation.choose_on,
                threads=0 if workers == 1 else max(cores // workers, 1),
            )
            with progress.task("tuning", trials) as task:
                watch = Watch(study, task)
                watch.look()
                if workers == 1:
                    work(folder, study, search, training, terms, told=watch.look)
                else:
                    models = {label: dict(settings) for label, settings in experiment.models.items()}
                    together(folder, study, models, training, terms, workers, watch.look)
            tuned = _outcome(study, search, parts, terms, folder)
        (folder / TUNING).write_text(
            json.dumps(tuned.to_json(), indent=1, ensure_ascii=False), encoding="utf-8"
        )
        (folder / TUNED).write_text(tuned.toml(), encoding="utf-8")
    return tuned


def learnt_from(parts: Parted) -> Training:
    """The training part with the validation examples, from a log that the test part was taken out of.

    Args:
        parts: of the log.

    Raises:
        DataError: the validation part asks nothing.
    """
    experiment, seen = parts.experiment, without_test(parts.split)
    training = validated(experiment.filters.learnable(seen.train)[0], seen, experiment)
    if training.validation is None:
        raise DataError(
            "The validation part asks nothing, so no settings can be chosen: take another split, or a larger share "
            "(validation = 0.2 in the table [split])."
        )
    return training


def without_test(split: Split) -> Split:
    """A split of the log without its test events: whatever is done with it cannot see them.

    Args:
        split: of the whole log.
    """
    kept = split.part != TEST
    until = split.until
    if until is not None:
        before = np.cumsum(kept) - kept  # how many kept events lie before each
        until = np.where(until < 0, until, before[until])[kept]
    return replace(split, log=split.log.where(kept), part=split.part[kept], until=until)


class Watch:
    """How far a study is, shown as it is found out.

    Args:
        study: opened.
        task: where it is shown.
    """

    def __init__(self, study: Study, task: Task) -> None:
        self.study, self.task, self.ended = study, task, 0

    def look(self) -> None:
        """Shows the trials that have ended since the last look, and the best so far."""
        states = library().trial.TrialState
        found = self.study.get_trials(deepcopy=False)
        ended = sum(trial.state.is_finished() and not lost(trial) for trial in found)
        done = [trial for trial in found if trial.state == states.COMPLETE]
        best = max(done, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)
        note = "" if best is None else f"best {best.value:.4f}, trial {best.number}"
        if ended > self.ended:
            self.task.advance(ended - self.ended, note)
            self.ended = ended


def minutes_of_a_trial(most: float, minutes: float, trials: int, workers: int) -> float:
    """The minutes that a network of one trial may train: an equal share of all, and no more than one may have.

    Args:
        most: of one network; 0 is no limit.
        minutes: of the tuning; 0 is no limit.
        trials: how many there are in all.
        workers: how many run side by side.
    """
    limits = [limit for limit in (most, minutes * workers / trials) if limit]
    return min(limits, default=0.0)


def _here(library_name: str) -> None:
    """Nothing, if a library of the extra is installed."""
    from importlib.util import find_spec

    try:
        found = find_spec(library_name)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise MissingExtraError(f"Tuning needs {library_name}: pip install 'ensue[tune]'")


def _folder(experiment: Experiment) -> Path:
    """The folder of the tuning: new, empty, or of an earlier tuning."""
    if not experiment.out:
        raise ConfigError('The experiment names no folder for its study: give out = "runs/NAME" or --out.')
    folder = Path(experiment.out)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is no folder: choose another with --out.")
    held = {entry.name for entry in folder.iterdir()} - {AT_WORK, CLAIMS} if folder.is_dir() else set()
    if held and STUDY not in held:
        raise ConfigError(f"{folder} holds something other than a tuning: choose another folder with --out.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _begun(study: Study, parts: Parted, search: Search, minutes: float) -> float:
    """The minutes of each trial of a study, which is new, or about the same as now.

    Raises:
        ConfigError: it is about something else.
    """
    experiment = parts.experiment.to_json()
    for name in ("out", "max_minutes", "refit", "keep_histories", "models"):
        del experiment[name]
    experiment["data"].pop("source")
    experiment["evaluation"].pop("metrics")
    wanted = {
        "data": parts.log.fingerprint(),
        "models": _digest(search.said()),
        "experiment": _digest(experiment),
    }
    kept = study.user_attrs.get(IDENTITY)
    if kept is None:
        study.set_user_attr(IDENTITY, wanted)
        study.set_user_attr(MINUTES, minutes)
        for values in search.begins():
            study.enqueue_trial(values)
        return minutes
    other = [name for name, value in wanted.items() if kept.get(name) != value]
    if other:
        raise ConfigError(
            f"The study in {STUDY} is about other {' and other '.join(other)}, so it cannot be gone on with: choose "
            "another folder with --out, or remove it."
        )
    return float(study.user_attrs[MINUTES])


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _outcome(study: Study, search: Search, parts: Parted, terms: Terms, folder: Path) -> Tuned:
    """What the study holds, and the experiment that comes of it.

    Raises:
        ModelError: no trial could be done.
    """
    states = library().trial.TrialState
    names = {states.COMPLETE: DONE, states.PRUNED: STOPPED, states.FAIL: FAILED}
    tried = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state not in names:
            continue
        label, settings = search.read(trial.params)
        state = LOST if lost(trial) else names[trial.state]
        said = trial.user_attrs
        seconds, epochs, fault = said.get("seconds"), said.get("epochs", 0), said.get(FAULT, "")
        track = said.get(TRACK, TIME_BLIND)
        tried.append(Tried(trial.number, label, state, trial.value, settings, seconds, epochs, fault, track))
    empty = Tuned(parts.experiment, terms.metric, tuple(tried), {}, folder, terms.minutes, parts.split.name)
    if not empty.ranked:
        faults = [trial.fault for trial in tried if trial.fault] or ["the time was up before one was done"]
        raise ModelError(f"None of the {len(tried)} trials could be done: {faults[0]}")
    best: dict[str, Tried] = {}
    for one in empty.ranked:
        best.setdefault(one.label, one)
    models = {
        label: search.candidates[label].with_settings(best[label].settings if label in best else {})
        for label in search.candidates
    }
    experiment = replace(parts.experiment, models=models)
    if any(one.epochs for one in tried):  # what networks were compared within, the run keeps to
        experiment = replace(experiment, max_minutes=terms.minutes)
    return replace(empty, experiment=experiment, importance=_importance(study, search))


def _importance(study: Study, search: Search) -> Mapping[str, Mapping[str, float]]:
    """How much each setting had to do with being among the best, for models with enough trials."""
    optuna = library()
    found: dict[str, Mapping[str, float]] = {}
    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    for label in search.candidates:
        own = [trial for trial in done if search.read(trial.params)[0] == label]
        if len(own) < ENOUGH:
            continue
        alike = optuna.create_study(direction="maximize")
        alike.add_trials(own)
        names = [f"{label}.{name}" for name in search.candidates[label].space]
        quantile = max(0.1, 3 / len(own))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
            shares = optuna.importance.get_param_importances(alike, evaluator=evaluator, params=names)
        found[label] = {name.removeprefix(f"{label}."): round(share, 4) for name, share in shares.items()}
    return found
