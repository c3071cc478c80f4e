"""Pairwise losses, by the arithmetic of their papers."""

from __future__ import annotations

import math

import pytest
import torch

from ensue.losses import Loss
from ensue.losses.pairwise import BPR, BPRMax, TOP1Max
from ensue.scorer import Scorer

ONE = torch.ones(1)
LOGITS = (0.5, 2.0, -1.0)
SCORER = Scorer(torch.tensor(LOGITS)[:, None])
"""A query of 1 has these logits; the target is item 1, the negatives are 0 and 2."""


def s(x: float) -> float:
    return 1 / (1 + math.exp(-x))


P0 = math.exp(0.5) / (math.exp(0.5) + math.exp(-1.0))
P2 = math.exp(-1.0) / (math.exp(0.5) + math.exp(-1.0))


def value(loss: Loss, scorer: Scorer = SCORER) -> float:
    return float(loss(ONE[:, None], torch.tensor([1]), ONE, scorer))


@pytest.mark.parametrize("shared", [True, False])
def test_bpr_is_the_mean_over_the_negatives(shared: bool) -> None:
    expected = -(math.log(s(2.0 - 0.5)) + math.log(s(2.0 - -1.0))) / 2
    assert value(BPR(3, shared)) == pytest.approx(expected)


def test_bpr_with_one_negative_of_its_own_is_one_triple() -> None:
    torch.manual_seed(0)
    found = {round(value(BPR(1, shared=False)), 5) for _ in range(30)}
    assert found == {round(-math.log(s(1.5)), 5), round(-math.log(s(3.0)), 5)}


@pytest.mark.parametrize("weight", [0.0, 1.0, 0.5])
def test_bpr_max_weighs_negatives_by_their_softmax(weight: float) -> None:
    chance = P0 * s(2.0 - 0.5) + P2 * s(2.0 - -1.0)
    penalty = P0 * 0.5**2 + P2 * (-1.0) ** 2
    loss = BPRMax(3, source="even", regularisation=weight)
    assert value(loss) == pytest.approx(-math.log(chance) + weight * penalty)


def test_top1_max_weighs_negatives_by_their_softmax() -> None:
    expected = P0 * (s(0.5 - 2.0) + s(0.5**2)) + P2 * (s(-1.0 - 2.0) + s((-1.0) ** 2))
    assert value(TOP1Max(3, source="even")) == pytest.approx(expected)


def test_gru4rec_compares_with_the_targets_of_the_batch() -> None:
    """Two queries with targets 1 and 0: each is the other's only negative, and its softmax is 1."""
    queries, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([1, 0])
    found = BPRMax(9, source="batch")(queries, targets, torch.ones(2), SCORER)
    first = -math.log(s(2.0 - 0.5)) + 0.5**2
    second = -math.log(s(1.0 - 4.0)) + 4.0**2
    assert float(found) == pytest.approx((first + second) / 2)
    found = TOP1Max(9, source="batch")(queries, targets, torch.ones(2), SCORER)
    first, second = s(0.5 - 2.0) + s(0.5**2), s(4.0 - 1.0) + s(4.0**2)
    assert float(found) == pytest.approx((first + second) / 2)
    found = BPR(9, source="batch")(queries, targets, torch.ones(2), SCORER)
    assert float(found) == pytest.approx(-(math.log(s(1.5)) + math.log(s(-3.0))) / 2)


def test_an_item_that_the_batch_has_twice_counts_twice() -> None:
    """Targets 1, 0, 0, 2: the first query's softmax runs over 0, 0 and 2."""
    queries, targets = torch.ones(4, 1), torch.tensor([1, 0, 0, 2])
    weights = torch.tensor([1.0, 1e-12, 1e-12, 1e-12])
    found = BPRMax(9, source="batch", regularisation=0.0)(queries, targets, weights, SCORER)
    mass = 2 * math.exp(0.5) + math.exp(-1.0)
    chance = 2 * math.exp(0.5) / mass * s(1.5) + math.exp(-1.0) / mass * s(3.0)
    assert float(found) == pytest.approx(-math.log(chance))


@pytest.mark.parametrize("kind", [BPR, BPRMax, TOP1Max])
def test_without_a_negative_the_loss_is_0_and_moves_nothing(kind: type[BPR]) -> None:
    """Both queries of the batch have one target, so nothing else is there to compare with."""
    queries, table = torch.ones(2, 1, requires_grad=True), torch.tensor(LOGITS)[:, None].requires_grad_()
    found = kind(9, source="batch")(queries, torch.tensor([1, 1]), torch.ones(2), Scorer(table))
    assert float(found.detach()) == 0.0
    for gradient in torch.autograd.grad(found, [queries, table]):
        assert torch.equal(gradient, torch.zeros_like(gradient))
