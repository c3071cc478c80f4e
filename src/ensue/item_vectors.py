"""Item encoders: what an item is to a network, a vector that is learnt, composed, or worked out of its features."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ensue.errors import ModelError


class ItemVectors(nn.Module, ABC):
    """Vectors of items: `[..., D]` for indices of any shape.

    Padding (index `N`) is no item and has no row: it is read as zeros.

    Attributes:
        n_items: `N`.
        width: `D`.
        weight: `[N, D]` the vectors of all items: a parameter, or a property that composes them.
    """

    weight: Tensor

    def __init__(self, n_items: int, width: int) -> None:
        super().__init__()
        self.n_items, self.width = n_items, width

    @abstractmethod
    def rows(self, items: Tensor) -> Tensor:
        """`[..., D]` the vectors of some items, none of them padding."""

    def frozen(self) -> ItemTable:
        """The same vectors as a plain table: what is exported, since nothing is composed anew for each answer."""
        return ItemTable(self.n_items, self.width, self.weight.detach()).train(self.training)

    def forward(self, items: Tensor) -> Tensor:
        """`[..., D]` vectors; zeros for padding."""
        real = items < self.n_items
        return self.rows(torch.where(real, items, 0)) * real[..., None]


class ItemTable(ItemVectors):
    """One learnt vector per item.

    A one-hot encoding is the same thing: a one-hot vector times the first matrix of a network is one row of that
    matrix, which is looked up here and never multiplied.

    Args:
        n_items: `N`.
        width: `D`.
        weight: `[N, D]` vectors to begin with; None draws them.

    Attributes:
        sparse: the gradient of looked up rows holds these rows alone, which optimisers by rows can follow; set by
            whoever trains.
    """

    sparse = False

    def __init__(self, n_items: int, width: int, weight: Tensor | None = None) -> None:
        super().__init__(n_items, width)
        self.weight = nn.Parameter(torch.empty(n_items, width) if weight is None else weight)
        if weight is None:
            nn.init.normal_(self.weight, std=0.02)

    def rows(self, items: Tensor) -> Tensor:
        """`[..., D]` the vectors of some items."""
        return nn.functional.embedding(items, self.weight, sparse=self.sparse and self.training)


class HashedItems(ItemVectors):
    """Vectors composed of two small tables: the sum of what an item's quotient and its remainder give.

    Two items share at most one of the two parts, so that every item's vector is its own, while the tables have about
    `2 sqrt(N)` rows in place of `N`. For catalogues of millions.

    Args:
        n_items: `N`.
        width: `D`.
        buckets: rows of the table of remainders; 0 takes the square root of `N`.

    References:
        Shi et al., "Compositional embeddings using complementary partitions for memory-efficient recommendation
        systems", KDD 2020, section 3.1 (quotient and remainder).
    """

    def __init__(self, n_items: int, width: int, buckets: int = 0) -> None:
        super().__init__(n_items, width)
        self.buckets = buckets or max(int(n_items**0.5), 1)
        self.remainders = nn.Parameter(torch.empty(self.buckets, width))
        self.quotients = nn.Parameter(torch.empty(-(-n_items // self.buckets), width))
        nn.init.normal_(self.remainders, std=0.02 / 2**0.5)
        nn.init.normal_(self.quotients, std=0.02 / 2**0.5)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """`[N, D]` the vectors of all items, composed."""
        return self.rows(torch.arange(self.n_items, device=self.remainders.device))

    def rows(self, items: Tensor) -> Tensor:
        """`[..., D]` the vectors of some items."""
        first = nn.functional.embedding(items % self.buckets, self.remainders)
        return first + nn.functional.embedding(items // self.buckets, self.quotients)


def grown(model: str, drawn: dict[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of before in the shapes of now: tables of items get the rows that were drawn for new ones.

    Raises:
        ModelError: something other than the number of items has changed.
    """
    found = {}
    for name, new in drawn.items():
        old = weights.get(name)
        if old is None or old.dim() != new.dim() or old.shape[1:] != new.shape[1:] or len(old) > len(new):
            raise ModelError(
                f"{model}: its {name} cannot take in new items (it was {None if old is None else tuple(old.shape)} and "
                f"would be {tuple(new.shape)}): fit the model anew."
            )
        found[name] = torch.cat([old, new[len(old) :]]) if old.dim() else old
    return found
