"""The causal Transformer: every step attends to itself and to what came before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from ensue.errors import ConfigError
from ensue.models.neural.blocks import BLOCKS, FEED_FORWARDS, POSITIONS, Block, check_choice, check_heads
from ensue.network import Batch, Encoder, State
from ensue.neural_model import NeuralModel
from ensue.spaces import ATTENTION, NETWORK, OneOf, Space


class TransformerEncoder(Encoder):
    """A stack of causal blocks that know the order of their steps.

    Positions are learnt vectors, counted from the first event of the window, or rotary: told by distance alone.
    Every sum is normed once: where it is used (pre-norm, gated; the last one at the end), or where it is made
    (post-norm; the first one, of inputs and positions, at the beginning).
    """

    def __init__(
        self,
        width: int,
        length: int,
        blocks: int,
        heads: int,
        dropout: float,
        rotary: bool = False,
        kind: str = "pre-norm",
        feed_forward: str = "gelu",
        expansion: int = 4,
    ) -> None:
        super().__init__()
        self.cache = (blocks, heads, length, width // heads)
        self.norm_first = kind == "post-norm"
        self.positions = None if rotary else nn.Parameter(torch.empty(length, width))
        if self.positions is not None:
            nn.init.normal_(self.positions, std=0.02)
        self.blocks = nn.ModuleList(
            Block(width, heads, dropout, rotary, kind, feed_forward, expansion) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """`[B, T, D]` the state after each step; T is at most the window's length."""
        x = self._placed(x)
        for block in self.blocks:
            x = block(x)
        return self._left(x)

    def at(self, x: Tensor, batch: Batch, asked: Tensor) -> Tensor:
        """`[B, S, D]`: the last block is computed for the steps that are asked about alone."""
        if len(self.blocks) == 0:
            return super().at(x, batch, asked)
        *before, last = self.blocks
        x = self._placed(x)
        for block in before:
            x = block(x)
        return self._left(cast(Block, last).at(x, asked))

    def _placed(self, x: Tensor) -> Tensor:
        """Inputs as the first block takes them."""
        if self.positions is not None:
            x = x + self.positions[: x.shape[1]]
        return self.norm(x) if self.norm_first else x

    def _left(self, x: Tensor) -> Tensor:
        """States as the last block gives them, normed once."""
        return x if self.norm_first else self.norm(x)

    def begin(self, rows: int) -> State:
        """Keys and values `[B, blocks, H, L, h]` of no step yet, and how many steps there were, `[B]`."""
        empty = self.norm.weight.new_zeros((rows, *self.cache))
        return empty, empty.clone(), torch.zeros(rows, dtype=torch.int64, device=empty.device)

    def step(self, x: Tensor, state: State, batch: Batch) -> tuple[Tensor, State]:
        """`[B, D]` the state after one more step, equal to `forward` up to the window's length.

        Past it the oldest step is forgotten, though what later ones took from it is not.
        """
        keys, values, steps = state
        if self.positions is not None:
            x = x + self.positions[steps.clamp(max=len(self.positions) - 1)]
        if self.norm_first:
            x = self.norm(x)
        kept: list[tuple[Tensor, Tensor]] = []
        for place, block in enumerate(self.blocks):
            x, key, value = cast(Block, block).step(x, keys[:, place], values[:, place], steps)
            kept.append((key, value))
        if kept:
            keys, values = (torch.stack(cache, dim=1) for cache in zip(*kept, strict=True))
        return x if self.norm_first else self.norm(x), (keys, values, steps + 1)


@dataclass(frozen=True)
class Transformer(NeuralModel):
    """A causal Transformer trained on all positions, scored against the item vectors.

    Attributes:
        blocks: how many blocks.
        heads: attention heads; they divide the width.
        positions: "rotary" (attention knows how far back a step lies) or "learnt" (a vector for each place in the
            window).
        block: where a block norms and how it adds: "pre-norm", "post-norm" or "gated" (see `Block`).
        feed_forward: what follows attention: "gelu" or "relu" (two layers), or "swiglu" (gated units).
        expansion: how many times as wide as the states that is inside: 4 as in the first Transformer, 1 as in SASRec.

    References:
        Kang, McAuley, "Self-attentive sequential recommendation" (SASRec), ICDM 2018; the full softmax loss as in
        Klenitskiy, Vasilev, "Turning dross into gold loss", RecSys 2023, arXiv:2309.07602; "gated" with "swiglu" as
        in LiGR, arXiv:2502.03417.
    """

    name: ClassVar[str] = "transformer"
    summary: ClassVar[str] = "a causal attention network, all positions trained"
    space: ClassVar[Space] = {
        **NETWORK,
        **ATTENTION,
        "block": OneOf(("pre-norm", "gated")),
        "feed_forward": OneOf(("gelu", "swiglu")),
    }

    dropout: float = 0.3
    temperature: float = 0.1
    blocks: int = 2
    heads: int = 2
    positions: str = "rotary"
    block: str = "pre-norm"
    feed_forward: str = "gelu"
    expansion: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.name, self.width, self.heads, self.positions == "rotary")
        check_choice(self.name, "positions", self.positions, POSITIONS)
        check_choice(self.name, "block", self.block, BLOCKS)
        check_choice(self.name, "feed_forward", self.feed_forward, FEED_FORWARDS)
        if self.expansion < 1:
            raise ConfigError(f"{self.name}: expansion={self.expansion} must be at least 1.")

    def encoder(self) -> Encoder:
        """The stack of causal blocks."""
        return TransformerEncoder(
            self.width,
            self.length,
            self.blocks,
            self.heads,
            self.dropout,
            self.positions == "rotary",
            self.block,
            self.feed_forward,
            self.expansion,
        )
