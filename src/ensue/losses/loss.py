"""What a loss is: queries, targets, weights and a scorer in, one number out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ensue.scorer import Scorer


@dataclass(frozen=True)
class Loss(ABC):
    """What training makes small."""

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, queries: Tensor, targets: Tensor, weights: Tensor, scorer: Scorer) -> Tensor:
        """The weighted mean of the loss over the M queries, a scalar.

        A query of weight 0 has no influence, and only the proportions of the weights count.

        Args:
            queries: `[M, D]` states.
            targets: `[M]` int64 item indices.
            weights: `[M]` weight of each query, not negative and not all zero.
            scorer: gives logits of items for queries; temperature, cosines and training counts are its own. Ask
                `scorer.of(part)` about a part of the queries.
        """
