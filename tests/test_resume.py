"""Going on from any step of an epoch, after any end, is as if the run had never stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from ensue.checkpoints import BEFORE, FILE
from ensue.errors import ModelError
from ensue.events.log import EventLog
from ensue.export import TorchScoring
from ensue.judging import Judge
from ensue.model import Conditions, Model, Training, model_of
from ensue.ranking import Recommender
from ensue.splits import split
from ensue.stopping import stoppable

COURSE: dict[str, Any] = {
    "width": 8, "length": 6, "dropout": 0.2, "epochs": 3, "patience": 3, "batch_tokens": 40, "ema": 0.5
}  # fmt: skip
MODELS: dict[str, Any] = {
    "transformer": {"asked": "wait"},
    "lstm": {"optimizer": "rowwise", "loss": {"name": "sampled-softmax", "negatives": 4}},
    "gru4rec": {"steps": 2},
    "bert4rec": {"augment": ["crop", "reorder"]},
    "xlnet": {"contrast": {"views": "dropout"}},
    "transformer-xl": {"segment": 3, "memory": 3},
}


def log_of(users: int = 30, events: int = 9) -> EventLog:
    """Walks round ten items with a quarter of the steps at random."""
    rng = np.random.default_rng(0)
    steps = np.where(rng.random((users, events)) < 0.25, rng.integers(0, 10, (users, events)), 1)
    items = (np.cumsum(steps, axis=1) + rng.integers(0, 10, users)[:, None]) % 10
    frame = pl.DataFrame(
        {"user": np.repeat(np.arange(users), events).astype(str), "item": items.ravel().astype(str)}
    )
    return EventLog.of(
        frame.with_columns(pl.int_range(pl.len()).cast(pl.Datetime("us", "UTC")).alias("time"))
    )


def training() -> Training:
    """The last event of each user kept apart, the one before it for validation."""
    parts = split(log_of(), "last")
    plain = Training.of(parts.train, exclude_seen=False)
    return replace(plain, validation=parts.examples("validation", plain.catalogue))


def bits(recommender: Recommender) -> dict[str, Any]:
    """The weights, and what is known of the training but for the time it took."""
    scoring = recommender.scoring
    assert isinstance(scoring, TorchScoring)
    weights = {name: tensor.tolist() for name, tensor in scoring.network.state_dict().items()}
    return {**recommender.facts, "seconds": 0, **weights}


class BrokenOffError(Exception):
    """The end of a run, at a step."""


class BreaksAt:
    """A progress that breaks off once a step is reached."""

    def __init__(self, step: float) -> None:
        self.step = step

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[BreaksAt]:
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.step -= amount
        if self.step < 0:
            raise BrokenOffError

    def say(self, text: str) -> None:
        assert text


@pytest.mark.parametrize("name", MODELS)
def test_broken_off_within_an_epoch_again_and_again(name: str, tmp_path: Path) -> None:
    model = model_of(name, **COURSE, **MODELS[name])
    data = training()
    whole = model.fit(data, Conditions(seed=5))
    steps = whole.facts["steps"]
    kept = Conditions(seed=5, checkpoints=tmp_path, checkpoint_minutes=1e-9)
    for step in (steps // 5, steps // 2, steps - 2):
        with pytest.raises(BrokenOffError):
            model.fit(data, replace(kept, progress=BreaksAt(step)))
    assert bits(model.fit(data, kept)) == bits(whole)


def test_what_is_said_of_going_on_names_the_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []

    class Told(BreaksAt):
        def say(self, text: str) -> None:
            said.append(text)

    model = model_of("lstm", **COURSE)
    with pytest.raises(BrokenOffError):
        model.fit(training(), Conditions(checkpoints=tmp_path, checkpoint_minutes=1e-9, progress=BreaksAt(3)))
    model.fit(training(), Conditions(checkpoints=tmp_path, progress=Told(float("inf"))))
    assert said == ["lstm: goes on after epoch 0 of an earlier run, 3 batches into the next"]


CHILD = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import torch
from ensue.model import Conditions, model_of
from tests.test_resume import COURSE, training
torch.set_num_threads(1)
class Told:
    from contextlib import contextmanager
    @contextmanager
    def task(self, name, total):
        yield self
    def advance(self, amount=1, note=""):
        print("step", flush=True)
    def say(self, text):
        print(text, flush=True)
model_of("lstm", **COURSE | {"width": 64, "epochs": 25, "patience": 25}).fit(
    training(),
    Conditions(seed=5, checkpoints=Path(sys.argv[1]), checkpoint_minutes=1e-9, progress=Told()),
)
"""


