"""Training sequences as neighbours: which of them share items with a history, and what stands in them where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.batching import Ints, Items, ranges
from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError
from ensue.models.counting.transitions import row_blocks
from ensue.ranking import Parts
from ensue.sequences import Queries, Sequences

AT_ONCE = 4_000_000
"""How many candidate sequences, or events of neighbours, are held at a time: bounds the memory of a question."""

LONGEST = 500
"""The most items of a history that are compared: their places are told apart by powers of 4."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recent:
    """The different items at the end of each history, most recent first.

    Attributes:
        items: `[Q, L]` items, padded with `N` at the right.
        counts: `[Q]` how many there are.
    """

    items: Items
    counts: Ints

    @classmethod
    def of(cls, queries: Queries, last: int) -> Recent:
        """The different items among the last events, each at its most recent place."""
        found, new = cls.newest(queries, last)
        rows, places = np.nonzero(new)
        packed = np.full_like(found, queries.n_items)
        packed[rows, (np.cumsum(new, axis=1) - 1)[rows, places]] = found[rows, places]
        return cls(packed, new.sum(axis=1))

    @staticmethod
    def newest(queries: Queries, last: int) -> tuple[Items, NDArray[np.bool_]]:
        """`[Q, L]` the last items, most recent first, and which of them are not in a more recent place, too."""
        found = queries.last(last)
        new = found < queries.n_items
        for step in range(1, last):
            new[:, step] &= (found[:, :step] != found[:, step : step + 1]).all(axis=1)
        return found, new


@dataclass(frozen=True, eq=False)
class Pairs:
    """Histories with the training sequences that are their neighbours, history by history.

    Attributes:
        rows: `[P]` which history, ascending.
        sequences: `[P]` which sequence.
        similarity: `[P]` how alike they are, above 0.
        places: `[P]` where in the index the most recent item that they share stands.
    """

    rows: Ints
    sequences: Ints
    similarity: Floats
    places: Ints


