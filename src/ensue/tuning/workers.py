"""Processes that share a study on this machine: each opens it, and takes trials from it until all are taken.

The training and validation parts are handed over as a prepared folder that all of them map into memory, and what is to
be done as JSON: nothing is pickled, and the events are held once. A process ends at once when the one that started it
is gone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensue.errors import ModelError
from ensue.model import Training
from ensue.objective import Objective
from ensue.prepared import open_training
from ensue.preparing import write
from ensue.tuning.search import Search
from ensue.tuning.study import opened, recover
from ensue.tuning.trials import Terms, work

if TYPE_CHECKING:
    from optuna import Study

DATA, TASK, FAULT = "training", "task.json", "fault.{}"
LOOK = 0.2
"""Seconds between two looks at the processes."""

LOSSES = 10
"""How many trials may be lost before the tuning ends: something ends its processes."""


@dataclass
class Worker:
    """One process.

    Attributes:
        number: who it is.
        process: as it was started.
    """

    number: int
    process: subprocess.Popen[bytes]

    def end(self) -> None:
        """Ends it, if it has not ended."""
        self.process.terminate()
        self.process.communicate()


def together(
    folder: Path,
    study: Study,
    models: dict[str, dict[str, Any]],
    training: Training,
    terms: Terms,
    size: int,
    told: Callable[[], None],
) -> None:
    """Runs trials in several processes until all that are wanted are done, or the time is up.

    A process that was ended is started anew, and its trial is put in line again.

    Args:
        folder: of the tuning.
        study: opened.
        models: label -> settings, as in an experiment.
        training: the training part, with the validation examples.
        terms: of every trial.
        size: how many processes.
        told: called now and then.

    Raises:
        ModelError: processes were ended again and again.
    """
    with tempfile.TemporaryDirectory(prefix="ensue-tuning-") as name:
        place = Path(name)
        asked = 0 if training.validation is None else len(training.validation)
        write(training, place / DATA, validation_targets=asked)
        task = {"folder": str(folder.resolve()), "models": models, "terms": asdict(terms)}
        task["objective"] = training.objective.to_json()
        (place / TASK).write_text(json.dumps(task), encoding="utf-8")
        team, losses = [started(place, number) for number in range(size)], 0
        try:
            while team:
                time.sleep(LOOK)
                told()
                for worker in list(team):
                    code = worker.process.poll()
                    if code is None:
                        continue
                    team.remove(worker)
                    worker.end()
                    if code == 0:
                        continue
                    fault = place / FAULT.format(worker.number)
                    if fault.exists():
                        raise RuntimeError(f"a process failed: {fault.read_text(encoding='utf-8')}")
                    losses += max(recover(study, worker.number), 1)
                    if losses >= LOSSES:
                        raise ModelError(
                            f"{losses} trials were lost, since the processes that ran them were ended (with status "
                            f"{code}): is memory short? Take fewer --workers."
                        )
                    team.append(started(place, worker.number))
        finally:
            for worker in team:
                worker.end()
        told()


def started(place: Path, number: int) -> Worker:
    """A process in a session of its own, so that Ctrl-C reaches the one that started it alone.

    Args:
        place: what it works from.
        number: who it is.
    """
    command = [sys.executable, "-m", "ensue.tuning.workers", str(place), str(number)]
    process = subprocess.Popen(  # noqa: S603
        command,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return Worker(number, process)


def main(place: Path, number: int) -> None:
    """What a process does from beginning to end.

    Args:
        place: what it works from.
        number: who it is.
    """
    threading.Thread(target=_with_parent, daemon=True).start()
    task = json.loads((place / TASK).read_text(encoding="utf-8"))
    folder = Path(task["folder"])
    with opened(folder) as study:
        search = Search.of(task["models"])
        training = open_training(place / DATA).towards(Objective.learnt(task))
        work(folder, study, search, training, Terms(**task["terms"]), number)


def _with_parent() -> None:
    """Ends this process when the pipe from the one that started it is closed: that one is gone."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    given, mine = Path(sys.argv[1]), int(sys.argv[2])
    try:
        main(given, mine)
    except Exception as fault:
        if given.exists():
            (given / FAULT.format(mine)).write_text(f"{type(fault).__name__}: {fault}", encoding="utf-8")
        raise SystemExit(1) from fault
