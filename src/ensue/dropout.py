"""Dropout whose random numbers are cheap on a processor: eight of its decisions come from one draw.

References:
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014), section 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEVELS = 256


class Dropout(nn.Module):
    """Sets entries to zero at random while training and scales the others, so that the mean of each stays as it is.

    On a processor the share of zeros is the nearest multiple of 1/256 (neither none nor all, unless that was asked
    for), and the scale is that share's own. torch draws
    its numbers one after the other, on one thread: one number for eight entries took a quarter of the time of one for
    each (docs/log.md).

    Args:
        share: of the entries that become zero, from 0 up to 1.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """The entries of `x`, of any shape, that were not dropped; `x` itself outside training."""
        if not self.training or not self.share:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.share, training=True)
        if self.share >= 1:
            return x * 0
        dropped = min(max(round(self.share * _LEVELS), 1), _LEVELS - 1)
        count = x.numel()
        drawn = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = drawn.view(torch.uint8)[:count].view(x.shape) >= dropped
        return x * kept.to(x.dtype).mul_(_LEVELS / (_LEVELS - dropped))

    def extra_repr(self) -> str:
        """The share."""
        return f"share={self.share:g}"
