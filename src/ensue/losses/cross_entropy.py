"""Cross-entropy over the whole catalogue, with no more logits at a time than a block of queries has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ensue.errors import ConfigError
from ensue.losses.blocks import rows_at_once
from ensue.losses.loss import Loss
from ensue.prior import Told
from ensue.scorer import Scorer


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Softmax cross-entropy over the whole catalogue, with its gradient computed block by block in one pass.

    Attributes:
        label_smoothing: share of the target that is spread evenly over all items, from 0 up to 1.
    """

    name: ClassVar[str] = "cross-entropy"

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(
                f"cross-entropy: label_smoothing={self.label_smoothing:g} must lie from 0 up to 1."
            )

    def __call__(self, queries: Tensor, targets: Tensor, weights: Tensor, scorer: Scorer) -> Tensor:
        """The mean of -log softmax(logits)[target]."""
        bias = scorer.bias if scorer.bias is not None else queries.new_zeros(scorer.n_items)
        shares = weights / weights.sum()
        learnt = () if scorer.prior is None else tuple(scorer.prior.prior.parameters())
        value: Tensor = _BlockwiseCrossEntropy.apply(  # type: ignore[no-untyped-call]
            scorer.prepared(queries),
            scorer.table,
            bias,
            targets,
            shares,
            self.label_smoothing,
            scorer.prior,
            *learnt,
        )
        return value


class _BlockwiseCrossEntropy(torch.autograd.Function):
    """sum over m of share_m x CE(q_m . table + bias + prior, target_m), holding one block of logits at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        table: Tensor,
        bias: Tensor,
        targets: Tensor,
        shares: Tensor,
        smoothing: float,
        prior: Told | None,
        *learnt: Tensor,
    ) -> Tensor:
        n = len(table)
        block = rows_at_once(n)
        wants_gradient = any(ctx.needs_input_grad)
        d_learnt = [torch.zeros_like(parameter) for parameter in learnt]
        d_queries = torch.empty_like(queries)
        d_table, d_bias = torch.zeros_like(table), torch.zeros_like(bias)
        total = queries.new_zeros(())
        for begin in range(0, len(queries), block):
            q, t, share = (
                queries[begin : begin + block],
                targets[begin : begin + block],
                shares[begin : begin + block],
            )
            logits = torch.addmm(bias, q, table.T)
            if prior is not None:
                places, added = _added(prior[begin : begin + block])
                logits.view(-1).index_add_(0, places, added.detach())
            row = torch.arange(len(q), device=q.device)
            losses = (smoothing - 1) * logits[row, t]
            if smoothing:
                losses -= smoothing * logits.mean(dim=1)
            highest = logits.amax(dim=1)
            slope = logits.sub_(highest[:, None]).exp_()
            mass = slope.sum(dim=1)
            total = total + (share * (losses + highest + mass.log())).sum()
            if not wants_gradient:
                continue
            slope.mul_((share / mass)[:, None])
            if smoothing:
                slope.sub_((share * smoothing / n)[:, None])
            slope[row, t] -= share * (1 - smoothing)
            if prior is not None and added.requires_grad:
                for total_of, found in zip(
                    d_learnt, torch.autograd.grad(added, learnt, slope.view(-1)[places]), strict=True
                ):
                    total_of += found
            torch.mm(slope, table, out=d_queries[begin : begin + block])
            d_table.addmm_(slope.T, q)
            d_bias += slope.sum(dim=0)
        ctx.save_for_backward(d_queries, d_table, d_bias, *d_learnt)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        d_queries, d_table, d_bias, *d_learnt = ctx.saved_tensors
        scale = grad_outputs[0]
        weights = (scale * d_queries, scale * d_table, scale * d_bias)
        return *weights, None, None, None, None, *(scale * found for found in d_learnt)


def _added(prior: Told) -> tuple[Tensor, Tensor]:
    """Places in the flattened logits of a block, and what the prior adds there, with the graph of what it learns."""
    places, mass = prior.entries()
    with torch.enable_grad():
        return places, prior.prior(mass)
