"""Checkpoints: whole or the one before, refused when damaged or foreign, and going on is as if never stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from ensue import checkpoints
from ensue.catalogue import Catalogue
from ensue.checkpoints import BEFORE, FILE, Checkpoint
from ensue.errors import ModelError
from ensue.events.log import EventLog
from ensue.export import TorchScoring
from ensue.model import Conditions, Training
from ensue.models.neural.rnn import LSTM
from ensue.models.neural.transformer import Transformer
from ensue.neural_model import NeuralModel
from ensue.ranking import Recommender
from ensue.splits import split

SIZE: dict[str, Any] = {"width": 8, "length": 6, "dropout": 0.2}
COURSE: dict[str, Any] = {"epochs": 4, "patience": 4, "batch_tokens": 40, "learning_rate": 1e-2, "ema": 0.0}
SMALL = LSTM(**SIZE, **COURSE)
BOTH = (SMALL, Transformer(**SIZE, **COURSE))


class Stop(KeyboardInterrupt):
    """The user's Ctrl-C."""


# ------------------------------------------------------------------------------------------ the file


def checkpoint(step: int) -> Checkpoint:
    tensors = {
        "network.a": torch.full((2, 3), float(step)),
        "network.b.c": torch.arange(step),
        "best.a": torch.ones(1),
    }
    return Checkpoint(tensors, {"model": "lstm", "seed": 7, "step": step, "history": [{"loss": 0.1 + 0.2}]})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert checkpoints.read(tmp_path, {}) is None
    checkpoints.write(tmp_path / "deep" / "folder", checkpoint(5))
    found = checkpoints.read(tmp_path / "deep" / "folder", {"model": "lstm", "seed": 7})
    assert found is not None
    assert found.record == checkpoint(5).record
    assert list(found.group("network")) == ["a", "b.c"]
    assert found.group("network")["b.c"].tolist() == [0, 1, 2, 3, 4]
    assert found.group("net") == {}


def test_the_next_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoints.write(tmp_path, checkpoint(step))
    found = checkpoints.read(tmp_path, {})
    assert found is not None
    assert found.record["step"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [BEFORE, FILE]
    (tmp_path / FILE).unlink()
    before = checkpoints.read(tmp_path, {})
    assert before is not None
    assert before.record["step"] == 2


@pytest.mark.parametrize("moves", [0, 1])
def test_killed_while_files_change_places_the_last_good_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    moved = Path.replace

    def killed(path: Path, to: Path) -> Path:
        nonlocal moves
        if moves == 0:
            raise Stop
        moves -= 1
        return moved(path, to)

    checkpoints.write(tmp_path, checkpoint(1))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Stop):
            checkpoints.write(tmp_path, checkpoint(2))
    found = checkpoints.read(tmp_path, {})
    assert found is not None
    assert found.record["step"] == 1
    checkpoints.write(tmp_path, checkpoint(3))
    again = checkpoints.read(tmp_path, {})
    assert again is not None
    assert again.record["step"] == 3


