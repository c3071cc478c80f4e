"""Starting a team: this process leads, and others like it are started beside it on this machine.

The training data is handed over as a prepared folder that all of them map into memory, and what is to be done as JSON:
nothing is pickled, and the events are held once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from ensue.cores import cores
from ensue.errors import ConfigError, ModelError
from ensue.model import Conditions, Training, model_of
from ensue.objective import Objective
from ensue.optimisation import apart, device_of
from ensue.prepared import open_training
from ensue.preparing import write
from ensue.ranking import Recommender
from ensue.suiting import shares
from ensue.team import Team
from ensue.training import Trainer

if TYPE_CHECKING:
    from ensue.neural_model import NeuralModel

DATA, TASK, MEETING, READY, FAULT = "training", "task.json", "meeting", "ready.{}", "fault.{}"
PATIENCE = timedelta(hours=2)
"""How long a process waits for another: the leader's validation may take a while."""

LOOK = 0.05
"""Seconds between two looks at whether the members are ready."""

WATCH = 1.0
"""Seconds between two looks of a member at whether its leader lives."""

GRACE = 10.0
"""Seconds in which the end of a process is seen after its connection broke; the other way round is as common."""

TALK = "gloo"
"""What stands in every fault of the talk between processes: a fault that follows from another one."""


def together(model: NeuralModel, training: Training, conditions: Conditions) -> Recommender:
    """A network fitted by several processes, the same as one would have fitted it, but for rounding and dropout.

    Args:
        model: with every setting filled in.
        training: what it learns from.
        conditions: with the number of processes; 0 leaves it to the kind of network.

    Raises:
        ConfigError: there are more processes than cores, or the model's rows go on from batch to batch.
        ModelError: one of the processes ended before its time.
    """
    conditions = shared(model, training, conditions)
    size = conditions.processes
    if size > cores():
        raise ConfigError(
            f"processes={size}: it may run on {cores()} cores, and more than one each is slower."
        )
    if size == 1:
        with apart(conditions):
            return Trainer(model, training, conditions).fit()
    threads = conditions.threads or max(cores() // size, 1)
    with tempfile.TemporaryDirectory(prefix="ensue-team-") as name:
        place = Path(name)
        write(training, place / DATA)
        (place / TASK).write_text(
            json.dumps(_task(model, conditions, threads, training.objective)), encoding="utf-8"
        )
        members = [_started(place, rank) for rank in range(1, size)]
        try:
            _await(members, place)
            with _meeting(place, 0, size), apart(replace(conditions, threads=threads)):
                return Trainer(model, training, conditions, Team(0, size)).fit()
        except RuntimeError as fault:
            raise ModelError(f"{model.name}: {_reason(members, place, fault)}") from fault
        finally:
            for member in members:
                member.terminate()
            for member in members:
                member.wait()


def shared(model: NeuralModel, training: Training, conditions: Conditions) -> Conditions:
    """The conditions with as many processes, and threads of each, as the kind of network is best trained by.

    Args:
        model: with every setting filled in.
        training: what it learns from.
        conditions: of which those that say how many processes, or threads, stay as they are.
    """
    if conditions.processes:
        return conditions
    if device_of(conditions.device).type != "cpu":
        return replace(conditions, processes=1)
    asked = (cores(), conditions.max_minutes, conditions.steps)
    found = list(shares(model, training.sequences, *asked))
    for choice in found:
        if choice.reason:
            conditions.progress.say(f"{model.name}: {choice.reason}")
    chosen = {choice.name: choice.value for choice in found}
    return replace(conditions, **{name: getattr(conditions, name) or value for name, value in chosen.items()})


def _task(model: NeuralModel, conditions: Conditions, threads: int, objective: Objective) -> dict[str, Any]:
    """What the members need to know, as plain values."""
    plain = ("seed", "device", "max_minutes", "steps", "horizon", "tokens_at_once", "precision", "compile")
    asked = {name: getattr(conditions, name) for name in (*plain, "processes", "checkpoint_minutes")}
    kept = None if conditions.checkpoints is None else str(Path(conditions.checkpoints).resolve())
    return {
        "model": model.name,
        "settings": model.settings(),
        "conditions": asked | {"threads": threads},
        "checkpoints": kept,
        "objective": objective.to_json(),
    }


def _started(place: Path, rank: int) -> subprocess.Popen[bytes]:
    """A member, in a session of its own, so that Ctrl-C reaches the leader alone."""
    command = [sys.executable, "-m", "ensue.members", str(place), str(rank), str(os.getpid())]
    quiet = os.environ | {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # torch would warn of what is meant
    return subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, env=quiet)  # noqa: S603


def _await(members: list[subprocess.Popen[bytes]], place: Path) -> None:
    """Waits until every member has opened the data."""
    while not all((place / READY.format(rank)).exists() for rank in range(1, len(members) + 1)):
        if any(member.poll() is not None for member in members):
            raise RuntimeError("a process could not begin")
        time.sleep(LOOK)


def _reason(members: list[subprocess.Popen[bytes]], place: Path, fault: RuntimeError) -> str:
    """What ended the training: the first process that ended by itself, or the leader's own fault.

    A process whose connection broke follows another one, so it is named only where no other reason is found.
    """
    if members and (TALK in str(fault) or any(member.poll() is not None for member in members)):
        last = time.monotonic() + GRACE
        while time.monotonic() < last and any(member.poll() is None for member in members):
            time.sleep(LOOK)
    ended = []
    for rank, member in enumerate(members, start=1):
        told = place / FAULT.format(rank)
        if member.poll() is None:
            continue
        if told.exists():
            ended.append(f"process {rank} ended: {told.read_text(encoding='utf-8')}")
        else:
            ended.append(f"process {rank} ended with code {member.returncode} before the training did.")
    return min([*ended, str(fault)], key=lambda reason: TALK in reason)


@contextmanager
def _meeting(place: Path, rank: int, size: int) -> Iterator[None]:
    """A context in which the processes talk to each other."""
    meeting = (place / MEETING).resolve().as_uri()
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _end_with(leader: int) -> None:
    """Ends this process once the one that started it is gone: a leader that was killed tells nobody.

    Args:
        leader: number of that process.
    """
    while os.getppid() == leader:
        time.sleep(WATCH)
    os._exit(1)


def _member(place: Path, rank: int) -> None:
    """What a member does from beginning to end."""
    task = json.loads((place / TASK).read_text(encoding="utf-8"))
    kept = task["checkpoints"]
    conditions = Conditions(**task["conditions"], checkpoints=None if kept is None else Path(kept))
    model: Any = model_of(task["model"], **task["settings"])
    training = open_training(place / DATA).towards(Objective.learnt(task))
    (place / READY.format(rank)).touch()
    with _meeting(place, rank, conditions.processes), apart(conditions):
        Trainer(model, training, conditions, Team(rank, conditions.processes)).fit()


if __name__ == "__main__":
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    Thread(target=_end_with, args=(int(sys.argv[3]),), daemon=True).start()
    try:
        _member(folder, number)
    except Exception as fault:
        if folder.exists():
            (folder / FAULT.format(number)).write_text(f"{type(fault).__name__}: {fault}", encoding="utf-8")
        raise SystemExit(1) from fault
