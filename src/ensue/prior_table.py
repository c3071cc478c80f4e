"""A table of transitions as a prior: what the last items of a history say of every next item, beside a network.

For training, what a user's own sequences have counted is left out: tables are stacked, one without each fold of users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.batching import Ints, ranges
from ensue.errors import ArtifactError
from ensue.sequences import Queries, Sequences
from ensue.transitions import (
    check_table,
    counted_pairs,
    largest,
    least_weight,
    row_shares,
    row_totals,
    transition_counts,
    user_folds,
)

AT_ONCE = 1024
"""How many histories are asked about at a time."""

MARKS = 16_000_000
"""The most items of histories that are marked one by one; of more, those that are hidden are looked up."""

FEW_ITEMS = 200_000
"""Up to so many items one history is answered by an array over all of them; of more, that would take longer."""

TABLE, TOTALS = "transitions", "transitions.totals"
"""Begins the names of a stored table, and the name of its totals."""


@dataclass(frozen=True, eq=False)
class Transitions:
    """Shares of what follows each item, and how the last items of a history are asked for them.

    The mass of item i after a history is `sum over j < last of decay^j x shares[item j, i]`, j = 0 the most recent.
    Tables may be stacked: `K` blocks of `N` rows, of which each leaves out the users of one fold, and the full table,
    which answers, as the last `N` rows.

    Attributes:
        shares: `[(K + 1) N, N]` float32.
        totals: `[N]` the weighted counts of each row of the full table, whether or not all its entries were kept.
        last: `L`, how many of the last items are asked.
        decay: weight of each step further back.
        folds: `[S]` of the training sequences; None for a table that only answers.
        hides: of so many last items of a history, none has a mass: what was taken does not come again. 0 hides none.
    """

    shares: sp.csr_array
    totals: NDArray[np.float64]
    last: int
    decay: float
    folds: Ints | None = None
    hides: int = 0

    @classmethod
    def counted(
        cls,
        sequences: Sequences,
        window: int,
        last: int,
        decay: float,
        folds: int,
        most: int = 0,
        beside: sp.csr_array | None = None,
        hides: int = 0,
    ) -> Transitions:
        """The tables of training sequences: one without each fold of users, and one of all.

        A single user leaves nobody to count: all tables are then empty, so that what answers is what was trained.

        Args:
            sequences: training sequences.
            window: `W`, the largest distance that is counted.
            last: `L`.
            decay: weight of each step further back.
            folds: `K`, how many.
            most: entries that are kept of a row, the largest; 0 keeps all.
            beside: `[N, N]` counts of what is not among the sequences; they are in every table.
            hides: how many last items of a history have no mass.
        """
        n, fold = sequences.n_items, user_folds(sequences, folds)
        apart = transition_counts(sequences, window, fold)
        own = [apart[begin : begin + n] for begin in range(0, apart.shape[0], n)]
        whole = sp.csr_array((n, n), dtype=np.float64)
        for counts in own if len(own) > 1 or beside is not None else []:
            whole = whole + counts
        whole = whole if beside is None else whole + beside
        shares, least = [], least_weight(sequences)
        for table in (*(whole - counts for counts in own), whole):
            kept = row_shares(counted_pairs(table, window, least))
            shares.append(largest(kept.astype(np.float32), most))
        stacked = sp.csr_array(sp.vstack(shares, format="csr"))
        return cls(stacked, row_totals(whole), last, decay, fold, hides)

    @classmethod
    def beside(
        cls,
        sequences: Sequences,
        window: int,
        last: int,
        decay: float,
        most: int = 0,
        more: sp.csr_array | None = None,
        hides: int = 0,
    ) -> Transitions:
        """The table of training sequences that only answers, and that no training sees.

        Args:
            sequences: training sequences.
            window: `W`, the largest distance that is counted.
            last: `L`.
            decay: weight of each step further back.
            most: entries that are kept of a row, the largest; 0 keeps all.
            more: `[N, N]` counts of what is not among the sequences.
            hides: how many last items of a history have no mass.
        """
        whole = transition_counts(sequences, window)
        whole = whole if more is None else sp.csr_array(whole + more)
        kept = counted_pairs(whole, window, least_weight(sequences))
        shares = largest(row_shares(kept).astype(np.float32), most)
        return cls(sp.csr_array(shares), row_totals(whole), last, decay, hides=hides)

    @classmethod
    def empty(cls, n_items: int, last: int = 1) -> Transitions:
        """A table in which nothing has been counted.

        Args:
            n_items: `N`.
            last: `L`.
        """
        shares = sp.csr_array((n_items, n_items), dtype=np.float64).astype(np.float32)
        return cls(shares, np.zeros(n_items), max(last, 1), 1.0)

    @property
    def n_items(self) -> int:
        """`N`."""
        return int(self.shares.shape[1])

    @property
    def answering(self) -> Transitions:
        """The full table alone."""
        if self.shares.shape[0] == self.n_items:
            return replace(self, folds=None)
        return replace(self, shares=sp.csr_array(self.shares[-self.n_items :]), folds=None)

    def rows(self, recent: NDArray[Any], folds: Ints | None = None) -> Ints:
        """`[..., L]` rows of the table that histories ask, -1 for none.

        Args:
            recent: `[..., L]` items, the most recent first, `N` where there is none.
            folds: `[...]` whose own counts are left out; None asks the full table.
        """
        begin = self.shares.shape[0] - self.n_items if folds is None else self.n_items * folds[..., None]
        found: Ints = np.where(recent < self.n_items, recent + np.int64(begin), -1)
        return found

    def mass(self, rows: Ints, histories: Queries | None = None) -> sp.csr_array:
        """`[M, N]` float32 masses of all items after histories, those above zero alone, in no order of the items.

        Args:
            rows: `[M, L]` rows of the table, as `rows` gives them.
            histories: `[M]` whose last items are hidden, as far as the table hides any.
        """
        asked, back = np.nonzero(rows >= 0)
        kind = self.shares.indices.dtype  # of another type, the whole table would be copied for the product
        begin = np.append(0, np.cumsum(np.count_nonzero(rows >= 0, axis=1))).astype(kind)
        weights = np.float32(self.decay) ** back.astype(np.float32)
        shape = (len(rows), self.shares.shape[0])
        weighted = sp.csr_array((weights, rows[asked, back].astype(kind), begin), shape=shape)
        mass = sp.csr_array(weighted @ self.shares)
        return mass if histories is None or self.hides == 0 else self._hidden(mass, histories)

    def mass_of_one(self, rows: Ints, history: Queries) -> tuple[Ints, NDArray[np.float32]]:
        """Items, and their float32 masses, after one history: what `mass` has in its row, summed in the same order.

        With sparse arrays one history takes three times as long.

        Args:
            rows: `[L]` rows of the table, as `rows` gives them.
            history: the one whose last items are hidden, as far as the table hides any.
        """
        back = np.flatnonzero(rows >= 0)
        asked, weights = rows[back], np.float32(self.decay) ** back.astype(np.float32)
        begins, ends = (self.shares.indptr[asked + step].astype(np.int64) for step in (0, 1))
        which, places = ranges(begins, ends)
        whole = np.zeros(self.n_items, dtype=np.float32)
        np.add.at(whole, self.shares.indices[places], weights[which] * self.shares.data[places])
        end = int(history.ends[0])
        whole[history.items[max(int(history.starts[0]), end - self.hides) : end]] = 0
        items = np.flatnonzero(whole)
        return items, whole[items]

    def _hidden(self, mass: sp.csr_array, histories: Queries) -> sp.csr_array:
        """The masses but for those of the last items of each history."""
        n = self.n_items
        which, places = ranges(np.maximum(histories.starts, histories.ends - self.hides), histories.ends)
        seen = which * n + histories.items[places]
        seen = seen[histories.items[places] < n]
        keys = np.repeat(np.arange(len(histories)) * n, np.diff(mass.indptr)) + mass.indices
        if len(histories) * n <= MARKS:
            marks = np.zeros(len(histories) * n, dtype=bool)
            marks[seen] = True
            keep = ~marks[keys]
        else:
            keep = np.isin(keys, seen, invert=True)
        indptr = np.append(0, np.cumsum(keep))[mass.indptr]
        return sp.csr_array((mass.data[keep], mass.indices[keep], indptr), shape=mass.shape)

    def counts(self, n_items: int) -> sp.csr_array:
        """`[n, n]` what was counted, as far as it was kept, for a catalogue that begins with this one.

        Args:
            n_items: of that catalogue.
        """
        full = self.answering.shares
        per_entry = np.repeat(self.totals, np.diff(full.indptr))
        indptr = np.append(full.indptr, np.full(n_items - self.n_items, full.nnz))
        shape = (n_items, n_items)
        return sp.csr_array((full.data.astype(np.float64) * per_entry, full.indices, indptr), shape=shape)

    def extended(self, more: int) -> Transitions:
        """The full table over a catalogue with more items, of which nothing has been counted.

        Args:
            more: how many.
        """
        full, n = self.answering.shares, self.n_items + more
        indptr = np.append(full.indptr, np.full(more, full.nnz))
        shares = sp.csr_array((full.data, full.indices, indptr), shape=(n, n))
        return replace(self, shares=shares, totals=np.append(self.totals, np.zeros(more)), folds=None)


@dataclass(frozen=True, eq=False)
class Leaning:
    """How far a table of transitions moves the scores of items: `alpha x log(1 + scale x mass)`.

    Attributes:
        transitions: the table.
        alpha: how much it counts.
        scale: one over the mass below which an item is as good as one that was never counted.
    """

    transitions: Transitions
    alpha: float
    scale: float

    def add(self, scores: NDArray[np.float32], queries: Queries) -> None:
        """Adds what the last items of each history say to its scores `[Q, N]`, in place.

        Args:
            scores: of a network.
            queries: the same histories.
        """
        table = self.transitions
        for begin in range(0, len(queries), AT_ONCE):
            block = queries[begin : begin + AT_ONCE]
            rows = table.rows(block.last(table.last))
            if len(block) == 1 and table.n_items <= FEW_ITEMS:
                items, found = table.mass_of_one(rows[0], block)
                scores[begin, items] += self._value(found)
                continue
            mass = table.mass(rows, block)
            row = np.repeat(np.arange(begin, begin + len(block)), np.diff(mass.indptr))
            scores[row, mass.indices] += self._value(mass.data)

    def parts(self, history: NDArray[np.int32]) -> sp.csr_array:
        """`[L, N]` what each of the last items adds to each score; together, exactly what `add` adds.

        Each gets the share of the addition that it has in the mass.

        Args:
            history: items, the oldest first; row j of the answer is for the one j before the last.
        """
        table = self.transitions
        asked = Queries.of([history], table.n_items)
        rows = table.rows(asked.last(table.last))
        alone = np.where(np.eye(table.last, dtype=bool), rows, -1)
        whole, each = table.mass(rows, asked), table.mass(alone).tocoo()
        dense = np.zeros(table.n_items)
        dense[whole.indices] = self._value(whole.data) / whole.data
        return sp.csr_array((each.data * dense[each.col], (each.row, each.col)), shape=each.shape)

    def _value(self, mass: NDArray[np.float32]) -> NDArray[np.float32]:
        value: NDArray[np.float32] = np.float32(self.alpha) * np.log1p(np.float32(self.scale) * mass)
        return value

    def to_json(self) -> dict[str, Any]:
        """Everything but the arrays."""
        return {
            "last": self.transitions.last,
            "decay": self.transitions.decay,
            "hides": self.transitions.hides,
            "alpha": self.alpha,
            "scale": self.scale,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The table as arrays."""
        shares = self.transitions.answering.shares
        return {
            f"{TABLE}.data": shares.data,
            f"{TABLE}.indices": shares.indices.astype(np.int32),
            f"{TABLE}.indptr": shares.indptr.astype(np.int64),
            TOTALS: self.transitions.totals,
        }

    @classmethod
    def restored(cls, said: Any, arrays: Mapping[str, NDArray[Any]], n_items: int) -> Leaning:
        """What `to_json` and `arrays` gave.

        Args:
            said: the settings.
            arrays: those, among others.
            n_items: `N`.

        Raises:
            ArtifactError: they are damaged, or do not fit the catalogue.
        """
        try:
            last, decay, hides, alpha, scale = (
                said[name] for name in ("last", "decay", "hides", "alpha", "scale")
            )
            data, indices, indptr, totals = (
                arrays[f"{TABLE}.{part}"] for part in ("data", "indices", "indptr", "totals")
            )
        except (KeyError, TypeError) as fault:
            raise ArtifactError(
                f"A part of the table of transitions is missing ({fault}): save the model anew."
            ) from fault
        numbers = (last, decay, hides, alpha, scale)
        sound = all(isinstance(value, int | float) and np.isfinite(value) for value in numbers)
        if not sound or last < 1 or hides < 0 or len(totals) != n_items:
            raise ArtifactError("The table of transitions is damaged: save the model anew.")
        check_table(data, indices, indptr, n_items, n_items)
        shares = sp.csr_array((data, indices, indptr), shape=(n_items, n_items))
        table = Transitions(shares, totals, int(last), float(decay), hides=int(hides))
        return cls(table, float(alpha), float(scale))
