"""A study on disk: Optuna's, in one SQLite file that several processes open, and that the next command goes on with."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensue.errors import ArtifactError, ConfigError, MissingExtraError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

STUDY, CLAIMS, AT_WORK = "study.db", ".claims", ".at-work"
"""The study, and two empty databases whose locks say that somebody takes a trial, and that somebody tunes here."""

PATIENCE = 60.0
"""Seconds that a process waits for another to let go of the study."""

RETRIES = 2
"""How often a trial is begun anew after the process that ran it was ended."""

STARTS = 10
"""Trials that are drawn at random before what was found so far is made use of."""

RETRY, WORKER, FAULT, TRACK = "retry", "worker", "fault", "track"
"""What a trial keeps about itself: how often it was begun anew, who ran it, and what went wrong.

A trial that failed without a fault is *lost*: its process ended before it did.
"""


def library() -> Any:
    """Optuna, told to be quiet.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as fault:
        raise MissingExtraError(f"Tuning needs {fault.name}: pip install 'ensue[tune]'") from fault
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextmanager
def opened(folder: Path) -> Iterator[Study]:
    """The study of a folder, new or gone on with, closed at the end.

    Args:
        folder: of the tuning.

    Raises:
        ArtifactError: the file is no study.
        MissingExtraError: Optuna is not installed.
    """
    optuna = library()
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import QueuePool

    place, storage = folder / STUDY, None
    how = {"creator": lambda: _connected(place), "poolclass": QueuePool}
    try:
        storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs=how)
        study = optuna.create_study(
            storage=storage, study_name="tuning", direction="maximize", load_if_exists=True
        )
    except (SQLAlchemyError, sqlite3.DatabaseError, RuntimeError) as fault:
        told = str(fault).splitlines()[0]
        raise ArtifactError(f"{place} is no study that can be gone on with ({told}): remove it.") from fault
    try:
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _connected(place: Path) -> sqlite3.Connection:
    """A connection to a study: what a trial tells it outlives its process, and nobody waits for the disk."""
    connection = sqlite3.connect(place, timeout=PATIENCE, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


@contextmanager
def alone(place: Path, patience: float, busy: str) -> Iterator[None]:
    """A context that one process at a time is in; it is free again when a process is gone, however it went.

    Args:
        place: an empty database whose lock it is.
        patience: seconds to wait for another.
        busy: what to say if another does not leave in time.

    Raises:
        ConfigError: another is in it.
    """
    connection = sqlite3.connect(place, timeout=patience, isolation_level=None)
    try:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as fault:
            raise ConfigError(busy) from fault
        yield
    finally:
        connection.close()


def claim(folder: Path, study: Study, wanted: int, worker: int) -> Trial | None:
    """The next trial, taken so that no other process takes it too; None once all that are wanted are taken.

    Args:
        folder: of the tuning.
        study: opened.
        wanted: trials in all.
        worker: who takes it.

    Raises:
        ConfigError: another process holds the study for longer than a minute.
    """
    with alone(folder / CLAIMS, PATIENCE, f"{folder / STUDY} is held by another process: stop it first."):
        if sum(taken(trial) for trial in study.get_trials(deepcopy=False)) >= wanted:
            return None
        trial = study.ask()
        trial.set_user_attr(WORKER, worker)
        return trial


def taken(trial: FrozenTrial) -> bool:
    """Whether a trial counts as one of those that are wanted: it runs or has ended, and is not lost."""
    return trial.state.name != "WAITING" and not lost(trial)


def lost(trial: FrozenTrial) -> bool:
    """Whether the process of a trial ended before it did."""
    return trial.state.name == "FAIL" and FAULT not in trial.user_attrs


def sampler(study: Study, trial: Trial, seed: int, several: bool) -> BaseSampler:
    """What draws the settings of one trial, from a seed of its own.

    So a study that was stopped and gone on with draws what it would have drawn, where one process tunes.

    Args:
        study: opened.
        trial: whose settings are drawn.
        seed: of the study.
        several: whether models of different spaces are searched.
    """
    optuna = library()
    before = study.get_trials(deepcopy=False)[: trial.number]
    place = trial.number - sum(lost(one) for one in before)
    own = int(np.random.SeedSequence([seed, place]).generate_state(1)[0])
    with (
        warnings.catch_warnings()
    ):  # spaces that depend on the model are drawn together by what Optuna calls new
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        made: BaseSampler = optuna.samplers.TPESampler(seed=own, n_startup_trials=STARTS, group=several)
    return made


def recover(study: Study, worker: int | None = None) -> int:
    """Marks trials whose process is gone as failed, and puts them in line again; how many they were.

    Args:
        study: opened.
        worker: whose trials; None takes all that seem to run.
    """
    states = library().trial.TrialState
    found = [
        trial
        for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,))
        if worker is None or trial.user_attrs.get(WORKER) == worker
    ]
    for trial in found:
        study.tell(trial.number, state=states.FAIL)
        values = trial.system_attrs.get("fixed_params", {}) | trial.params
        again = int(trial.user_attrs.get(RETRY, 0)) + 1
        if values and again <= RETRIES:
            study.enqueue_trial(values, user_attrs={RETRY: again})
    return len(found)
