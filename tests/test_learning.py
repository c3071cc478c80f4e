"""A step is the same whether its batch is computed whole or in parts, in 32 bits or nearly so in 16."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from tests.test_resume import COURSE, bits, training

from ensue.batching import Stretches, parts_of
from ensue.errors import ConfigError, ModelError
from ensue.export import TorchScoring
from ensue.learning import precision_of
from ensue.model import Conditions, model_of
from ensue.neural_model import NeuralModel
from ensue.optimisation import apart, clipped, seed_of
from ensue.training import Trainer

PLAIN = COURSE | {"dropout": 0.0}


def trainer(name: str, conditions: Conditions, **settings: Any) -> Trainer:
    model = model_of(name, **PLAIN | settings)
    assert isinstance(model, NeuralModel)
    with apart(conditions):
        return Trainer(model.suited(training().sequences), training(), conditions)


def weights(
    name: str, steps: int = 4, conditions: Conditions = Conditions(), **settings: Any
) -> torch.Tensor:
    """All weights after some steps, end to end."""
    made = trainer(name, conditions, **settings)
    made.network.train()
    for stretches in list(made.plan(0))[:steps]:
        made.learn(stretches)
    return torch.cat([p.detach().reshape(-1) for p in made.network.parameters()])


@pytest.mark.parametrize("tokens", [1, 13, 39])
@pytest.mark.parametrize("name", ["transformer", "gru", "lru"])
def test_a_batch_in_parts_is_the_batch(name: str, tokens: int) -> None:
    whole = weights(name)
    assert torch.allclose(weights(name, conditions=Conditions(tokens_at_once=tokens)), whole, atol=1e-5)
    assert not torch.allclose(weights(name, steps=3), whole, atol=1e-4)


@pytest.mark.parametrize("tokens", [1, 6, 7, 12, 1000])
def test_parts_hold_every_row_once_within_the_budget(tokens: int) -> None:
    lengths = np.array([6, 6, 5, 3, 3, 1])
    batch = Stretches(np.arange(6) * 10, np.arange(6) * 10 + lengths)
    parts = list(parts_of(batch, tokens))
    assert np.concatenate([part.starts for part in parts]).tolist() == batch.starts.tolist()
    assert np.concatenate([part.ends for part in parts]).tolist() == batch.ends.tolist()
    for part in parts:
        sizes = part.ends - part.starts
        assert len(sizes) == 1 or len(sizes) * sizes.max() <= tokens
    assert len(list(parts_of(batch, 0))) == 1


def test_rows_that_go_on_stay_together() -> None:
    batch = Stretches(np.array([0, 9]), np.array([4, 13]), np.array([True, False]))
    assert list(parts_of(batch, 1)) == [batch]


@pytest.mark.parametrize("name", ["transformer", "transformer-xl", "xlnet", "hstu", "bert4rec"])
@pytest.mark.parametrize("loss", ["cross-entropy", {"name": "sampled-softmax", "negatives": 5}])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_ends_where_single_does(name: str, loss: Any, precision: str) -> None:
    settings = PLAIN | {"loss": loss, "epochs": 4, "width": 16}
    single = model_of(name, **settings).fit(training(), Conditions(precision="single")).facts["history"][-1]
    half = model_of(name, **settings).fit(training(), Conditions(precision=precision)).facts["history"][-1]
    assert half["loss"] == pytest.approx(single["loss"], rel=0.05)
    assert half["loss"] != single["loss"]  # it was really computed in 16 bits


def test_the_precision_is_chosen_by_the_device() -> None:
    assert precision_of("auto", torch.device("cpu")) == "single"
    assert precision_of("fp16", torch.device("cpu")) == "fp16"
    with pytest.raises(ConfigError, match="precision='half' must be one of auto, single, bf16, fp16"):
        precision_of("half", torch.device("cpu"))


@pytest.mark.filterwarnings("ignore")  # torch warns of its own ways while it compiles
def test_compiled_is_the_same() -> None:
    whole = weights("transformer", steps=1, blocks=1)
    assert torch.allclose(weights("transformer", 1, Conditions(compile=True), blocks=1), whole, atol=1e-5)


def test_a_loss_that_is_no_number_stops_with_step_and_remedy_and_is_never_the_best() -> None:
    model = model_of("lstm", **PLAIN | {"learning_rate": 1e30, "clip": 1e30, "epochs": 30})
    with pytest.raises(
        ModelError, match=r"lstm: .* at step \d+\. The learning rate 1e\+30 is probably too high"
    ):
        model.fit(training())


class Told:
    """A progress that notes what is said, and lets every step take a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.said = seconds, list[str]()

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Told]:
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:

        time.sleep(self.seconds * amount)

    def say(self, text: str) -> None:
        self.said.append(text)


