"""Recurrent networks: the state is carried from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from ensue.training import NeuralModel


class RecurrentEncoder(nn.Module):
    """A stack of recurrent layers, with dropout between them and a norm at the end: `[B, T, D]` to `[B, T, D]`."""

    def __init__(self, cell: type[nn.LSTM], width: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.recurrence = cell(
            width, hidden, num_layers=layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
        )
        self.out = nn.Linear(hidden, width) if hidden != width else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

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

    References:
        Hochreiter, Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997; forget gate by Gers et al.,
        2000. For next items: Hidasi et al., "Session-based recommendations with recurrent neural networks", ICLR 2016.
    """

    name: ClassVar[str] = "lstm"
    summary: ClassVar[str] = "a recurrent network with gates"

    hidden: int = 0
    layers: int = 1

    def encoder(self) -> nn.Module:
        """The recurrent stack."""
        return RecurrentEncoder(nn.LSTM, self.width, self.hidden or self.width, self.layers, self.dropout)
