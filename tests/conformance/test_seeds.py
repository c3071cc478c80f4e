"""Same seed, same bits: whatever ran before, in whatever process; and nothing of the caller's is touched."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch

from ensue.errors import ModelError
from ensue.events.log import EventLog
from ensue.model import Conditions, Model, Training
from ensue.neural_model import NeuralModel
from ensue.sequences import Queries

STEPS = 24
"""Of a network: more than an epoch, so that seeds of steps and of epochs both count."""


def test_same_seed_same_bits(model: Model, ring_log: EventLog, queries: Queries) -> None:
    training, conditions = Training.of(ring_log), Conditions(seed=3, steps=STEPS)
    torch.manual_seed(1)
    first = model.fit(training, conditions).scores(queries)
    torch.manual_seed(2)
    second = model.fit(training, conditions).scores(queries)
    np.testing.assert_array_equal(first, second)


def test_another_seed_gives_another_network(
    network_model: NeuralModel, ring_log: EventLog, queries: Queries
) -> None:
    training = Training.of(ring_log)
    first, second = (
        network_model.fit(training, Conditions(seed=seed, steps=STEPS)).scores(queries) for seed in (3, 4)
    )
    assert (first != second).mean() > 0.9


def test_the_random_state_of_the_caller_is_left_alone(
    model: Model, ring_log: EventLog, queries: Queries
) -> None:
    torch.manual_seed(7)
    state_of_torch = torch.get_rng_state()
    state_of_numpy = np.random.get_state(legacy=False)  # noqa: NPY002
    state_of_python = random.getstate()
    model.fit(Training.of(ring_log), Conditions(seed=3, steps=STEPS)).scores(queries)
    assert torch.equal(torch.get_rng_state(), state_of_torch)
    assert str(np.random.get_state(legacy=False)) == str(state_of_numpy)  # noqa: NPY002
    assert random.getstate() == state_of_python


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_the_threads_of_the_caller_are_left_alone(model: Model, ring_log: EventLog, threads: int) -> None:
    before, gradients = torch.get_num_threads(), torch.is_grad_enabled()
    model.fit(Training.of(ring_log), Conditions(threads=threads, steps=2))
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == (before, gradients)


def test_a_failed_fit_leaves_the_caller_alone_too(network_model: NeuralModel) -> None:
    singles = EventLog.of(pl.DataFrame({"user": ["a", "b", "c"], "item": ["x", "y", "x"]}))
    torch.manual_seed(7)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises(ModelError, match="no sequence holds two events"):
        network_model.fit(Training.of(singles), Conditions(threads=threads + 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


PROGRAM = """
import hashlib, sys
from ensue.model import Conditions, Training, models
from ensue.events.log import EventLog
from ensue.sequences import Queries
from ensue.neural_model import NeuralModel
import polars as pl

rows = [(f"u{u}", "ABCDEFGHIJ"[(u + step) % 10]) for u in range(20) for step in range(21)]
frame = pl.DataFrame(rows, schema=["user", "item"], orient="row")
time = pl.int_range(pl.len()).cast(pl.Datetime("us", "UTC")).alias("time")
training = Training.of(EventLog.of(frame.with_columns(time)))
queries = Queries.of([[1, 2], [3], [4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6]], 10)
for name in models.names():
    kind = models.get(name)
    if getattr(kind, 'rates', False) is True:  # this log has no ratings
        continue
    settings = dict(width=16, length=12, epochs=2, batch_tokens=64) if issubclass(kind, NeuralModel) else {}
    scores = kind(**settings).fit(training, Conditions(seed=3)).scores(queries)
    print(name, hashlib.sha256(scores.tobytes()).hexdigest())
"""


def test_two_processes_with_other_hash_seeds_give_the_same_bits() -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    answers = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0], answers
    (first, _), (second, _) = answers
    assert first == second
    assert len(first.splitlines()) >= 6