def test_a_damaged_file_gives_way_to_the_one_before(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoints.write(tmp_path, checkpoint(step))
    whole = bytearray((tmp_path / FILE).read_bytes())
    whole[-1] ^= 1  # one bit of a weight: the file can still be read
    (tmp_path / FILE).write_bytes(whole)
    said: list[str] = []
    found = checkpoints.read(tmp_path, {"model": "lstm"}, said.append)
    assert found is not None
    assert found.record["step"] == 1
    assert said == [
        f"The checkpoint {tmp_path / FILE} cannot be read (its checksum does not agree): "
        f"going on from the one before it, {tmp_path / BEFORE}"
    ]
    (tmp_path / BEFORE).write_bytes(b"")
    with pytest.raises(ModelError) as told:
        checkpoints.read(tmp_path, {})
    assert str(told.value).count("cannot be read") == 2


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 60, -1])
def test_a_file_that_is_cut_off_is_one_clear_message(tmp_path: Path, kept: int) -> None:
    checkpoints.write(tmp_path, checkpoint(1))
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:kept])
    with pytest.raises(ModelError) as told:
        checkpoints.read(tmp_path, {})
    assert str(told.value).startswith(f"The checkpoint {tmp_path / FILE} cannot be read (")
    assert str(told.value).endswith("): remove it to start anew.")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"seed": 8}, "seed was 7 and is now 8"),
        ({"model": "transformer"}, "model was 'lstm' and is now 'transformer'"),
        ({"data": "abc"}, "data was None and is now 'abc'"),
    ],
)
def test_a_file_of_another_run_is_one_clear_message(
    tmp_path: Path, wanted: dict[str, Any], says: str
) -> None:
    checkpoints.write(tmp_path, checkpoint(1))
    with pytest.raises(ModelError) as told:
        checkpoints.read(tmp_path, wanted)
    assert str(told.value) == (
        f"The checkpoint {tmp_path / FILE} is of another run: {says}. "
        "Take another folder, or remove it to start anew."
    )


def test_a_file_of_other_tensors_is_of_another_run(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(2)}, tmp_path / FILE)
    with pytest.raises(ModelError, match="is of another run: model was None and is now 'lstm'"):
        checkpoints.read(tmp_path, {"model": "lstm"})


# ------------------------------------------------------------------------------ stopping and going on


def log_of(users: int = 16, events: int = 9, seed: int = 0) -> EventLog:
    """Walks round ten items with a quarter of the steps at random."""
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random((users, events)) < 0.25, rng.integers(0, 10, (users, events)), 1)
    items = (np.cumsum(steps, axis=1) + rng.integers(0, 10, users)[:, None]) % 10
    frame = pl.DataFrame(
        {"user": np.repeat(np.arange(users), events).astype(str), "item": items.ravel().astype(str)}
    )
    time = pl.int_range(pl.len()).cast(pl.Datetime("us", "UTC")).alias("time")
    return EventLog.of(frame.with_columns(time))


@pytest.fixture(scope="module")
def training() -> Training:
    """All events, nothing kept apart."""
    return Training.of(log_of())


@pytest.fixture(scope="module")
def validated() -> Training:
    """The last event of each user kept apart, the one before it for validation."""
    parts = split(log_of(users=40), "last")
    catalogue = Catalogue.fit(parts.train)
    return replace(
        Training.of(parts.train, exclude_seen=False), validation=parts.examples("validation", catalogue)
    )


def same(first: Recommender, second: Recommender) -> bool:
    """Bit for bit the same weights, and the same history of training but for the time it took."""
    a, b = first.scoring, second.scoring
    assert isinstance(a, TorchScoring)
    assert isinstance(b, TorchScoring)
    bits = all(
        torch.equal(x, y)
        for x, y in zip(a.network.state_dict().values(), b.network.state_dict().values(), strict=True)
    )
    return bits and {**first.facts, "seconds": 0} == {**second.facts, "seconds": 0}


@dataclass
class StopsAfter:
    """A progress that breaks off after some steps, as a user may at any moment."""

    steps: float
    said: tuple[str, ...] = ()

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[StopsAfter]:
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.steps -= amount
        if self.steps < 0:
            raise Stop

    def say(self, text: str) -> None:
        self.said += (text,)


