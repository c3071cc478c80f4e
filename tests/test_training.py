"""The trainer's promises: which state is kept, how long it goes on, and that going on is as if never stopped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from ensue import judging
from ensue.catalogue import Catalogue
from ensue.domain import Domain
from ensue.errors import ConfigError, ModelError
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.export import TorchScoring
from ensue.judging import Judge
from ensue.model import Conditions, Training, refit
from ensue.models.neural.rnn import LSTM
from ensue.models.neural.transformer import Transformer
from ensue.network import Batch, Encoder, State
from ensue.neural_model import NeuralModel
from ensue.optimisation import parameter_groups, rate
from ensue.progress import Silent
from ensue.ranking import Recommender
from ensue.sequences import Sequences
from ensue.splits import split
from ensue.suiting import (
    EPOCHS,
    FEWEST_STEPS,
    FEWEST_TOKENS,
    LARGE_TABLE,
    LONGEST,
    MANY_ITEMS,
    MOST_TOKENS,
    NEGATIVES,
    STEPS_AN_EPOCH,
)

SIZE: dict[str, Any] = {"width": 8, "length": 6, "dropout": 0.2}
COURSE: dict[str, Any] = {"epochs": 4, "patience": 4, "batch_tokens": 40, "learning_rate": 1e-2, "ema": 0.0}
SMALL = LSTM(**SIZE, **COURSE)
BOTH = (SMALL, Transformer(**SIZE, **COURSE))


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


def weights(recommender: Recommender) -> list[Tensor]:
    assert isinstance(recommender.scoring, TorchScoring)
    return [parameter.detach() for parameter in recommender.scoring.network.parameters()]


def same(first: Recommender, second: Recommender) -> bool:
    """Bit for bit the same weights and the same history of training."""
    bits = all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))
    return bits and _timeless(first) == _timeless(second)


def _timeless(recommender: Recommender) -> dict[str, Any]:
    return {name: value for name, value in recommender.facts.items() if name != "seconds"}


def untrained(model: NeuralModel, training: Training) -> list[Tensor]:
    """The weights that a fit begins with: a step this small changes no bit."""
    return weights(replace(model, learning_rate=1e-30, ema=0.0).fit(training, Conditions(steps=1)))


# --------------------------------------------------------------------------------- the learning rate


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine_to_a_hundredth() -> None:
    horizon, warmup = 100, 0.1
    rates = [rate(step, horizon, warmup) for step in range(horizon + 1)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx((1 + 0.01) / 2)
    assert rates[100] == pytest.approx(0.01)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))
    assert rate(10_000, horizon, warmup) == pytest.approx(0.01)
    assert rate(0, horizon, 0.0) == 1.0
    assert rate(0, 1, 0.5) == 1.0


def test_the_first_step_is_as_long_as_the_rate(training: Training) -> None:
    """Adam's first step moves every weight that has a gradient by the rate, here a tenth of the peak."""
    model = replace(SMALL, warmup=0.1, weight_decay=0.0)
    before = untrained(model, training)
    after = weights(model.fit(training, Conditions(steps=1, horizon=100)))
    moved = torch.cat([(b - a).abs().flatten() for a, b in zip(before, after, strict=True)])
    assert float(moved.max()) == pytest.approx(1e-2 * 0.1, rel=1e-3)
    assert float(moved.median()) == pytest.approx(1e-2 * 0.1, rel=1e-2)


def test_only_matrices_decay() -> None:
    for model in BOTH:
        network = replace(model, tied=False, bias=True, hidden=6).network(Domain.of(10)) if model is SMALL else (
            replace(model, tied=False, bias=True).network(Domain.of(10))
        )  # fmt: skip
        decayed, others = parameter_groups(network, 0.1)
        assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        matrices = {names[id(parameter)] for parameter in decayed["params"]}
        rest = {names[id(parameter)] for parameter in others["params"]}
        assert matrices | rest == set(names.values())
        for name in matrices:
            assert "weight" in name
            assert network.get_parameter(name).dim() == 2
        for name in rest:
            one_row_each = name in ("items.weight", "head.table", "encoder.positions")
            assert one_row_each or network.get_parameter(name).dim() == 1, name
        assert {"items.weight", "head.table", "head.bias"} <= rest


# ----------------------------------------------------------------------------- how long it goes on


