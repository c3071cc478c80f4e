"""Networks for sequences: an item encoder, a sequence encoder and a head, each a free choice.

A network gives the states of all steps at once. Causal encoders on right-padded batches need no padding mask: what
lies to the right of a step never changes its state, and states of padded steps are never read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ensue.batching import Ints
from ensue.dropout import Dropout
from ensue.inputs import GAPS, WAIT
from ensue.item_vectors import ItemVectors
from ensue.prior import Prior, Told
from ensue.prior_table import Transitions
from ensue.rating_head import RatingHead
from ensue.scorer import Head, Scorer
from ensue.second_head import Rated, SecondHead
from ensue.sequences import Queries
from ensue.side import Side, Users
from ensue.waiting import Waiting

State = tuple[Tensor, ...]
"""What a network carries from one event to the next: tensors whose first axis is `B`."""


@dataclass(frozen=True, eq=False)
class Asked:
    """What the events of a batch ask of a prior.

    Attributes:
        table: from which it is taken, own counts left out.
        rows: `[B, T, L]` rows of the table after each event, -1 for none.
        histories: `[B x T]` what came up to each event, and nothing for padding.
    """

    table: Transitions
    rows: Ints
    histories: Queries


class Sought(NamedTuple):
    """What a batch trains.

    Attributes:
        queries: `[M, D]`.
        targets: `[M]` the item that each is to find.
        places: `[M]` place in the flattened rows of the event before the target; -1 where no event of the row is.
    """

    queries: Tensor
    targets: Tensor
    places: Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of events, right-padded.

    Attributes:
        items: `[B, T]` int64 item indices, `N` where there is no event.
        n_items: `N`.
        fields: other columns by name: "time" `[B, T]` int64 microseconds (`MISSING_TIME` where unknown), "user" `[B]`
            codes, encoded columns of the events `[B, T]`, "wait" buckets of the questions: one after each event in
            training, `[B, T]`, else `[B, S]`.
        later: `[B, T]` the item that is asked for, the next one or one drawn a little later (`ensue.aiming`), `N` where
            there is none; in training only.
        fresh: `[B]` rows that begin with an empty state; None where all do.
        later_rating: `[B, T]` the rating of `later`, NaN where it has none; in training on ratings only.
        trained: `[M]` places in the flattened rows that have a later item (that counts as a target); worked out where
            the batch is made, since a device would have to be waited for. None works it out.
        weights: `[B, T]` how much `later` counts as a target, 0 where it is none; None where all count alike.
        asked: of a prior; in training with one only. It lies on the host.
    """

    items: Tensor
    n_items: int
    fields: Mapping[str, Tensor] = field(default_factory=dict)
    later: Tensor | None = None
    fresh: Tensor | None = None
    later_rating: Tensor | None = None
    trained: Tensor | None = None
    asked: Asked | None = None
    weights: Tensor | None = None

    @property
    def time(self) -> Tensor | None:
        """`[B, T]` microseconds, `MISSING_TIME` where unknown; None where the network reads no times."""
        return self.fields.get("time")


class Encoder(nn.Module, ABC):
    """A sequence encoder: what has happened so far, after each step.

    Attributes:
        reads: columns beside the items that it wants in a batch, such as "time".
    """

    reads: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """`[B, T, D]` the state after each step; no step sees a later one, and padded steps are never read.

        Args:
            x: `[B, T, D]` inputs.
            batch: the events that they were made of.
        """

    def at(self, x: Tensor, batch: Batch, asked: Tensor) -> Tensor:
        """`[B, S, D]` the states after some steps of each row: all that an answer needs.

        Args:
            x: `[B, T, D]` inputs.
            batch: the events that they were made of.
            asked: `[B, S]` after which steps.
        """
        return chosen(self(x, batch), asked)

    @abstractmethod
    def begin(self, rows: int) -> State:
        """The state of `B` histories before any event."""

    @abstractmethod
    def step(self, x: Tensor, state: State, batch: Batch) -> tuple[Tensor, State]:
        """One more event: `[B, D]`, what `forward` gives at this step, and the state after it.

        Args:
            x: `[B, D]` inputs of the event.
            state: what `begin` or the step before gave.
            batch: the event itself, `T = 1`.
        """


def chosen(states: Tensor, asked: Tensor) -> Tensor:
    """`[B, S, D]` of `[B, T, D]`: those at some steps `[B, S]` of each row."""
    return states.gather(1, asked[..., None].expand(-1, -1, states.shape[-1]))


