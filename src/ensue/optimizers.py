"""Optimisers: frozen dataclasses that build what makes a step of a gradient.

What they build has the interface of torch's own: `step`, `zero_grad`, `param_groups`, `state_dict` and
`load_state_dict`. The learning rate of a step is set in its parameter groups; weight decay falls on matrices alone. A
new optimiser is a new dataclass here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from ensue.described import component_of
from ensue.errors import ConfigError
from ensue.optimisation import parameter_groups
from ensue.registry import Registry
from ensue.rowwise import RowwiseAdagrad, Together, lookup_tables
from ensue.steppers import Moments, Stepper


@dataclass(frozen=True)
class Optimizer(ABC):
    """How a gradient becomes a step."""

    name: ClassVar[str]
    by_rows: ClassVar[bool] = False
    """Whether it follows gradients that hold some rows of a table alone."""

    @abstractmethod
    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Stepper:
        """A stepper for the parameters of a network.

        Args:
            network: what is trained, on the device where it is.
            learning_rate: peak; whoever trains sets the rate of each step.
            weight_decay: of the matrices of linear and recurrent layers, and of tables where the network is nothing
                else; vectors and norms have none.
        """


@dataclass(frozen=True)
class AdamW(Optimizer):
    """Steps scaled by running means of each gradient and its square; weights decay apart from them.

    Attributes:
        beta1: weight of the past in the mean of the gradient.
        beta2: weight of the past in the mean of its square.
        epsilon: added to the root of that square.

    References:
        Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """

    name: ClassVar[str] = "adamw"

    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _check_moments(self.name, self.beta1, self.beta2, self.epsilon)

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Stepper:
        """Torch's arithmetic, fused into one kernel."""
        return Moments(
            parameter_groups(network, weight_decay),
            learning_rate,
            (self.beta1, self.beta2),
            self.epsilon,
            decoupled=True,
        )


@dataclass(frozen=True)
class Adam(Optimizer):
    """Steps scaled by running means of each gradient and its square; weight decay is part of the gradient.

    Attributes:
        beta1: weight of the past in the mean of the gradient.
        beta2: weight of the past in the mean of its square.
        epsilon: added to the root of that square.

    References:
        Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """

    name: ClassVar[str] = "adam"

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _check_moments(self.name, self.beta1, self.beta2, self.epsilon)

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Stepper:
        """Torch's arithmetic, fused into one kernel."""
        return Moments(
            parameter_groups(network, weight_decay),
            learning_rate,
            (self.beta1, self.beta2),
            self.epsilon,
            decoupled=False,
        )


@dataclass(frozen=True)
class SGD(Optimizer):
    """Plain steps, or steps along a running sum of gradients. It needs a larger learning rate than Adam, about 0.1.

    Attributes:
        momentum: weight of the past in that sum; 0 takes each gradient by itself.
        nesterov: look one step ahead along the sum.

    References:
        Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, section 2.
    """

    name: ClassVar[str] = "sgd"

    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"sgd: momentum={self.momentum:g} must lie from 0 up to 1.")
        if self.nesterov and self.momentum == 0:
            raise ConfigError("sgd: nesterov looks ahead along the momentum, and momentum=0 is none.")

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Stepper:
        """Torch's own."""
        return torch.optim.SGD(
            parameter_groups(network, weight_decay),
            lr=learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
        )


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Steps divided by the root of all squared gradients so far: what is rare keeps long steps.

    It needs a larger learning rate than Adam, about 0.05, since its steps become shorter by themselves.

    Attributes:
        start: the sum of squares begins here.
        epsilon: added to its root.

    References:
        Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 12,
        2011, the diagonal version; the optimiser of GRU4Rec.
    """

    name: ClassVar[str] = "adagrad"

    start: float = 0.0
    epsilon: float = 1e-10

    def __post_init__(self) -> None:
        if self.start < 0 or self.epsilon <= 0:
            raise ConfigError(
                f"adagrad: start={self.start:g} must not be negative and epsilon={self.epsilon:g} must be above 0."
            )

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Stepper:
        """Torch's own."""
        return torch.optim.Adagrad(
            parameter_groups(network, weight_decay),
            lr=learning_rate,
            initial_accumulator_value=self.start,
            eps=self.epsilon,
        )


@dataclass(frozen=True)
class Rowwise(Optimizer):
    """For large catalogues: Adagrad with one number per row for lookup tables, AdamW for everything else.

    A table of N rows needs N numbers beside it in place of Adam's 2 N D, and rows without a gradient cost nothing when
    the gradient is sparse, and are not touched either way: tables never decay.

    Attributes:
        table_rate: the learning rate of tables, as a multiple of that of the rest.
        beta1: of AdamW.
        beta2: of AdamW.
        epsilon: added to the roots of both.

    References:
        As `ensue.rowwise.RowwiseAdagrad` and `AdamW`.
    """

    name: ClassVar[str] = "rowwise"
    by_rows: ClassVar[bool] = True

    table_rate: float = 10.0
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _check_moments(self.name, self.beta1, self.beta2, self.epsilon)
        if not 0 < self.table_rate < torch.inf:
            raise ConfigError(f"rowwise: table_rate={self.table_rate:g} must be above 0.")

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Stepper:
        """Two steppers that act as one."""
        tables = lookup_tables(network)
        apart = {id(table) for table in tables}
        groups = [
            group | {"params": [p for p in group["params"] if id(p) not in apart]}
            for group in parameter_groups(network, weight_decay)
        ]
        rest = Moments(groups, learning_rate, (self.beta1, self.beta2), self.epsilon, decoupled=True)
        if not tables:
            return rest
        return Together(
            [rest, RowwiseAdagrad(tables, learning_rate, factor=self.table_rate, epsilon=self.epsilon)]
        )


optimizers: Registry[Optimizer] = Registry(("ensue.optimizers",), Optimizer, "ensue.optimizers")
"""Every optimiser by name."""


def optimizer_of(described: str | Mapping[str, Any]) -> Optimizer:
    """An optimiser from its name, or from a table with its name and settings.

    Args:
        described: "adamw", or {"name": "sgd", "momentum": 0.9}.

    Raises:
        ConfigError: unknown name or setting, or a value of a wrong kind.
    """
    return component_of(optimizers, described, "optimizer", AdamW.name)


def _check_moments(name: str, beta1: float, beta2: float, epsilon: float) -> None:
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1 and epsilon > 0):
        raise ConfigError(
            f"{name}: beta1={beta1:g} and beta2={beta2:g} must lie from 0 up to 1, epsilon={epsilon:g} above 0."
        )
