"""The causal Transformer: every step attends to itself and to what came before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ensue.errors import ConfigError
from ensue.training import NeuralModel


class CausalAttention(nn.Module):
    """Multi-head self-attention in which no step sees a later one: `[B, T, D]` to `[B, T, D]`.

    There is no dropout on the attention weights: it keeps the fused kernel from being used, and dropout on the
    sublayer's output regularises as well.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Softmax(Q K^T / sqrt(D / heads)) V over the steps up to each one."""
        b, t, d = x.shape
        q, k, v = self.project(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(b, t, d))
        return out


class Block(nn.Module):
    """Attention and a feed-forward layer, each on a normed input and added to what came in (pre-norm)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, D]`."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        out: Tensor = x + self.dropout(self.feed_forward(self.forward_norm(x)))
        return out


class TransformerEncoder(nn.Module):
    """Learnt positions, counted from the first event of the window, and a stack of causal blocks."""

    def __init__(self, width: int, length: int, blocks: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.empty(length, width))
        nn.init.normal_(self.positions, std=0.02)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, D]` the state after each step; T is at most the window's length."""
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads < 1 or self.width % self.heads:
            raise ConfigError(f"transformer: {self.heads} heads do not divide a width of {self.width}.")

    def encoder(self) -> nn.Module:
        """The stack of causal blocks."""
        return TransformerEncoder(self.width, self.length, self.blocks, self.heads, self.dropout)
