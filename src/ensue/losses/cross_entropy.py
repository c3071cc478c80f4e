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
        shares = weights / weights.sum()
        learnt = () if scorer.prior is None else tuple(scorer.prior.prior.parameters())
        value: Tensor = _BlockwiseCrossEntropy.apply(  # type: ignore[no-untyped-call]
            scorer.prepared(queries),
            scorer.table,
            scorer.bias,
            targets,
            shares,
            self.label_smoothing,
            scorer.prior,
            *learnt,
        )
        return value


class _BlockwiseCrossEntropy(torch.autograd.Function):
    """sum over m of share_m x CE(q_m . table + bias + prior, target_m), holding one block of logits at a time.

    All blocks are computed in the memory of the first: to copy a bias into fresh memory took as long as the
    exponentials (docs/log.md). Shares of queries are multiplied into what has D columns, and not into the block.
    """

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        table: Tensor,
        bias: Tensor | None,
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
        d_table = torch.zeros_like(table)
        d_bias = None if bias is None else torch.zeros_like(bias)
        total = queries.new_zeros(())
        held = queries.new_empty(min(block, len(queries)), n)
        for begin in range(0, len(queries), block):
            q, t, share = (
                queries[begin : begin + block],
                targets[begin : begin + block],
                shares[begin : begin + block],
            )
            logits = held[: len(q)]
            if bias is None:
                torch.mm(q, table.T, out=logits)
            else:
                torch.addmm(bias, q, table.T, out=logits)
            if prior is not None:
                places, added = _added(prior[begin : begin + block])
                logits.view(-1).index_add_(0, places, added.detach())
            row = torch.arange(len(q), device=q.device)
            losses = (smoothing - 1) * logits[row, t]
            if smoothing:
                losses -= smoothing * logits.mean(dim=1)
            highest = logits.amax(dim=1)
            slope = torch.softmax(logits, dim=1, out=logits)
            total = total + (share * (losses + highest - slope.amax(dim=1).log())).sum()
            if not wants_gradient:
                continue
            if smoothing:
                slope.sub_(smoothing / n)
            slope[row, t] -= 1 - smoothing
            if prior is not None and added.requires_grad:
                told = slope.view(-1)[places] * share[places // n]
                for total_of, found in zip(d_learnt, torch.autograd.grad(added, learnt, told), strict=True):
                    total_of += found
            torch.mm(slope, table, out=d_queries[begin : begin + block])
            d_table.addmm_(slope.T, q * share[:, None])
            if d_bias is not None:
                d_bias.addmv_(slope.T, share)
        d_queries *= shares[:, None]
        ctx.biased = d_bias is not None
        ctx.save_for_backward(d_queries, d_table, *(() if d_bias is None else (d_bias,)), *d_learnt)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        found = [grad_outputs[0] * gradient for gradient in ctx.saved_tensors]
        weights = found[:3] if ctx.biased else [*found[:2], None]
        return *weights, None, None, None, None, *found[2 + ctx.biased :]


def _added(prior: Told) -> tuple[Tensor, Tensor]:
    """Places in the flattened logits of a block, and what the prior adds there, with the graph of what it learns."""
    places, mass = prior.entries()
    with torch.enable_grad():
        return places, prior.prior(mass)
