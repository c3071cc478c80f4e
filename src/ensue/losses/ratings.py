"""Losses for ratings: what a score says about the number that a user will give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from ensue.errors import ConfigError

CLOSEST = 1e-4
"""The least distance of two thresholds: a level between them keeps a chance of about 1 in 40,000 at its best score."""


@dataclass(frozen=True)
class RatingScale:
    """The ratings that can be given, and where scores pass from one to the next.

    Attributes:
        levels: `[K]` the ratings, each greater than the one before.
        thresholds: `[K - 1]` scores, each greater than the one before.
    """

    levels: Tensor
    thresholds: Tensor

    def log_probabilities(self, scores: Tensor) -> Tensor:
        """`[M, K]` log of the chance of each level: cumulative logits with a shared slope.

        Up to level k lies s(threshold_k - score), with s the logistic function. The difference of two of them is
        s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)), whose log is a finite number whatever the scores.

        Args:
            scores: `[M]`.

        References:
            McCullagh, "Regression models for ordinal data", JRSS B 42(2), 1980 (proportional odds); Koren, Sill,
            "OrdRec: an ordinal model for predicting personalized item rating distributions", RecSys 2011.
        """
        edge = self.thresholds - scores[:, None]
        none = edge.new_zeros(len(scores), 1)
        between = torch.log(-torch.expm1(-self.thresholds.diff()))
        end = between.new_zeros(1)
        between = torch.cat([end, between, end])[: len(self.levels)]
        return torch.cat([logsigmoid(edge), none], 1) + torch.cat([none, logsigmoid(-edge)], 1) + between

    def places(self, ratings: Tensor) -> Tensor:
        """`[M]` the index of each rating's level; one between two levels is taken for the nearer, the lower if even."""
        middles = (self.levels[1:] + self.levels[:-1]) / 2
        return torch.bucketize(ratings, middles.to(ratings.dtype))


class Levels(nn.Module):
    """A rating scale whose thresholds are learnt, and stay in order whatever the optimiser does.

    Args:
        levels: `[K]` the ratings that can be given, each greater than the one before.
        counts: `[K]` how often each was given in training: the thresholds begin where a score of 0 gives them these
            shares. None: all the same.
    """

    levels: Tensor

    def __init__(self, levels: Tensor, counts: Tensor | None = None) -> None:
        super().__init__()
        if len(levels) == 0 or bool((levels.diff() <= 0).any()):
            raise ConfigError(f"rating levels {levels.tolist()} must rise from each to the next.")
        self.register_buffer("levels", levels.to(torch.get_default_dtype()))
        given = torch.ones(len(levels)) if counts is None else counts + 1.0
        below = (given.cumsum(0) / given.sum())[:-1]
        thresholds = torch.logit(below.to(self.levels.dtype))
        steps = torch.log(torch.expm1((thresholds.diff() - CLOSEST).clamp(min=CLOSEST)))
        self.raw = nn.Parameter(torch.cat([thresholds[:1], steps]))

    def scale(self) -> RatingScale:
        """The scale, with today's thresholds."""
        steps = torch.cat([self.raw[:1], softplus(self.raw[1:]) + CLOSEST])
        return RatingScale(self.levels, steps.cumsum(0))


@dataclass(frozen=True)
class RatingLoss(ABC):
    """What training makes small when the next rating is asked for."""

    name: ClassVar[str]
    levels_matter: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, scores: Tensor, ratings: Tensor, weights: Tensor, scale: RatingScale) -> Tensor:
        """The weighted mean of the loss over the M ratings, a scalar.

        Args:
            scores: `[M]` of the item that was rated.
            ratings: `[M]` as they were given.
            weights: `[M]` weight of each, not all zero.
            scale: the ratings that can be given, with the thresholds between them.
        """

    @abstractmethod
    def number(self, scores: Tensor, scale: RatingScale) -> Tensor:
        """`[M]` the rating that is expected at each score."""

    @abstractmethod
    def distribution(self, scores: Tensor, scale: RatingScale) -> Tensor | None:
        """`[M, K]` the chance of each level at each score, or None where the loss says nothing of it."""


@dataclass(frozen=True)
class MeanSquaredError(RatingLoss):
    """The score is the rating; the loss is the square of what it is off."""

    name: ClassVar[str] = "mean-squared-error"

    def __call__(self, scores: Tensor, ratings: Tensor, weights: Tensor, scale: RatingScale) -> Tensor:
        """The weighted mean of (score - rating)^2."""
        return (weights / weights.sum() * (scores - ratings).square()).sum()

    def number(self, scores: Tensor, scale: RatingScale) -> Tensor:
        """`[M]` the scores."""
        return scores

    def distribution(self, scores: Tensor, scale: RatingScale) -> None:
        """None: a mean is no distribution."""


@dataclass(frozen=True)
class OrdinalCrossEntropy(RatingLoss):
    """Levels in an order, with unknown distances: a score moves along a line that thresholds cut into levels.

    Attributes:
        label_smoothing: share of the rating that is spread evenly over all levels, from 0 up to 1.

    References:
        As `RatingScale.log_probabilities`.
    """

    name: ClassVar[str] = "ordinal-cross-entropy"
    levels_matter: ClassVar[bool] = True

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(
                f"ordinal-cross-entropy: label_smoothing={self.label_smoothing:g} must lie from 0 up to 1."
            )

    def __call__(self, scores: Tensor, ratings: Tensor, weights: Tensor, scale: RatingScale) -> Tensor:
        """The weighted mean of -log of the chance of the level that was given."""
        log_chance = scale.log_probabilities(scores)
        given = log_chance.gather(1, scale.places(ratings)[:, None])[:, 0]
        losses = -given
        if self.label_smoothing:
            losses = losses + self.label_smoothing * (given - log_chance.mean(dim=1))
        return (weights / weights.sum() * losses).sum()

    def number(self, scores: Tensor, scale: RatingScale) -> Tensor:
        """`[...]` the mean of the levels under their chances, level by level: whole tables of scores can be read so."""
        levels = scale.levels.to(scores.dtype)
        expected = torch.zeros_like(scores) + levels[0]
        for step, threshold in zip(levels.diff(), scale.thresholds, strict=True):
            expected = expected + step * torch.sigmoid(scores - threshold)
        return expected

    def distribution(self, scores: Tensor, scale: RatingScale) -> Tensor:
        """`[M, K]` the chance of each level."""
        return scale.log_probabilities(scores).exp()
