"""Cross-entropy block by block against torch's over all logits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from ensue.losses import CrossEntropy, blocks
from ensue.scorer import Scorer

M, N = 23, 17


@pytest.mark.parametrize("at_once", [1, N, 3 * N + 1, M * N, 10**9])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("bias", "temperature"), [(False, 0.0), (True, 0.0), (True, 0.2)])
def test_it_and_its_gradients_are_those_of_torch(
    monkeypatch: pytest.MonkeyPatch,
    make: Any,
    at_once: int,
    label_smoothing: float,
    bias: bool,
    temperature: float,
) -> None:
    monkeypatch.setattr(blocks, "LOGITS_AT_ONCE", at_once)
    problem = make(bias=bias, temperature=temperature)
    assert (len(problem.queries), len(problem.table)) == (M, N)
    found = problem.gradients(problem.value(CrossEntropy(label_smoothing)))
    expected = problem.gradients(problem.full(label_smoothing))
    assert len(found) == 1 + 2 + bias
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_two_items_by_hand() -> None:
    """Logits ln 3 and 0 give the shares 3/4 and 1/4."""
    scorer = Scorer(torch.tensor([[1.0], [0.0]]))
    queries, ones = torch.tensor([[math.log(3)], [math.log(3)]]), torch.ones(2)
    plain = CrossEntropy()(queries, torch.tensor([0, 1]), ones, scorer)
    assert float(plain) == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)
    smooth = CrossEntropy(0.2)(queries[:1], torch.tensor([0]), ones[:1], scorer)
    assert float(smooth) == pytest.approx(-(0.9 * math.log(3 / 4) + 0.1 * math.log(1 / 4)))


def test_a_factor_on_the_loss_is_one_on_its_gradient(problem: Any) -> None:
    once = problem.gradients(problem.value(CrossEntropy()))
    thrice = problem.gradients(3 * problem.value(CrossEntropy()))
    for one, three in zip(once, thrice, strict=True):
        torch.testing.assert_close(three, 3 * one)


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_extreme_logits_by_hand(logit: float) -> None:
    """Logits +-(L, 0, L/2): one query is sure of its target, one of the opposite, one misses by half of L or so."""
    queries, table = torch.tensor([[1.0], [-1.0], [1.0]]), torch.tensor([[logit], [0.0], [logit / 2]])
    value = CrossEntropy()(queries, torch.tensor([0, 0, 1]), torch.ones(3), Scorer(table))
    expected = (0 + 1e4 + 1e4) / 3 if logit > 0 else (1e4 + 0 + 0) / 3
    assert float(value) == pytest.approx(expected, rel=1e-5)
