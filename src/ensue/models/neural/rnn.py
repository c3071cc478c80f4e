"""Recurrent networks: the state is carried from step to step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ensue.dropout import Dropout
from ensue.errors import ConfigError, nearest
from ensue.network import Batch, Encoder, State
from ensue.neural_model import NeuralModel
from ensue.spaces import NETWORK, OneOf, Space, Whole

ACTIVATIONS = ("tanh", "relu")


class Elman(nn.RNN):
    """Torch's plain recurrent layers, which go into an exported graph as one operator each, for any number of steps.

    Torch's own export of these layers writes out one copy of the cell for each step of the example.
    """

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """`[B, T, D]` inputs to `[B, T, H]` states of the top layer and `[L, B, H]` last states of all."""
        if not torch.compiler.is_exporting():
            return super().forward(x, state)
        states, last = x.transpose(0, 1), []
        for layer in range(self.num_layers):
            weights = [
                self.get_parameter(f"{name}_l{layer}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            w, u, bias = weights[0][None], weights[1][None], torch.cat((weights[2], weights[3]))[None]
            states = torch.onnx.ops.symbolic(
                "RNN",
                (states, w, u, bias),
                {"hidden_size": self.hidden_size, "activations": [self.nonlinearity.capitalize()]},
                dtype=x.dtype,
                shape=(x.shape[1], 1, x.shape[0], self.hidden_size),
            ).squeeze(1)
            last.append(states[-1])
        return states.transpose(0, 1), torch.stack(last)


class RecurrentEncoder(Encoder):
    """A stack of recurrent layers, with dropout between them and a norm at the end: `[B, T, D]` to `[B, T, D]`.

    Args:
        cell: the kind of layer.
        width: `D`.
        hidden: units of each layer.
        layers: how many.
        dropout: share of the layers' outputs set to zero while training.
        memory: how many steps the gates of an LSTM begin by remembering; 0 begins with gates that are half open.
        inputs: size of the inputs, where it is not `D`.
        norm: bring the state after each step to mean 0 and variance 1.
        settings: of the kind of layer alone.
    """

    def __init__(
        self,
        cell: Callable[..., nn.RNNBase],
        width: int,
        hidden: int,
        layers: int,
        dropout: float,
        memory: int = 0,
        *,
        inputs: int = 0,
        norm: bool = True,
        **settings: str,
    ) -> None:
        super().__init__()
        between = dropout if layers > 1 else 0.0
        self.recurrence = cell(
            inputs or width, hidden, num_layers=layers, batch_first=True, dropout=between, **settings
        )
        self.out = nn.Linear(hidden, width) if hidden != width else nn.Identity()
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        if memory:
            self._remember(memory)

    @property
    def carrying(self) -> int:
        """How many layers there are: what they carry from event to event is all that a later answer needs."""
        return self.recurrence.num_layers

    def _remember(self, steps: int) -> None:
        """Begins with units that forget within 2 to `steps` steps, evenly: each with its own span."""
        for name, bias in self.recurrence.named_parameters():
            if name.startswith("bias_ih"):
                take, forget, _, _ = bias.data.chunk(4)
                forget.copy_(torch.log(torch.empty_like(forget).uniform_(1, steps - 1)))
                take.copy_(-forget)
            elif name.startswith("bias_hh"):
                bias.data[: bias.shape[0] // 2] = 0

    def finished(self, states: Tensor) -> Tensor:
        """`[..., D]` what the head reads, from `[..., H]` states of the top layer."""
        normed: Tensor = self.norm(self.out(self.dropout(states)))
        return normed

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """`[B, T, D]` the state after each step."""
        states, _ = self.recurrence(x)
        return self.finished(states)

    def begin(self, rows: int) -> State:
        """Zeros, `[B, L, H]`: the states of the layers, and for an LSTM their cells too."""
        weight = self.recurrence.get_parameter("weight_hh_l0")
        kinds = 2 if isinstance(self.recurrence, nn.LSTM) else 1
        return (weight.new_zeros(rows, self.recurrence.num_layers, self.recurrence.hidden_size),) * kinds

    def step(self, x: Tensor, state: State, batch: Batch) -> tuple[Tensor, State]:
        """`[B, D]` the state after one more event, and all that the next step needs."""
        held = tuple(part.transpose(0, 1).contiguous() for part in state)
        gated = isinstance(self.recurrence, nn.LSTM)
        states, last = self.recurrence(x[:, None], held if gated else held[0])
        parts = last if gated else (last,)
        return self.finished(states[:, 0]), tuple(part.transpose(0, 1) for part in parts)


@dataclass(frozen=True)
class _Recurrent(NeuralModel):
    """What the recurrent networks have in common.

    States are as wide as the item vectors where these score, by a linear layer if need be; with a table of its own
    (`tied=False`) a network scores its units as they are.

    Attributes:
        hidden: units of each layer; 0 takes the width of the item vectors.
        layers: how many layers.
    """

    small_steps: ClassVar[bool] = True

    hidden: int = 0
    layers: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden < 0 or self.layers < 1:
            raise ConfigError(
                f"{self.name}: hidden={self.hidden}, layers={self.layers}: "
                "hidden is at least 1, or 0 for the width; layers are at least 1."
            )

    @property
    def units(self) -> int:
        """Units of each layer."""
        return self.hidden or self.width

    @property
    def states_width(self) -> int:
        """Size of the states that items are scored against."""
        return self.width if self.scores_tied else self.units

    def stack(self, cell: Callable[..., nn.RNNBase], memory: int = 0, **settings: str) -> RecurrentEncoder:
        """Layers of a kind of cell, freshly initialised."""
        return RecurrentEncoder(
            cell,
            self.states_width,
            self.units,
            self.layers,
            self.dropout,
            memory,
            inputs=self.width,
            norm=True,
            **settings,
        )


@dataclass(frozen=True)
class RNN(_Recurrent):
    """A plain recurrent network: h_t = f(W x_t + U h_{t-1} + b), scored against the item vectors.

    It has no gates, so what it has read fades, or grows, by the same matrix at every step: a few events of memory.

    Attributes:
        hidden: units of each layer; 0 takes the width of the item vectors.
        layers: how many layers.
        activation: f, "tanh" or "relu".

    References:
        Elman, "Finding structure in time", Cognitive Science 14(2), 1990; relu units as in Le, Jaitly, Hinton, "A
        simple way to initialize recurrent networks of rectified linear units", arXiv:1504.00941.
    """

    name: ClassVar[str] = "rnn"
    summary: ClassVar[str] = "a recurrent network without gates"
    space: ClassVar[Space] = {**NETWORK, "layers": Whole(1, 2), "activation": OneOf(("tanh", "relu"))}

    activation: str = "tanh"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation not in ACTIVATIONS:
            known = " or ".join(ACTIVATIONS)
            raise ConfigError(
                f"rnn: activation='{self.activation}' must be {known}.{nearest(self.activation, ACTIVATIONS)}"
            )

    def encoder(self) -> Encoder:
        """The recurrent stack."""
        return self.stack(Elman, nonlinearity=self.activation)


@dataclass(frozen=True)
class LSTM(_Recurrent):
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
    space: ClassVar[Space] = {**NETWORK, "layers": Whole(1, 2), "memory": OneOf((0, 10, 50))}

    memory: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.memory < 0 or self.memory in (1, 2):
            raise ConfigError(f"lstm: memory={self.memory} must be at least 3 steps, or 0 for none.")

    def encoder(self) -> Encoder:
        """The recurrent stack."""
        return self.stack(nn.LSTM, self.memory)


@dataclass(frozen=True)
class GRU(_Recurrent):
    """Gated recurrent units over the history, scored against the item vectors.

    r, z = sigmoid(W x_t + U h_{t-1} + b); n = tanh(W x_t + b + r (U h_{t-1} + b')); h_t = (1 - z) n + z h_{t-1}. The
    reset gate r acts on the product with U, as in the fused kernels, and not on h_{t-1} before it.

    Attributes:
        hidden: units of each layer; 0 takes the width of the item vectors.
        layers: how many layers.

    References:
        Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014, equations 5 to 8.
    """

    name: ClassVar[str] = "gru"
    summary: ClassVar[str] = "a recurrent network with two gates"
    space: ClassVar[Space] = {**NETWORK, "layers": Whole(1, 2)}

    def encoder(self) -> Encoder:
        """The recurrent stack."""
        return self.stack(nn.GRU)
