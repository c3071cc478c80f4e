"""From candidates to a list: the choice among them, place by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.rules.columns import Marks

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(eq=False)
class _Count:
    """How many of each group stand in a list."""

    groups: csr_array
    most: int

    def __post_init__(self) -> None:
        self.rows = np.repeat(np.arange(self.groups.shape[0]), np.diff(self.groups.indptr))
        self.taken = np.zeros(self.groups.shape[1], dtype=np.int64)

    def take(self, place: int, free: Marks) -> None:
        """Counts an item, and closes the groups that are full by it."""
        own = self.groups.indices[self.groups.indptr[place] : self.groups.indptr[place + 1]]
        self.taken[own] += 1
        full = own[self.taken[own] >= self.most]
        if len(full):
            free[self.rows[np.isin(self.groups.indices, full)]] = False


def fill(
    scores: NDArray[np.floating[Any]],
    k: int,
    caps: Sequence[tuple[csr_array, int]] = (),
    mix: tuple[csr_array, float] | None = None,
) -> Ints:
    """Which of some candidates make the list, in its order.

    Args:
        scores: `[P]` of the candidates, the best first.
        k: how many are wanted.
        caps: for each cap, `[P, C]` which groups the candidates are in, and how many of each may be in the list.
        mix: `[P, D]` vectors whose products say how alike candidates are, and how much the score counts against being
            different; None goes by the scores alone.
    """
    counts = [_Count(groups, most) for groups, most in caps]
    free = np.ones(len(scores), dtype=np.bool_)
    low, high = (float(scores[-1]), float(scores[0])) if len(scores) else (0.0, 0.0)
    vectors, relevance = mix or (None, 1.0)
    worth = relevance * (scores - low) / ((high - low) or 1.0)
    alike = np.zeros(len(scores))
    chosen: list[int] = []
    while len(chosen) < min(k, len(scores)):
        value = worth - (1.0 - relevance) * alike if chosen and vectors is not None else worth
        place = int(np.argmax(np.where(free, value, -np.inf) if vectors is not None else free))
        if not free[place]:
            break
        chosen.append(place)
        free[place] = False
        for count in counts:
            count.take(place, free)
        if vectors is not None:
            found = _products(vectors, place)
            alike = np.maximum(alike, found) if len(chosen) > 1 else found
    return np.array(chosen, dtype=np.int64)


def _products(vectors: csr_array, place: int) -> NDArray[np.float64]:
    """`[P]` the products of all rows with one of them."""
    own = slice(vectors.indptr[place], vectors.indptr[place + 1])
    line = np.zeros(vectors.shape[1])
    line[vectors.indices[own]] = vectors.data[own]
    return np.asarray(vectors @ line)
