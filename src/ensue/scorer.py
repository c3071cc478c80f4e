"""From states to scores: the head, and the scorer that a loss is handed."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Self

import torch
from torch import Tensor, nn

from ensue.item_vectors import ItemVectors
from ensue.prior import Told


class Scorer:
    """The logits of any items for any queries: `prepared(queries) . vectors(items) + bias`, and a prior's part.

    With a prior, the scorer is of certain queries, and is asked about these alone, all of them at once; a part of them
    has a scorer of its own (`of`).

    Args:
        table: `[N, D]` one vector per item, or an item encoder that composes them.
        bias: `[N]` or None.
        scale: multiplies the product: 1, or 1 / temperature.
        cosine: queries and vectors are brought to unit length first.
        counts: `[N]` training events of each item, for losses that draw by them; None where they are not known.
    """

    def __init__(
        self,
        table: Tensor | ItemVectors,
        bias: Tensor | None = None,
        scale: float = 1.0,
        cosine: bool = False,
        counts: Tensor | None = None,
    ) -> None:
        self.source = table
        self.bias, self.scale, self.cosine, self.counts = bias, scale, cosine, counts
        self.prior: Told | None = None

    def told(self, prior: Told | None) -> Self:
        """The same scorer for queries of which a prior is known; None knows of none."""
        other = copy.copy(self)
        other.prior = prior
        return other

    def of(self, part: slice) -> Self:
        """The scorer of a part of the queries."""
        return self if self.prior is None else self.told(self.prior[part])

    @property
    def n_items(self) -> int:
        """`N`."""
        return self.source.n_items if isinstance(self.source, ItemVectors) else len(self.source)

    @cached_property
    def table(self) -> Tensor:
        """`[N, D]` the vectors of all items, of unit length when cosine."""
        table = self.source.weight if isinstance(self.source, ItemVectors) else self.source
        return nn.functional.normalize(table, dim=-1) if self.cosine else table

    def rows(self, items: Tensor) -> Tensor:
        """`[..., D]` the vectors of some items, without composing those of the others."""
        if isinstance(self.source, ItemVectors):
            vectors = self.source.rows(items)
        else:
            vectors = nn.functional.embedding(items, self.source)
        return nn.functional.normalize(vectors, dim=-1) if self.cosine else vectors

    def prepared(self, queries: Tensor) -> Tensor:
        """`[M, D]` queries whose plain product with the vectors gives the logits, but for the bias."""
        if self.cosine:
            queries = nn.functional.normalize(queries, dim=-1)
        return queries * self.scale if self.scale != 1.0 else queries

    def logits(self, queries: Tensor) -> Tensor:
        """`[M, N]` logits of all items: for scoring, never for a whole training batch."""
        product = self.prepared(queries) @ self.table.T
        product = product if self.bias is None else product + self.bias
        return product if self.prior is None else product + self.prior.all()

    def some(self, queries: Tensor, items: Tensor) -> Tensor:
        """`[M, K]` logits of `[K]` items that all queries share."""
        product = self.prepared(queries) @ self.rows(items).T
        product = product if self.bias is None else product + self.bias[items]
        return product if self.prior is None else product + self.prior.some(items)

    def own(self, queries: Tensor, items: Tensor) -> Tensor:
        """`[M]` the logit of each query's own item `[M]`."""
        product = (self.prepared(queries) * self.rows(items)).sum(dim=-1)
        product = product if self.bias is None else product + self.bias[items]
        return product if self.prior is None else product + self.prior.each(items[:, None])[:, 0]

    def each(self, queries: Tensor, items: Tensor) -> Tensor:
        """`[M, K]` logits of each query's own items `[M, K]`."""
        product = torch.einsum("md,mkd->mk", self.prepared(queries), self.rows(items))
        product = product if self.bias is None else product + self.bias[items]
        return product if self.prior is None else product + self.prior.each(items)


class Head(nn.Module):
    """Scores items against states, by the item vectors themselves (tied) or by a table of its own.

    Args:
        n_items: `N`.
        width: `D`.
        tied: use the vectors of the item encoder.
        bias: learn one number per item.
        temperature: 0 takes plain products; above 0, cosines divided by it.
        counts: `[N]` training events of each item.
    """

    counts: Tensor | None

    def __init__(
        self,
        n_items: int,
        width: int,
        *,
        tied: bool,
        bias: bool,
        temperature: float,
        counts: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.table = None if tied else nn.Parameter(torch.empty(n_items, width))
        if self.table is not None:
            nn.init.normal_(self.table, std=0.02)
        self.bias = nn.Parameter(torch.zeros(n_items)) if bias else None
        self.temperature = temperature
        self.register_buffer("counts", counts, persistent=False)

    def scorer(self, items: ItemVectors) -> Scorer:
        """The scorer over a catalogue whose item vectors are these."""
        source: Tensor | ItemVectors = self.table if self.table is not None else items
        if self.temperature > 0:
            return Scorer(source, self.bias, 1.0 / self.temperature, True, self.counts)
        return Scorer(source, self.bias, counts=self.counts)
