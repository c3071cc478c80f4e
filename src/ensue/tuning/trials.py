"""Trials: a model fitted on the training part and measured on validation, one after the other until enough are done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from ensue.errors import EnsueError
from ensue.evaluation import evaluate
from ensue.metrics import metric
from ensue.model import Conditions, Training
from ensue.tracks import track_of
from ensue.tuning.search import MODEL, Search
from ensue.tuning.study import FAULT, TRACK, claim, library, sampler

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

WARM_UP, PEERS = 2, 4
"""Epochs that every trial is given, and trials of the same model that one is compared with, at least."""


@dataclass(frozen=True)
class Terms:
    """What every trial is given alike, and when there are enough.

    Attributes:
        trials: how many in all.
        seed: of every fit; with the number of a trial, of the settings that it draws.
        minutes: how long a network of one trial may train; 0 is no limit.
        until: seconds since 1970 after which no trial is begun; 0 is never.
        metric: on validation, the higher the better.
        threads: cores of a process; 0 leaves the setting alone.
    """

    trials: int
    seed: int = 0
    minutes: float = 0.0
    until: float = 0.0
    metric: str = "ndcg@10"
    threads: int = 0


def work(
    folder: Path,
    study: Study,
    search: Search,
    training: Training,
    terms: Terms,
    worker: int = 0,
    told: Callable[[], None] = lambda: None,
) -> None:
    """Runs one trial after the other, until all that are wanted are taken or the time is up.

    Args:
        folder: of the tuning.
        study: opened.
        search: what is searched.
        training: the training part, with the validation examples.
        terms: of every trial.
        worker: who runs them.
        told: called after each.
    """
    while not terms.until or time.time() < terms.until:
        trial = claim(folder, study, terms.trials, worker)
        if trial is None:
            return
        study.sampler = sampler(study, trial, terms.seed, several=len(search.candidates) > 1)
        attempt(trial, study, search, training, terms)
        told()


def attempt(trial: Trial, study: Study, search: Search, training: Training, terms: Terms) -> None:
    """One trial from its settings to its figure; one that falls behind others of its model is stopped early.

    Settings that do not go together, a training that breaks and memory that does not suffice end the trial alone.

    Args:
        trial: taken from the study.
        study: opened.
        search: what is searched.
        training: the training part, with the validation examples.
        terms: of every trial.
    """
    states = library().trial.TrialState
    behind, epochs, best = False, 0, float("-inf")
    began = time.monotonic()

    def stop(epoch: int, score: float) -> bool:
        nonlocal behind, epochs, best
        trial.report(score, epoch)
        epochs, best = epoch, max(best, score)
        behind = falls_behind(study, trial, epoch, best)
        return behind

    try:
        _, model = search.drawn(trial)
        conditions = Conditions(seed=terms.seed, threads=terms.threads, max_minutes=terms.minutes, stop=stop)
        fitted = model.fit(training, conditions)
        value = None
        if not behind and training.validation is not None:
            trial.set_user_attr(TRACK, track_of(fitted))
            value = evaluate(fitted, training.validation, metrics=(metric(terms.metric),)).value(terms.metric)
    except (EnsueError, MemoryError, RuntimeError) as fault:
        trial.set_user_attr(FAULT, str(fault).splitlines()[0] if str(fault) else type(fault).__name__)
        study.tell(trial, state=states.FAIL)
        return
    trial.set_user_attr("seconds", round(time.monotonic() - began, 3))
    trial.set_user_attr("epochs", epochs)
    if value is None:
        study.tell(trial, state=states.PRUNED)
    else:
        study.tell(trial, value)


def falls_behind(study: Study, trial: Trial, epoch: int, best: float) -> bool:
    """Whether a trial is worse than half of its peers were: the median stopping rule, among trials of one model.

    Optuna's own pruner would compare a model that learns slowly with one that learns fast.

    Args:
        study: opened.
        trial: which runs.
        epoch: how many have been trained.
        best: its best score so far.

    References:
        Golovin et al., "Google Vizier: a service for black-box optimization", KDD 2017, section 3.2.2.
    """
    if epoch <= WARM_UP:
        return False
    states = library().trial.TrialState
    peers = [
        peer.intermediate_values[epoch]
        for peer in study.get_trials(deepcopy=False, states=(states.COMPLETE,))
        if epoch in peer.intermediate_values and peer.params.get(MODEL) == trial.params.get(MODEL)
    ]
    return len(peers) >= PEERS and best < median(peers)
