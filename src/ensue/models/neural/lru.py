"""Linear recurrent units: a recurrence without a nonlinearity, so that all steps are computed at once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ensue.dropout import Dropout
from ensue.errors import ConfigError
from ensue.network import Batch, Encoder, State
from ensue.neural_model import NeuralModel
from ensue.spaces import NETWORK, Real, Space, Whole

SLOWEST_DECAY = 1e-6
"""The least -log |lambda| of a unit: single precision would round one that is smaller to |lambda| = 1."""

Pair = tuple[Tensor, Tensor]
"""Real and imaginary parts."""


def times(a: Pair, b: Pair) -> Pair:
    """The product of complex numbers."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def scan(factor: Pair, inputs: Pair, levels: int) -> Pair:
    """`[B, T, H]` the states h_t = factor h_{t-1} + inputs_t of all steps, from h_0 = 0, by doubling.

    After level k, step t holds the sum of factor^(t-s) inputs_s over the last 2^k steps s.

    Args:
        factor: `[H]`.
        inputs: `[B, T, H]`.
        levels: at least log2(T).

    References:
        Hillis, Steele, "Data parallel algorithms", CACM 29(12), 1986; as a linear recurrence Blelloch, "Prefix sums
        and their applications", 1990, section 1.4.
    """
    steps = inputs[0].shape[1]
    for level in range(levels):
        back = nn.functional.pad
        earlier = tuple(back(part, (0, 0, 2**level, 0))[:, :steps] for part in inputs)
        carried = times(factor, (earlier[0], earlier[1]))
        inputs = inputs[0] + carried[0], inputs[1] + carried[1]
        factor = times(factor, factor)
    return inputs