def child(folder: Path) -> subprocess.Popen[str]:
    """A process that trains and keeps its state after every step."""
    root = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", CHILD, str(folder), root]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def after(process: subprocess.Popen[str], steps: int) -> None:
    """Waits until a process has told of so many steps."""
    assert process.stdout is not None
    while steps:
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        steps -= line == "step\n"


def test_killed_at_any_moment_of_writing_and_gone_on(tmp_path: Path) -> None:
    """The processes write without pause, so that most of these kills fall into the middle of a write."""
    for number in range(2):
        process = child(tmp_path)
        after(process, 30)
        time.sleep(0.003 * number)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert (tmp_path / FILE).exists() or (tmp_path / BEFORE).exists()
    model = model_of("lstm", **COURSE | {"width": 64, "epochs": 25, "patience": 25})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        gone_on = model.fit(training(), Conditions(seed=5, checkpoints=tmp_path))
        assert bits(gone_on) == bits(model.fit(training(), Conditions(seed=5)))
    finally:
        torch.set_num_threads(threads)


def test_told_to_stop_it_keeps_its_state_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = child(tmp_path)
    after(process, 5)
    os.kill(process.pid, signal.SIGTERM)
    said, fault = process.communicate(timeout=60)
    assert "lstm: stopped after step" in said
    assert said.rstrip().endswith("the same command goes on from there")
    assert "KeyboardInterrupt" in fault
    assert process.returncode != 0


def test_whoever_asks_twice_does_not_wait() -> None:
    with stoppable() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_handlers_are_as_before_after_a_fit(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    model: Model = model_of("lstm", **COURSE | {"epochs": 1})
    model.fit(training(), Conditions(checkpoints=tmp_path))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_told_to_stop_while_the_last_epoch_is_judged_nothing_is_begun_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ensue train` fits twice: the second fit must not begin once somebody has asked for the end."""
    judged = Judge.measured

    def interrupted(judge: Judge, recommender: Recommender) -> float:
        signal.raise_signal(signal.SIGINT)
        return judged(judge, recommender)

    monkeypatch.setattr(Judge, "measured", interrupted)
    model = model_of("lstm", **COURSE | {"epochs": 1})
    with pytest.raises(KeyboardInterrupt):
        model.fit(training(), Conditions(checkpoints=tmp_path))
    monkeypatch.undo()
    done = model.fit(training(), Conditions(checkpoints=tmp_path))
    assert bits(done) == bits(model.fit(training(), Conditions()))


@pytest.mark.parametrize("changed", ["time", "context", "precision"])
def test_a_checkpoint_of_other_columns_is_not_gone_on_from(changed: str, tmp_path: Path) -> None:
    log = log_of()
    city = pl.Series("city", ["here", "there"] * (log.n_events // 2))
    model = model_of("lstm", **COURSE | {"inputs": ["gap", "city"]})

    def of(frame: pl.DataFrame) -> Training:
        return Training.of(EventLog.of(frame.drop("row")), exclude_seen=False)

    frame = log.frame.with_columns(city)
    model.fit(of(frame), Conditions(checkpoints=tmp_path))
    if changed == "time":
        frame = frame.with_columns(
            pl.col("time").cum_count().over("user").cast(pl.Datetime("us", "UTC")).alias("time")
        )
    if changed == "context":
        frame = frame.with_columns(city.reverse())
    precision = "bf16" if changed == "precision" else "auto"
    with pytest.raises(ModelError, match="precision was" if changed == "precision" else "data was"):
        model.fit(of(frame), Conditions(checkpoints=tmp_path, precision=precision))
