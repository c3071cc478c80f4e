"""Softmax over a target and drawn negatives, in the place of all items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ensue.errors import ConfigError
from ensue.losses.compared import Compared, SourcedLoss


@dataclass(frozen=True)
class SampledSoftmax(SourcedLoss):
    """Softmax over the target and negatives, each counted for as many items as it stands for.

    With the correction, a negative that is drawn q times on average counts 1/q times, so that the sum over what was
    drawn estimates the sum over all items without bias, and with all items drawn it is the full softmax. The target is
    always there, so it is not corrected (Yi et al. correct it too, as if it had been drawn; Khrylchenko et al. show the
    bias of that). Without a negative the loss is 0.

    Attributes:
        logq: make the correction; without it the target is told from what happens to be drawn, popular items above all,
            as GRU4Rec first did.
        label_smoothing: share of the target that is spread over all items (as estimated), from 0 up to 1.

    References:
        Bengio, Senécal, "Quick training of probabilistic neural nets by importance sampling", AISTATS 2003; Jean et
        al., "On using very large target vocabulary for neural machine translation", ACL 2015, section 3; Yi et al.,
        "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019, section 3;
        Khrylchenko et al., "Correcting the LogQ correction", RecSys 2025, arXiv:2507.09331.
    """

    name: ClassVar[str] = "sampled-softmax"

    negatives: int = 512
    logq: bool = True
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(
                f"sampled-softmax: label_smoothing={self.label_smoothing:g} must lie from 0 up to 1."
            )

    def each(self, compared: Compared) -> Tensor:
        """-log of the target's share in the estimated sum."""
        own, others = compared.own, compared.others
        stands_for = 1 / compared.expected if self.logq else torch.ones_like(compared.expected)
        logits = (others + stands_for.log()).masked_fill(compared.hits, float("-inf"))
        losses = torch.logsumexp(torch.cat([own[:, None], logits], dim=1), dim=1) - own
        if self.label_smoothing:
            everything = 1 + compared.total(stands_for.expand_as(others))
            mean = (own + compared.total(stands_for * others)) / everything
            losses = losses + self.label_smoothing * (own - mean)
        return losses
