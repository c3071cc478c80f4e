"""A real run on the ring, with everything measured, and a network's learning planted into one of its models."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ensue import ladder, runtime, segments
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.experiment import experiment_of
from ensue.reporting import Run, read_run
from ensue.run_folder import RESULTS

NASTY = "<script>alert(1)</script>"

LEARNT = {
    "parameters": 1234,
    "first_fit": {
        "parameters": 1234,
        "chosen": {"metric": "ndcg@10", "score": 0.5, "epoch": 2, "step": 20},
        "history": [
            {"epoch": 1, "loss": 2.0, "targets": 9, "score": 0.4},
            {"epoch": 2, "loss": 1.5, "targets": 9, "score": 0.5},
            {"epoch": 3, "loss": 1.25, "targets": 9, "score": 0.45},
        ],
    },
}


@pytest.fixture(scope="package")
def run_folder(tmp_path_factory: pytest.TempPathFactory, ring_frame: pl.DataFrame) -> Path:
    """A run of three models on the ring, whose item C has a nasty title; read it, and change nothing in it."""
    folder = tmp_path_factory.mktemp("reporting") / "ring"
    titles = pl.DataFrame(
        {"item": list("ABCDEFGHIJ"), "title": [NASTY if i == "C" else f"Film {i}" for i in "ABCDEFGHIJ"]}
    )
    log = EventLog.of(ring_frame, items=titles)
    models: dict[str, dict[str, Any]] = {"popular": {}, "markov": {}, "rules": {}}
    content = {
        "data": {"source": "ring.csv"},
        "out": str(folder),
        "seed": 3,
        "models": models,
        "split": {"rule": "last"},
    }
    outcome = ladder.run(experiment_of(content), log=log)
    written = json.loads((folder / RESULTS).read_text())
    for rung, row in zip(outcome.rungs, written["models"], strict=True):
        served = runtime.load(rung.folder)
        tested = evaluate(
            served,
            outcome.split.examples("test", served.catalogue),
            curves=True,
            slates=True,
            segments=segments.DEFAULT,
            probabilities=True,
        )
        row["test"] = json.loads(json.dumps(tested.to_json()))
    (folder / RESULTS).write_text(json.dumps(written))
    return folder


@pytest.fixture
def run(run_folder: Path) -> Run:
    """The run as its report reads it."""
    return read_run(run_folder)


@pytest.fixture
def changed(run_folder: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Run]:
    """The run, with its results changed by a function."""

    def change(how: Callable[[dict[str, Any]], None]) -> Run:
        content = copy.deepcopy(json.loads((run_folder / RESULTS).read_text()))
        how(content)
        folder = tmp_path / "changed"
        folder.mkdir(exist_ok=True)
        (folder / RESULTS).write_text(json.dumps(content))
        (folder / "figures.parquet").write_bytes((run_folder / "figures.parquet").read_bytes())
        return read_run(folder)

    return change
