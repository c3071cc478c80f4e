"""What an optimiser step needs beside the gradient: the rate, what decays, where it runs, and whose random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ensue.errors import ConfigError, nearest
from ensue.model import Conditions

SCHEDULES = ("cosine", "linear", "constant")
"""How the rate goes on after the warm-up: down along half a cosine, down in a line, or as it is."""

LOWEST = 0.01
"""The share of the peak at which a falling rate ends."""


def rate(step: int, horizon: int, warmup: float, schedule: str = "cosine") -> float:
    """The share of the peak learning rate at a step: a linear rise, then what the schedule says.

    Args:
        step: from 0.
        horizon: how many steps there will be; later ones stay where the schedule ends.
        warmup: share of the steps over which the rate rises.
        schedule: one of `SCHEDULES`; a falling rate ends at a hundredth.

    Raises:
        ConfigError: there is no such schedule.

    References:
        Goyal et al., "Accurate, large minibatch SGD", arXiv:1706.02677, section 2.2 (gradual warm-up); Loshchilov,
        Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5 (cosine, no restart).
    """
    if schedule not in SCHEDULES:
        known = ", ".join(SCHEDULES)
        raise ConfigError(f"schedule='{schedule}' must be one of {known}.{nearest(schedule, SCHEDULES)}")
    rise = max(int(horizon * warmup), 1)
    if step < rise:
        return (step + 1) / rise
    done = min((step - rise) / max(horizon - rise, 1), 1.0)
    if schedule == "constant":
        return 1.0
    left = 0.5 * (1 + np.cos(np.pi * done)) if schedule == "cosine" else 1 - done
    return float(LOWEST + (1 - LOWEST) * left)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: matrices of layers decay; vectors do not, nor tables, unless the network `decays_tables`."""
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.RNNBase)]
    matrices = {id(p) for layer in layers for p in layer.parameters(recurse=False) if p.dim() == 2}
    parameters = list(network.parameters())
    if getattr(network, "decays_tables", False):
        matrices |= {id(p) for p in parameters if p.dim() == 2}
    return [
        {"params": [p for p in parameters if id(p) in matrices], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) not in matrices], "weight_decay": 0.0},
    ]


def clipped(parameters: list[nn.Parameter], most: float, factor: float = 1.0) -> None:
    """Multiplies all gradients by a factor, and then shortens them, together, to a largest norm.

    Gradients that hold some rows of a table alone are taken at these rows.

    Args:
        parameters: those with a gradient count.
        most: the largest norm of all gradients as one vector.
        factor: multiplies them first.
    """
    values = []
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            values.append(parameter.grad._values())
        else:
            values.append(parameter.grad)
    if not values:
        return
    if abs(factor - 1) > 1e-9:
        torch._foreach_mul_(values, factor)
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(values)))
    torch._foreach_mul_(values, (most / (norm + 1e-6)).clamp(max=1.0))


def load_parameters(network: nn.Module, values: list[Tensor]) -> None:
    """Sets the parameters of a network, in their order."""
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), values, strict=True):
            parameter.copy_(value)


def device_of(wanted: str) -> torch.device:
    """The device of a name; "auto" is a GPU if there is one.

    Raises:
        ConfigError: this torch or this machine has no such device.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=wanted).device
    except (RuntimeError, AssertionError) as fault:
        raise ConfigError(
            f"device='{wanted}' is no device of this torch and machine: take 'cpu' or 'auto'."
        ) from fault


def seed_of(*numbers: int) -> int:
    """A seed made of numbers: the run's seed, a step, a process."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint32)[0])


@contextmanager
def apart(conditions: Conditions) -> Iterator[None]:
    """Seeds torch for one fit, and leaves the caller's random state and thread setting as they were."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed_of(conditions.seed))
        if conditions.threads:
            torch.set_num_threads(conditions.threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
