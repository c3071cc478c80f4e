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
        width: `D` of the states, from which it learns how far above the mean whoever is in a state rates whatever is
            asked about; 0 learns nothing of it, and all must come from products of states and items.
        deviations: scores are in deviations of the ratings, where they are numbers, so that a scale from 0 to 100 is
            learnt as fast as one from 1 to 5; else they are in ratings.

    Raises:
        ModelError: there are no ratings, or too many different ones for a distribution.
    """

    offset: Tensor
    spread: Tensor

    def __init__(
        self, loss: RatingLoss, ratings: NDArray[np.float32], width: int = 0, *, deviations: bool = False
    ) -> None:
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
        deviation = float(known.std(dtype=np.float64)) if deviations and not loss.levels_matter else 1.0
        self.register_buffer("spread", torch.tensor(deviation if deviation > 0 else 1.0))
        self.lean = nn.Linear(width, 1, bias=False) if width else None
        if self.lean is not None:
            nn.init.zeros_(self.lean.weight)

    def forward(self, scores: Tensor) -> Tensor:
        """`[...]` the rating that is expected at each score, inside the scale."""
        scale = self.levels.scale()
        number = self.loss.number(self._rating(scores), scale)
        return number.clamp(scale.levels[0], scale.levels[-1])

    def leaning(self, states: Tensor) -> Tensor:
        """`[..., 1]` what is added to the scores of all items in states `[..., D]`: a bias of the user.

        References:
            Koren, Bell, Volinsky, "Matrix factorization techniques for recommender systems", Computer 42(8), 2009,
            equation 3 (biases of users).
        """
        if self.lean is None:
            return states.new_zeros(*states.shape[:-1], 1)
        found: Tensor = self.lean(states)
        return found

    def lost(self, scores: Tensor, ratings: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean loss over scores `[M]` and the ratings `[M]` that were given, a scalar.

        Args:
            scores: of the items that were rated.
            ratings: as they were given.
            weights: `[M]` how much each counts; None where all count alike.
        """
        weights = torch.ones_like(scores) if weights is None else weights
        return self.loss(self._rating(scores), ratings, weights, self.levels.scale()) / self.spread.square()

    def distribution(self, scores: Tensor) -> Tensor | None:
        """`[M, K]` the chance of each level at scores `[M]`; None for a loss that says nothing of it."""
        return self.loss.distribution(self._rating(scores), self.levels.scale())

    def _rating(self, scores: Tensor) -> Tensor:
        """Scores as the loss reads them: as ratings, or as places on the line that thresholds cut into levels."""
        return scores * self.spread + self.offset