class Network(nn.Module):
    """States of all steps, and the scores of all items at chosen steps.

    Args:
        items: item encoder, `[B, T]` to `[B, T, D]`, with `weight` `[N, D]`.
        encoder: sequence encoder.
        head: scores items against states.
        dropout: share of the inputs' entries set to zero while training.
        side: encoder of other columns, whose vectors are added to those of the items; None reads none.
        users: what is learnt of each user; None for a network that knows no users.
        rating: reads scores as ratings; None for a network of next items.
        prior: adds what the last items have been followed by; None adds nothing. `forward` is without it: it is added
            to what a graph answers.
        beside: expects ratings, too; None expects none.
        waiting: changes states by how long after the last event they are asked for; None for a network that does not
            read it.
    """

    causal: bool = True

    def __init__(
        self,
        items: ItemVectors,
        encoder: Encoder,
        head: Head,
        dropout: float = 0.0,
        side: Side | None = None,
        users: Users | None = None,
        rating: RatingHead | None = None,
        prior: Prior | None = None,
        beside: SecondHead | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        super().__init__()
        self.items = items
        self.encoder = encoder
        self.head = head
        self.dropout = Dropout(dropout)
        self.side = side
        self.users = users
        self.rating = rating
        self.prior = prior
        self.beside = beside
        self.waiting = waiting
        self.input_scale = items.width**0.5

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns beside the items that a batch must hold, in the order in which `forward` takes them."""
        wanted = (
            *self.encoder.reads,
            *(self.side.names if self.side is not None else ()),
            *(("user",) if self.users is not None else ()),
            *((WAIT,) if self.waiting is not None else ()),
        )
        return tuple(dict.fromkeys(wanted))

    def embedded(self, batch: Batch) -> Tensor:
        """`[B, T, D]` what the sequence encoder takes: item vectors, with what other columns say added."""
        x: Tensor = self.items(batch.items) * self.input_scale
        if self.side is not None:
            x = x + self.side(batch.fields)
        if self.users is not None:
            x = self.users.enter(x, batch.fields["user"])
        dropped: Tensor = self.dropout(x)
        return dropped

    def states(self, batch: Batch) -> Tensor:
        """`[B, T, D]` the state after each step, whenever it will be asked for."""
        states: Tensor = self.encoder(self.embedded(batch), batch)
        return states if self.users is None else self.users.leave(states, batch.fields["user"])

    def answers(self, batch: Batch, asked: Tensor, places: Tensor) -> Tensor:
        """`[Q, D]` what items are scored against.

        Args:
            batch: histories, one in each row.
            asked: `[B, S]` the steps of each row after which something is asked, in any number, right-padded.
            places: `[Q]` which of them each question is, row x S + its place in the row.
        """
        return self.when(self.after(batch, asked, places), batch, places)

    def after(self, batch: Batch, asked: Tensor, places: Tensor) -> Tensor:
        """`[Q, D]` the same, whenever it is asked for: of the history alone."""
        states = self.encoder.at(self.embedded(batch), batch, asked)
        if self.users is not None:
            states = self.users.leave(states, batch.fields["user"])
        return states.flatten(0, 1)[places]

    def when(self, states: Tensor, batch: Batch, places: Tensor) -> Tensor:
        """`[M, D]` states as they are for questions asked when the batch says; as they were where that is not read.

        Args:
            states: `[M, D]` after some events.
            batch: holds the waits.
            places: `[M]` which of the batch's waits, flattened, is that of each; -1 for one that is not known.
        """
        if self.waiting is None:
            return states
        waits = batch.fields[WAIT].reshape(-1)[places.clamp(min=0)]
        changed: Tensor = self.waiting(states, torch.where(places < 0, GAPS, waits))
        return changed

    def pairs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What a batch trains: queries `[M, D]`, and the items `[M]` that they are to find."""
        queries, targets, _ = self.sought(batch)
        return queries, targets

    def sought(self, batch: Batch) -> Sought:
        """What a batch trains: after each event, the item that came next."""
        return self._sought(batch, self.states(batch))

    def both(self, batch: Batch, head: SecondHead) -> tuple[Sought, Rated]:
        """What a batch trains of next items and of ratings beside, from the same states.

        Args:
            batch: in training on ratings.
            head: reads them.
        """
        states = self.states(batch)
        sought = self._sought(batch, states)
        if batch.later is None or batch.later_rating is None:
            raise ValueError("a training batch holds the items one step later and their ratings")
        flat = self._given(batch)
        weights = None if batch.weights is None else batch.weights.reshape(-1)[flat]
        queries = head.turn(self.when(states.reshape(-1, states.shape[-1])[flat], batch, flat))
        rated = Rated(queries, batch.later.reshape(-1)[flat], batch.later_rating.reshape(-1)[flat], weights)
        return sought, rated

    def _sought(self, batch: Batch, states: Tensor) -> Sought:
        if batch.later is None:
            raise ValueError("a training batch holds the items one step later")
        flat = batch.trained
        if flat is None:
            flat = torch.nonzero(batch.later.reshape(-1) != batch.n_items).squeeze(1)
        queries = self.when(states.reshape(-1, states.shape[-1])[flat], batch, flat)
        return Sought(queries, batch.later.reshape(-1)[flat], flat)

    def weighed(self, batch: Batch, sought: Sought) -> tuple[Sought, Tensor | None]:
        """What a batch trains that counts, and how much each of it does, `[M]`; None where all count alike.

        Args:
            batch: in training.
            sought: as `sought` gives it. An item that no event of its row precedes is no target of an objective.
        """
        if batch.weights is None:
            return sought, None
        weights = batch.weights.reshape(-1)[sought.places.clamp(min=0)] * (sought.places >= 0)
        if sought.places is batch.trained:  # all of them count
            return sought, weights
        kept = torch.nonzero(weights).squeeze(1)
        return Sought(*(tensor[kept] for tensor in sought)), weights[kept]

    def told(self, batch: Batch, places: Tensor) -> Told | None:
        """The prior of what a batch trains; None for a network that learns with none.

        Args:
            batch: in training.
            places: `[M]`, as `sought` gives them.
        """
        if self.prior is None or not self.prior.learnt:
            return None
        if batch.asked is None:
            raise ValueError("a training batch of a network with a prior says what is asked of it")
        at = places.cpu().numpy()
        rows = batch.asked.rows.reshape(-1, batch.asked.rows.shape[-1])
        histories = batch.asked.histories[np.maximum(at, 0)]
        return Told(self.prior, batch.asked.table, np.where(at[:, None] < 0, -1, rows[at]), histories)

    def rated(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """What a batch trains of ratings: scores `[M]` of the items that came next, their ratings `[M]`, their weights.

        The weights `[M]` are None where all count alike.
        """
        if batch.later is None or batch.later_rating is None:
            raise ValueError("a training batch holds the items one step later and their ratings")
        flat = self._given(batch)
        states = self.states(batch)
        queries = self.when(states.reshape(-1, states.shape[-1])[flat], batch, flat)
        scores = self.scorer().own(queries, batch.later.reshape(-1)[flat])
        if self.rating is not None:
            scores = scores + self.rating.leaning(queries)[:, 0]
        weights = None if batch.weights is None else batch.weights.reshape(-1)[flat]
        return scores, batch.later_rating.reshape(-1)[flat], weights

    @staticmethod
    def _given(batch: Batch) -> Tensor:
        """`[M]` places in the flattened rows after which a rating was given that counts."""
        rated = torch.zeros_like(batch.items, dtype=torch.bool)
        if batch.later is not None and batch.later_rating is not None:
            rated = (batch.later != batch.n_items) & ~torch.isnan(batch.later_rating)
        rated = rated if batch.weights is None else rated & (batch.weights > 0)
        return torch.nonzero(rated.reshape(-1)).squeeze(1)

    def scorer(self) -> Scorer:
        """The scorer over the catalogue, with today's weights."""
        return self.head.scorer(self.items)

    def scores(self, answers: Tensor, scorer: Scorer) -> Tensor:
        """`[Q, N]` what is answered for every item: its score, or the rating that is expected."""
        logits = scorer.logits(answers)
        if self.rating is None:
            return logits
        expected: Tensor = self.rating(logits + self.rating.leaning(answers))
        return expected

    def forward(
        self, items: Tensor, asked: Tensor, places: Tensor, *fields: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        """`[Q, N]` scores of all items after chosen steps, and expected ratings beside: what is exported and served.

        Args:
            items: `[B, T]` int64 indices, right-padded with `N`.
            asked: `[B, S]` after which steps of each row something is asked, right-padded.
            places: `[Q]` which of them each question is, row x S + its place in the row.
            fields: the columns of `reads`, in this order.
        """
        batch = Batch(items, self.items.n_items, dict(zip(self.reads, fields, strict=True)))
        answers = self.answers(batch, asked, places)
        scores = self.scores(answers, self.scorer())
        return (
            scores if self.beside is None else (scores, self.beside(answers, self.beside.scorer(self.items)))
        )

    def begin(self, rows: int) -> State:
        """The state of `B` histories before any event."""
        return self.encoder.begin(rows)

    def step(self, batch: Batch, state: State) -> tuple[Tensor, State]:
        """One more event of each history: what `states` gives after it, `[B, D]`, and the state after it.

        The same as over the whole history, up to the window's length; past it, begin anew from the window. No question
        is a part of the state: `when` changes what is answered by the time at which it is asked for.

        Args:
            batch: one event of each history, `T = 1`.
            state: what `begin` or the step before gave.
        """
        out, after = self.encoder.step(self.embedded(batch)[:, 0], state, batch)
        if self.users is not None:
            out = self.users.leave(out[:, None], batch.fields["user"])[:, 0]
        return out, after
