"""Ratings beside next items: a second head over the same states and item vectors, learnt in the same fit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ensue.errors import ModelError
from ensue.item_vectors import ItemVectors
from ensue.losses.ratings import MeanSquaredError
from ensue.model import Training
from ensue.rating_head import RatingHead
from ensue.scorer import Head, Scorer


class Rated(NamedTuple):
    """What a batch trains of ratings.

    Attributes:
        queries: `[M, D]` states, turned.
        items: `[M]` that were rated.
        ratings: `[M]` as they were given.
        weights: `[M]` how much each counts; None where all count alike.
    """

    queries: Tensor
    items: Tensor
    ratings: Tensor
    weights: Tensor | None


class SecondHead(nn.Module):
    """Expected ratings of all items, from states turned by a matrix of its own: what comes next may not be liked.

    Scores are in standard deviations of the training ratings above their mean: the same on every scale.

    Args:
        n_items: `N`.
        width: `D`.
        tied: use the vectors of the item encoder.
        ratings: of training, NaN where an event has none.
        weight: how often a square error of one variance counts beside a next item.

    Raises:
        ModelError: there are no ratings.
    """

    spread: Tensor

    def __init__(
        self, n_items: int, width: int, ratings: NDArray[np.float32], *, tied: bool, weight: float
    ) -> None:
        super().__init__()
        self.reading = RatingHead(MeanSquaredError(), ratings)
        self.turn = nn.Linear(width, width)
        nn.init.normal_(self.turn.weight, std=0.02)  # it begins at the mean rating
        nn.init.zeros_(self.turn.bias)
        self.head = Head(n_items, width, tied=tied, bias=True, temperature=0.0)
        self.weight = weight
        known = ratings[~np.isnan(ratings)].astype(np.float64)
        self.register_buffer("spread", torch.tensor(max(float(known.std()), 1e-3)))

    def scorer(self, items: ItemVectors) -> Scorer:
        """The scorer of ratings, over a catalogue whose item vectors are these."""
        return self.head.scorer(items)

    def forward(self, answers: Tensor, scorer: Scorer) -> Tensor:
        """`[Q, N]` the rating that is expected of every item, inside the scale.

        Args:
            answers: `[Q, D]` states.
            scorer: of `scorer`.
        """
        expected: Tensor = self.reading(scorer.logits(self.turn(answers)) * self.spread)
        return expected

    def lost(self, rated: Rated, items: ItemVectors) -> Tensor:
        """The sum of the losses of ratings, a scalar, by how much they count beside next items."""
        count = len(rated.ratings)
        if count == 0:
            return 0 * sum((weight.sum() for weight in self.parameters()), rated.queries.sum())
        scores = self.scorer(items).own(rated.queries.float(), rated.items)
        whole = count if rated.weights is None else rated.weights.sum()
        mean = self.reading.lost(scores * self.spread, rated.ratings, rated.weights)
        total: Tensor = mean * whole * (self.weight / self.spread**2)
        return total


def weight_beside(model: Any, training: Training) -> float:
    """How much a network learns ratings beside next items; 0 where it learns none.

    Args:
        model: the network's description.
        training: its objective says so.

    Raises:
        ModelError: the network does not read left to right.
    """
    weight = 0.0 if model.rates else training.objective.rating
    if weight and not model.causal:
        raise ModelError(
            f"{model.name}: ratings are learnt beside next items by networks that read left to right only: leave "
            "objective.rating out, or take another model."
        )
    return weight
