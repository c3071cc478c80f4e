"""The causal Transformer: every step attends to itself and to what came before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ensue.errors import ConfigError, nearest
from ensue.training import NeuralModel

POSITIONS = ("learnt", "rotary")
SLOWEST = 10_000.0
"""The base of the rotary rates: the slowest pair turns once in about 2 pi times this many steps."""


def rotated(x: Tensor) -> Tensor:
    """Queries or keys `[B, H, T, h]`, each pair of entries turned by an angle that grows with the step.

    The product of a query and a key turned so depends on how many steps lie between them, not on where they stand.

    References:
        Su et al., "RoFormer: enhanced transformer with rotary position embedding", arXiv:2104.09864, equation 34.
    """
    steps, size = x.shape[-2:]
    rates = SLOWEST ** (torch.arange(0, size, 2, dtype=x.dtype, device=x.device) / -size)
    angle = torch.arange(steps, dtype=x.dtype, device=x.device)[:, None] * rates
    cos, sin = angle.cos(), angle.sin()
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class CausalAttention(nn.Module):
    """Multi-head self-attention in which no step sees a later one: `[B, T, D]` to `[B, T, D]`.

    There is no dropout on the attention weights: it keeps the fused kernel from being used, and dropout on the
    sublayer's output regularises as well.
    """

    def __init__(self, width: int, heads: int, rotary: bool = False) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Softmax(Q K^T / sqrt(D / heads)) V over the steps up to each one."""
        b, t, d = x.shape
        q, k, v = self.project(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if self.rotary:
            q, k = rotated(q), rotated(k)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(b, t, d))
        return out


class Block(nn.Module):
    """Attention and a feed-forward layer, each on a normed input and added to what came in (pre-norm)."""

    def __init__(self, width: int, heads: int, dropout: float, rotary: bool = False) -> None:
        super().__init__()
        self.attention_norm, self.forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads, rotary)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, D]`."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        out: Tensor = x + self.dropout(self.feed_forward(self.forward_norm(x)))
        return out


class TransformerEncoder(nn.Module):
    """A stack of causal blocks that know the order of their steps.

    Positions are learnt vectors, counted from the first event of the window, or rotary: told by distance alone.
    """

    def __init__(
        self, width: int, length: int, blocks: int, heads: int, dropout: float, rotary: bool = False
    ) -> None:
        super().__init__()
        self.positions = None if rotary else nn.Parameter(torch.empty(length, width))
        if self.positions is not None:
            nn.init.normal_(self.positions, std=0.02)
        self.blocks = nn.ModuleList(Block(width, heads, dropout, rotary) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, D]` the state after each step; T is at most the window's length."""
        if self.positions is not None:
            x = x + self.positions[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.norm(x)
        return normed


@dataclass(frozen=True)
class Transformer(NeuralModel):
    """A causal Transformer trained on all positions, scored against the item vectors.

    Attributes:
        blocks: how many blocks.
        heads: attention heads; they divide the width.
        positions: "rotary" (attention knows how far back a step lies) or "learnt" (a vector for each place in the
            window).

    References:
        Kang, McAuley, "Self-attentive sequential recommendation" (SASRec), ICDM 2018; the full softmax loss as in
        Klenitskiy, Vasilev, "Turning dross into gold loss", RecSys 2023, arXiv:2309.07602; pre-norm as in Xiong et
        al., ICML 2020.
    """

    name: ClassVar[str] = "transformer"
    summary: ClassVar[str] = "a causal attention network, all positions trained"

    dropout: float = 0.3
    temperature: float = 0.1
    blocks: int = 2
    heads: int = 2
    positions: str = "rotary"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads < 1 or self.width % self.heads:
            raise ConfigError(f"transformer: {self.heads} heads do not divide a width of {self.width}.")
        if self.positions not in POSITIONS:
            known = " or ".join(POSITIONS)
            raise ConfigError(
                f"transformer: positions='{self.positions}' must be {known}.{nearest(self.positions, POSITIONS)}"
            )
        if self.positions == "rotary" and self.width // self.heads % 2:
            raise ConfigError(
                f"transformer: rotary positions turn pairs, and {self.width // self.heads} entries a head are odd."
            )

    def encoder(self) -> nn.Module:
        """The stack of causal blocks."""
        rotary = self.positions == "rotary"
        return TransformerEncoder(self.width, self.length, self.blocks, self.heads, self.dropout, rotary)