@pytest.mark.parametrize("model", BOTH, ids=lambda model: str(model.name))
def test_without_validation_all_epochs_are_trained(model: NeuralModel, training: Training) -> None:
    facts = model.fit(training).facts
    assert facts["epochs"] == model.epochs == len(facts["history"])
    assert facts["chosen"] is None
    assert facts["steps"] >= model.epochs * (16 * 8 // model.batch_tokens)
    assert facts["history"][-1]["loss"] < facts["history"][0]["loss"]


@pytest.mark.parametrize("steps", [1, 3, 7, 40])
def test_a_refit_takes_exactly_its_steps(training: Training, steps: int) -> None:
    facts = SMALL.fit(training, Conditions(steps=steps, horizon=50)).facts
    assert facts["steps"] == steps
    assert facts["horizon"] == 50
    targets = [epoch["targets"] for epoch in facts["history"]]
    assert all(count == facts["targets_per_epoch"] for count in targets[:-1])
    assert 0 < targets[-1] <= facts["targets_per_epoch"]


def test_a_refit_on_the_same_data_is_the_first_fit_up_to_its_step(validated: Training) -> None:
    """The chosen step of a first fit, taken again with its horizon, gives the state that was chosen."""
    first = replace(SMALL, epochs=6).fit(validated, Conditions(seed=2))
    chosen, horizon = first.facts["chosen"], first.facts["horizon"]
    again = replace(SMALL, epochs=6).fit(
        replace(validated, validation=None), Conditions(seed=2, steps=chosen["step"], horizon=horizon)
    )
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(again), strict=True))


def test_time_ends_training_with_what_there_is(training: Training) -> None:
    facts = SMALL.fit(training, Conditions(max_minutes=1e-9)).facts
    assert facts["steps"] == 1
    assert facts["epochs"] == 1


# -------------------------------------------------------------------------------- what is kept of it


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("model", BOTH, ids=lambda model: str(model.name))
def test_the_best_state_on_validation_is_kept(model: NeuralModel, validated: Training, ema: float) -> None:
    model = replace(model, epochs=30, patience=3, ema=ema, learning_rate=3e-2)
    fitted = model.fit(validated, Conditions(seed=1))
    scores = [epoch["score"] for epoch in fitted.facts["history"]]
    chosen = fitted.facts["chosen"]
    best = scores.index(max(scores)) + 1  # the first of equals
    assert chosen["epoch"] == best
    assert chosen["score"] == max(scores)
    assert fitted.facts["epochs"] == min(best + model.patience, model.epochs) == len(scores)
    assert best < len(scores), "the last epoch is the best: nothing is shown"
    assert validated.validation is not None
    found = evaluate(fitted, validated.validation, metrics=("ndcg@10",)).value("ndcg@10")
    assert found == chosen["score"]


def test_validation_ranks_evenly_spread_targets(validated: Training) -> None:
    """39 of 40 targets are more than 10: every fourth or so is ranked, from the first to the last."""
    examples = validated.validation
    assert examples is not None
    fitted = replace(SMALL, validation_targets=10, epochs=1).fit(validated)
    which = np.linspace(0, len(examples) - 1, 10).astype(np.int64)
    assert (which[0], which[-1], len(set(which))) == (0, len(examples) - 1, 10)
    some = replace(
        examples,
        queries=examples.queries[which],
        targets=examples.targets[which],
        groups=examples.groups[which],
        target_ids=examples.target_ids.gather(which),
    )
    expected = evaluate(fitted, some, metrics=("ndcg@10",)).value("ndcg@10")
    assert fitted.facts["history"][0]["score"] == expected


