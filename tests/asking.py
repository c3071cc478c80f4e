"""Questions about steps of the rows of a batch, in the shape that networks and their graphs take."""

from __future__ import annotations

import torch
from torch import Tensor


def asked(rows: Tensor, steps: Tensor, count: int = 0) -> tuple[Tensor, Tensor]:
    """`([B, Q], [Q])`: every row is asked after all steps, and each question reads its own place.

    Args:
        rows: `[Q]` which row of the batch each question reads.
        steps: `[Q]` after which step of it.
        count: `B`, where rows at the end are not asked about.
    """
    count = max(count, int(rows.max()) + 1)
    return steps.expand(count, -1), rows * len(steps) + torch.arange(len(rows))
