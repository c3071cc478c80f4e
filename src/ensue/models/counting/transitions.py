"""What follows what, counted: the table that Markov chains and sequential rules share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError
from ensue.ranking import POPULARITY_SHARE, Parts, Scores
from ensue.sequences import Queries, Sequences

PAIRS_AT_ONCE = 20_000_000
"""How many weighted pairs are held before they are summed: bounds the memory of a fit."""


def transition_counts(sequences: Sequences, window: int) -> sp.csr_array:
    """`[N, N]` weighted counts: every ordered pair at distance d <= window adds 1/d to `(earlier, later)`.

    Args:
        sequences: training sequences; no pair reaches over the end of one.
        window: `W`, the largest distance; 1 counts neighbours only.
    """
    n = sequences.n_items
    ends = np.repeat(sequences.offsets[1:], sequences.lengths)
    total = sp.csr_array((n, n), dtype=np.float64)
    held: list[tuple[NDArray[np.int32], NDArray[np.int32], float]] = []
    size = 0
    for distance in range(1, window + 1):
        first = np.flatnonzero(np.arange(len(ends)) + distance < ends)
        if len(first) == 0:
            break
        held.append((sequences.items[first], sequences.items[first + distance], 1.0 / distance))
        size += len(first)
        if size >= PAIRS_AT_ONCE:
            total, held, size = total + _summed(held, n), [], 0
    return sp.csr_array(total + _summed(held, n)) if held else total


def _summed(pairs: list[tuple[NDArray[np.int32], NDArray[np.int32], float]], n: int) -> sp.csr_array:
    earlier = np.concatenate([a for a, _, _ in pairs])
    later = np.concatenate([b for _, b, _ in pairs])
    weight = np.concatenate([np.full(len(a), w) for a, _, w in pairs])
    return sp.csr_array(sp.coo_array((weight, (earlier, later)), shape=(n, n)))


def row_shares(counts: sp.csr_array) -> sp.csr_array:
    """The counts with each row divided by its total; an empty row stays empty."""
    totals = np.asarray(counts.sum(axis=1)).ravel()
    per_entry = np.repeat(totals, np.diff(counts.indptr))
    return sp.csr_array((counts.data / per_entry, counts.indices, counts.indptr), shape=counts.shape)


@dataclass(frozen=True, eq=False)
class TransitionScoring:
    """Scores from a table of shares: the sum over the last items of `decay^j x row(item)`, j = 0 the most recent.

    A small share of training popularity (1e-9 of it) orders the items that the table says nothing about.

    Attributes:
        table: `[N, N]` rows of shares.
        last: `L`, how many of the last items count.
        decay: weight of each step further back.
        share: `[N]` share of the training events.
    """

    table: sp.csr_array
    last: int
    decay: float
    share: NDArray[np.float64]

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` float64 scores."""
        recent = queries.last(self.last)
        rows, back = np.nonzero(recent != queries.n_items)
        shape = (len(queries), len(self.share))
        weights = sp.csr_array(
            sp.coo_array((self.decay ** back.astype(np.float64), (rows, recent[rows, back])), shape)
        )
        scores: Scores = np.asarray((weights @ self.table).toarray())
        scores += POPULARITY_SHARE * self.share
        return scores

    def parts(self) -> Parts:
        """The table as three arrays."""
        arrays = {
            "table.data": self.table.data,
            "table.indices": self.table.indices.astype(np.int32),
            "table.indptr": self.table.indptr.astype(np.int64),
        }
        return Parts({"last": self.last, "decay": self.decay}, arrays)

    @classmethod
    def restored(cls, parts: Parts, catalogue: Catalogue) -> TransitionScoring:
        """The scoring from its stored parts.

        Raises:
            ArtifactError: the arrays do not make a table over the catalogue.
        """
        n = len(catalogue)
        data, indices, indptr = (parts.arrays[f"table.{part}"] for part in ("data", "indices", "indptr"))
        check_table(data, indices, indptr, n, n)
        table = sp.csr_array((data, indices, indptr), shape=(n, n))
        return cls(table, int(parts.settings["last"]), float(parts.settings["decay"]), catalogue.share)


def row_blocks(costs: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows that cost at most so much together; a row that costs more is a range of its own."""
    total, first = np.concatenate([[0], np.cumsum(costs)]), 0
    while first < len(costs):
        after = max(int(np.searchsorted(total, total[first] + most, side="right")) - 1, first + 1)
        yield first, after
        first = after


def check_table(
    data: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any], rows: int, columns: int
) -> None:
    """Nothing, if three stored arrays make a sparse table of this shape.

    Raises:
        ArtifactError: they do not.
    """
    sound = (
        len(indptr) == rows + 1
        and indptr[0] == 0
        and indptr[-1] == len(data) == len(indices)
        and bool((np.diff(indptr) >= 0).all())
        and (len(indices) == 0 or (indices.min() >= 0 and indices.max() < columns))
        and bool(np.isfinite(data).all())
    )
    if not sound:
        raise ArtifactError(
            f"The stored table does not fit its {columns} items: the artifact is damaged, save it anew."
        )
