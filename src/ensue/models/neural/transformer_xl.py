"""Transformer-XL: attention by relative distance over segments, each of which remembers the states of those before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from ensue.dropout import Dropout
from ensue.errors import ConfigError
from ensue.network import Batch, Encoder, State
from ensue.neural_model import NeuralModel
from ensue.spaces import ATTENTION, NETWORK, Space

SLOWEST = 10_000.0
"""The base of the sinusoids' rates: the slowest turns once in about 2 pi times this many steps."""

UNSEEN = -1e30
"""What is added to the logit of a step that is not seen, as far as its type can hold it, see `unseen`."""

Align = Callable[[Tensor], Tensor]


def unseen(logits: Tensor) -> float:
    """What hides a logit: finite in its type even with another logit added, so that a softmax over nothing is no NaN.

    Args:
        logits: of any type.
    """
    return max(UNSEEN, torch.finfo(logits.dtype).min / 2)


def sinusoids(distances: Tensor, width: int) -> Tensor:
    """`[P, D]` the vector R of each distance: sines in the first half, cosines in the second.

    Args:
        distances: `[P]` how many steps back, of the vectors' own float type.
        width: `D`, even.

    References:
        Vaswani et al., "Attention is all you need", NIPS 2017, section 3.5.
    """
    rates = SLOWEST ** (torch.arange(0, width, 2, dtype=distances.dtype, device=distances.device) / -width)
    angle = distances[:, None] * rates
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def shifted(x: Tensor) -> Tensor:
    """`[..., M, P]` with row i moved to the left by M - 1 - i: entry (i, j) is what stood at (i, j + M - 1 - i).

    Columns that hold distances in falling order, the last one distance 0, so become columns that hold keys, the last
    one that of the last row. What enters from the right belongs to no key before its row, and is to be masked.

    References:
        Dai et al., arXiv:1901.02860, appendix B.
    """
    rows, columns = x.shape[-2:]
    padded = nn.functional.pad(x, (1, 0)).reshape(*x.shape[:-2], columns + 1, rows)
    return padded[..., 1:, :].reshape(*x.shape[:-2], rows, columns)


class Seen(NamedTuple):
    """What a layer attends to.

    Attributes:
        keys: `[B, H, K, h]` W_{k,E} of the states.
        values: `[B, H, K, h]`.
        places: `[H, P, h]` W_{k,R} of the distances.
    """

    keys: Tensor
    values: Tensor
    places: Tensor


class RelativeLayer(nn.Module):
    """Attention that knows how far back a step lies, and a feed-forward layer, each added and then normed (post-norm).

    The logit of key j for query i is the sum of four terms, over the root of the head's size: (a) q_i . k_j,
    (b) q_i . W_{k,R} R_{i-j}, (c) u . k_j, (d) v . W_{k,R} R_{i-j}.

    There is no dropout on the attention weights, as in every network here: it keeps fused kernels from being used.

    References:
        Dai et al., "Transformer-XL: attentive language models beyond a fixed-length context", ACL 2019,
        arXiv:1901.02860, section 3.3.
    """

    def __init__(self, width: int, heads: int, dropout: float, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.place, self.out = (
            nn.Linear(width, width, bias=False) for _ in range(5)
        )
        self.attention_norm, self.forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), activation(), Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.dropout = Dropout(dropout)

    def _split(self, x: Tensor) -> Tensor:
        """`[..., H, K, h]` of `[..., K, D]`."""
        size = x.shape[-1] // self.heads
        return x.reshape(*x.shape[:-1], self.heads, size).transpose(-2, -3)

    def seen(self, states: Tensor, places: Tensor) -> Seen:
        """What queries meet.

        Args:
            states: `[B, K, D]` of the layer below.
            places: `[P, D]` the sinusoids of distances.
        """
        return Seen(
            self._split(self.key(states)), self._split(self.value(states)), self._split(self.place(places))
        )

    def forward(self, x: Tensor, seen: Seen, sees: Tensor, biases: Tensor, align: Align) -> Tensor:
        """`[B, M, D]` states of the next layer; a query that sees nothing gets nothing from the attention.

        Args:
            x: `[B, M, D]` states that ask.
            seen: what they may attend to.
            sees: bool, broadcastable to `[B, 1, M, K]`: whether a query sees a key.
            biases: `[2, H, h]` the vectors u and v.
            align: brings logits by distance `[B, H, M, P]` to `[B, H, M, K]`, logits by key.
        """
        query = self._split(self.query(x))
        u, v = biases[:, :, None].unbind(0)
        by_place = align((query + v) @ seen.places.transpose(-1, -2)) * query.shape[-1] ** -0.5
        by_place = by_place.masked_fill(~sees, unseen(by_place))
        mixed = nn.functional.scaled_dot_product_attention(
            query + u, seen.keys, seen.values, attn_mask=by_place
        )
        mixed = (mixed * sees.any(dim=-1, keepdim=True)).transpose(1, 2).flatten(2)
        x = self.attention_norm(x + self.dropout(self.out(mixed)))
        out: Tensor = self.forward_norm(x + self.dropout(self.feed_forward(x)))
        return out


