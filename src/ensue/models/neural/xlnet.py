"""XLNet: trained to predict items in orders drawn at random, by a stream of queries that do not see their own item."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from ensue.errors import ConfigError, ModelError, nearest
from ensue.models.neural.blocks import events
from ensue.models.neural.transformer_xl import Align, RelativeLayer, Seen, check_relative, shifted, sinusoids
from ensue.network import Batch, Encoder, Network, Sought, State
from ensue.neural_model import NeuralModel
from ensue.spaces import ATTENTION, NETWORK, Real, Space

ORDERS = ("permuted", "natural")


def drawn_order(real: Tensor, closing: Tensor | None = None) -> Tensor:
    """`[B, P]` when each place comes in an order drawn at random for each row: 0 is the first.

    Args:
        real: `[B, P]` bool; the other places are padding and come last of all.
        closing: `[B, P]` bool: a place that comes last of the real ones; None leaves all to chance.
    """
    noise = torch.rand(real.shape, device=real.device) + 2.0 * ~real
    if closing is not None:
        noise = noise + 1.0 * closing
    return noise.argsort(dim=1).argsort(dim=1)


def predicted_places(order: Tensor, targets: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """The places that are predicted: those of the targets that come last in the order.

    Args:
        order: `[B, P]` when each place comes.
        targets: `[B, P]` bool: places whose item is a target; never the first place.
        share: of the targets, rounded up.

    Returns:
        `(places [B, M], held [B, M])`, the last of the order first; what is not held is filling.
    """
    fewer = 1e-6  # a product such as 0.1 x 30 is not to be rounded up
    most = math.ceil(share * (order.shape[1] - 1) - fewer)
    count = torch.ceil(share * targets.sum(dim=1) - fewer)
    places = torch.where(targets, order, -1).topk(most, dim=1).indices
    return places, torch.arange(most, device=order.device) < count[:, None]


class XLNetEncoder(Encoder):
    """A stack of relative layers with two streams.

    The content stream h holds what stands at a place; the query stream g knows only where its place is, and reads h:
    `g' = layer(g, keys and values of h)`, `h' = layer(h, keys and values of h)`, with the same weights. Each layer has
    the two bias vectors of each head of its own. There is one segment, so that nothing tells segments apart.

    Args:
        width: `D`.
        length: the most events of a history that are kept from step to step.
        blocks: how many layers.
        heads: attention heads; they divide the width.
        dropout: share of the sublayers' outputs set to zero while training.
        order: "permuted" or "natural".
        predicted: share of a row's targets that a drawn order has predicted.
        closing: whether the place after the last event closes every drawn order.
    """

    def __init__(
        self,
        width: int,
        length: int,
        blocks: int,
        heads: int,
        dropout: float,
        order: str = "natural",
        predicted: float = 1.0,
        closing: bool = True,
    ) -> None:
        super().__init__()
        self.width, self.length, self.heads = width, length, heads
        self.order, self.predicted, self.closing = order, predicted, closing
        self.query = nn.Parameter(torch.empty(width))
        self.biases = nn.Parameter(torch.empty(blocks, 2, heads, width // heads))
        nn.init.normal_(self.query, std=0.02)
        nn.init.normal_(self.biases, std=0.02)
        self.blocks = nn.ModuleList(RelativeLayer(width, heads, dropout, nn.GELU) for _ in range(blocks))

    @property
    def layers(self) -> list[RelativeLayer]:
        """The blocks, the lowest first."""
        return cast(list[RelativeLayer], list(self.blocks))

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """`[B, T, D]` in the natural order: the query stream at the place after each event, which sees up to it."""
        step = torch.arange(x.shape[1], device=x.device)
        before = step <= step[:, None]
        return self.streams(x, before, None, before)[1]

    def streams(
        self, x: Tensor, content_sees: Tensor, places: Tensor | None, query_sees: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The content stream that the last layer reads `[B, K, D]`, and the query stream after it `[B, M, D]`.

        Args:
            x: `[B, K, D]` contents of the places 0 to K - 1.
            content_sees: bool, broadcastable to `[B, 1, K, K]`: whether a content sees another.
            places: `[B, M]` where the queries stand, 0 to K; None for one after each content, the content stream then
                seeing nothing later either.
            query_sees: bool, broadcastable to `[B, 1, M, K]`: whether a query sees a content.
        """
        k = x.shape[1]
        content_align, query_align = _by_order(k) if places is None else _by_place(k, places, self.heads)
        queries = self.query.expand(x.shape[0], k if places is None else places.shape[1], self.width)
        distances = self._places(k, k + 1 if places is None else 2 * k)
        content = x
        for number, block in enumerate(self.layers):
            seen, biases = block.seen(content, distances), self.biases[number]
            queries = block(queries, seen, query_sees, biases, query_align)
            if number + 1 < len(self.blocks):
                content = block(content, seen, content_sees, biases, content_align)
        return content, queries

    def _places(self, first: int, count: int) -> Tensor:
        """`[P, D]` of the distances from the first one down."""
        distances = first - torch.arange(count, device=self.query.device)
        return sinusoids(distances.to(self.query.dtype), self.width)

    def begin(self, rows: int) -> State:
        """How many events there were, and each layer's keys and values of the events kept."""
        cache = (rows, self.heads, self.length - 1, self.width // self.heads)
        count = torch.zeros(rows, dtype=torch.int64, device=self.query.device)
        return count, *(self.query.new_zeros(cache) for _ in range(2 * len(self.blocks)))

    def step(self, x: Tensor, state: State, batch: Batch) -> tuple[Tensor, State]:
        """One more event in the natural order: `[B, D]` the query stream at the place after it, and the state."""
        count, *caches = state
        kept = self.length - 1
        sees = (kept - torch.arange(kept + 1, device=x.device) <= count[:, None])[:, None, None]
        distances = self._places(kept + 1, kept + 2)
        content, queries = x[:, None], self.query.expand(len(x), 1, self.width)
        after = [count + 1]
        for number, (block, keys, values) in enumerate(
            zip(self.layers, caches[::2], caches[1::2], strict=True)
        ):
            own = block.seen(content, distances)
            keys, values = torch.cat([keys, own.keys], dim=2), torch.cat([values, own.values], dim=2)
            after += [keys[:, :, 1:], values[:, :, 1:]]
            seen, biases = Seen(keys, values, own.places), self.biases[number]
            queries = block(queries, seen, sees, biases, lambda by_place: by_place[..., :-1])
            content = block(content, seen, sees, biases, lambda by_place: by_place[..., 1:])
        return queries[:, 0], tuple(after)


def _by_order(k: int) -> tuple[Align, Align]:
    """For contents, and for a query after each, from logits by the distances K down to 0."""
    return lambda by_place: shifted(by_place[..., 1:]), lambda by_place: shifted(by_place)[..., :k]


def _by_place(k: int, places: Tensor, heads: int) -> tuple[Align, Align]:
    """For contents, and for queries at any places, from logits by the distances K down to 1 - K."""
    column = k - places[:, :, None] + torch.arange(k, device=places.device)
    column = column[:, None].expand(-1, heads, -1, -1)
    return (
        lambda by_place: shifted(by_place[..., 1:])[..., :k],
        lambda by_place: by_place.gather(-1, column),
    )


class XLNetNetwork(Network):
    """A network over both streams: permuted or natural, as its encoder says.

    Permuted, each row of a batch trains in an order of its own: the contents see what came before them in it and
    themselves, the queries only what came before. To answer, the contents of the history see all of it, and the query
    stands at the place after its last event. Natural, it is a causal network.
    """

    encoder: XLNetEncoder

    @property
    def causal(self) -> bool:  # type: ignore[override]
        """Whether prefixes of a history share a row."""
        return self.encoder.order == "natural"

    def sought(self, batch: Batch) -> Sought:
        """What a batch trains: queries `[M, D]` at the predicted places, and the items `[M]` that stand there.

        The row's places are its events and the one after them, whose item is the last target. That place has no event
        yet: as a content it is its item alone, without what other columns say.
        """
        if self.causal or batch.later is None:
            return super().sought(batch)
        n = batch.n_items
        none = torch.full_like(batch.items[:, :1], n)
        at_place = torch.cat([none, batch.later], dim=1)  # [B, P], P = T + 1: the target of each place
        end = events(batch.items, batch.later, n)
        place = torch.arange(at_place.shape[1], device=end.device)
        last = place == end
        targets = at_place != n
        real = (place < end) | (last & targets)
        order = drawn_order(real, last & targets if self.encoder.closing else None)
        places, held = predicted_places(order, targets, self.encoder.predicted)
        content_sees = order[:, None, None, :] <= order[:, None, :, None]
        query_sees = order[:, None, None, :] < order.gather(1, places)[:, None, :, None]
        x = self.embedded(batch)
        x = torch.where(last[..., None], self._alone(batch, at_place, end), torch.cat([x, x[:, :1]], dim=1))
        states = self._left(self.encoder.streams(x, content_sees, places, query_sees)[1], batch)
        row = torch.arange(len(places), device=places.device)[:, None] * batch.items.shape[1]
        before = (row + places - 1)[held]
        return Sought(self.when(states[held], batch, before), at_place.gather(1, places)[held], before)

    def _alone(self, batch: Batch, at_place: Tensor, end: Tensor) -> Tensor:
        """`[B, 1, D]` the content of the place after the row's last event."""
        x: Tensor = self.items(at_place.gather(1, end)) * self.input_scale
        if self.users is not None:
            x = self.users.enter(x, batch.fields["user"])
        dropped: Tensor = self.dropout(x)
        return dropped

    def _left(self, states: Tensor, batch: Batch, rows: Tensor | None = None) -> Tensor:
        """`[B, M, D]` states as they are for the users of the rows."""
        if self.users is None:
            return states
        users = batch.fields["user"]
        return self.users.leave(states, users if rows is None else users[rows])

    def after(self, batch: Batch, asked: Tensor, places: Tensor) -> Tensor:
        """`[Q, D]` the query stream at the place after each step that is asked about."""
        if self.causal:
            return super().after(batch, asked, places)
        rows, steps = places // asked.shape[1], asked.flatten()[places]
        x = self.embedded(batch)[rows]
        known = torch.arange(x.shape[1], device=x.device) <= steps[:, None]
        known = known[:, None, None]
        states = self.encoder.streams(x, known, steps[:, None] + 1, known)[1]
        return self._left(states, batch, rows)[:, 0]

    def begin(self, rows: int) -> State:
        """The state of `B` histories before any event.

        Raises:
            ModelError: the order is permuted, so that one more event changes all states.
        """
        if not self.causal:
            raise ModelError(
                "xlnet: with order='permuted' no state goes on: answer from the window, or take 'natural'."
            )
        return super().begin(rows)


@dataclass(frozen=True)
class XLNet(NeuralModel):
    """Permutation language modelling: every event is learnt from events on both sides, in orders drawn at random.

    Attributes:
        blocks: how many layers.
        heads: attention heads; they divide the width.
        order: "permuted" (an order drawn for each row; to answer, the history is seen whole from everywhere), or
            "natural" (the order of the events: a causal network, which learns all positions at once).
        predicted: share of a row's targets that are predicted, the last of a drawn order; published as 1/6.
        closing: the place after the row's last event, which is what will be asked, closes every drawn order and so is
            always predicted; False draws it as any other, as published.

    References:
        Yang et al., "XLNet: generalized autoregressive pretraining for language understanding", NeurIPS 2019,
        arXiv:1906.08237: two streams by section 2.3 and appendix A.2, partial prediction by equation 5, relative
        positions by section 2.4; post-norm and GELU. No segment embedding, since there is one segment, and no memory.
    """

    name: ClassVar[str] = "xlnet"
    summary: ClassVar[str] = "attention trained in orders drawn at random, by two streams"
    space: ClassVar[Space] = {**NETWORK, **ATTENTION, "predicted": Real(0.1, 0.6)}
    network_class: ClassVar[type[Network]] = XLNetNetwork

    dropout: float = 0.3
    temperature: float = 0.1
    blocks: int = 2
    heads: int = 2
    order: str = "permuted"
    predicted: float = 1 / 6
    closing: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_relative(self.name, self.width, self.heads, self.blocks)
        if self.order not in ORDERS:
            known = " or ".join(ORDERS)
            raise ConfigError(f"xlnet: order='{self.order}' must be {known}.{nearest(self.order, ORDERS)}")
        if not 0 < self.predicted <= 1:
            raise ConfigError(f"xlnet: predicted={self.predicted:g} must lie above 0 and be at most 1.")

    @property
    def causal(self) -> bool:
        """Whether no state depends on later events."""
        return self.order == "natural"

    def encoder(self) -> Encoder:
        """The stack with two streams."""
        return XLNetEncoder(
            self.width,
            self.length,
            self.blocks,
            self.heads,
            self.dropout,
            self.order,
            self.predicted,
            self.closing,
        )
