"""Losses: frozen dataclasses that turn queries, targets and a scorer into one number.

All share one signature, `loss(queries [M, D], targets [M], weights [M], scorer)`, and none holds logits for all M
queries and all N items at once. A new loss is a new dataclass here.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from ensue.errors import ConfigError, nearest
from ensue.network import Scorer
from ensue.registry import Registry

LOGITS_AT_ONCE = 1_000_000
"""The most logits that are held at a time: 4 MB in single precision, which a core's cache can mostly keep."""


@dataclass(frozen=True)
class Loss(ABC):
    """What training makes small."""

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, queries: Tensor, targets: Tensor, weights: Tensor, scorer: Scorer) -> Tensor:
        """The weighted mean of the loss over the M queries, a scalar.

        Args:
            queries: `[M, D]` states.
            targets: `[M]` int64 item indices.
            weights: `[M]` weight of each query, not all zero.
            scorer: gives logits of items for queries.
        """


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
        bias = scorer.bias if scorer.bias is not None else queries.new_zeros(len(scorer.table))
        shares = weights / weights.sum()
        value: Tensor = _BlockwiseCrossEntropy.apply(  # type: ignore[no-untyped-call]
            scorer.prepared(queries), scorer.table, bias, targets, shares, self.label_smoothing
        )
        return value


class _BlockwiseCrossEntropy(torch.autograd.Function):
    """sum over m of share_m x CE(q_m . table + bias, target_m), holding one block of logits at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        table: Tensor,
        bias: Tensor,
        targets: Tensor,
        shares: Tensor,
        smoothing: float,
    ) -> Tensor:
        n = len(table)
        block = max(LOGITS_AT_ONCE // n, 1)
        wants_gradient = any(ctx.needs_input_grad[:3])
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
            torch.mm(slope, table, out=d_queries[begin : begin + block])
            d_table.addmm_(slope.T, q)
            d_bias += slope.sum(dim=0)
        ctx.save_for_backward(d_queries, d_table, d_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        d_queries, d_table, d_bias = ctx.saved_tensors
        scale = grad_outputs[0]
        return scale * d_queries, scale * d_table, scale * d_bias, None, None, None


@dataclass(frozen=True)
class SampledSoftmax(Loss):
    """Softmax over the target and negatives shared by the whole batch, corrected for how often each is drawn.

    Negatives are drawn evenly; a negative that is a query's own target is masked for that query. With evenly drawn
    negatives the logQ correction is the same for all and leaves the gradient alone, except against the target, which
    is always there: negatives count `(N - 1) / number drawn` times each, so that the sum estimates the full one.

    Attributes:
        negatives: how many items are drawn for each batch.

    References:
        Jean et al., "On using very large target vocabulary for neural machine translation", ACL 2015, section 3.
    """

    name: ClassVar[str] = "sampled-softmax"

    negatives: int = 512

    def __post_init__(self) -> None:
        if self.negatives < 1:
            raise ConfigError(f"sampled-softmax: negatives={self.negatives} must be at least 1.")

    def __call__(self, queries: Tensor, targets: Tensor, weights: Tensor, scorer: Scorer) -> Tensor:
        """The weighted mean of -log of the target's share among itself and the negatives."""
        n = len(scorer.table)
        drawn = torch.randperm(n, device=queries.device)[: min(self.negatives, n)]
        prepared = scorer.prepared(queries)
        logits = prepared @ scorer.table[drawn].T
        own = (prepared * scorer.table[targets]).sum(dim=1)
        if scorer.bias is not None:
            logits, own = logits + scorer.bias[drawn], own + scorer.bias[targets]
        clash = drawn[None, :] == targets[:, None]
        others = (~clash).sum(dim=1).clamp(min=1)
        correction = torch.log((n - 1) / others).to(logits.dtype)
        logits = (logits + correction[:, None]).masked_fill(clash, float("-inf"))
        losses = torch.logsumexp(torch.cat([own[:, None], logits], dim=1), dim=1) - own
        return (weights * losses).sum() / weights.sum()


losses: Registry[Loss] = Registry(("ensue.losses",), Loss)
"""Every loss by name."""


def loss_of(described: str | Mapping[str, Any]) -> Loss:
    """A loss from its name, or from a table with its name and settings.

    Args:
        described: "cross-entropy", or {"name": "sampled-softmax", "negatives": 256}.

    Raises:
        ConfigError: unknown name or setting, or a value of a wrong kind.
    """
    from pydantic import TypeAdapter, ValidationError

    if isinstance(described, str):
        return losses.get(described)()
    settings = dict(described)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(
            f'A loss needs a name, such as {{name = "{CrossEntropy.name}"}}; got {dict(described)}.'
        )
    kind = losses.get(name)
    known = [entry.name for entry in fields(kind)]
    for key in settings:
        if key not in known:
            raise ConfigError(
                f"The loss {name} has no setting '{key}'; it has {', '.join(known)}.{nearest(key, known)}"
            )
    try:
        return TypeAdapter(kind).validate_json(json.dumps(settings, default=str), strict=True)
    except ValidationError as found:
        fault = found.errors()[0]
        raise ConfigError(
            f"The loss {name}: {fault['loc'][0]} = {fault['input']!r}: "
            f"{fault['msg'][0].lower()}{fault['msg'][1:]}."
        ) from found
