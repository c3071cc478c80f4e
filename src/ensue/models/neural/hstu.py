"""HSTU: attention whose weights are no shares, and that knows what lies between two events, in steps and in time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Self, cast

import torch
from torch import Tensor, nn

from ensue.dropout import Dropout
from ensue.models.neural.blocks import check_choice, check_heads, written
from ensue.network import Batch, Encoder, State
from ensue.neural_model import NeuralModel
from ensue.sequences import MISSING_TIME, Sequences
from ensue.spaces import ATTENTION, NETWORK, Space

TIMES = ("auto", "buckets", "none")
GROWTH = 0.301
"""The logarithm of how much longer each bucket of time is than the one before: about 35 %."""
BUCKETS = 80
"""The last one holds whatever is longer than 600 years; one more bucket is for times that are not known."""
EDGES = [0, *(math.ceil(1e6 * math.exp(GROWTH * bucket)) for bucket in range(1, BUCKETS))]
"""The least difference in microseconds that belongs to each bucket: that of 1 second and less begins at 0."""


def time_buckets(later: Tensor, earlier: Tensor, edges: Tensor) -> Tensor:
    """The bucket `floor(log(seconds) / 0.301)` of the time between events, `BUCKETS` where a time is missing.

    The logarithm only guesses; whole microseconds decide, so that every device and graph finds the same bucket.

    Args:
        later: int64 microseconds.
        earlier: int64 microseconds, of a shape that broadcasts with the other.
        edges: `[BUCKETS]`, as in `EDGES`.
    """
    known = (later != MISSING_TIME) & (earlier != MISSING_TIME)
    between = torch.where(known, later - earlier, 0).clamp(min=0)
    seconds = between.clamp(min=1_000_000).to(torch.float32) / 1e6
    guess = (seconds.log() / GROWTH).to(torch.int64).clamp(max=BUCKETS - 1)
    guess = guess - (between < edges[guess]).to(torch.int64)
    above = (guess + 1).clamp(max=BUCKETS - 1)
    guess = guess + ((between >= edges[above]) & (above > guess)).to(torch.int64)
    return torch.where(known, guess, BUCKETS)


class HSTULayer(nn.Module):
    """One layer: `[B, T, D]` to `[B, T, D]`.

    U, V, Q, K = SiLU(f1(norm x)); a step takes the mean of SiLU(q . k + bias) v over the steps that it sees, itself
    among them, and x + f2(norm(mean) * U) comes out. The mean makes a step's answer independent of how long the window
    could be (the paper divides by the window's length, which the norm that follows evens out).
    """

    def __init__(self, width: int, length: int, heads: int, dropout: float, timed: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.mixed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.out = nn.Linear(width, 4 * width), nn.Linear(width, width)
        self.by_distance = nn.Parameter(torch.empty(length))
        self.by_time = nn.Parameter(torch.empty(BUCKETS + 1)) if timed else None
        for table in (self.by_distance, self.by_time):
            if table is not None:
                nn.init.normal_(table, std=0.02)
        self.dropout = Dropout(dropout)

    def bias(self, distance: Tensor, bucket: Tensor | None) -> Tensor:
        """What is added to the products of queries and keys, for steps so far apart in the history and in time."""
        bias = nn.functional.embedding(distance, self.by_distance[:, None])[..., 0]
        if self.by_time is None or bucket is None:
            return bias
        return bias + nn.functional.embedding(bucket, self.by_time[:, None])[..., 0]

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """U `[B, T, D]`, and V, Q, K `[B, H, T, h]`."""
        b, t, d = x.shape
        u, v, q, k = nn.functional.silu(self.project(self.norm(x))).chunk(4, dim=-1)
        split = (b, t, self.heads, d // self.heads)
        v, q, k = (part.reshape(split).transpose(1, 2) for part in (v, q, k))
        return u, v, q, k

    def joined(
        self, x: Tensor, u: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, share: Tensor
    ) -> Tensor:
        """`[B, T, D]` the layer's output, from its parts.

        Args:
            x: inputs.
            u: what gates the outcome.
            q: queries `[B, H, T, h]`.
            k: keys, of as many steps as can be seen.
            v: values, of as many.
            bias: `[B or 1, T, steps]`.
            share: `[B or 1, T, steps]`, 1 / (steps seen) where a step is seen, 0 where not.
        """
        weights = nn.functional.silu(q @ k.transpose(-1, -2) + bias[:, None]) * share[:, None]
        mixed = (weights @ v).transpose(1, 2).reshape(x.shape)
        out: Tensor = x + self.dropout(self.out(self.mixed_norm(mixed) * u))
        return out


class HSTUEncoder(Encoder):
    """A stack of layers of pointwise attention that know how many steps lie between two events.

    Args:
        width: `D`.
        length: the most steps of a row.
        blocks: how many layers.
        heads: of each.
        dropout: share of the layers' outputs set to zero while training.
    """

    edges: Tensor

    def __init__(self, width: int, length: int, blocks: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.cache = (blocks, heads, length, width // heads)
        timed = "time" in self.reads
        self.layers = nn.ModuleList(HSTULayer(width, length, heads, dropout, timed) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.register_buffer("edges", torch.tensor(EDGES), persistent=False)

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """`[B, T, D]` the state after each step; T is at most the window's length."""
        step = torch.arange(x.shape[1], device=x.device)
        distance = (step[:, None] - step)[None]
        share = (distance >= 0) / (step[:, None] + 1).to(x.dtype)
        distance = distance.clamp(min=0)
        bucket = None
        if "time" in self.reads:
            time = batch.fields["time"]
            bucket = time_buckets(time[:, :, None], time[:, None, :], self.edges)
        for layer in self.layers:
            layer = cast(HSTULayer, layer)
            u, v, q, k = layer.parts(x)
            x = layer.joined(x, u, q, k, v, layer.bias(distance, bucket), share)
        normed: Tensor = self.norm(x)
        return normed

    def begin(self, rows: int) -> State:
        """No step yet: keys and values `[B, blocks, H, L, h]`, times `[B, L]`, and how many steps there were, `[B]`."""
        empty = self.norm.weight.new_zeros((rows, *self.cache))
        time = torch.full((rows, self.cache[2]), MISSING_TIME, dtype=torch.int64, device=empty.device)
        return empty, empty.clone(), time, torch.zeros_like(time[:, 0])

    def step(self, x: Tensor, state: State, batch: Batch) -> tuple[Tensor, State]:
        """`[B, D]` the state after one more step, equal to `forward` up to the window's length.

        Past it the oldest step is forgotten, though what later ones took from it is not.
        """
        keys, values, time, steps = state
        slot = torch.arange(self.cache[2], device=x.device)
        distance = ((steps[:, None] - slot) % len(slot))[:, None]
        share = (distance <= steps[:, None, None]) / (steps + 1).clamp(max=len(slot))[:, None, None].to(
            x.dtype
        )
        bucket = None
        if "time" in self.reads:
            now = batch.fields["time"]
            time = torch.where(distance[:, 0] == 0, now, time)
            bucket = time_buckets(now, time, self.edges)[:, None]
        x = x[:, None]
        kept: list[tuple[Tensor, Tensor]] = []
        for place, layer in enumerate(self.layers):
            layer = cast(HSTULayer, layer)
            u, v, q, k = layer.parts(x)
            k, v = (written(cache[:, place], new[:, :, 0], steps) for cache, new in ((keys, k), (values, v)))
            x = layer.joined(x, u, q, k, v, layer.bias(distance, bucket), share)
            kept.append((k, v))
        if kept:
            keys, values = (torch.stack(cache, dim=1) for cache in zip(*kept, strict=True))
        return self.norm(x[:, 0]), (keys, values, time, steps + 1)


class TimedHSTUEncoder(HSTUEncoder):
    """The same stack, which is fed the times of the events and knows what lies between two of them too."""

    reads = ("time",)


@dataclass(frozen=True)
class HSTU(NeuralModel):
    """A hierarchical sequential transduction unit: pointwise attention over the history, aware of times.

    Attributes:
        blocks: how many layers.
        heads: attention heads; they divide the width.
        time: "buckets" (attention knows the time between any two events of the history), "none" (time-blind), or
            "auto": buckets where the log has times. The time of the question is read where `asked` says so.

    References:
        Zhai et al., "Actions speak louder than words: trillion-parameter sequential transducers for generative
        recommendations", ICML 2024, arXiv:2402.17152, equations 1 to 3; buckets of time as in its appendix.
    """

    name: ClassVar[str] = "hstu"
    summary: ClassVar[str] = "attention without shares, by distance and time"
    space: ClassVar[Space] = {**NETWORK, **ATTENTION}

    dropout: float = 0.3
    temperature: float = 0.1
    blocks: int = 2
    heads: int = 2
    time: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.name, self.width, self.heads)
        check_choice(self.name, "time", self.time, TIMES)

    def encoder(self) -> Encoder:
        """The stack of layers."""
        kind = HSTUEncoder if self.time == "none" else TimedHSTUEncoder
        return kind(self.width, self.length, self.blocks, self.heads, self.dropout)

    def suited(self, sequences: Sequences, say: Callable[[str], None] = lambda text: None) -> Self:
        """The model with every setting that is left to the data filled in, each with its reason said.

        Args:
            sequences: what it will be trained on.
            say: told what was chosen and why.
        """
        model = super().suited(sequences, say)
        if self.time != "auto":
            return model
        known = sequences.time is not None
        say(
            f"{self.name}: time {'buckets' if known else 'none'}, since the log has {'' if known else 'no '}times"
        )
        return replace(model, time="buckets" if known else "none")
