"""The next rating: what a score says about the number that will be given, as a number or as chances of each level."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ensue.errors import ModelError
from ensue.losses.ratings import Levels, RatingLoss

MOST_LEVELS = 201
"""The most different ratings that are taken for a scale; with more, only the number can be learnt."""


class RatingHead(nn.Module):
    """Ratings from scores of (history, item): inside the scale of training, and the mean of it where nothing is known.

    Args:
        loss: what is made small; it says how a score is read.
        ratings: all of training, NaN where an event has none.

    Raises:
        ModelError: there are no ratings, or too many different ones for a distribution.
    """

    offset: Tensor

    def __init__(self, loss: RatingLoss, ratings: NDArray[np.float32]) -> None:
        super().__init__()
        known = ratings[~np.isnan(ratings)]
        if len(known) == 0:
            raise ModelError(f"the log has no ratings, and the loss {loss.name} learns from nothing else.")
        levels, counts = np.unique(known, return_counts=True)
        if loss.levels_matter and len(levels) > MOST_LEVELS:
            raise ModelError(
                f"the log has {len(levels)} different ratings, too many to be levels of a scale: "
                "take the loss mean-squared-error."
            )
        if not loss.levels_matter:
            levels, counts = np.unique(levels[[0, -1]], return_counts=True)
        self.loss = loss
        self.levels = Levels(torch.from_numpy(levels), torch.from_numpy(counts))
        self.levels.requires_grad_(loss.levels_matter)
        mean = 0.0 if loss.levels_matter else float(known.mean(dtype=np.float64))
        self.register_buffer("offset", torch.tensor(mean))

    def forward(self, scores: Tensor) -> Tensor:
        """`[...]` the rating that is expected at each score, inside the scale."""
        scale = self.levels.scale()
        number = self.loss.number(scores + self.offset, scale)
        return number.clamp(scale.levels[0], scale.levels[-1])

    def lost(self, scores: Tensor, ratings: Tensor) -> Tensor:
        """The mean loss over scores `[M]` and the ratings `[M]` that were given, a scalar."""
        return self.loss(scores + self.offset, ratings, torch.ones_like(scores), self.levels.scale())

    def distribution(self, scores: Tensor) -> Tensor | None:
        """`[M, K]` the chance of each level at scores `[M]`; None for a loss that says nothing of it."""
        return self.loss.distribution(scores + self.offset, self.levels.scale())
