"""One model on one data set under a stated budget of processor time, measured in a process of its own.

Protocol of all rows: leave one out, order by (user, time, row), not refitted, full ranking without the items of the
history; a network's epoch is chosen by NDCG@10 on validation (the last event but one), test is looked at once.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

FILES = {
    "ml-100k": "ml-100k",
    "ml-1m": "ml-1m",
    "beauty": "amazon2014-s3rec/Beauty.txt",
}
METRICS = ("recall@10", "ndcg@10")
TRIAL_SECONDS = 8.0
"""How long a network is tried, to know how many epochs fit into its budget."""
TRIED = 512
"""How many validation examples are tried for the same."""


@dataclass(frozen=True)
class Row:
    """What is measured: a model with its settings on a data set, within minutes of one core."""

    label: str
    data: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    minutes: float = 2.0
    seed: int = 0


def measure(row: Row) -> dict[str, Any]:
    """The figures of a row, taken in a new process on one thread; what could not run says why."""
    return apart(__file__, asdict(row))


def apart(script: str, asked: dict[str, Any], *words: str) -> dict[str, Any]:
    """What a script prints as its last line, as JSON, in a new process on one thread; or what was asked, and the fault.

    Args:
        script: the file, which is given its words and what is asked as JSON.
        asked: of it.
        words: before that.
    """
    command = [sys.executable, script, *words, json.dumps(asked)]
    alone = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=alone)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1]
        return asked | {"fault": said.partition("Error: ")[2] or said}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _taken(row: Row) -> dict[str, Any]:
    from ensue import read
    from ensue.evaluation import evaluate
    from ensue.model import Conditions, Training, model_of
    from ensue.splits import last_out

    split = last_out(read(Path(os.environ["ENSUE_DATA"]) / FILES[row.data]))
    training = Training.of(split.train)
    validation = split.examples("validation", training.catalogue)
    training = replace(training, validation=validation)
    model = model_of(row.model, **row.settings)
    epochs = 0
    if hasattr(model, "epochs"):
        epochs = model.epochs or epochs_within(model, training, row.minutes, row.seed)
        model = replace(model, epochs=epochs, patience=epochs)
    before, began = time.process_time(), time.perf_counter()
    recommender = model.fit(training, Conditions(seed=row.seed))
    cpu, wall = time.process_time() - before, time.perf_counter() - began
    began = time.perf_counter()
    test = split.examples("test", training.catalogue)
    found = evaluate(recommender, test, metrics=METRICS)
    ranking = time.perf_counter() - began
    facts = recommender.facts
    history = facts.get("history", [])
    return asdict(row) | {
        "settings": dict(recommender.settings),
        "validation": _figures(evaluate(recommender, validation, metrics=METRICS)),
        "test": _figures(found),
        "interval": found.intervals["ndcg@10"].to_json(),
        "users": found.all.users,
        "items": len(training.catalogue),
        "cpu_seconds": round(cpu, 1),
        "wall_seconds": round(wall, 1),
        "users_per_second": round(found.all.users / ranking),
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "parameters": facts.get("parameters", 0),
        "epochs": epochs,
        "chosen": facts.get("chosen"),
        "curve": [round(epoch["score"], 4) for epoch in history if "score" in epoch],
        "targets_per_second": round(sum(epoch["targets"] for epoch in history) / cpu) if history else 0,
    }


def _figures(found: Any) -> dict[str, float]:
    return {name: round(found.value(name), 4) for name in METRICS}


def epochs_within(model: Any, training: Any, minutes: float, seed: int) -> int:
    """How many epochs fit into minutes of processor time, each with its validation.

    A short trial says it, whose weights are thrown away.
    """
    from ensue.model import Conditions
    from ensue.training import Trainer

    trainer = Trainer(model.suited(training.sequences), training, Conditions(seed=seed))
    trainer.network.train()
    targets, began = 0, time.process_time()
    for place, stretches in enumerate(trainer.plan(0)):
        if place == 3:  # the first steps set things up
            targets, began = 0, time.process_time()
        trainer.learn(stretches)
        targets += int((stretches.ends - stretches.starts).sum())  # masked networks train a share of them
        if time.process_time() - began > TRIAL_SECONDS:
            break
    epoch = (time.process_time() - began) * training.sequences.n_targets / targets
    validation = _validation(trainer)
    return max(int(minutes * 60 / (epoch + validation)), 1)


def _validation(trainer: Any) -> float:
    """Seconds that it takes to judge an epoch, by some of the examples."""
    import numpy as np

    from ensue.export import TorchScoring
    from ensue.judging import Judge

    examples = trainer.judge.examples
    if examples is None:
        return 0.0
    spread = np.linspace(0, len(examples) - 1, min(len(examples), TRIED)).astype(int)
    trainer.judge = Judge(examples[spread], trainer.judge.rates)
    trainer.network.eval()
    began = time.process_time()
    trainer._score(TorchScoring(trainer.network, trainer.inputs))
    return (time.process_time() - began) * len(examples) / len(spread)


if __name__ == "__main__":
    print(json.dumps(_taken(Row(**json.loads(sys.argv[1])))))
