"""What else is known of an event and of who acts, as vectors: other columns, and users."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ensue.encodings import Encodings
from ensue.inputs import GAP, GAPS


class Side(nn.Module):
    """Other columns of the events as vectors that are added to those of the items: `[B, T, D]`.

    A category has one vector each, one more for what training had not seen, and one for what is missing; a number is
    a line, with a vector of its own where it is missing.

    Args:
        names: "gap", or encoded columns.
        encodings: of the columns among them.
        width: `D`.
    """

    def __init__(self, names: tuple[str, ...], encodings: Encodings, width: int) -> None:
        super().__init__()
        self.names = names
        self.tables, self.lines = nn.ModuleDict(), nn.ModuleDict()
        for place, name in enumerate(names):
            size = GAPS + 1 if name == GAP else encodings[name].size
            layer: nn.Embedding | nn.Linear = (
                nn.Embedding(size, width) if size else nn.Linear(2, width, bias=False)
            )
            nn.init.normal_(layer.weight, std=0.02 * width**0.5)
            if size and name != GAP:
                with (
                    torch.no_grad()
                ):  # what training never meets says nothing; what is missing is learnt from here
                    layer.weight[encodings[name].unseen_code :] = 0
            (self.tables if size else self.lines)[f"{place}"] = layer

    def forward(self, fields: Mapping[str, Tensor]) -> Tensor:
        """The sum of what the columns say.

        Args:
            fields: the batch's columns.
        """
        vectors = []
        for place, name in enumerate(self.names):
            values = fields[name]
            if f"{place}" in self.tables:
                vectors.append(self.tables[f"{place}"](values))
            else:
                missing = torch.isnan(values)
                pair = torch.stack([torch.where(missing, 0.0, values), missing.to(values.dtype)], dim=-1)
                vectors.append(self.lines[f"{place}"](pair))
        return torch.stack(vectors).sum(dim=0)


class Users(nn.Module):
    """What is learnt of each user, in one of two ways; an unknown user gets the shared network as it is.

    - "embedding": a vector for each user is added to every input, so that the sequence is read by who acts. It is the
      classic personal recurrent network; adding is what concatenating does before a linear layer.
    - "adapter": the states are stretched and shifted by what each user has learnt, beginning with no change: a shared
      model, adapted.

    Args:
        n_users: users of training; a code from here up is an unknown one.
        width: `D`.
        how: "embedding" or "adapter".
    """

    def __init__(self, n_users: int, width: int, how: str) -> None:
        super().__init__()
        self.how = how
        self.table = nn.Parameter(torch.zeros(n_users, width if how == "embedding" else 2 * width))
        if how == "embedding":
            nn.init.normal_(self.table, std=0.02 * width**0.5)

    def rows(self, users: Tensor) -> Tensor:
        """`[B, 1, ...]` the rows of some users, zeros for unknown ones."""
        known = users < len(self.table)
        vectors = nn.functional.embedding(torch.where(known, users, 0), self.table)
        return (vectors * known[:, None])[:, None]

    def enter(self, x: Tensor, users: Tensor) -> Tensor:
        """`[B, T, D]` inputs as these users give them."""
        return x + self.rows(users) if self.how == "embedding" else x

    def leave(self, states: Tensor, users: Tensor) -> Tensor:
        """`[B, T, D]` states as they are for these users."""
        if self.how == "embedding":
            return states
        stretch, shift = self.rows(users).chunk(2, dim=-1)
        return states * (1 + stretch) + shift