def test_a_large_catalogue_is_judged_by_fewer_targets_and_that_is_said(
    validated: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many targets as the scores allow, each of all items, five in any case; of all of them nothing is said."""
    assert validated.validation is not None
    every = len(validated.validation)
    items = len(validated.catalogue)

    heard: list[str] = []

    def judged(most: int) -> int:
        return len(Judge.of(validated, most, rates=False, say=heard.append).examples or ())

    monkeypatch.setattr(judging, "FEWEST_JUDGED", 5)
    monkeypatch.setattr(judging, "SCORES_JUDGED", every * items)
    assert (judged(5000), judged(12), heard) == (every, 12, [])
    monkeypatch.setattr(judging, "SCORES_JUDGED", 10 * items)
    assert (judged(5000), judged(7), len(heard)) == (10, 7, 1)
    heard.clear()

    class Hears(Silent):
        def say(self, text: str) -> None:
            heard.append(text)

    replace(SMALL, epochs=1).fit(validated, Conditions(progress=Hears()))
    said = f"{SMALL.name}: epochs are judged by 10 targets, since each ranks {items} items"
    assert [line for line in heard if "judged by" in line] == [said]
    monkeypatch.setattr(judging, "SCORES_JUDGED", 1)
    assert judged(5000) == 5


def test_validation_follows_the_rule_of_seen_items(validated: Training) -> None:
    first, second = (
        SMALL.fit(replace(validated, exclude_seen=seen)).facts["history"] for seen in (True, False)
    )
    assert [epoch["loss"] for epoch in first] == [epoch["loss"] for epoch in second]
    assert [epoch["score"] for epoch in first] != [epoch["score"] for epoch in second]


def test_the_moving_average_of_the_weights_is_kept(training: Training) -> None:
    """average <- h x average + (1 - h) x weights, where h = min(ema, (1 + step) / (10 + step))."""
    ema, steps = 0.3, 3
    average = untrained(SMALL, training)
    for step in range(1, steps + 1):
        now = weights(SMALL.fit(training, Conditions(steps=step, horizon=50)))
        held = min(ema, (1 + step) / (10 + step))
        average = [held * old + (1 - held) * new for old, new in zip(average, now, strict=True)]
    assert 3 / 12 < ema < 4 / 13  # both arms of the minimum are taken
    found = weights(replace(SMALL, ema=ema).fit(training, Conditions(steps=steps, horizon=50)))
    for ours, theirs in zip(found, average, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    plain = weights(SMALL.fit(training, Conditions(steps=steps, horizon=50)))
    assert max(float((a - b).abs().max()) for a, b in zip(found, plain, strict=True)) > 1e-3


def test_a_fitted_network_no_longer_drops_out(training: Training) -> None:
    for model in BOTH:
        fitted = model.fit(training)
        assert isinstance(fitted.scoring, TorchScoring)
        assert not any(module.training for module in fitted.scoring.network.modules())
        slates = [fitted.recommend(["1", "2"], 5) for _ in range(3)]
        assert slates[0] == slates[1] == slates[2]


# ----------------------------------------------------------------------------------- when it fails


@pytest.mark.parametrize("loss", ["cross-entropy", "sampled-softmax"])
@pytest.mark.parametrize("model", BOTH, ids=lambda model: str(model.name))
def test_a_loss_that_is_no_number_ends_training_with_its_cause(
    model: NeuralModel, training: Training, loss: str
) -> None:
    with pytest.raises(ModelError) as told:
        replace(model, learning_rate=1e30, loss=loss).fit(training)
    assert str(told.value).startswith(f"{model.name}: the loss ({loss}) ")
    assert " at step " in str(told.value)
    assert str(told.value).endswith("The learning rate 1e+30 is probably too high: try a third of it.")


@pytest.mark.parametrize("with_validation", [True, False])
def test_a_network_that_its_last_step_broke_is_not_handed_over(
    validated: Training, with_validation: bool
) -> None:
    """The loss of a step is taken before the step: only the scores after it show what it did."""
    training = validated if with_validation else replace(validated, validation=None)
    model = replace(SMALL, learning_rate=1e30, batch_tokens=10**6, epochs=1, warmup=0.0)
    with pytest.raises(ModelError, match=r"lstm: the loss .* at step 1\. The learning rate 1e\+30"):
        model.fit(training)


@pytest.mark.parametrize("device", ["gpu", "cuda:77"])
def test_a_device_that_is_not_there_is_named(training: Training, device: str) -> None:
    with pytest.raises(ConfigError, match=f"device='{device}' is no device of this torch and machine"):
        SMALL.fit(training, Conditions(device=device))


# --------------------------------------------------------------------------------------- scoring


def test_scores_do_not_depend_on_how_many_are_taken_at_once(
    monkeypatch: pytest.MonkeyPatch, training: Training
) -> None:
    fitted = SMALL.fit(training)
    queries = training.sequences.queries()
    whole = fitted.scores(queries)
    for tokens in (1, 20):
        monkeypatch.setattr("ensue.export.SCORING_TOKENS", tokens)
        np.testing.assert_allclose(fitted.scores(queries), whole, rtol=0, atol=1e-5)


def test_a_family_writes_its_encoder_and_nothing_else(training: Training) -> None:
    """Any encoder trains, stops, scores: here one that passes the last item on."""

    class Through(Encoder):
        def forward(self, x: Tensor, batch: Batch) -> Tensor:
            return x

        def begin(self, rows: int) -> State:
            return ()

        def step(self, x: Tensor, state: State, batch: Batch) -> tuple[Tensor, State]:
            return x, state

    @dataclass(frozen=True)
    class Bare(NeuralModel):
        def encoder(self) -> Encoder:
            return Through()

    Bare.name = "bare"
    fitted = Bare(width=16, tied=False, epochs=15, batch_tokens=40, learning_rate=3e-2).fit(training)
    hits = [
        fitted.recommend([str(n)], 1, exclude_seen=False).items == (str((n + 1) % 10),) for n in range(10)
    ]
    assert all(hits)


# ------------------------------------------------------------------------ what is left to the data


def test_what_is_left_to_the_data_is_filled_in_and_said(training: Training) -> None:
    """144 events in 16 sequences of 9: a window of 10 holds them; 128 targets are few, so batches are the smallest."""
    said: list[str] = []
    model = LSTM().suited(training.sequences, said.append)
    assert model.length == 10
    assert model.batch_tokens == FEWEST_TOKENS
    steps = -(-128 // FEWEST_TOKENS)
    assert model.epochs == max(EPOCHS, -(-FEWEST_STEPS // steps))
    assert model.patience == -(-model.epochs // 2)
    assert said == [
        f"lstm: length 10, since 95 % of the sequences have at most 9 events; {LONGEST} is the most that is taken",
        f"lstm: batches of {FEWEST_TOKENS} tokens and {model.epochs} epochs at most, since 128 targets make about "
        f"{steps} steps an epoch",
    ]
    assert (model.loss, model.optimizer, model.ema) == ("cross-entropy", "adamw", 0.99)
    left: dict[str, Any] = {"loss": "auto", "optimizer": "auto", "ema": None}
    assert replace(model, length=0, epochs=0, patience=0, batch_tokens=0, **left) == LSTM()


@pytest.mark.parametrize(("items", "width"), [(MANY_ITEMS, 64), (MANY_ITEMS + 1, 64), (2 * MANY_ITEMS, 320)])
def test_the_size_of_the_catalogue_chooses_loss_and_optimiser(items: int, width: int) -> None:
    sequences = Sequences(np.zeros(20, dtype=np.int32), np.array([0, 20]), pl.Series(["u"]), items)
    said: list[str] = []
    model = LSTM(width=width).suited(sequences, said.append)
    many, large = items > MANY_ITEMS, items * width > LARGE_TABLE
    drawn = {"name": "sampled-softmax", "source": "mixed", "negatives": NEGATIVES}
    assert model.loss == (drawn if many else "cross-entropy")
    assert (model.optimizer, model.ema) == (("rowwise", 0.0) if large else ("adamw", 0.99))
    assert [line for line in said if f"{items:,}" in line or f"{items * width:,}" in line] == [
        *(
            [f"lstm: a softmax over 1,024 drawn items, since {items:,} items are more than 50,000"]
            if many
            else []
        ),
        *(
            [f"lstm: an optimiser by rows, since the table of items has {items * width:,} numbers"]
            if large
            else []
        ),
    ]


@pytest.mark.parametrize(
    ("lengths", "length"),
    [([2], 10), ([10], 10), ([11], 20), ([9] * 99 + [500], 10), ([10**4] * 9, LONGEST)],
)
def test_the_window_holds_most_sequences_whole(lengths: list[int], length: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items = np.zeros(offsets[-1], dtype=np.int32)
    keys = pl.Series([str(n) for n in range(len(lengths))])
    assert LSTM().suited(Sequences(items, offsets, keys, 1)).length == length


def test_batches_grow_with_the_data_within_bounds() -> None:
    def tokens(users: int) -> int:
        offsets = np.arange(users + 1) * 101
        items = np.zeros(offsets[-1], dtype=np.int32)
        keys = pl.Series([str(n) for n in range(users)])
        return LSTM().suited(Sequences(items, offsets, keys, 1)).batch_tokens

    assert tokens(1) == FEWEST_TOKENS
    middle = FEWEST_TOKENS * STEPS_AN_EPOCH // 100 + 7
    assert tokens(middle) == middle * 100 // STEPS_AN_EPOCH
    assert tokens(MOST_TOKENS * STEPS_AN_EPOCH // 100 + 100) == MOST_TOKENS


def test_what_is_asked_for_is_left_as_it_is(training: Training) -> None:
    said: list[str] = []
    told = replace(SMALL, loss="bce", optimizer="sgd", ema=SMALL.ema or 0.0)
    assert told.suited(training.sequences, said.append) == told
    assert said == []


def test_a_fit_keeps_what_was_filled_in_and_repeats_it(training: Training) -> None:
    left = replace(SMALL, length=0, batch_tokens=0, patience=0)
    fitted = left.fit(training)
    assert (fitted.settings["length"], fitted.settings["batch_tokens"]) == (10, FEWEST_TOKENS)
    assert same(replace(left, **fitted.settings).fit(training), fitted)


def test_all_faults_of_a_network_are_told_at_once() -> None:
    with pytest.raises(
        ConfigError, match=r"lstm: width=0 must be at least 1; dropout=2 must lie from 0 up to 1\."
    ):
        LSTM(width=0, dropout=2.0)


def test_refit_goes_as_far_as_was_best_with_the_settings_that_were_chosen(
    training: Training, validated: Training
) -> None:
    """What the first fit took from its data is kept, although the new data would give other values."""
    model = replace(SMALL, batch_tokens=0, epochs=40, patience=5, learning_rate=5e-2)
    first = model.fit(validated, Conditions())
    again = refit(model, first, training, Conditions())
    assert again.facts["steps"] == first.facts["chosen"]["step"] < first.facts["horizon"]
    assert again.facts["horizon"] == first.facts["horizon"]
    assert again.settings == first.settings
    assert again.facts["first_fit"] == first.facts