@dataclass(frozen=True, eq=False)
class SessionIndex:
    """`S` training sequences, the one that ended last at the end, each item in a sequence once, where it came last.

    Attributes:
        items: `[E]` items, sequence by sequence.
        offsets: `[S+1]`; sequence s is `items[offsets[s]:offsets[s+1]]`.
        ended: `[S]` time of each sequence's last event in microseconds, ascending; None without times, and then the
            sequences are in the order of the log.
        n_items: `N`.
        sample: how many of the sequences that hold an item are looked at, those that ended last; 0 looks at all.
        weight: `[E]` how much each counts as an answer; None where all count alike.
    """

    items: Items
    offsets: Ints
    ended: Ints | None
    n_items: int
    sample: int
    weight: Floats | None = None

    @classmethod
    def of(cls, sequences: Sequences, sample: int) -> SessionIndex:
        """The index of training sequences, none of them empty.

        With an objective, an item counts as an answer as much as that of its events in the sequence that counts most.
        """
        ended = None if sequences.time is None else sequences.time[sequences.offsets[1:] - 1]
        order = np.arange(len(sequences)) if ended is None else np.argsort(ended, kind="stable")
        rows, places = ranges(sequences.offsets[:-1][order], sequences.offsets[1:][order])
        items = sequences.items[places]
        key = rows * sequences.n_items + items
        kept = np.sort(len(key) - 1 - np.unique(key[::-1], return_index=True)[1])
        offsets = np.searchsorted(rows[kept], np.arange(len(sequences) + 1))
        weight = None
        if sequences.weight is not None:
            _, which = np.unique(key, return_inverse=True)
            most = np.zeros(len(kept))
            np.maximum.at(most, which, sequences.weight[places])
            weight = most[which[kept]]
        ended = None if ended is None else ended[order]
        return cls(items[kept], offsets, ended, sequences.n_items, sample, weight)

    @cached_property
    def holders(self) -> sp.csr_array:
        """`[N, S]` ones: the sequences that hold each item, the last `sample` of them."""
        by_item = np.argsort(self.items, kind="stable")
        ends = np.searchsorted(self.items[by_item], np.arange(1, self.n_items + 1))
        starts = np.concatenate([[0], ends[:-1]])
        if self.sample:
            starts = np.maximum(starts, ends - self.sample)
        _, places = ranges(starts, ends)
        sequence = self._sequence_of_event[by_item[places]].astype(np.int32)
        indptr = np.concatenate([[0], np.cumsum(ends - starts)])
        shape = (self.n_items, len(self.offsets) - 1)
        return sp.csr_array((np.ones(len(sequence)), sequence, indptr), shape=shape)

    @cached_property
    def _sequence_of_event(self) -> Ints:
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @cached_property
    def _lookup(self) -> tuple[Ints, Ints]:
        """Keys `sequence x N + item`, ascending, and where each stands."""
        keys = self._sequence_of_event * self.n_items + self.items
        order = np.argsort(keys)
        return keys[order], order

    def holds(self, items: Items, sequences: Ints) -> NDArray[np.bool_]:
        """`[P, L]` whether each sequence is among those that are looked at for each item beside it.

        Args:
            items: `[P, L]`, padded with `N`.
            sequences: `[P]`.
        """
        keys = self._held
        wanted = items.astype(np.int64) * (len(self.offsets) - 1) + sequences[:, None]
        return np.asarray(keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted)

    @cached_property
    def _held(self) -> Ints:
        """Keys `item x S + sequence` of the entries of `holders`, ascending."""
        rows = np.repeat(np.arange(self.n_items), np.diff(self.holders.indptr))
        return rows * (len(self.offsets) - 1) + self.holders.indices

    def places(self, sequences: Ints, items: Items) -> Ints:
        """`[P]` where in the index an item stands in a sequence, -1 where it does not."""
        keys, places = self._lookup
        wanted = sequences * self.n_items + items
        found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[found] == wanted, places[found], -1)

    def neighbours(self, recent: Recent, weights: Floats, k: int, by_length: bool) -> Iterator[Pairs]:
        """The k most similar sequences of each history, block by block of histories.

        Similarity is the sum of the weights of shared items. Among equals (to single precision) the sequences that
        ended last come first.

        Args:
            recent: different items at the end of each history.
            weights: `[Q, L]` of each of them.
            k: how many neighbours.
            by_length: divide by the root of (items of the history x items of the sequence).
        """
        held = np.diff(self.holders.indptr, append=self.holders.indptr[-1])  # padding is held by none
        for first, after in blocks(held[recent.items].sum(axis=1)):
            block = Recent(recent.items[first:after], recent.counts[first:after])
            yield self._of_block(first, block, weights[first:after], k, by_length)

    def _of_block(self, first: int, recent: Recent, weights: Floats, k: int, by_length: bool) -> Pairs:
        rows, step = np.nonzero(recent.items < self.n_items)
        indptr = np.concatenate([[0], np.cumsum(recent.counts)])
        shape = (len(recent.items), self.n_items)
        columns = recent.items[rows, step]
        # Weights above 0 keep every shared item, so both products list the same sequences in the same order.
        weight = np.maximum(weights[rows, step], np.finfo(np.float64).tiny)
        alike = sp.csr_array((weight, columns, indptr), shape=shape) @ self.holders
        shared = sp.csr_array((0.25**step, columns, indptr), shape=shape) @ self.holders
        rows = np.repeat(np.arange(shape[0]), np.diff(alike.indptr))
        sequences: Ints = alike.indices.astype(np.int64)
        similarity: Floats = alike.data
        if by_length:
            lengths = np.diff(self.offsets)
            similarity = similarity / np.sqrt(recent.counts[rows] * lengths[sequences].astype(np.float64))
        kept = np.arange(len(rows))
        if self.sample:
            kept = kept[first_of_rows(sequences, rows, self.sample)]
        # The bits of positive numbers are ordered as the numbers are; below them the later sequence wins.
        bits = similarity[kept].astype(np.float32).view(np.int32).astype(np.int64)
        kept = kept[first_of_rows((bits << 32) | sequences[kept], rows[kept], k)]
        rows, sequences, similarity = rows[kept], sequences[kept], similarity[kept]
        # 4^-m for the newest shared item and less than a third of it for all others: its exponent tells m.
        back = (1 - np.frexp(shared.data[kept])[1]) // 2
        keys, places = self._lookup
        found = np.searchsorted(keys, sequences * self.n_items + recent.items[rows, back])
        return Pairs(rows + first, sequences, similarity, places[found])

    def parts(self, settings: dict[str, Any]) -> Parts:
        """The sequences as arrays, with the settings of the model's own scoring."""
        arrays: dict[str, NDArray[Any]] = {"items": self.items, "offsets": self.offsets.astype(np.int64)}
        if self.ended is not None:
            arrays["ended"] = self.ended
        if self.weight is not None:
            arrays["weight"] = self.weight
        return Parts(settings | {"sample": self.sample}, arrays)

    @classmethod
    def restored(cls, parts: Parts, catalogue: Catalogue) -> SessionIndex:
        """The index from its stored parts.

        Raises:
            ArtifactError: the arrays do not make sequences over the catalogue.
        """
        items, offsets, ended = parts.arrays["items"], parts.arrays["offsets"], parts.arrays.get("ended")
        weight = parts.arrays.get("weight")
        n, size = len(catalogue), len(offsets) - 1
        sound = (
            size >= 1
            and offsets[0] == 0
            and offsets[-1] == len(items)
            and bool((np.diff(offsets) > 0).all())
            and bool((items >= 0).all() and (items < n).all())
            and (ended is None or (len(ended) == size and bool((np.diff(ended) >= 0).all())))
            and (
                weight is None
                or (len(weight) == len(items) and bool((np.isfinite(weight) & (weight >= 0)).all()))
            )
        )
        if not sound:
            raise ArtifactError(
                f"The stored sequences do not fit their {n} items: the artifact is damaged, save it anew."
            )
        return cls(items, offsets, ended, n, int(parts.settings["sample"]), weight)


def blocks(costs: Ints) -> Iterator[tuple[int, int]]:
    """Ranges of rows that cost at most `AT_ONCE` together; a row that costs more is a range of its own."""
    return row_blocks(costs, AT_ONCE)


def first_of_rows(keys: Ints, rows: Ints, k: int) -> NDArray[np.bool_]:
    """`[P]` which keys are among the k largest of their row.

    Args:
        keys: `[P]` from 0 up, all different within a row.
        rows: `[P]` ascending.
        k: how many at most.
    """
    kept = np.ones(len(keys), dtype=np.bool_)
    _, start, length = np.unique(rows, return_index=True, return_counts=True)
    long = length > k
    if not long.any():
        return kept
    start, length = start[long], length[long]
    line, places = ranges(start, start + length)
    padded = np.full((len(start), int(length.max())), -1, dtype=np.int64)
    padded[line, places - start[line]] = keys[places]
    least = np.partition(padded, padded.shape[1] - k, axis=1)[:, padded.shape[1] - k]
    kept[places] = keys[places] >= least[line]
    return kept