class TransformerXLEncoder(Encoder):
    """A stack of relative layers over segments with memory.

    A row is cut into segments from its first event. In every layer, a segment's steps see themselves, what came
    before them in the segment, and the last `memory` states of the layer below from before the segment, through which
    no gradient flows. The memory's states are those of the steps themselves, so that without gradients one masked
    attention over the row is the same: step i of segment s sees j <= i with j >= start(s) - memory.

    Args:
        width: `D`.
        blocks: how many layers.
        heads: attention heads; they divide the width.
        segment: steps of a segment.
        memory: states that a segment sees from before it; 0 for none.
        dropout: share of the sublayers' outputs set to zero while training.
    """

    def __init__(
        self, width: int, blocks: int, heads: int, segment: int, memory: int, dropout: float
    ) -> None:
        super().__init__()
        self.width, self.heads, self.segment, self.memory = width, heads, segment, memory
        self.biases = nn.Parameter(torch.empty(2, heads, width // heads))
        nn.init.normal_(self.biases, std=0.02)
        self.blocks = nn.ModuleList(RelativeLayer(width, heads, dropout) for _ in range(blocks))

    @property
    def layers(self) -> list[RelativeLayer]:
        """The blocks, the lowest first."""
        return cast(list[RelativeLayer], list(self.blocks))

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """`[B, T, D]` the state after each step: segment by segment in training, else at once."""
        return self.by_segment(x) if self.training else self.at_once(x)

    def at_once(self, x: Tensor) -> Tensor:
        """`[B, T, D]` states by one masked attention over the whole row."""
        step = torch.arange(x.shape[1], device=x.device)
        first = step // self.segment * self.segment - self.memory
        sees = (step <= step[:, None]) & (step >= first[:, None])
        places = self._places(x.shape[1])
        for block in self.layers:
            x = block(x, block.seen(x, places), sees, self.biases, shifted)
        return x

    def by_segment(self, x: Tensor) -> Tensor:
        """`[B, T, D]` the same states, no gradient flowing from a segment into those before it.

        Within a layer the segments wait for nothing but the layer below, so all of them are rows of one batch.
        """
        rows, steps, width = x.shape
        size = min(self.segment, steps)
        count = -(-steps // size)
        memory = min(self.memory, (count - 1) * size)
        sees = self._sees_by_segment(count, size, memory, x.device).repeat(rows, 1, 1, 1)
        places = self._places(memory + size)
        states = nn.functional.pad(x, (0, 0, 0, count * size - steps))
        for block in self.layers:
            own = states.reshape(rows * count, size, width)
            seen = own
            if memory:
                past = nn.functional.pad(states.detach(), (0, 0, memory, 0)).unfold(1, memory, size)[
                    :, :count
                ]
                seen = torch.cat([past.transpose(2, 3).reshape(rows * count, memory, width), own], dim=1)
            own = block(own, block.seen(seen, places), sees, self.biases, shifted)
            states = own.reshape(rows, count * size, width)
        return states[:, :steps]

    def _sees_by_segment(self, count: int, size: int, memory: int, device: torch.device) -> Tensor:
        """`[S, 1, L, memory + L]` what each step of each of S segments sees of its memory and its segment."""
        key = torch.arange(memory + size, device=device) - memory
        before = key <= torch.arange(size, device=device)[:, None]
        first = torch.arange(count, device=device) * size
        real = key >= -first[:, None]  # the row begins where the first segment does
        return (before & real[:, None])[:, None]

    def _places(self, count: int) -> Tensor:
        """`[P, D]` of the distances P - 1 down to 0."""
        distances = count - 1 - torch.arange(count, device=self.biases.device)
        return sinusoids(distances.to(self.biases.dtype), self.width)

    def begin(self, rows: int) -> State:
        """How many events there were, and each layer's keys and values of the last steps that one more may see."""
        kept = self.memory + self.segment - 1
        cache = (rows, self.heads, kept, self.width // self.heads)
        count = torch.zeros(rows, dtype=torch.int64, device=self.biases.device)
        return count, *(self.biases.new_zeros(cache) for _ in range(2 * len(self.blocks)))

    def step(self, x: Tensor, state: State, batch: Batch) -> tuple[Tensor, State]:
        """One more event: `[B, D]`, and the state after it; rows may be at different steps."""
        count, *caches = state
        kept = caches[0].shape[2] if caches else 0
        back = kept - torch.arange(kept + 1, device=x.device)
        sees = (back <= (count % self.segment + self.memory)[:, None]) & (back <= count[:, None])
        sees, places = sees[:, None, None], self._places(kept + 1)
        states, after = x[:, None], [count + 1]
        for block, keys, values in zip(self.layers, caches[::2], caches[1::2], strict=True):
            own = block.seen(states, places)
            keys, values = torch.cat([keys, own.keys], dim=2), torch.cat([values, own.values], dim=2)
            states = block(
                states, Seen(keys, values, own.places), sees, self.biases, lambda by_place: by_place
            )
            after += [keys[:, :, 1:], values[:, :, 1:]]
        return states[:, 0], tuple(after)


@dataclass(frozen=True)
class TransformerXL(NeuralModel):
    """Relative attention over segments with memory: reaches further than it pays for.

    The window is cut into segments from its first event, in training and in answering alike. A step of layer n sees the
    layer below in its own segment and in the memory before it, so that what reaches the last layer may lie up to about
    `blocks x memory` steps before the segment.

    Attributes:
        blocks: how many layers.
        heads: attention heads; they divide the width.
        segment: events of a segment; 0 takes a third of the window.
        memory: states of each layer that a segment sees from before it; 0 takes as many as a segment has.

    References:
        Dai et al., "Transformer-XL: attentive language models beyond a fixed-length context", ACL 2019,
        arXiv:1901.02860: sections 3.2 and 3.3, post-norm, u and v shared by the layers. The logits are divided by the
        root of the head's size.
    """

    name: ClassVar[str] = "transformer-xl"
    summary: ClassVar[str] = "attention by distance over segments that remember those before"
    space: ClassVar[Space] = {**NETWORK, **ATTENTION}

    dropout: float = 0.3
    temperature: float = 0.1
    blocks: int = 2
    heads: int = 2
    segment: int = 0
    memory: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_relative(self.name, self.width, self.heads, self.blocks)
        if self.segment < 0 or self.memory < 0:
            raise ConfigError(
                f"transformer-xl: segment={self.segment}, memory={self.memory}: each is at least 1, or 0 for automatic."
            )

    def encoder(self) -> Encoder:
        """The stack of relative layers."""
        segment = self.segment or -(-self.length // 3)
        memory = self.memory or segment
        return TransformerXLEncoder(self.width, self.blocks, self.heads, segment, memory, self.dropout)


def check_relative(name: str, width: int, heads: int, blocks: int) -> None:
    """Refuses settings that relative attention cannot have.

    Raises:
        ConfigError: heads do not divide the width, the width is odd, or there is no block.
    """
    if heads < 1 or width % heads:
        raise ConfigError(f"{name}: {heads} heads do not divide a width of {width}.")
    if width % 2:
        raise ConfigError(
            f"{name}: distances are told by pairs of a sine and a cosine, and width={width} is odd."
        )
    if blocks < 1:
        raise ConfigError(f"{name}: blocks={blocks} must be at least 1.")
