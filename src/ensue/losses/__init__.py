"""Losses: frozen dataclasses that turn queries, targets and a scorer into one number.

All share one signature, `loss(queries [M, D], targets [M], weights [M], scorer)`, and none holds logits for all M
queries and all N items at once. A new loss is a new dataclass in a file here. Losses for ratings and for pairs of views
are kinds of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ensue.described import component_of
from ensue.losses.blocks import LOGITS_AT_ONCE
from ensue.losses.cross_entropy import CrossEntropy
from ensue.losses.loss import Loss
from ensue.losses.ratings import MeanSquaredError, RatingLoss
from ensue.losses.sampled import SampledSoftmax
from ensue.registry import Registry

__all__ = [
    "LOGITS_AT_ONCE",
    "CrossEntropy",
    "Loss",
    "RatingLoss",
    "SampledSoftmax",
    "loss_of",
    "losses",
    "rating_loss_of",
    "rating_losses",
]

losses: Registry[Loss] = Registry(("ensue.losses",), Loss, "ensue.losses")
"""Every loss by name."""

rating_losses: Registry[RatingLoss] = Registry(("ensue.losses",), RatingLoss, "ensue.losses")
"""Every loss for ratings by name."""


def loss_of(described: str | Mapping[str, Any]) -> Loss:
    """A loss from its name, or from a table with its name and settings.

    Args:
        described: "cross-entropy", or {"name": "sampled-softmax", "negatives": 256}.

    Raises:
        ConfigError: unknown name or setting, or a value of a wrong kind.
    """
    return component_of(losses, described, "loss", CrossEntropy.name)


def rating_loss_of(described: str | Mapping[str, Any]) -> RatingLoss:
    """A loss for ratings from its name, or from a table with its name and settings.

    Args:
        described: "mean-squared-error", or {"name": "ordinal-cross-entropy", "label_smoothing": 0.1}.

    Raises:
        ConfigError: unknown name or setting, or a value of a wrong kind.
    """
    return component_of(rating_losses, described, "rating loss", MeanSquaredError.name)
