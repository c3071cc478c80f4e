"""Scores from what follows what: the table that Markov chains and sequential rules share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.batching import Ints, Items, ranges
from ensue.catalogue import Catalogue
from ensue.ranking import POPULARITY_SHARE, Parts, Scores
from ensue.sequences import Queries
from ensue.transitions import check_table


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
        # of two widths of places, the product would copy the whole table into the wider one for each question
        narrow = self.table.indices.dtype
        weights.indices, weights.indptr = weights.indices.astype(narrow), weights.indptr.astype(narrow)
        scores: Scores = np.asarray((weights @ self.table).toarray())
        scores += POPULARITY_SHARE * self.share
        return scores

    def contributions(
        self, queries: Queries, items: Items
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What each event adds to the score of an item, and what does not hang on the history; together the score.

        Args:
            queries: `Q` histories of at least one item.
            items: `[Q]` one item for each.

        Returns:
            `[E]` parts, of all events of all histories as in `Queries.pairs`, and `[Q]` the rest.
        """
        rows, places = ranges(queries.starts, queries.ends)
        back = queries.ends[rows] - 1 - places
        near = np.flatnonzero(back < self.last)
        shares = entries(self.table, queries.items[places[near]], items[rows[near]])
        parts = np.zeros(len(rows))
        parts[near] = self.decay ** back[near].astype(np.float64) * shares
        return parts, POPULARITY_SHARE * self.share[items]

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


def entries(table: sp.csr_array, rows: Ints | Items, columns: Ints | Items) -> NDArray[np.float64]:
    """`[n]` the entries of a table at these places, 0 where it has none.

    Args:
        table: entries may stand in any order within a row.
        rows: `[n]`.
        columns: `[n]`.
    """
    offsets = table.indptr.astype(np.int64)
    which, places = ranges(offsets[rows], offsets[rows + 1])
    found = table.indices[places] == columns[which]
    return np.bincount(which[found], table.data[places[found]], minlength=len(rows)).astype(np.float64)


def stored_counts(counts: NDArray[np.float64]) -> NDArray[Any]:
    """Counts as they are stored: whole numbers, unless weights of targets have made them others."""
    whole = counts.astype(np.int32)
    return whole if np.array_equal(whole, counts) else counts


def row_blocks(costs: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows that cost at most so much together; a row that costs more is a range of its own."""
    total, first = np.concatenate([[0], np.cumsum(costs)]), 0
    while first < len(costs):
        after = max(int(np.searchsorted(total, total[first] + most, side="right")) - 1, first + 1)
        yield first, after
        first = after
