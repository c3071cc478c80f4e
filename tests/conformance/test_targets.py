"""Every event with a predecessor is trained once an epoch, whatever the size of a batch; the rest breaks nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ensue.errors import ModelError
from ensue.events.log import EventLog
from ensue.model import Conditions, Model, Training
from ensue.neural_model import NeuralModel
from ensue.optimisation import apart
from ensue.sequences import Queries
from ensue.training import Trainer

LENGTHS = (2, 9, 1, 3, 1, 26)
"""The longest leaves a window of one event at the end, where 12 are looked at."""


def log_of(lengths: tuple[int, ...]) -> EventLog:
    """Walks round ten items, one sequence of each length."""
    rows = [(f"u{n:02d}", "ABCDEFGHIJ"[(n + step) % 10]) for n, m in enumerate(lengths) for step in range(m)]
    frame = pl.DataFrame(rows, schema=["user", "item"], orient="row")
    return EventLog.of(
        frame.with_columns(pl.int_range(pl.len()).cast(pl.Datetime("us", "UTC")).alias("time"))
    )


def briefly(model: Model) -> Model:
    """A network that goes twice over the data: what is asked of it here needs no more. A counting model as it is."""
    return replace(model, epochs=2, patience=2) if isinstance(model, NeuralModel) else model


@pytest.mark.parametrize("batch_tokens", [1, 5, 16, 10_000])
@pytest.mark.parametrize("length", [1, 12])
def test_an_epoch_trains_every_target_once(
    network_model: NeuralModel, batch_tokens: int, length: int
) -> None:
    model = replace(network_model, batch_tokens=batch_tokens, length=length, epochs=2)
    facts = model.fit(Training.of(log_of(LENGTHS))).facts
    targets = sum(LENGTHS) - len(LENGTHS)
    assert facts["targets_per_epoch"] == targets
    trained = [epoch["targets"] for epoch in facts["history"]]
    if model.causal:
        assert trained == [targets, targets]
    else:  # some of the places, drawn anew in each epoch
        assert all(0 < count <= 2 * targets for count in trained)


def test_sequences_of_one_event_train_nothing_and_break_nothing(model: Model) -> None:
    """Single events count as popularity, and change no transition and no number of targets."""
    with_singles, without = log_of((5, 1, 5, 1, 1)), log_of((5, 0, 5))
    fits = [briefly(model).fit(Training.of(log)) for log in (with_singles, without)]
    if isinstance(model, NeuralModel):
        assert [fit.facts["targets_per_epoch"] for fit in fits] == [8, 8]
    for fit in fits:
        scores = fit.scores(Queries.of([[0], [1, 2]], len(fit.catalogue)))
        assert np.isfinite(scores).all()


def test_a_log_of_single_events_only(model: Model) -> None:
    training = Training.of(log_of((1,) * 12))
    if isinstance(model, NeuralModel):
        with pytest.raises(ModelError, match=f"{model.name}: no sequence holds two events"):
            model.fit(training)
    elif model.name == "newest":
        pytest.skip("it goes by age, and by popularity among equals alone")
    else:
        fitted = model.fit(training)
        assert fitted.recommend(["C"], 2, exclude_seen=True).items == ("A", "B")  # the two that come twice


def test_one_item_and_nothing_else(model: Model) -> None:
    """A catalogue of one item: every question has one answer."""
    log = EventLog.of(
        pl.DataFrame({"user": ["a"] * 5, "item": ["only"] * 5}).with_columns(
            pl.int_range(pl.len()).cast(pl.Datetime("us", "UTC")).alias("time")
        )
    )
    fitted = briefly(model).fit(Training.of(log, exclude_seen=False))
    assert fitted.recommend(["only"], 3).items == ("only",)
    assert fitted.recommend(["only"], 3, exclude_seen=True).items == ()


def test_a_last_batch_of_one(network_model: NeuralModel) -> None:
    """9 sequences of 5 inputs in batches of 8: the odd one is a batch of its own, and so is each alone."""
    lengths = (6,) * 9
    for batch_tokens, batches in ((8 * 5, 2), (5, 9), (1, 9)):
        facts = (
            replace(network_model, batch_tokens=batch_tokens, epochs=1)
            .fit(Training.of(log_of(lengths)))
            .facts
        )
        if type(network_model).plan is NeuralModel.plan:
            assert facts["steps"] == batches
        if network_model.causal:
            assert facts["history"][0]["targets"] == 9 * 5


def test_every_weight_takes_part_in_every_step(network_model: NeuralModel) -> None:
    """Processes that learn together wait for the gradient of every weight of each other, or each step would hang."""
    training = Training.of(log_of(LENGTHS))
    model = network_model.suited(training.sequences)
    with apart(Conditions()):
        trainer = Trainer(model, training, Conditions())
        trainer.network.train()
        for stretches in list(trainer.plan(0))[:2]:
            trainer.learn(stretches)
            idle = [
                name
                for name, weight in trainer.network.named_parameters()
                if weight.requires_grad and weight.grad is None
            ]
            assert idle == []