def test_the_rate_falls_within_the_minutes_and_the_best_so_far_is_kept() -> None:
    told = Told(0.02)
    model = model_of("lstm", **PLAIN | {"epochs": 1000, "patience": 1000})
    began = time.monotonic()
    fitted = model.fit(training(), Conditions(max_minutes=2 / 60, progress=told))
    assert 1.5 < time.monotonic() - began < 6
    facts = fitted.facts
    assert facts["steps"] < 200
    assert facts["horizon"] == pytest.approx(facts["steps"], rel=0.3)
    assert any(line.startswith("lstm: the learning rate falls over ") for line in told.said)
    assert facts["chosen"]["score"] == max(epoch["score"] for epoch in facts["history"])
    assert isinstance(fitted.scoring, TorchScoring)


def test_the_same_within_minutes_that_suffice() -> None:
    model = model_of("lstm", **PLAIN)
    assert bits(model.fit(training(), Conditions(max_minutes=10))) == bits(model.fit(training()))


def test_targets_of_a_long_history_are_all_trained_in_bounded_memory() -> None:
    """One user with 60,000 events and 200 with 5: 59,999 + 800 targets, from offsets into one array."""
    from ensue.batching import windows

    lengths = np.array([60_000] + [5] * 200)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    starts, ends = windows(offsets, 200)
    assert int((ends - starts).sum()) == 59_999 + 800
    assert len(starts) == 300 + 200


def test_every_step_draws_anew() -> None:
    """With a rate of almost nothing, the loss of one batch changes by what dropout draws alone."""
    made = trainer("lstm", Conditions(), dropout=0.5, learning_rate=1e-12)
    made.network.train()
    batch = next(iter(made.plan(0)))
    losses = [float(made.learn(batch)[0]) for _ in range(3)]
    assert len(set(losses)) == 3


def test_a_step_follows_the_mean_over_what_was_really_trained() -> None:
    """A masked network draws its targets, so how many they are is known only afterwards; plain descent shows it."""
    plain = {"optimizer": {"name": "sgd", "momentum": 0.0}, "weight_decay": 0.0, "clip": 1e9, "ema": 0.0}
    made = trainer("bert4rec", Conditions(seed=4), learning_rate=1.0, warmup=0.0, **plain)
    made.network.train()
    batch = next(iter(made.plan(0)))
    before = [p.detach().clone() for p in made.network.parameters()]
    torch.manual_seed(seed_of(4, 1, 0))
    total, count = made.learner.lesson(made.learner.feed.batch(batch))
    assert count != int((batch.ends - batch.starts).sum())
    slopes = torch.autograd.grad(total / count, list(made.network.parameters()))
    made.learn(batch)
    for old, new, slope in zip(before, made.network.parameters(), slopes, strict=True):
        assert torch.allclose(old - new.detach(), slope, atol=1e-6)


@pytest.mark.parametrize("most", [0.1, 1e6])
def test_gradients_are_shortened_together_be_they_of_some_rows_alone(most: float) -> None:
    table, line = torch.nn.Parameter(torch.ones(5, 2)), torch.nn.Parameter(torch.ones(3))
    rows = torch.nn.functional.embedding(torch.tensor([1, 3, 3]), table, sparse=True)
    (rows.sum() + (line * torch.tensor([1.0, -2.0, 0.5])).sum()).backward()
    dense = torch.zeros(5, 2)
    dense[1], dense[3] = 1.0, 2.0
    slopes = [2 * dense, 2 * torch.tensor([1.0, -2.0, 0.5])]
    norm = torch.cat([slope.reshape(-1) for slope in slopes]).norm()
    clipped([table, line, torch.nn.Parameter(torch.ones(1))], most, 2.0)
    factor = min(most / (float(norm) + 1e-6), 1.0)
    for weight, slope in zip((table, line), slopes, strict=True):
        assert weight.grad is not None
        found = weight.grad.to_dense() if weight.grad.is_sparse else weight.grad
        assert torch.allclose(found, factor * slope)
    assert table.grad is not None
    assert table.grad.is_sparse
