"""GRU4Rec: gated recurrent units trained on many sequences side by side, one event at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ensue.batching import Ints, Stretches
from ensue.domain import Domain
from ensue.errors import ConfigError
from ensue.item_features import FeatureItems
from ensue.item_vectors import ItemTable
from ensue.models.neural.rnn import RecurrentEncoder
from ensue.network import Batch, Encoder, Network
from ensue.neural_model import NeuralModel
from ensue.sequences import Sequences
from ensue.side import Side, Users
from ensue.spaces import NETWORK, OneOf, Space


def side_by_side(offsets: Ints, lanes: int, steps: int, rng: np.random.Generator) -> Iterator[Stretches]:
    """The batches of one epoch: in each lane one sequence after another, `steps` events of each lane a batch.

    Every target of every sequence is in exactly one batch. Sequences are dealt to the lanes before the epoch begins,
    and follow each other there in random order. A batch gets narrower when lanes run out: the lane with most is row 0,
    so that those still running are always the first rows, and row b of a batch goes on from row b of the batch before.
    There are no more lanes than the longest sequence can be as long as: more would run out before it, and save no
    batch.

    Args:
        offsets: `[S+1]` of the sequences.
        lanes: the most rows of a batch.
        steps: the most inputs of a row. A row is shorter only where its sequence ends.
        rng: deals and orders the sequences.

    Yields:
        Rows that are `fresh` where a sequence begins.
    """
    first, last = offsets[:-1], offsets[1:] - 1
    pieces = np.maximum(-(-(last - first) // steps), 0)
    longest = np.lexsort((rng.random(len(pieces)), -pieces))[: np.count_nonzero(pieces)]
    if len(longest) == 0:
        return
    sizes = pieces[longest]
    lane, loads = dealt(sizes, min(lanes, int(sizes.sum() // sizes[0])))
    place = np.argsort(np.argsort(-loads, kind="stable"))[lane]
    order = np.lexsort((rng.random(len(longest)), place))
    queue, loads = longest[order], np.sort(loads)[::-1]
    turn = np.searchsorted(place[order], np.arange(len(loads)))
    done = np.zeros(len(loads), dtype=np.int64)
    widths = len(loads) - np.searchsorted(loads[::-1], np.arange(loads[0]), side="right")
    for width in widths:
        turn, done = turn[:width], done[:width]
        now = queue[turn]
        starts = first[now] + done * steps
        yield Stretches(starts, np.minimum(starts + steps, last[now]), done == 0)
        done = done + 1
        over = done == pieces[now]
        turn, done = turn + over, np.where(over, 0, done)


def dealt(sizes: Ints, lanes: int) -> tuple[Ints, Ints]:
    """Which lane each of some sequences goes to, so that all lanes have about the same to do.

    The longest first, each to the lane that has least so far; the lanes differ by one longest sequence at most. As many
    as that rule gives to different lanes one after the other are dealt at once, and at least an eighth of the lanes
    are, so that nothing runs once per sequence.

    Args:
        sizes: `[S]` falling.
        lanes: `L`.

    Returns:
        `[S]` lanes and `[L]` what each has to do.

    References:
        Graham, "Bounds on multiprocessing timing anomalies", SIAM Journal on Applied Mathematics 17(2), 1969.
    """
    lane, loads, begin = np.empty(len(sizes), dtype=np.int64), np.zeros(lanes, dtype=np.int64), 0
    while begin < len(sizes):
        ahead = sizes[begin : begin + lanes]
        least = np.argsort(loads, kind="stable")[: len(ahead)]
        lowest = np.minimum.accumulate(loads[least] + ahead)
        number = 1 + int(np.count_nonzero(loads[least][1:] <= lowest[:-1]))
        number = max(number, min(-(-lanes // 8), len(ahead)))
        lane[begin : begin + number] = least[:number]
        loads[least[:number]] += ahead[:number]
        begin += number
    return lane, loads


class CarryingEncoder(RecurrentEncoder):
    """Gated recurrent layers whose last states of one training batch are the first of the next, row by row.

    No gradient flows back into an earlier batch. Rows that are fresh begin at zero, and so does everything outside
    training. What is carried is no part of what is saved.

    Args:
        width: `D`, units of each layer.
        layers: how many.
        dropout: share of the layers' outputs set to zero while training.
        one_hot: the inputs are what the gates of the first layer take in, `3 D` of them: its input weights are the
            item vectors.
    """

    carried: Tensor

    def __init__(self, width: int, layers: int, dropout: float, one_hot: bool = False) -> None:
        inputs = 3 * width if one_hot else width
        super().__init__(nn.GRU, width, width, layers, dropout, inputs=inputs, norm=False)
        if one_hot:
            taken = self.recurrence.get_parameter("weight_ih_l0")
            nn.init.eye_(taken).requires_grad_(False)
        self.register_buffer("carried", torch.zeros(layers, 0, width), persistent=False)

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """`[B, T, D]` the state after each step."""
        if batch.fresh is None:
            return super().forward(x, batch)
        held = x.new_zeros(self.carried.shape[0], len(x), self.carried.shape[2])
        kept = min(len(x), self.carried.shape[1])
        held[:, :kept] = self.carried[:, :kept]
        held = held.masked_fill(batch.fresh[None, :, None], 0)
        states, last = self.recurrence(x, held)
        self.carried = last.detach()
        return self.finished(states)


@dataclass(frozen=True)
class GRU4Rec(NeuralModel):
    """Gated recurrent units trained session-parallel, as published; scored by the plain product with item vectors.

    Training walks through many sequences side by side and carries the state along whole sequences, however long. A
    batch is `batch_tokens / steps` sequences, each `steps` events further. Scoring starts from a zero state and reads
    the last `length` events of a history.

    With `tied`, item vectors go into the first layer and score: the constrained embedding of the papers. Without, the
    two are learnt apart. With `item_vectors = "one-hot"`, a one-hot input goes straight into the gates, whose input
    weights are then `3 D` numbers an item.

    Attributes:
        layers: how many layers, each of `width` units.
        steps: events of each sequence in a batch: how far back the gradient reaches. 1 is as published.

    References:
        Hidasi, Karatzoglou, Baltrunas, Tikk, "Session-based recommendations with recurrent neural networks", ICLR
        2016, arXiv:1511.06939, section 3; Hidasi, Karatzoglou, "Recurrent neural networks with top-k gains for
        session-based recommendations", CIKM 2018, arXiv:1706.03847, sections 2 and 3. The reset gate acts on the
        product with the recurrent matrix, as in the fused kernels.
    """

    name: ClassVar[str] = "gru4rec"
    summary: ClassVar[str] = "gated recurrent units, trained on sequences side by side"
    space: ClassVar[Space] = {**NETWORK, "loss": OneOf(("bpr-max", "cross-entropy", "top1-max"))}

    bias: bool = True
    loss: str | Mapping[str, Any] = "bpr-max"
    layers: int = 1
    steps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers < 1 or self.steps < 1:
            raise ConfigError(f"gru4rec: layers={self.layers}, steps={self.steps}: both are at least 1.")

    def plan(
        self, sequences: Sequences, starts: Ints, ends: Ints, rng: np.random.Generator
    ) -> Iterator[Stretches]:
        """The batches of an epoch: sequences side by side, whole, whatever the window's length."""
        lanes = max(self.batch_tokens // self.steps, 1)
        return side_by_side(sequences.offsets, lanes, self.steps, rng)

    def encoder(self) -> Encoder:
        """The recurrent layers."""
        return CarryingEncoder(self.width, self.layers, self.dropout, self.item_vectors == "one-hot")

    def network(self, domain: Domain) -> Network:
        """The whole network over a domain, freshly initialised."""
        network = super().network(domain)
        if self.item_vectors != "one-hot":
            return network
        gates = 3 * self.width
        network.items = ItemTable(domain.n_items, gates)
        if domain.features is not None and domain.items is not None:
            network.items = FeatureItems(network.items, domain.features, domain.items, gates, self.id_dropout)
        network.input_scale = gates**0.5
        if self.inputs:
            network.side = Side(self.inputs, domain.inputs.encodings, gates)
        if self.personal == "embedding":
            network.users = Users(domain.n_users, gates, self.personal)
        return network
