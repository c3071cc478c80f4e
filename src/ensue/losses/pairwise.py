"""The target above the negatives: only differences of scores, or little else, count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ensue.errors import ConfigError
from ensue.losses.compared import Compared, SourcedLoss


@dataclass(frozen=True)
class BPR(SourcedLoss):
    """The chance that the target stands above a negative, as a logistic function of the difference.

    The mean over the negatives: with one that is not shared, it is the published one for a triple; with more, it
    estimates the same mean with less noise. The penalty on the weights is the optimiser's weight decay. Without a
    negative the loss is 0. There are no labels here that could be smoothed.

    References:
        Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009, section 4.1 (BPR-Opt).
    """

    name: ClassVar[str] = "bpr"

    def each(self, compared: Compared) -> Tensor:
        """-mean over the negatives of log s(own - other), with s the logistic function."""
        return -compared.mean(logsigmoid(compared.own[:, None] - compared.others))


@dataclass(frozen=True)
class BPRMax(SourcedLoss):
    """The chance that the target stands above the highest negative, which a softmax over them chooses smoothly.

    As published, negatives are the targets of the batch and more by popularity, and high scores of negatives are
    punished by their square. Without a negative the loss is 0.

    Attributes:
        regularisation: weight of the squared scores of the negatives.

    References:
        Hidasi, Karatzoglou, "Recurrent neural networks with top-k gains for session-based recommendations", CIKM 2018,
        section 3.3 (BPR-max with score regularisation).
    """

    name: ClassVar[str] = "bpr-max"

    negatives: int = 512
    source: str = "mixed"
    regularisation: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.regularisation < torch.inf:
            raise ConfigError(f"bpr-max: regularisation={self.regularisation:g} must not be negative.")

    def each(self, compared: Compared) -> Tensor:
        """-log sum_j p_j s(own - other_j) + weight x sum_j p_j other_j^2, with p the softmax over the negatives."""
        chosen, alone = _log_softmax(compared)
        above = chosen + logsigmoid(compared.own[:, None] - compared.others)
        losses = -torch.logsumexp(above, dim=1)
        penalty = compared.total(chosen.exp() * compared.others.square())
        return (losses + self.regularisation * penalty).masked_fill(alone, 0.0)


@dataclass(frozen=True)
class TOP1Max(SourcedLoss):
    """How far the highest negative, chosen smoothly by a softmax, stands above the target and away from zero.

    Without a negative the loss is 0.

    References:
        Hidasi, Karatzoglou, "Recurrent neural networks with top-k gains for session-based recommendations", CIKM 2018,
        section 3.3 (TOP1-max).
    """

    name: ClassVar[str] = "top1-max"

    negatives: int = 512
    source: str = "mixed"

    def each(self, compared: Compared) -> Tensor:
        """sum_j p_j (s(other_j - own) + s(other_j^2)), with p the softmax over the negatives."""
        chosen, alone = _log_softmax(compared)
        above = torch.sigmoid(compared.others - compared.own[:, None])
        away = torch.sigmoid(compared.others.square())
        return compared.total(chosen.exp() * (above + away)).masked_fill(alone, 0.0)


def _log_softmax(compared: Compared) -> tuple[Tensor, Tensor]:
    """`[M, K]` log of the softmax over each query's negatives, and `[M]` which queries have none.

    Those that have none get numbers that are finite, and not to be used.
    """
    alone = compared.hits.all(dim=1)
    hidden = compared.hits & ~alone[:, None]
    return torch.log_softmax(compared.others.masked_fill(hidden, float("-inf")), dim=1), alone
