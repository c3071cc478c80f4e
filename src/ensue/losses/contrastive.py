"""Two views of one history are alike, those of two histories are not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ensue.errors import ConfigError


@dataclass(frozen=True)
class InfoNCE:
    """How well each view finds its partner among all other views of the batch.

    There are 2 B views; each has one partner, and the 2 (B - 1) views of the other rows for negatives. A batch of one
    row has none: the loss is 0.

    Attributes:
        temperature: divides the products.
        cosine: views are brought to unit length first, as SimCLR has it; CL4SRec takes plain products.

    References:
        Xie et al., "Contrastive learning for sequential recommendation" (CL4SRec), ICDE 2022, the contrastive learning
        loss; Qiu et al., "Contrastive learning for representation degeneration problem in sequential recommendation"
        (DuoRec), WSDM 2022, which leaves rows with the same target out of the negatives.
    """

    temperature: float = 1.0
    cosine: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.temperature < torch.inf:
            raise ConfigError(f"temperature={self.temperature:g} of the contrastive loss must be above 0.")

    def __call__(self, first: Tensor, second: Tensor, targets: Tensor | None = None) -> Tensor:
        """The mean over all 2 B views of -log of the partner's share, a scalar.

        Args:
            first: `[B, D]` one view of each row.
            second: `[B, D]` another one.
            targets: `[B]` what came next; rows with the same one are no negatives of each other. None: all are.
        """
        rows = len(first)
        views = torch.cat([first, second])
        if self.cosine:
            views = normalize(views, dim=-1)
        logits = views @ views.T / self.temperature
        row = torch.arange(rows, device=first.device)
        alike = row if targets is None else targets
        hidden = (alike[:, None] == alike[None, :]).repeat(2, 2)
        view = torch.arange(2 * rows, device=first.device)
        partner = view.roll(rows)
        hidden[view, partner] = False
        return torch.nn.functional.cross_entropy(logits.masked_fill(hidden, float("-inf")), partner)
