"""Recurrent networks: the state is carried from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ensue.errors import ConfigError
from ensue.training import NeuralModel


class RecurrentEncoder(nn.Module):
    """A stack of recurrent layers, with dropout between them and a norm at the end: `[B, T, D]` to `[B, T, D]`.

    Args:
        cell: the kind of layer.
        width: `D`.
        hidden: units of each layer.
        layers: how many.
        dropout: share of the layers' outputs set to zero while training.
        memory: how many steps the gates begin by remembering; 0 begins with gates that are half open.
    """

    def __init__(
        self, cell: type[nn.LSTM], width: int, hidden: int, layers: int, dropout: float, memory: int = 0
    ) -> None:
        super().__init__()
        self.recurrence = cell(
            width, hidden, num_layers=layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
        )
        self.out = nn.Linear(hidden, width) if hidden != width else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        if memory:
            self._remember(memory)

    def _remember(self, steps: int) -> None:
        """Begins with units that forget within 2 to `steps` steps, evenly: each with its own span."""
        for name, bias in self.recurrence.named_parameters():
            if name.startswith("bias_ih"):
                take, forget, _, _ = bias.data.chunk(4)
                forget.copy_(torch.log(torch.empty_like(forget).uniform_(1, steps - 1)))
                take.copy_(-forget)
            elif name.startswith("bias_hh"):
                bias.data[: bias.shape[0] // 2] = 0

    def forward(self, inputs: Tensor) -> Tensor:
        """`[B, T, D]` the state after each step."""
        states, _ = self.recurrence(inputs)
        normed: Tensor = self.norm(self.out(self.dropout(states)))
        return normed


@dataclass(frozen=True)
class LSTM(NeuralModel):
    """Long short-term memory over the history, scored against the item vectors.

    Attributes:
        hidden: units of each layer; 0 takes the width of the item vectors.
        layers: how many layers.
        memory: how many steps its gates begin by remembering, 3 or more; 0 begins with gates that are half open, which
            learn from the nearest events first and may never find what lies ten steps back.

    References:
        Hochreiter, Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997; forget gate by Gers et al.,
        2000; memory as in Tallec, Ollivier, "Can recurrent neural networks warp time?", ICLR 2018, section 3. For next
        items: Hidasi et al., "Session-based recommendations with recurrent neural networks", ICLR 2016.
    """

    name: ClassVar[str] = "lstm"
    summary: ClassVar[str] = "a recurrent network with gates"

    hidden: int = 0
    layers: int = 1
    memory: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden < 0 or self.layers < 1:
            raise ConfigError(
                f"lstm: hidden={self.hidden}, layers={self.layers}: "
                "hidden is at least 1, or 0 for the width; layers are at least 1."
            )
        if self.memory < 0 or self.memory in (1, 2):
            raise ConfigError(f"lstm: memory={self.memory} must be at least 3 steps, or 0 for none.")

    def encoder(self) -> nn.Module:
        """The recurrent stack."""
        hidden = self.hidden or self.width
        return RecurrentEncoder(nn.LSTM, self.width, hidden, self.layers, self.dropout, self.memory)