@pytest.mark.parametrize("ema", [0.0, 0.5])
@pytest.mark.parametrize("steps", [4, 7, 10, 13])
@pytest.mark.parametrize("model", BOTH, ids=lambda model: str(model.name))
def test_broken_off_and_gone_on_is_as_if_never_stopped(
    model: NeuralModel, validated: Training, tmp_path: Path, steps: int, ema: float
) -> None:
    """Bit for bit, with dropout, and wherever in an epoch it was broken off."""
    model = replace(model, ema=ema, batch_tokens=80)
    whole = model.fit(validated, Conditions(seed=5))
    per_epoch = whole.facts["steps"] / model.epochs
    assert steps < whole.facts["steps"]
    with pytest.raises(Stop):
        model.fit(validated, Conditions(seed=5, checkpoints=tmp_path, progress=StopsAfter(steps)))
    told = StopsAfter(float("inf"))
    resumed = model.fit(validated, Conditions(seed=5, checkpoints=tmp_path, progress=told))
    assert same(resumed, whole)
    done = int(steps // per_epoch)
    assert told.said == ((f"{model.name}: goes on after epoch {done} of an earlier run",) if done else ())


def test_gradients_are_scaled_as_if_never_stopped(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scale grows after so many steps in a row, whichever process made them."""
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, growth_interval=10))
    model, conditions = BOTH[1], Conditions(precision="fp16", steps=40)
    whole = model.fit(training, conditions)
    with pytest.raises(KeyboardInterrupt):
        model.fit(training, replace(conditions, checkpoints=tmp_path, progress=StopsAfter(17)))
    kept = checkpoints.read(tmp_path, {})
    assert kept is not None
    assert int(kept.group("scaler")["since"]) == kept.record["step"] % 10 > 0
    assert same(model.fit(training, replace(conditions, checkpoints=tmp_path)), whole)


def test_without_validation_too(training: Training, tmp_path: Path) -> None:
    whole = SMALL.fit(training)
    with pytest.raises(Stop):
        SMALL.fit(training, Conditions(checkpoints=tmp_path, progress=StopsAfter(10)))
    assert same(SMALL.fit(training, Conditions(checkpoints=tmp_path)), whole)


def test_a_finished_run_is_not_trained_again(validated: Training, tmp_path: Path) -> None:
    conditions = Conditions(seed=5, checkpoints=tmp_path)
    first = SMALL.fit(validated, conditions)
    told = StopsAfter(first.facts["steps"])  # goes past what was done, and has not a step to spare
    assert same(SMALL.fit(validated, replace(conditions, progress=told)), first)


def test_more_steps_after_a_refit_are_as_if_asked_for_at_once(training: Training, tmp_path: Path) -> None:
    """A refit ends in the middle of an epoch; what goes on from it must not leave out the rest of it."""
    few, many = Conditions(steps=6, horizon=50), Conditions(steps=14, horizon=50)
    SMALL.fit(training, replace(few, checkpoints=tmp_path))
    assert same(SMALL.fit(training, replace(many, checkpoints=tmp_path)), SMALL.fit(training, many))


def test_a_checkpoint_of_another_run_is_refused(training: Training, tmp_path: Path) -> None:
    conditions = Conditions(checkpoints=tmp_path)
    SMALL.fit(training, conditions)
    others: list[tuple[NeuralModel, Training, Conditions, str]] = [
        (BOTH[1], training, conditions, "model was 'lstm' and is now 'transformer'"),
        (SMALL, training, replace(conditions, seed=1), "seed was 0 and is now 1"),
        (replace(SMALL, dropout=0.1), training, conditions, "settings was {"),
        (SMALL, Training.of(log_of(users=17)), conditions, "events was 144 and is now 153"),
        (SMALL, Training.of(log_of(seed=1)), conditions, "data was '"),
        (SMALL, training, replace(conditions, horizon=9), "horizon_asked was 0 and is now 9"),
    ]
    for model, other, asked, says in others:
        with pytest.raises(ModelError) as told:
            model.fit(other, asked)
        assert str(told.value).startswith(
            f"The checkpoint {tmp_path / 'checkpoint.safetensors'} is of another"
        )
        assert says in str(told.value)
        assert str(told.value).endswith("Take another folder, or remove it to start anew.")


def test_a_damaged_checkpoint_is_one_clear_message(training: Training, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match=r"cannot be read .* remove it to start anew"):
        SMALL.fit(training, Conditions(checkpoints=tmp_path))
