"""Each item a yes or no of its own: binary cross-entropy, plain and calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from ensue.errors import ConfigError
from ensue.losses.compared import Compared, SampledLoss


@dataclass(frozen=True)
class BinaryCrossEntropy(SampledLoss):
    """Yes to the target, no to evenly drawn negatives, both weighing the same.

    With one negative, not shared, this is SASRec's; more of them, or shared ones, estimate the same mean with less
    noise. SASRec also keeps the user's own items out of the negatives, which this does not. Without a negative the
    target's part is left.

    Attributes:
        label_smoothing: how far yes and no are moved to the middle: yes is 1 - half of it, no is half of it.

    References:
        Kang, McAuley, "Self-attentive sequential recommendation" (SASRec), ICDM 2018, section III-E.
    """

    name: ClassVar[str] = "bce"

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"bce: label_smoothing={self.label_smoothing:g} must lie from 0 up to 1.")

    def each(self, compared: Compared) -> Tensor:
        """-log s(own) - mean over the negatives of log(1 - s(other)), with s the logistic function."""
        low = self.label_smoothing / 2
        yes = -logsigmoid(compared.own) + low * compared.own
        no = -logsigmoid(-compared.others) - low * compared.others
        return yes + compared.mean(no)


@dataclass(frozen=True)
class GeneralisedBCE(SampledLoss):
    """Binary cross-entropy whose target counts less, the fewer of the items are drawn: no overconfidence.

    Evenly drawn negatives make a target look more likely than it is, since most of the items that did not come next
    are never shown. The target's logistic is therefore raised to a power below 1. Without a negative only the target's
    part is left.

    Attributes:
        calibration: t, from 0 (plain binary cross-entropy) to 1 (the scores' logistics are probabilities).

    References:
        Petrov, Macdonald, "gSASRec: reducing overconfidence in sequential recommendation trained with negative
        sampling", RecSys 2023, section 5: the definition of gBCE, and beta from the sampling rate alpha and t.
    """

    name: ClassVar[str] = "gbce"

    negatives: int = 256
    calibration: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.calibration <= 1:
            raise ConfigError(f"gbce: calibration={self.calibration:g} must lie from 0 to 1.")

    def each(self, compared: Compared) -> Tensor:
        """-(beta log s(own) + sum over the negatives of log(1 - s(other))) / (negatives + 1)."""
        number = compared.number
        beta = self.beta(number / max(compared.n_items - 1, 1))
        no = compared.total(-logsigmoid(-compared.others))
        return (no - beta * logsigmoid(compared.own)) / (number + 1)

    def beta(self, alpha: Tensor) -> Tensor:
        """The power of the target's logistic: alpha (t (1 - 1/alpha) + 1/alpha), multiplied out.

        Args:
            alpha: the share of the items other than the target that is drawn.
        """
        return self.calibration * (alpha - 1) + 1
