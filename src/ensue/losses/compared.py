"""Losses that compare a target with drawn negatives: what they have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ensue.errors import ConfigError, nearest
from ensue.losses.blocks import rows_at_once
from ensue.losses.loss import Loss
from ensue.losses.negatives import SOURCES, Negatives, draw
from ensue.scorer import Scorer


@dataclass(frozen=True)
class Compared:
    """The logits of some queries: of their targets, and of the items that these are compared with.

    Attributes:
        own: `[M]` of each query's target.
        others: `[M, K]` of what was drawn.
        hits: `[M, K]` bool, where what was drawn is the target itself: no negative.
        expected: `[K]` or `[M, K]`, how often each of these is drawn on average.
        n_items: `N`.
    """

    own: Tensor
    others: Tensor
    hits: Tensor
    expected: Tensor
    n_items: int

    @property
    def number(self) -> Tensor:
        """`[M]` how many negatives each query has."""
        return (~self.hits).sum(dim=1).to(self.own.dtype)

    def total(self, values: Tensor) -> Tensor:
        """`[M]` the sum of `[M, K]` values over the negatives of each query, 0 where it has none."""
        return values.masked_fill(self.hits, 0.0).sum(dim=1)

    def mean(self, values: Tensor) -> Tensor:
        """`[M]` the mean of `[M, K]` values over the negatives of each query, 0 where it has none."""
        return self.total(values) / self.number.clamp(min=1)


@dataclass(frozen=True)
class SampledLoss(Loss):
    """A loss over each target and drawn negatives, never over more logits at a time than a block of queries has.

    Where one block does not hold all queries, the logits of each are computed again for its gradient.

    Attributes:
        negatives: how many items are drawn.
        shared: the negatives are the same for all queries of a batch, which takes one matrix product; otherwise each
            query draws its own, which takes `negatives` vectors of width `D` for each.
    """

    negatives: int = 128
    shared: bool = True

    def __post_init__(self) -> None:
        if self.negatives < 1:
            raise ConfigError(f"{self.name}: negatives={self.negatives} must be at least 1.")

    @abstractmethod
    def each(self, compared: Compared) -> Tensor:
        """`[M]` the loss of each query."""

    def draw(self, targets: Tensor, weights: Tensor, scorer: Scorer) -> Negatives:
        """The negatives of a batch: even ones, unless the loss has another source."""
        return draw(self.negatives, targets, weights, scorer, shared=self.shared)

    def __call__(self, queries: Tensor, targets: Tensor, weights: Tensor, scorer: Scorer) -> Tensor:
        """The weighted mean of what `each` makes of the queries, their targets and drawn negatives."""
        drawn = self.draw(targets, weights, scorer)
        columns = drawn.items.shape[-1] * (1 if drawn.shared else queries.shape[-1])
        rows = rows_at_once(columns)
        shares = weights / weights.sum()
        parts = [slice(begin, begin + rows) for begin in range(0, len(queries), rows)]
        if len(parts) <= 1:
            return self._block(queries, targets, shares, drawn, scorer, slice(None))
        total = queries.new_zeros(())
        for part in parts:
            own = drawn if drawn.shared else Negatives(drawn.items[part], drawn.expected[part])
            total = total + checkpoint(
                self._block,
                queries[part],
                targets[part],
                shares[part],
                own,
                scorer,
                part,
                use_reentrant=False,
            )
        return total

    def _block(
        self,
        queries: Tensor,
        targets: Tensor,
        shares: Tensor,
        drawn: Negatives,
        scorer: Scorer,
        part: slice,
    ) -> Tensor:
        items, scorer = drawn.items, scorer.of(part)
        others = scorer.some(queries, items) if drawn.shared else scorer.each(queries, items)
        compared = Compared(
            scorer.own(queries, targets),
            others,
            items == targets[:, None],
            drawn.expected.to(others.dtype),
            scorer.n_items,
        )
        return (shares * self.each(compared)).sum()


@dataclass(frozen=True)
class SourcedLoss(SampledLoss):
    """A loss whose negatives may come from the catalogue, evenly or by popularity, or from the batch.

    Attributes:
        source: "even", "popular" (by a power of the training events), "batch" (the targets of the batch) or "mixed"
            (those of the batch and as many by popularity).
        power: of the training events, where popularity counts: 0 is even, 1 in proportion.
    """

    source: str = "even"
    power: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source not in SOURCES:
            raise ConfigError(
                f"{self.name}: source='{self.source}' must be one of {', '.join(SOURCES)}."
                f"{nearest(self.source, SOURCES)}"
            )
        if not self.shared and self.source in ("batch", "mixed"):
            raise ConfigError(
                f"{self.name}: source='{self.source}' takes the targets of the batch, which all queries share: "
                "take shared=true, or another source."
            )
        if not 0 <= self.power < torch.inf:
            raise ConfigError(f"{self.name}: power={self.power:g} must be at least 0.")

    def draw(self, targets: Tensor, weights: Tensor, scorer: Scorer) -> Negatives:
        """The negatives of a batch, from the source."""
        return draw(
            self.negatives,
            targets,
            weights,
            scorer,
            source=self.source,
            power=self.power,
            shared=self.shared,
        )
