"""A small problem that all losses are tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ensue.losses import Loss
from ensue.scorer import Scorer

M, N, D = 23, 17, 5


@dataclass
class Problem:
    """Queries, targets, weights, and what scores them, in double precision, each with its gradient."""

    queries: Tensor
    targets: Tensor
    weights: Tensor
    table: Tensor
    bias: Tensor | None
    counts: Tensor
    temperature: float = 0.0

    @property
    def scorer(self) -> Scorer:
        if self.temperature:
            return Scorer(self.table, self.bias, 1 / self.temperature, cosine=True, counts=self.counts)
        return Scorer(self.table, self.bias, counts=self.counts)

    @property
    def leaves(self) -> list[Tensor]:
        return [self.queries, self.table, *([] if self.bias is None else [self.bias])]

    def value(
        self, loss: Loss, seed: int = 1, rows: slice | Tensor = slice(None), factor: float = 1.0
    ) -> Tensor:
        torch.manual_seed(seed)
        return loss(self.queries[rows], self.targets[rows], factor * self.weights[rows], self.scorer)

    def gradients(self, value: Tensor) -> list[Tensor]:
        """A value and its gradients."""
        return [value, *torch.autograd.grad(value, self.leaves)]

    def full(self, label_smoothing: float) -> Tensor:
        """What torch makes of all logits at once."""
        each = torch.nn.functional.cross_entropy(
            self.scorer.logits(self.queries), self.targets, reduction="none", label_smoothing=label_smoothing
        )
        return (self.weights * each).sum() / self.weights.sum()


def problem_of(*, bias: bool = False, temperature: float = 0.0, seed: int = 0) -> Problem:
    chance = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=chance)

    return Problem(
        queries=normal(M, D).requires_grad_(),
        targets=torch.randint(0, N, (M,), generator=chance),
        weights=torch.rand(M, dtype=torch.float64, generator=chance),
        table=normal(N, D).requires_grad_(),
        bias=normal(N).requires_grad_() if bias else None,
        counts=torch.randint(0, 40, (N,), generator=chance).to(torch.float32),
        temperature=temperature,
    )


@pytest.fixture
def make() -> Callable[..., Problem]:
    """Makes problems: with or without a bias, with plain products or cosines."""
    return problem_of


@pytest.fixture
def problem() -> Problem:
    """The plain problem."""
    return problem_of()