class LinearRecurrence(nn.Module):
    """h_t = lambda h_{t-1} + gamma B x_t, y_t = Re(C h_t) + D x_t with complex h: `[B, T, D]` to `[B, T, D]`.

    lambda = exp(-exp(nu) + i exp(theta)), so |lambda| < 1 whatever the parameters. It begins evenly on the ring
    between two radii, and gamma at sqrt(1 - |lambda|^2), with which the states begin no larger than the inputs.

    References:
        Orvieto et al., "Resurrecting recurrent neural networks for long sequences", ICML 2023, arXiv:2303.06349,
        sections 3.2 to 3.4 and lemma 3.2.
    """

    def __init__(self, width: int, hidden: int, r_min: float, r_max: float) -> None:
        super().__init__()
        self.hidden = hidden
        squared = torch.empty(hidden).uniform_(r_min**2, r_max**2).clamp_(1e-12)
        decay = (-0.5 * squared.log()).clamp_(min=SLOWEST_DECAY)
        self.nu = nn.Parameter(decay.log())
        self.theta = nn.Parameter((2 * math.pi * torch.rand(hidden)).clamp_(min=1e-6).log())
        self.gamma = nn.Parameter(0.5 * torch.log(-torch.expm1(-2 * decay)))
        self.take = nn.Linear(width, 2 * hidden, bias=False)
        self.give = nn.Linear(2 * hidden, width, bias=False)
        self.through = nn.Parameter(torch.randn(width))
        nn.init.normal_(self.take.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(self.give.weight, std=hidden**-0.5)

    def factor(self) -> Pair:
        """`[H]` lambda."""
        size = torch.exp(-(self.nu.exp() + SLOWEST_DECAY))
        angle = self.theta.exp()
        return size * angle.cos(), size * angle.sin()

    def taken(self, x: Tensor) -> Pair:
        """`[..., H]` gamma B x."""
        real, imaginary = self.take(x).chunk(2, dim=-1)
        size = self.gamma.exp()
        return real * size, imaginary * size

    def given(self, x: Tensor, state: Pair) -> Tensor:
        """`[..., D]` Re(C h) + D x; the sign of the imaginary product is part of C."""
        out: Tensor = self.give(torch.cat(state, dim=-1)) + self.through * x
        return out

    def forward(self, x: Tensor, levels: int) -> Tensor:
        """All steps at once, `levels` at least log2(T)."""
        return self.given(x, scan(self.factor(), self.taken(x), levels))

    def step(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        """One step: `[B, D]` the output, and `[B, H]` the state after it."""
        kept, new = times(self.factor(), state), self.taken(x)
        state = kept[0] + new[0], kept[1] + new[1]
        return self.given(x, state), state


class LRUBlock(nn.Module):
    """A linear recurrence and a feed-forward layer, each added to what came in and normed after it."""

    def __init__(self, width: int, hidden: int, dropout: float, r_min: float, r_max: float) -> None:
        super().__init__()
        self.recurrence = LinearRecurrence(width, hidden, r_min, r_max)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.recurrence_norm, self.forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def finished(self, x: Tensor, mixed: Tensor) -> Tensor:
        """`[..., D]` what leaves the block, of what came in and what the recurrence made of it."""
        x = self.recurrence_norm(x + self.dropout(mixed))
        out: Tensor = self.forward_norm(x + self.dropout(self.feed_forward(x)))
        return out


class LRUEncoder(Encoder):
    """A stack of blocks of linear recurrences, with a norm at its entrance: `[B, T, D]` to `[B, T, D]`."""

    def __init__(
        self, width: int, length: int, blocks: int, hidden: int, dropout: float, r_min: float, r_max: float
    ) -> None:
        super().__init__()
        self.length, self.hidden = length, hidden
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(LRUBlock(width, hidden, dropout, r_min, r_max) for _ in range(blocks))

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """`[B, T, D]` the state after each step. An exported graph has levels for the whole window, unused or not."""
        steps = self.length if torch.compiler.is_exporting() else x.shape[1]
        x = self.norm(x)
        for block in _typed(self.blocks):
            x = block.finished(x, block.recurrence(x, (steps - 1).bit_length()))
        return x

    def begin(self, rows: int) -> State:
        """Zeros, `[B, L, H]`: real and imaginary parts of the states of the blocks."""
        zeros = self.norm.weight.new_zeros(rows, len(self.blocks), self.hidden)
        return zeros, zeros

    def step(self, x: Tensor, state: State, batch: Batch) -> tuple[Tensor, State]:
        """`[B, D]` the state after one more event, in a time that does not depend on how many came before."""
        x = self.norm(x)
        after: list[Pair] = []
        for place, block in enumerate(_typed(self.blocks)):
            mixed, held = block.recurrence.step(x, (state[0][:, place], state[1][:, place]))
            x = block.finished(x, mixed)
            after.append(held)
        return x, tuple(torch.stack(parts, dim=1) for parts in zip(*after, strict=True))


def _typed(blocks: nn.ModuleList) -> Iterable[LRUBlock]:
    """The blocks, as what they are."""
    return (block for block in blocks if isinstance(block, LRUBlock))


@dataclass(frozen=True)
class LRU(NeuralModel):
    """Linear recurrent units over the history, scored against the item vectors.

    Its training grows as T log T with the window and one more event costs the same however long the history.

    Attributes:
        blocks: how many blocks.
        hidden: complex units of each block; 0 takes twice the width of the item vectors.
        r_min: the least |lambda| of a unit before training, from 0; it forgets within about 1 / (1 - r_min) steps.
        r_max: the greatest, up to 1.

    References:
        Yue et al., "Linear recurrent units for sequential recommendation" (LRURec), WSDM 2024, arXiv:2310.02367;
        Orvieto et al., "Resurrecting recurrent neural networks for long sequences", ICML 2023.
    """

    name: ClassVar[str] = "lru"
    summary: ClassVar[str] = "linear recurrences, all steps at once"
    space: ClassVar[Space] = {**NETWORK, "blocks": Whole(1, 4), "r_min": Real(0.0, 0.9)}

    blocks: int = 2
    hidden: int = 0
    r_min: float = 0.8
    r_max: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blocks < 1 or self.hidden < 0:
            raise ConfigError(
                f"lru: blocks={self.blocks}, hidden={self.hidden}: "
                "blocks are at least 1; hidden is at least 1, or 0 for twice the width."
            )
        if not 0 <= self.r_min <= self.r_max <= 1:
            raise ConfigError(
                f"lru: r_min={self.r_min:g}, r_max={self.r_max:g}: radii lie from 0 to 1, the lesser first."
            )

    def encoder(self) -> Encoder:
        """The stack of blocks."""
        hidden = self.hidden or 2 * self.width
        return LRUEncoder(self.width, self.length, self.blocks, hidden, self.dropout, self.r_min, self.r_max)
