"""Factorised personal Markov chains: what comes next, of the last item and of who acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ensue.domain import Domain
from ensue.item_vectors import ItemVectors
from ensue.network import Batch, Encoder, Network, State
from ensue.neural_model import NeuralModel
from ensue.scorer import Head, Scorer
from ensue.side import Users
from ensue.spaces import NETWORK, OneOf, Space
from ensue.waiting import Waiting


class LastItem(Encoder):
    """No memory at all: the state after each step is the input of that step."""

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """`[B, T, D]` the inputs."""
        return x

    def begin(self, rows: int) -> State:
        """Nothing."""
        return ()

    def step(self, x: Tensor, state: State, batch: Batch) -> tuple[Tensor, State]:
        """`[B, D]` the input."""
        return x, ()


class UserFactors(Users):
    """A vector for each user that stands before every state: `[B, T, D]` to `[B, T, 2 D]`.

    Args:
        n_users: users of training; a code from here up is an unknown one, whose vector is zero.
        width: `D`.
    """

    def __init__(self, n_users: int, width: int) -> None:
        super().__init__(n_users, width, "embedding")

    def enter(self, x: Tensor, users: Tensor) -> Tensor:
        """`[B, T, D]` the inputs as they are."""
        return x

    def leave(self, states: Tensor, users: Tensor) -> Tensor:
        """`[B, T, 2 D]` the user's vector and the state."""
        return torch.cat([self.rows(users).expand(-1, states.shape[1], -1), states], dim=-1)


class FactorHead(Head):
    """Scores items by the vectors that meet the user's and those that meet the last item's, side by side.

    Args:
        n_items: `N`.
        width: `D` of each part.
        personal: whether there is a part that meets the user's.
        tied: the part that meets the last item's is the vectors of the input.
        bias: learn one number per item.
        temperature: 0 takes plain products; above 0, cosines divided by it.
        counts: `[N]` training events of each item.
    """

    def __init__(
        self,
        n_items: int,
        width: int,
        *,
        personal: bool,
        tied: bool,
        bias: bool,
        temperature: float,
        counts: Tensor | None = None,
    ) -> None:
        own = width * (personal + (not tied))
        super().__init__(n_items, own, tied=own == 0, bias=bias, temperature=temperature, counts=counts)
        self.joined = personal and tied

    def scorer(self, items: ItemVectors) -> Scorer:
        """The scorer over a catalogue whose item vectors are these."""
        if not self.joined or self.table is None:
            return super().scorer(items)
        table = torch.cat([self.table, items.weight], dim=-1)
        cosine = self.temperature > 0
        return Scorer(table, self.bias, 1.0 / self.temperature if cosine else 1.0, cosine, self.counts)


class FactorNetwork(Network):
    """A network that is nothing but tables, which weight decay falls on."""

    decays_tables: ClassVar[bool] = True


@dataclass(frozen=True)
class FPMC(NeuralModel):
    """A Markov chain of order one for each user, all of them factorised together.

    The score of item i after item l for user u is <u, i> + <l, i>, each product of vectors of its own: what this user
    takes, plus what follows that item. With `personal = "none"` it is the second alone (FMC), which is also what an
    unknown user gets. With `tied`, an item has one vector as the last and as the next of a pair: it then knows which
    items go together, and no longer which of them comes first.

    References:
        Rendle, Freudenthaler, Schmidt-Thieme, "Factorizing personalized Markov chains for next-basket
        recommendation", WWW 2010, equations 17 to 19 with baskets of one item, and section 5 (BPR).
    """

    name: ClassVar[str] = "fpmc"
    summary: ClassVar[str] = "a factorised Markov chain for each user"
    space: ClassVar[Space] = {**NETWORK, "loss": OneOf(("bpr", "cross-entropy"))}
    network_class: ClassVar[type[Network]] = FactorNetwork

    dropout: float = 0.0
    tied: bool = False
    personal: str = "embedding"
    loss: str | Mapping[str, Any] = "bpr"

    def encoder(self) -> Encoder:
        """The last item."""
        return LastItem()

    def head(self, domain: Domain) -> Head:
        """One or two vectors for each item."""
        return FactorHead(
            domain.n_items,
            self.width,
            personal=self.personal == "embedding",
            tied=self.tied and self.item_vectors != "one-hot",
            bias=self.bias,
            temperature=self.temperature,
            counts=torch.from_numpy(domain.counts.astype(np.float32)),
        )

    def network(self, domain: Domain) -> Network:
        """The whole network over a domain, freshly initialised."""
        network = super().network(domain)
        if self.personal == "embedding":
            network.users = UserFactors(domain.n_users, self.width)
            network.waiting = Waiting(2 * self.width) if self.asked == "wait" else None
        return network
