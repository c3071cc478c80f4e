"""What makes steps of gradients: the interface that trainings use, and our own, which load no compiler.

`torch.optim.Optimizer` imports torch's compiler when the first of its kind is made: some eight hundred modules, a
second or two and seventy megabytes, for a training that compiles nothing. What is made here does without.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam


class Stepper(Protocol):
    """What makes the steps of one training."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameters in groups, each with its learning rate "lr"."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients."""

    def step(self) -> Any:
        """One step down the gradients that the parameters hold."""

    def state_dict(self) -> dict[str, Any]:
        """{"state": {place of a parameter: {name: tensor}}, "param_groups": [...]}."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a state."""


class Stateful(ABC):
    """A stepper that keeps tensors for each parameter; places are counted through all groups.

    Args:
        groups: each with its "params" and what else is a group's own.
        learning_rate: of all groups; "lr" of a group sets it for the next step.
    """

    def __init__(self, groups: Iterable[Mapping[str, Any]], learning_rate: float) -> None:
        self._groups: list[dict[str, Any]] = [
            dict(group) | {"params": list(group["params"]), "lr": learning_rate} for group in groups
        ]
        self._state: dict[Tensor, dict[str, Tensor]] = {}

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups, to be changed in place."""
        return self._groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients, or fills them with zeros."""
        for parameter in self._parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()

    @torch.no_grad()
    def step(self) -> None:
        """One step of the parameters that have a gradient."""
        for group in self._groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._follow(group, parameters, [p.grad for p in parameters])

    @abstractmethod
    def _follow(self, group: Mapping[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """Moves some parameters of a group along their gradients."""

    @abstractmethod
    def _begun(self, parameter: Tensor) -> dict[str, Tensor]:
        """The state of a parameter before its first step."""

    def state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        """What is kept of a parameter, to be changed in place."""
        if parameter not in self._state:
            self._state[parameter] = self._begun(parameter)
        return self._state[parameter]

    def state_dict(self) -> dict[str, Any]:
        """{"state": {place of a parameter: {name: tensor}}, "param_groups": [...]}."""
        places = {parameter: place for place, parameter in enumerate(self._parameters())}
        return {
            "state": {places[parameter]: dict(state) for parameter, state in self._state.items()},
            "param_groups": [
                group | {"params": [places[parameter] for parameter in group["params"]]}
                for group in self._groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on from a copy of a state, on the device of the parameters and in the types of a new one.

        Raises:
            ValueError: it is of other groups of parameters.
        """
        groups = state_dict["param_groups"]
        sizes = [len(group["params"]) for group in self._groups]
        if [len(group["params"]) for group in groups] != sizes:
            raise ValueError("The state is of other groups of parameters than these.")
        for own, kept in zip(self._groups, groups, strict=True):
            own.update({name: value for name, value in kept.items() if name != "params"})
        parameters = self._parameters()
        self._state = {}
        for place, state in state_dict["state"].items():
            new = self.state_of(parameters[place])
            new.update({name: state[name].to(tensor, copy=True) for name, tensor in new.items()})

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self._groups for parameter in group["params"]]


class Moments(Stateful):
    """Steps by running means of each gradient and its square, as Adam and AdamW have them, in one fused kernel.

    States are those of `torch.optim.Adam` and `torch.optim.AdamW`, and so are the numbers, bit for bit.

    Args:
        groups: each with its "params" and its "weight_decay".
        learning_rate: of all groups; "lr" of a group sets it for the next step.
        betas: weights of the past in the mean of the gradient and in that of its square.
        epsilon: added to the root of the latter.
        decoupled: whether weights decay apart from the gradient (AdamW) or as a part of it (Adam).
    """

    def __init__(
        self,
        groups: Iterable[Mapping[str, Any]],
        learning_rate: float,
        betas: tuple[float, float],
        epsilon: float,
        *,
        decoupled: bool,
    ) -> None:
        super().__init__(groups, learning_rate)
        self._betas, self._epsilon, self._decoupled = betas, epsilon, decoupled

    def _begun(self, parameter: Tensor) -> dict[str, Tensor]:
        return {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        }

    def _follow(self, group: Mapping[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        if any(gradient.is_sparse for gradient in gradients):
            raise RuntimeError(
                "Adam's means need whole gradients: the optimiser 'rowwise' takes sparse ones."
            )
        states = [self.state_of(parameter) for parameter in parameters]
        adam(
            parameters,
            gradients,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=self._betas[0],
            beta2=self._betas[1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=self._epsilon,
            maximize=False,
            decoupled_weight_decay=self._decoupled,
        )
