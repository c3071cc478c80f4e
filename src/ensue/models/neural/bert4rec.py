"""BERT4Rec: a Transformer that looks both ways and learns to fill gaps; what comes next is a gap at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self, cast

import torch
from torch import Tensor, nn

from ensue.errors import ConfigError, ModelError
from ensue.models.neural.blocks import (
    BLOCKS,
    FEED_FORWARDS,
    POSITIONS,
    Block,
    check_choice,
    check_heads,
    events,
)
from ensue.network import Batch, Encoder, Network, Sought, State
from ensue.neural_model import NeuralModel
from ensue.sequences import Sequences
from ensue.spaces import ATTENTION, NETWORK, Real, Space

LEAST_SHARE = 0.1
"""Automatic epochs grow as one over the share of places that each trains, down to this share."""


class BertEncoder(Encoder):
    """Blocks in which every place attends to all real places of its row: `[B, T, D]` to `[B, T, D]`.

    Places are counted from the end of the row, the last one being 0: there a short history stands where the end of a
    long one does, and the place that is asked about is the same for all.

    Args:
        width: `D`.
        length: the most places of a row, one for each event of the window and one to be filled.
        blocks: how many.
        heads: of each.
        dropout: share of the sublayers' outputs set to zero while training.
        rotary: positions by rotation, not by learnt vectors.
        kind: of block.
        feed_forward: of block.
        shares: chance that training hides a place, and share of rows of which it hides the last place alone.
    """

    def __init__(
        self,
        width: int,
        length: int,
        blocks: int,
        heads: int,
        dropout: float,
        rotary: bool,
        kind: str,
        feed_forward: str,
        shares: tuple[float, float],
    ) -> None:
        super().__init__()
        self.shares = shares
        self.norm_first = kind == "post-norm"
        self.mask = nn.Parameter(torch.empty(width))
        nn.init.normal_(self.mask, std=0.02)
        self.positions = None if rotary else nn.Parameter(torch.empty(length, width))
        if self.positions is not None:
            nn.init.normal_(self.positions, std=0.02 * width**0.5)
        self.blocks = nn.ModuleList(
            Block(width, heads, dropout, rotary, kind, feed_forward) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """`[B, T, D]` what each place says of itself, seen from all real places of its row."""
        real = batch.items < batch.n_items
        places = real.sum(dim=1, keepdim=True) - real.cumsum(dim=1)
        if self.positions is not None:
            x = x + nn.functional.embedding(places, self.positions)
        if self.norm_first:
            x = self.norm(x)
        for block in self.blocks:
            x = block(x, real, places)
        out: Tensor = self.out(x if self.norm_first else self.norm(x))
        return out

    def begin(self, rows: int) -> State:
        """Nothing: one more event changes what all before it say.

        Raises:
            ModelError: always.
        """
        raise ModelError("bert4rec looks both ways and carries no state: answer from the whole window.")

    def step(self, x: Tensor, state: State, batch: Batch) -> tuple[Tensor, State]:
        """Nothing, as `begin`.

        Raises:
            ModelError: always.
        """
        raise ModelError("bert4rec looks both ways and carries no state: answer from the whole window.")


class BertNetwork(Network):
    """Trained to fill hidden places, and asked to fill one more after the last event."""

    causal = False

    def sought(self, batch: Batch) -> Sought:
        """What a batch trains: queries `[M, D]` at hidden places, and the items `[M]` that they hide.

        A row's places are its events and the item after the last of them. An event that is read as no item is a place
        too, whose item is known as what came after the event before it; that of a row's first event is not.
        """
        if batch.later is None:
            raise ValueError("a training batch holds the items one step later")
        n, count = batch.n_items, events(batch.items, batch.later, batch.n_items)
        last = batch.later.gather(1, count - 1)
        place = torch.arange(batch.items.shape[1], device=count.device).expand_as(batch.items)
        told = torch.cat([batch.items[:, :1], batch.later[:, :-1]], dim=1)
        told = torch.where((batch.items == n) & (place < count), told, batch.items)
        items, order = torch.cat([told, last], dim=1), torch.cat([place, count], dim=1)
        real, hidden = hiding(items < n, order, *cast(BertEncoder, self.encoder).shares)
        shown = torch.where(hidden | ~real, n, torch.cat([batch.items, last], dim=1))
        x = torch.cat(
            [
                self.embedded(Batch(shown[:, :-1], n, batch.fields)),
                self._entered(self.items(shown[:, -1:]), batch.fields),
            ],
            dim=1,
        )
        row = torch.arange(len(order), device=order.device)[:, None] * batch.items.shape[1]
        before = torch.where(order > 0, row + order - 1, -1)
        states = self._filled(x, hidden, real, n, batch.fields)[hidden]
        return Sought(self.when(states, batch, before[hidden]), items[hidden], before[hidden])

    def after(self, batch: Batch, asked: Tensor, places: Tensor) -> Tensor:
        """`[Q, D]` what each prefix says of the place after it; the prefixes stand in rows of their own."""
        rows, steps = places // asked.shape[1], asked.flatten()[places]
        x = self.embedded(batch)[rows]
        fields = {name: values[rows] for name, values in batch.fields.items()}
        before = torch.arange(batch.items.shape[1], device=steps.device) <= steps[:, None]
        last = torch.ones_like(before[:, :1])
        real = torch.cat([before, last], dim=1)
        hidden = torch.cat([torch.zeros_like(before), last], dim=1)
        x = torch.cat([x, torch.zeros_like(x[:, :1])], dim=1)
        return self._filled(x, hidden, real, batch.n_items, fields)[:, -1]

    def _filled(
        self, x: Tensor, hidden: Tensor, real: Tensor, n: int, fields: Mapping[str, Tensor]
    ) -> Tensor:
        """`[B, T, D]` the states of all places, once the mask stands in the hidden ones."""
        mask = self._entered(cast(BertEncoder, self.encoder).mask.expand(x.shape), fields)
        x = torch.where(hidden[..., None], mask, x)
        states: Tensor = self.encoder(x, Batch(torch.where(real, 0, n), n))
        return states if self.users is None else self.users.leave(states, fields["user"])

    def _entered(self, vectors: Tensor, fields: Mapping[str, Tensor]) -> Tensor:
        """`[B, T, D]` inputs of places of which nothing but the item is known, or not even that."""
        x = vectors * self.input_scale
        if self.users is not None:
            x = self.users.enter(x, fields["user"])
        dropped: Tensor = self.dropout(x)
        return dropped


def hiding(real: Tensor, order: Tensor, share: float, last_share: float) -> tuple[Tensor, Tensor]:
    """`[B, T]` bool each: the places that training reads, and those among them that it hides, at least one in each row.

    Args:
        real: `[B, T]` bool, the places that are no padding.
        order: `[B, T]` int64 rank of each place in its row, that of the last column being the greatest.
        share: chance that a place is hidden.
        last_share: share of rows that are cut after a place, each but the first with the same chance, which alone is
            hidden: questions as they will be asked, of every length.
    """
    number = torch.rand(real.shape, device=real.device).masked_fill(~real, 2.0)
    hidden = ((number < share) | (number == number.amin(dim=1, keepdim=True))) & real
    asked = torch.rand(len(real), 1, device=real.device) < last_share
    cut = 1 + (torch.rand(len(real), 1, device=real.device) * order[:, -1:]).to(torch.int64)
    read = real & (~asked | (order <= cut))
    return read, torch.where(asked, order == cut, hidden) & read


@dataclass(frozen=True)
class BERT4Rec(NeuralModel):
    """A bidirectional Transformer trained to fill hidden places, scored against the item vectors.

    It trains fewer places per pass than a causal network and answers each history in a row of its own: it needs
    several times the epochs, and several times the time to answer.

    Attributes:
        bias: learn a number per item, as published.
        blocks: how many blocks.
        heads: attention heads; they divide the width.
        positions: "learnt" (a vector for each place, counted from the end) or "rotary" (told by distance alone).
        block: where a block norms and how it adds: "post-norm" (as published), "pre-norm" or "gated".
        feed_forward: what follows attention: "gelu" (as published), "relu" or "swiglu".
        mask_share: chance that a place is hidden in training; at least one of each row is.
        last_share: share of rows that are cut after a random place, which alone is hidden, as in every question.

    References:
        Sun et al., "BERT4Rec: sequential recommendation with bidirectional encoder representations from Transformer",
        CIKM 2019, arXiv:1904.06690: blocks of section 3.3, output of equation 7 (with a norm before the table, as in
        BERT), hiding of section 3.6. Enough of training matters most: Petrov, Macdonald, RecSys 2022,
        arXiv:2207.07483.
    """

    name: ClassVar[str] = "bert4rec"
    summary: ClassVar[str] = "a network that looks both ways and fills gaps"
    space: ClassVar[Space] = {
        **NETWORK,
        **ATTENTION,
        "mask_share": Real(0.1, 0.6),
        "last_share": Real(0.0, 0.9),
    }
    network_class: ClassVar[type[Network]] = BertNetwork

    bias: bool = True
    temperature: float = 0.1
    blocks: int = 2
    heads: int = 2
    positions: str = "learnt"
    block: str = "post-norm"
    feed_forward: str = "gelu"
    mask_share: float = 0.3
    last_share: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.name, self.width, self.heads, self.positions == "rotary")
        check_choice(self.name, "positions", self.positions, POSITIONS)
        check_choice(self.name, "block", self.block, BLOCKS)
        check_choice(self.name, "feed_forward", self.feed_forward, FEED_FORWARDS)
        for setting in ("mask_share", "last_share"):
            if not 0 <= getattr(self, setting) <= 1:
                raise ConfigError(f"{self.name}: {setting}={getattr(self, setting):g} must lie from 0 to 1.")

    def encoder(self) -> Encoder:
        """The stack of blocks, with one place more than the window has events."""
        return BertEncoder(
            self.width,
            self.length + 1,
            self.blocks,
            self.heads,
            self.dropout,
            self.positions == "rotary",
            self.block,
            self.feed_forward,
            (self.mask_share, self.last_share),
        )

    def suited(self, sequences: Sequences, say: Callable[[str], None] = lambda text: None) -> Self:
        """The model with every setting that is left to the data filled in, each with its reason said.

        Args:
            sequences: what it will be trained on.
            say: told what was chosen and why.
        """
        model = super().suited(sequences, say)
        if self.epochs:
            return model
        epochs = math.ceil(model.epochs / max(self.mask_share, LEAST_SHARE))
        say(f"{self.name}: {epochs} epochs in their place, since each trains hidden places alone")
        return replace(model, epochs=epochs, patience=self.patience or math.ceil(epochs / 2))
