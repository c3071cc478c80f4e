"""What follows what, counted: the table of Markov chains, of sequential rules, and of the prior inside a softmax.

The rule of counting stands here alone: every ordered pair at distance d <= window within a sequence counts 1/d, times
the weight of the later event as a target, where there is an objective.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.errors import ArtifactError
from ensue.sequences import Sequences

PAIRS_AT_ONCE = 20_000_000
"""How many weighted pairs are held before they are summed: bounds the memory of a fit."""


def transition_counts(sequences: Sequences, window: int, folds: Ints | None = None) -> sp.csr_array:
    """`[N, N]` weighted counts: every ordered pair at distance d <= window adds 1/d to `(earlier, later)`.

    Where events have weights as targets, it adds as many times 1/d; what is no target is followed, and follows nothing.
    The events are read piece by piece, so that what is mapped into memory stays where it is.

    Args:
        sequences: training sequences; no pair reaches over the end of one.
        window: `W`, the largest distance; 1 counts neighbours only.
        folds: `[S]` numbers from 0; the counts of fold k then stand apart, in the rows `k N` and after it, and there
            are as many such blocks of `N` rows as the largest number says.
    """
    n = sequences.n_items
    blocks = 1 if folds is None else int(folds.max(initial=0)) + 1
    total = sp.csr_array((blocks * n, n), dtype=np.float64)
    step = max(PAIRS_AT_ONCE // window, 1)
    for begin in range(0, len(sequences.items), step):
        places = np.arange(begin, min(begin + step, len(sequences.items)))
        which = np.searchsorted(sequences.offsets, places, side="right") - 1
        after = sequences.offsets[which + 1]
        ahead = np.asarray(sequences.items[begin : places[-1] + window + 1])
        weight = None if sequences.weight is None else sequences.weight[begin : places[-1] + window + 1]
        held: list[tuple[NDArray[Any], NDArray[np.int32], float | NDArray[np.float64]]] = []
        for distance in range(1, window + 1):
            first = np.flatnonzero(places + distance < after)
            if len(first) == 0:
                break
            counts: float | NDArray[np.float64] = 1.0 / distance
            if weight is not None:
                first = first[weight[first + distance] > 0]
                counts = weight[first + distance].astype(np.float64) / distance
            earlier = ahead[first] if folds is None else ahead[first] + n * folds[which[first]]
            held.append((earlier, ahead[first + distance], counts))
        if held:
            total = total + _summed(held, total.shape)
    return sp.csr_array(total)


def _summed(
    pairs: list[tuple[NDArray[Any], NDArray[np.int32], float | NDArray[np.float64]]], shape: tuple[int, ...]
) -> sp.csr_array:
    earlier = np.concatenate([a for a, _, _ in pairs])
    later = np.concatenate([b for _, b, _ in pairs])
    weight = np.concatenate([np.full(len(a), w) for a, _, w in pairs])
    return sp.csr_array(sp.coo_array((weight, (earlier, later)), shape=shape))


def least_weight(sequences: Sequences) -> float:
    """The least weight of an event that is a target; 1 where all count alike."""
    weight = sequences.weight
    if weight is None or not (weight > 0).any():
        return 1.0
    return float(weight[weight > 0].min())


def row_shares(counts: sp.csr_array) -> sp.csr_array:
    """The counts with each row divided by its total; an empty row stays empty."""
    per_entry = np.repeat(row_totals(counts), np.diff(counts.indptr))
    return sp.csr_array((counts.data / per_entry, counts.indices, counts.indptr), shape=counts.shape)


def row_totals(counts: sp.csr_array) -> NDArray[np.float64]:
    """The sum of each row."""
    return np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()


def largest(table: sp.csr_array, most: int) -> sp.csr_array:
    """The table with no more than the largest entries of each row; of equals, those of lower columns stay.

    Args:
        table: float32 entries above zero, in the order of their columns.
        most: entries of a row; 0 keeps all.
    """
    sizes = np.diff(table.indptr)
    if most == 0 or sizes.max(initial=0) <= most:
        return table
    row = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
    # the bits of positive numbers are in the order of the numbers
    keys = np.sort((row << np.uint64(32)) | table.data.view(np.uint32))
    last = np.clip(table.indptr[1:] - most, table.indptr[:-1], table.nnz - 1)
    least = np.repeat((keys[last] & np.uint64(2**32 - 1)).astype(np.uint32).view(np.float32), sizes)
    above, equal = table.data > least, table.data == least
    left = most - np.diff(np.append(0, np.cumsum(above))[table.indptr])
    before = np.append(0, np.cumsum(equal))
    keep = above | (
        equal & (before[1:] - np.repeat(before[table.indptr[:-1]], sizes) <= np.repeat(left, sizes))
    )
    kept = np.append(0, np.cumsum(keep))[table.indptr]
    return sp.csr_array((table.data[keep], table.indices[keep], kept), shape=table.shape)


def user_folds(sequences: Sequences, most: int) -> Ints:
    """`[S]` a fold from 0 for each sequence, the same for all sequences of one user, dealt in turn.

    Args:
        sequences: of users, or of their sessions; one whose user is not known is taken for a user of its own.
        most: how many folds, no more than there are users.
    """
    own = pl.int_range(len(sequences), eager=True)
    users = pl.DataFrame({"place": own, "user": own if sequences.users is None else sequences.users})
    first = users.select(
        pl.when(pl.col("user").is_null()).then("place").otherwise(pl.col("place").min().over("user"))
    )
    _, number = np.unique(first.to_series().to_numpy(), return_inverse=True)
    return np.asarray(number % max(most, 1), dtype=np.int64)


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


def counted_pairs(counts: sp.csr_array, window: int, least: float = 1.0) -> sp.csr_array:
    """The entries of a difference of counts that are more than rounding: no pair counts less than least / window.

    Args:
        counts: `[N, N]`.
        window: `W`.
        least: weight of an event that is a target, see `least_weight`.
    """
    keep = counts.data > 0.5 * least / window
    kept = np.append(0, np.cumsum(keep))[counts.indptr]
    table = sp.csr_array((counts.data[keep], counts.indices[keep], kept), shape=counts.shape)
    table.sort_indices()
    return table
