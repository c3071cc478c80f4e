"""Sampled softmax: the full one where all is drawn, an estimate of it elsewhere."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from ensue.losses import SampledSoftmax
from ensue.losses.negatives import draw
from ensue.scorer import Scorer

N = 17


@pytest.mark.parametrize("negatives", [N, N + 100])
@pytest.mark.parametrize(
    ("source", "shared"), [("even", True), ("even", False), ("popular", True), ("popular", False)]
)
@pytest.mark.parametrize(("bias", "temperature"), [(False, 0.0), (True, 0.2)])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_with_all_items_drawn_it_is_the_full_softmax(
    make: Any,
    negatives: int,
    source: str,
    shared: bool,
    bias: bool,
    temperature: float,
    label_smoothing: float,
) -> None:
    problem = make(bias=bias, temperature=temperature)
    loss = SampledSoftmax(negatives, shared, source, label_smoothing=label_smoothing)
    found = problem.gradients(problem.value(loss))
    expected = problem.gradients(problem.full(label_smoothing))
    assert len(found) == 3 + bias
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("logq", [True, False])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("source", ["even", "popular", "batch", "mixed"])
def test_the_target_among_the_negatives_counts_once(
    make: Any, source: str, logq: bool, label_smoothing: float
) -> None:
    """Against plain Python: an accidental hit is left out, any other stands for one over its chance."""
    problem = make(bias=True)
    loss = SampledSoftmax(6, source=source, power=0.7, logq=logq, label_smoothing=label_smoothing)
    found = problem.value(loss, seed=3)
    torch.manual_seed(3)
    drawn = draw(6, problem.targets, problem.weights, problem.scorer, source=source, power=0.7)
    items, chances = drawn.items.tolist(), drawn.expected.tolist()
    assert set(items) & set(problem.targets.tolist()), "no accidental hit to test"
    total = 0.0
    for row, target, weight in zip(
        problem.scorer.logits(problem.queries).tolist(),
        problem.targets.tolist(),
        problem.weights.tolist(),
        strict=True,
    ):
        others = [
            (1 / chance if logq else 1.0, row[item])
            for item, chance in zip(items, chances, strict=True)
            if item != target
        ]
        mass = math.log(math.exp(row[target]) + sum(times * math.exp(logit) for times, logit in others))
        mean = (row[target] + sum(t * x for t, x in others)) / (1 + sum(t for t, _ in others))
        total += weight * (mass - (1 - label_smoothing) * row[target] - label_smoothing * mean)
    assert float(found.detach()) == pytest.approx(total / float(problem.weights.sum()))


def test_two_items_by_hand() -> None:
    """One of two items is drawn, half a time on average: it stands for two."""
    scorer = Scorer(torch.tensor([[1.0], [0.0]]))
    query, target, one = torch.tensor([[math.log(3)]]), torch.tensor([0]), torch.ones(1)
    values = set()
    for seed in range(20):
        torch.manual_seed(seed)
        values.add(round(float(SampledSoftmax(1)(query, target, one, scorer)), 6))
    assert values == {0.0, round(-math.log(3 / (3 + 2 * 1)), 6)}


@pytest.mark.parametrize(
    ("source", "shared"), [("even", True), ("even", False), ("popular", True), ("popular", False)]
)
def test_the_mass_of_all_items_is_estimated_without_bias(make: Any, source: str, shared: bool) -> None:
    """Loss plus the target's logit is the log of the mass; its exponential is right on average."""
    problem = make()
    query, target, scorer = problem.queries[:1].detach(), problem.targets[:1], problem.scorer
    logits = scorer.logits(query)[0].detach()
    one = torch.ones(1, dtype=torch.float64)
    torch.manual_seed(0)
    loss = SampledSoftmax(4, shared, source, power=0.5)
    draws = torch.stack([loss(query, target, one, scorer).detach() for _ in range(1000)])
    masses = (draws + logits[target[0]]).exp()
    standard_error = float(masses.std() / len(masses) ** 0.5)
    assert float(masses.mean()) == pytest.approx(float(logits.exp().sum()), abs=4 * standard_error)


@pytest.mark.parametrize("source", ["popular", "batch", "mixed"])
def test_the_correction_turns_the_mean_gradient_towards_the_full_one(source: str) -> None:
    """Targets come by popularity, as in training: without correction popular items are pushed down too much."""
    chance = torch.Generator().manual_seed(0)
    table = (0.5 * torch.randn(60, 3, dtype=torch.float64, generator=chance)).requires_grad_()
    query = torch.randn(1, 3, dtype=torch.float64, generator=chance)
    counts = 100 / torch.arange(1, 61)
    scorer = Scorer(table, counts=counts)
    full = torch.nn.functional.softmax(scorer.logits(query)[0].detach(), dim=0)
    exact = full[:, None] * query
    off = {}
    for logq in (True, False):
        torch.manual_seed(1)
        loss = SampledSoftmax(48, source=source, power=1.0, logq=logq)
        mean = torch.zeros_like(table)
        for _ in range(100):
            targets = torch.multinomial(counts, 48, replacement=True)
            value = loss(query.expand(48, -1), targets, torch.ones(48, dtype=torch.float64), scorer)
            (gradient,) = torch.autograd.grad(value, table)
            # The target's own pull is the same in both; what is left is what pushes all items down.
            pull = torch.bincount(targets, minlength=60)[:, None] / 48 * query
            mean += (gradient + pull) / 100
        off[logq] = float((mean - exact).norm() / exact.norm())
    assert off[True] < 0.25 * off[False]
    assert off[True] < 0.25


def test_more_negatives_bring_the_gradient_nearer(make: Any) -> None:
    problem = make(seed=2)
    exact = problem.gradients(problem.full(0.0))[1]
    off = []
    for negatives in (2, 8, 16):
        loss = SampledSoftmax(negatives, source="popular")
        mean = sum(problem.gradients(problem.value(loss, seed))[1] for seed in range(100)) / 100
        off.append(float((mean - exact).norm() / exact.norm()))
    assert off[0] > 1.5 * off[1] > 1.5**2 * off[2]
