"""The next rating, as a number and as a distribution, from any network that reads left to right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from ensue.errors import ConfigError, ModelError
from ensue.events.log import EventLog
from ensue.losses import rating_loss_of
from ensue.model import Training, model_of
from ensue.rating_head import RatingHead

COURSE = {"epochs": 40, "patience": 40, "batch_tokens": 64, "learning_rate": 1e-2, "bias": True}


@pytest.fixture(scope="module")
def training(ring_frame: pl.DataFrame) -> Training:
    """Every item has one rating, 1 to 5 and again: A 1, B 2, ..., F 1, ..."""
    rating = pl.Series("rating", ["ABCDEFGHIJ".index(i) % 5 + 1.0 for i in ring_frame["item"]])
    return Training.of(EventLog.of(ring_frame.with_columns(rating)), exclude_seen=False)


@pytest.mark.parametrize("loss", ["mean-squared-error", "ordinal-cross-entropy"])
def test_ratings_are_learnt(training: Training, loss: str) -> None:
    fitted = model_of("lstm", width=16, length=12, loss=loss, inputs=("rating",), **COURSE).fit(training)
    scores = fitted.scores(training.sequences.queries())
    rating = np.array(["ABCDEFGHIJ".index(i) % 5 + 1.0 for i in fitted.catalogue.ids])
    following = [(i + 1) % 10 for i in range(10)]
    last = [
        "ABCDEFGHIJ".index(fitted.catalogue.ids[int(i)]) for i in training.sequences.queries().last(1)[:, 0]
    ]
    asked = [fitted.catalogue.ids.to_list().index("ABCDEFGHIJ"[following[i]]) for i in last]
    found = scores[np.arange(len(scores)), asked]
    assert np.abs(found - rating[asked]).max() < 0.5
    assert scores.min() >= 1.0
    assert scores.max() <= 5.0


def test_what_has_no_rating_trains_none(training: Training) -> None:
    """With every second rating missing the loss stays a number, over the ratings that are left."""
    sequences = training.sequences
    assert sequences.rating is not None
    rating = sequences.rating.copy()
    rating[::2] = np.nan
    rated = int((~np.isnan(rating)).sum() - (~np.isnan(rating[sequences.offsets[:-1]])).sum())
    some = replace(training, sequences=replace(sequences, rating=rating))
    model = model_of("lstm", width=8, length=25, loss="mean-squared-error", epochs=2, batch_tokens=64)
    history = model.fit(some).facts["history"]
    assert [epoch["targets"] for epoch in history] == [rated, rated]
    assert all(np.isfinite(epoch["loss"]) for epoch in history)


def test_without_knowledge_the_mean_is_expected() -> None:
    ratings = np.array([1, 1, 4, np.nan], dtype=np.float32)
    number = RatingHead(rating_loss_of("mean-squared-error"), ratings)
    assert float(number(torch.zeros(1)).detach()) == pytest.approx((1 + 1 + 4) / 3)
    levels = RatingHead(rating_loss_of("ordinal-cross-entropy"), ratings)
    chances = levels.distribution(torch.zeros(1))
    assert chances is not None
    torch.testing.assert_close(chances, torch.tensor([[3 / 5, 2 / 5]]))  # each level is given one rating more
    assert float(levels(torch.zeros(1)).detach()) == pytest.approx(1 * 3 / 5 + 4 * 2 / 5)


def test_the_expected_rating_is_the_mean_of_the_distribution() -> None:
    head = RatingHead(rating_loss_of("ordinal-cross-entropy"), np.arange(1, 6, dtype=np.float32))
    scores = torch.linspace(-4, 4, 9)
    chances = head.distribution(scores)
    assert chances is not None
    torch.testing.assert_close(head(scores), chances @ torch.arange(1.0, 6.0))


def test_what_cannot_be_learnt_is_told(ring_log: EventLog) -> None:
    with pytest.raises(ModelError, match="the log has no ratings"):
        model_of("lstm", loss="mean-squared-error").fit(Training.of(ring_log))
    with pytest.raises(ConfigError, match="ratings are learnt by networks that read left to right only"):
        model_of("bert4rec", loss="mean-squared-error")
    with pytest.raises(ModelError, match="300 different ratings, too many to be levels"):
        RatingHead(rating_loss_of("ordinal-cross-entropy"), np.arange(300, dtype=np.float32))


def test_a_user_who_rates_high_is_learnt_from_the_state_alone(training: Training) -> None:
    """The lean of a state is added to the scores of all items alike, in training and where it is asked."""
    rating = np.arange(1, 6, dtype=np.float32)
    head = RatingHead(rating_loss_of("mean-squared-error"), rating, 3)
    states = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    assert torch.equal(head.leaning(states), torch.zeros(2, 1)), "before training nobody leans"
    assert head.lean is not None
    with torch.no_grad():
        head.lean.weight.copy_(torch.tensor([[0.5, 0.25, -1.0]]))
    assert head.leaning(states)[:, 0].tolist() == [0.5 * 1 + 0.25 * 2, -1.0]
    assert torch.equal(
        RatingHead(rating_loss_of("mean-squared-error"), rating).leaning(states), torch.zeros(2, 1)
    )
    fitted = model_of("lstm", width=8, length=12, loss="mean-squared-error", epochs=1).fit(training)
    network = fitted.scoring.network  # type: ignore[attr-defined]
    with torch.no_grad():
        network.rating.lean.weight.fill_(0.1)
    answers = torch.full((1, 8), 0.5)
    leant = network.scorer().logits(answers) + 8 * 0.5 * 0.1
    expected = (network.rating.offset + network.rating.spread * leant).clamp(1, 5)
    torch.testing.assert_close(network.scores(answers, network.scorer()), expected)


def test_a_score_is_in_deviations_of_the_ratings() -> None:
    """So that a scale from 0 to 100 is learnt as fast as one from 1 to 5."""
    plain, wide = (np.array([0, 1, 1, 2], dtype=np.float32) * times for times in (1, 50))
    heads = [
        RatingHead(rating_loss_of("mean-squared-error"), ratings, deviations=True)
        for ratings in (plain, wide)
    ]
    scores = torch.tensor([-0.5, 0.0, 1.0])
    numbers = [head(scores) for head in heads]
    torch.testing.assert_close(numbers[1], 50 * numbers[0])
    torch.testing.assert_close(numbers[0], 1 + scores * 0.5**0.5)
    losses = [
        head.lost(scores, torch.tensor([0.0, 1.0, 2.0]) * times)
        for head, times in zip(heads, (1, 50), strict=True)
    ]
    torch.testing.assert_close(losses[0], losses[1])
    same = RatingHead(rating_loss_of("mean-squared-error"), np.full(3, 4, dtype=np.float32), deviations=True)
    assert torch.equal(same(scores), torch.full((3,), 4.0))
