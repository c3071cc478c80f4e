"""Binary cross-entropy and its calibrated kind, by hand."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch

from ensue.losses.binary import BinaryCrossEntropy, GeneralisedBCE
from ensue.losses.compared import Compared
from ensue.scorer import Scorer

ONE = torch.ones(1)


def s(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def scorer(*logits: float) -> Scorer:
    """A query of 1 has these logits."""
    return Scorer(torch.tensor(logits)[:, None])


@pytest.mark.parametrize("shared", [True, False])
def test_yes_to_the_target_and_no_to_the_mean_negative(shared: bool) -> None:
    """All three items are drawn; the target, item 1, is no negative."""
    value = BinaryCrossEntropy(3, shared)(ONE[:, None], torch.tensor([1]), ONE, scorer(0.5, 2.0, -1.0))
    assert float(value) == pytest.approx(
        -math.log(s(2.0)) - (math.log(1 - s(0.5)) + math.log(1 - s(-1.0))) / 2
    )


def test_smoothing_moves_yes_and_no_to_the_middle() -> None:
    value = BinaryCrossEntropy(2, label_smoothing=0.2)(
        ONE[:, None], torch.tensor([0]), ONE, scorer(1.5, -0.5)
    )
    yes = -(0.9 * math.log(s(1.5)) + 0.1 * math.log(1 - s(1.5)))
    no = -(0.1 * math.log(s(-0.5)) + 0.9 * math.log(1 - s(-0.5)))
    assert float(value) == pytest.approx(yes + no)


def test_one_negative_of_its_own_is_what_sasrec_has() -> None:
    """Over many draws, of two other items each is the negative about half of the time."""
    both = scorer(0.5, 2.0, -1.0)
    torch.manual_seed(0)
    values = torch.stack([
        BinaryCrossEntropy(1, shared=False)(ONE[:, None], torch.tensor([1]), ONE, both) for _ in range(400)
    ])  # fmt: skip
    yes = -math.log(s(2.0))
    expected = sorted(yes - math.log(1 - s(other)) for other in (0.5, -1.0))
    assert values.unique().tolist() == pytest.approx(expected)
    assert 150 < int((values == values.max()).sum()) < 250


@pytest.mark.parametrize("t", [0.0, 0.75, 1.0])
def test_gbce_by_its_equations(t: float) -> None:
    """4 items, 2 of the 3 others are drawn: alpha = 2/3, beta = alpha (t (1 - 1/alpha) + 1/alpha)."""
    alpha = 2 / 3
    beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)
    logits = (0.5, 2.0, -1.0, 0.3)
    torch.manual_seed(0)
    value = GeneralisedBCE(2, shared=False, calibration=t)(
        ONE[:, None], torch.tensor([1]), ONE, scorer(*logits)
    )
    pairs = [(0, 2), (0, 3), (2, 3)]
    each = [
        -(math.log(s(2.0) ** beta) + sum(math.log(1 - s(logits[item])) for item in pair)) / 3
        for pair in pairs
    ]
    assert any(float(value) == pytest.approx(one) for one in each)


def test_gbce_with_all_negatives_is_plain_whatever_the_calibration() -> None:
    """Then the sampling rate is 1, and so is beta."""
    values = [
        float(GeneralisedBCE(9, calibration=t)(ONE[:, None], torch.tensor([1]), ONE, scorer(0.5, 2.0, -1.0)))
        for t in (0.0, 0.5, 1.0)
    ]
    plain = -(math.log(s(2.0)) + math.log(1 - s(0.5)) + math.log(1 - s(-1.0))) / 3
    assert values == pytest.approx([plain] * 3)


def test_fully_calibrated_scores_are_probabilities() -> None:
    """One context, 5 items with known chances: the mean loss over all targets and all pairs of negatives is least where
    the logistic of a score is the chance, as its slope there says; the plain one still wants higher scores."""
    chances = torch.tensor([0.4, 0.3, 0.2, 0.08, 0.02], dtype=torch.float64)
    slopes = {}
    for t in (0.0, 1.0):
        loss, logits = GeneralisedBCE(2, calibration=t), torch.logit(chances).requires_grad_()
        mean = torch.zeros((), dtype=torch.float64)
        for target, chance in enumerate(chances):
            pairs = list(combinations([item for item in range(5) if item != target], 2))
            own = logits[target].expand(len(pairs))
            others = logits[torch.tensor(pairs)]
            none = torch.zeros(others.shape, dtype=torch.bool)
            mean = mean + chance * loss.each(Compared(own, others, none, torch.full((2,), 0.5), 5)).mean()
        slopes[t] = torch.autograd.grad(mean, logits)[0]
    torch.testing.assert_close(slopes[1.0], torch.zeros(5, dtype=torch.float64), atol=1e-12, rtol=0)
    assert bool((slopes[0.0] < -1e-3).all()), "plain binary cross-entropy is overconfident"


@pytest.mark.parametrize("t", [0.0, 1.0])
def test_without_a_negative_only_the_target_is_left(t: float) -> None:
    """One item: no negative exists. Then alpha is 0, and beta 1 - t."""
    assert float(BinaryCrossEntropy()(ONE[:, None], torch.tensor([0]), ONE, scorer(0.7))) == pytest.approx(
        -math.log(s(0.7))
    )
    value = GeneralisedBCE(calibration=t)(ONE[:, None], torch.tensor([0]), ONE, scorer(0.7))
    assert float(value) == pytest.approx(-(1 - t) * math.log(s(0.7)))
