"""Networks for sequences: an item encoder, a sequence encoder and a head, each a free choice.

A network gives the states of all steps at once. Causal encoders on right-padded batches need no padding mask: what
lies to the right of a step never changes its state, and states of padded steps are never read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


class ItemTable(nn.Module):
    """Learnt item vectors: `[B, T]` indices to `[B, T, D]`.

    Padding (index `N`) is no item and has no row: it is read as zeros.
    """

    def __init__(self, n_items: int, width: int) -> None:
        super().__init__()
        self.n_items = n_items
        self.weight = nn.Parameter(torch.empty(n_items, width))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, items: Tensor) -> Tensor:
        """`[B, T, D]` vectors."""
        real = items < self.n_items
        vectors = nn.functional.embedding(torch.where(real, items, 0), self.weight)
        return vectors * real[..., None]


@dataclass(frozen=True)
class Scorer:
    """The logits of any items for any queries: `prepared(queries) . table + bias`.

    Attributes:
        table: `[N, D]` one vector per item (unit length when cosine).
        bias: `[N]` or None.
        scale: multiplies the product: 1, or 1 / temperature.
        cosine: queries are brought to unit length first.
    """

    table: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    cosine: bool = False

    def prepared(self, queries: Tensor) -> Tensor:
        """`[M, D]` queries whose plain product with the table gives the logits."""
        if self.cosine:
            queries = nn.functional.normalize(queries, dim=-1)
        return queries * self.scale if self.scale != 1.0 else queries

    def logits(self, queries: Tensor) -> Tensor:
        """`[M, N]` logits of all items: for scoring, never for a whole training batch."""
        product = self.prepared(queries) @ self.table.T
        return product if self.bias is None else product + self.bias


class Head(nn.Module):
    """Scores items against states, by the item vectors themselves (tied) or by a table of its own.

    Args:
        n_items: `N`.
        width: `D`.
        tied: use the vectors of the item encoder.
        bias: learn one number per item.
        temperature: 0 takes plain products; above 0, cosines divided by it.
    """

    def __init__(self, n_items: int, width: int, *, tied: bool, bias: bool, temperature: float) -> None:
        super().__init__()
        self.table = None if tied else nn.Parameter(torch.empty(n_items, width))
        if self.table is not None:
            nn.init.normal_(self.table, std=0.02)
        self.bias = nn.Parameter(torch.zeros(n_items)) if bias else None
        self.temperature = temperature

    def scorer(self, vectors: Tensor) -> Scorer:
        """The scorer over a catalogue.

        Args:
            vectors: `[N, D]` of the item encoder.
        """
        table = vectors if self.table is None else self.table
        if self.temperature > 0:
            return Scorer(
                nn.functional.normalize(table, dim=-1), self.bias, 1.0 / self.temperature, cosine=True
            )
        return Scorer(table, self.bias)


class Network(nn.Module):
    """States of all steps, and the scores of all items at chosen steps.

    Args:
        items: item encoder, `[B, T]` to `[B, T, D]`, with `weight` `[N, D]`.
        encoder: sequence encoder, `[B, T, D]` to `[B, T, D]`.
        head: scores items against states.
        dropout: share of the inputs' entries set to zero while training.
    """

    def __init__(self, items: ItemTable, encoder: nn.Module, head: Head, dropout: float = 0.0) -> None:
        super().__init__()
        self.items = items
        self.encoder = encoder
        self.head = head
        self.dropout = nn.Dropout(dropout)
        self.input_scale = items.weight.shape[1] ** 0.5

    def states(self, items: Tensor) -> Tensor:
        """`[B, T, D]` the state after each step.

        Args:
            items: `[B, T]` int64 indices, right-padded with `N`.
        """
        states: Tensor = self.encoder(self.dropout(self.items(items) * self.input_scale))
        return states

    def scorer(self) -> Scorer:
        """The scorer over the catalogue, with today's weights."""
        return self.head.scorer(self.items.weight)

    def forward(self, items: Tensor, rows: Tensor, steps: Tensor) -> Tensor:
        """`[Q, N]` scores of all items after chosen steps: what is exported and served.

        Args:
            items: `[B, T]` int64 indices, right-padded with `N`.
            rows: `[Q]` which row of the batch each question reads.
            steps: `[Q]` after which step of it.
        """
        return self.scorer().logits(self.states(items)[rows, steps])
