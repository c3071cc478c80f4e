"""A prior inside the softmax: what the last items have been followed by is added to the logits, as far as it is learnt.

    logit of i = score of i + alpha x log(1 + scale x mass of i)

The mass of an item is a table's (`ensue.prior_table`), zero for most items; alpha and scale are learnt. With alpha 1
and scores that are all the same, items are as likely as the table says, but for a little that every item has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ensue.batching import Ints
from ensue.prior_table import Leaning, Transitions
from ensue.sequences import Queries


class Prior(nn.Module):
    """What is learnt of a table of transitions: how much it counts.

    Args:
        table: that answers.
        weight: how much it counts, at first if it is learnt.
        learnt: whether training sees it and learns how much it counts; if not, it stands beside the network.

    Attributes:
        alpha: `[1]` how much it counts.
        log_scale: `[1]` log of one over the mass below which an item is as good as one that was never counted; it
            begins at the number of items.
    """

    alpha: Tensor
    log_scale: Tensor

    def __init__(self, table: Transitions, weight: float = 1.0, *, learnt: bool = True) -> None:
        super().__init__()
        self.table, self.learnt = table, learnt
        alpha, log_scale = torch.full((1,), weight), torch.full((1,), math.log(table.n_items))
        if learnt:
            self.alpha, self.log_scale = nn.Parameter(alpha), nn.Parameter(log_scale)
        else:
            self.register_buffer("alpha", alpha)
            self.register_buffer("log_scale", log_scale)

    def forward(self, mass: Tensor) -> Tensor:
        """`[...]` what is added to the logits of items of this mass; 0 for a mass of 0."""
        added: Tensor = self.alpha * torch.log1p(self.log_scale.exp() * mass)
        return added

    def leaning(self) -> Leaning:
        """What has been learnt, for answers: the same numbers without torch."""
        return Leaning(self.table, float(self.alpha.detach()), float(self.log_scale.detach().exp()))


@dataclass(frozen=True, eq=False)
class Told:
    """The prior of some queries, worked out where it is asked for and never for all of them at once.

    Attributes:
        prior: how much it counts.
        table: from which it is taken; in training, the one whose tables leave the user's own counts out.
        rows: `[M, L]` rows of the table that each query asks, -1 for none.
        histories: `[M]` what came before each, for a table that hides items of it.
    """

    prior: Prior
    table: Transitions
    rows: Ints
    histories: Queries | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: slice) -> Told:
        histories = None if self.histories is None else self.histories[which]
        return Told(self.prior, self.table, self.rows[which], histories)

    @cached_property
    def mass(self) -> sp.csr_array:
        """`[M, N]` of these queries; ask it of a few."""
        return self.table.mass(self.rows, self.histories)

    def entries(self) -> tuple[Tensor, Tensor]:
        """Places in the flattened `[M, N]` logits, each at most once, and the mass there; it is 0 elsewhere."""
        mass = self.mass
        row = np.repeat(np.arange(len(self), dtype=np.int64) * mass.shape[1], np.diff(mass.indptr))
        places = torch.from_numpy(row + mass.indices).to(self.prior.alpha.device)
        return places, self._on(mass.data)

    def some(self, items: Tensor) -> Tensor:
        """`[M, K]` what is added for `[K]` items that all queries share."""
        added: Tensor = self.prior(self._on(self.mass[:, items.cpu().numpy()].toarray()))
        return added

    def each(self, items: Tensor) -> Tensor:
        """`[M, K]` what is added for each query's own items `[M, K]`."""
        asked: NDArray[np.int64] = items.cpu().numpy()
        row = np.repeat(np.arange(len(asked)), asked.shape[1])
        found = self.mass[row, asked.ravel()].reshape(asked.shape)
        added: Tensor = self.prior(self._on(np.asarray(found)))
        return added

    def all(self) -> Tensor:
        """`[M, N]` what is added for all items: for scoring, never for a whole training batch."""
        added: Tensor = self.prior(self._on(self.mass.toarray()))
        return added

    def _on(self, values: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(values).to(self.prior.alpha)
