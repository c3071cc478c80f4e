"""Rating losses: the square of what is off, and chances of ordered levels."""

from __future__ import annotations

import math

import pytest
import torch

from ensue.errors import ConfigError
from ensue.losses import RatingLoss, rating_loss_of, rating_losses
from ensue.losses.ratings import Levels, MeanSquaredError, OrdinalCrossEntropy, RatingScale

SCALE = RatingScale(torch.tensor([1.0, 2.0, 5.0]), torch.tensor([-0.5, 1.0]))


def s(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def chances(score: float) -> list[float]:
    """Up to the first threshold, between the two, above the second."""
    first, second = s(-0.5 - score), s(1.0 - score)
    return [first, second - first, 1 - second]


@pytest.fixture(params=rating_losses.names())
def any_loss(request: pytest.FixtureRequest) -> RatingLoss:
    return rating_loss_of(request.param)


def test_squared_error_by_hand() -> None:
    scores, ratings = torch.tensor([1.5, 4.0]), torch.tensor([1.0, 5.0])
    found = MeanSquaredError()(scores, ratings, torch.tensor([3.0, 1.0]), SCALE)
    assert float(found) == pytest.approx((3 * 0.5**2 + 1 * 1.0**2) / 4)
    assert MeanSquaredError().number(scores, SCALE).tolist() == [1.5, 4.0]
    loss: RatingLoss = MeanSquaredError()
    assert loss.distribution(scores, SCALE) is None


def test_ordinal_cross_entropy_by_hand() -> None:
    scores, ratings = torch.tensor([0.3, -2.0, 1.7]), torch.tensor([1.0, 2.0, 5.0])
    found = OrdinalCrossEntropy()(scores, ratings, torch.tensor([1.0, 2.0, 1.0]), SCALE)
    each = [-math.log(chances(0.3)[0]), -math.log(chances(-2.0)[1]), -math.log(chances(1.7)[2])]
    assert float(found) == pytest.approx((each[0] + 2 * each[1] + each[2]) / 4)
    smooth = OrdinalCrossEntropy(0.3)(scores[:1], ratings[:1], torch.ones(1), SCALE)
    logs = [math.log(chance) for chance in chances(0.3)]
    assert float(smooth) == pytest.approx(-0.7 * logs[0] - 0.3 * sum(logs) / 3)


def test_a_rating_as_number_and_as_distribution() -> None:
    loss, scores = OrdinalCrossEntropy(), torch.tensor([0.3, -2.0])
    distribution = loss.distribution(scores, SCALE)
    torch.testing.assert_close(distribution, torch.tensor([chances(0.3), chances(-2.0)]))
    mean = [sum(p * level for p, level in zip(chances(x), (1, 2, 5), strict=True)) for x in (0.3, -2.0)]
    assert loss.number(scores, SCALE).tolist() == pytest.approx(mean)


def test_a_rating_between_two_levels_is_taken_for_the_nearer() -> None:
    ratings = torch.tensor([0.0, 1.0, 1.5, 1.6, 2.0, 3.4, 3.6, 5.0, 9.0])
    assert SCALE.places(ratings).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_thresholds_begin_at_the_shares_of_training_and_stay_in_order() -> None:
    levels = Levels(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([9, 19, 39, 29]))
    first = OrdinalCrossEntropy().distribution(torch.zeros(1), levels.scale())[0]
    assert first.tolist() == pytest.approx([0.1, 0.2, 0.4, 0.3])
    even = OrdinalCrossEntropy().distribution(torch.zeros(1), Levels(torch.arange(4)).scale())[0]
    assert even.tolist() == pytest.approx([0.25] * 4)
    with torch.no_grad():
        levels.raw.copy_(torch.tensor([3.0, -90.0, -4.0]))
    assert bool((levels.scale().thresholds.diff() > 0).all())
    value = OrdinalCrossEntropy()(torch.zeros(1), torch.tensor([2.0]), torch.ones(1), levels.scale())
    gradient = torch.autograd.grad(value, levels.raw)[0]
    assert bool(torch.isfinite(gradient).all())


def test_learning_finds_where_the_levels_lie() -> None:
    """Without scores, the best thresholds give each level its share."""
    levels = Levels(torch.tensor([1.0, 2.0, 3.0]))
    optimizer = torch.optim.Adam(levels.parameters(), lr=0.1)
    ratings = torch.tensor([1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0])
    for _ in range(150):
        optimizer.zero_grad()
        OrdinalCrossEntropy()(torch.zeros(10), ratings, torch.ones(10), levels.scale()).backward()
        optimizer.step()
    found = OrdinalCrossEntropy().distribution(torch.zeros(1), levels.scale())[0]
    assert found.tolist() == pytest.approx([0.1, 0.3, 0.6], abs=1e-3)


def test_one_level_is_certain() -> None:
    levels = Levels(torch.tensor([4.0]))
    value = OrdinalCrossEntropy()(torch.tensor([0.7]), torch.tensor([4.0]), torch.ones(1), levels.scale())
    assert float(value.detach()) == 0.0


@pytest.mark.parametrize("levels", [[], [1.0, 1.0], [2.0, 1.0]])
def test_levels_must_rise(levels: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"rating levels \[.*\] must rise from each to the next"):
        Levels(torch.tensor(levels))


# -------------------------------------------------------------------------------------- laws of all


def test_the_gradient_is_that_of_finite_differences(any_loss: RatingLoss) -> None:
    scores = torch.tensor([0.3, -2.0, 1.7], dtype=torch.float64, requires_grad=True)
    thresholds = torch.tensor([-0.5, 1.0], dtype=torch.float64, requires_grad=True)
    ratings, weights = torch.tensor([1.0, 2.0, 5.0]).double(), torch.tensor([1.0, 0.5, 2.0]).double()

    def value(scores: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
        return (
            any_loss(scores, ratings, weights, RatingScale(SCALE.levels.double(), thresholds))
            + 0 * thresholds.sum()
        )

    assert torch.autograd.gradcheck(value, (scores, thresholds))


@pytest.mark.parametrize("score", [1e4, -1e4])
@pytest.mark.parametrize("rating", [1.0, 2.0, 5.0])
def test_extreme_scores_give_finite_numbers(any_loss: RatingLoss, score: float, rating: float) -> None:
    scores = torch.tensor([score], requires_grad=True)
    value = any_loss(scores, torch.tensor([rating]), torch.ones(1), SCALE)
    (gradient,) = torch.autograd.grad(value, scores)
    assert bool(torch.isfinite(value))
    assert bool(torch.isfinite(gradient).all())
    if isinstance(any_loss, OrdinalCrossEntropy):
        miss = {
            1.0: score + 0.5 if score > 0 else 0.0,
            5.0: 1.0 - score if score < 0 else 0.0,
            2.0: abs(score),
        }
        assert float(value.detach()) == pytest.approx(miss[rating], rel=1e-3)


def test_weights_are_proportions_and_none_is_none(any_loss: RatingLoss) -> None:
    scores, ratings = torch.tensor([0.3, -2.0, 1.7]), torch.tensor([1.0, 2.0, 5.0])
    weights = torch.tensor([1.0, 0.0, 2.0])
    plain = any_loss(scores, ratings, weights, SCALE)
    torch.testing.assert_close(any_loss(scores, ratings, 8 * weights, SCALE), plain)
    keep = torch.tensor([2, 0])
    torch.testing.assert_close(any_loss(scores[keep], ratings[keep], weights[keep], SCALE), plain)


def test_they_are_found_by_name() -> None:
    assert rating_losses.names() == ("mean-squared-error", "ordinal-cross-entropy")
    assert rating_loss_of({"name": "ordinal-cross-entropy", "label_smoothing": 0.1}) == OrdinalCrossEntropy(
        0.1
    )
    with pytest.raises(
        ConfigError, match=r"A rating loss needs a name, such as \{name = \"mean-squared-error\"\}"
    ):
        rating_loss_of({})
    with pytest.raises(
        ConfigError, match="The rating loss mean-squared-error has no setting 'x'; it has none"
    ):
        rating_loss_of({"name": "mean-squared-error", "x": 1})
