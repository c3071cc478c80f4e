"""Figures within lists: all lists at once, each candidate beside the others of its own list."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints

Values = NDArray[np.float64]


def total(values: NDArray[Any], offsets: Ints) -> Values:
    """`[Q]` the sum over each list of `[C]` values."""
    if not len(values):
        return np.zeros(len(offsets) - 1)
    return np.asarray(np.add.reduceat(values, offsets[:-1]), dtype=np.float64)


def centred(values: Values, offsets: Ints) -> Values:
    """`[C, ...]` values less the mean of their list: 0 is what its average candidate has."""
    sums = np.add.reduceat(values, offsets[:-1], axis=0) if len(values) else values
    lengths = np.diff(offsets)
    means = sums / lengths.reshape(-1, *[1] * (values.ndim - 1))
    found: Values = values - np.repeat(means, lengths, axis=0)
    return found


def standardised(values: Values, offsets: Ints) -> Values:
    """`[C]` values less the mean of their list, over its standard deviation; 0 where there is no value, or no spread.

    Args:
        values: NaN where there is none; such do not count in the mean.
        offsets: `[Q+1]`.
    """
    held = np.isfinite(values)
    counts = np.maximum(total(held.astype(np.float64), offsets), 1.0)
    plain = np.where(held, values, 0.0)
    apart = np.where(held, values - np.repeat(total(plain, offsets) / counts, np.diff(offsets)), 0.0)
    variance = total(apart**2, offsets) / counts
    largest = np.maximum.reduceat(np.abs(plain), offsets[:-1]) if len(values) else variance
    deviation = np.where(variance > (1e-9 * largest) ** 2, np.sqrt(variance), np.inf)  # else it is rounding
    found: Values = apart / np.repeat(deviation, np.diff(offsets))
    return found


def order_of(offsets: Ints, *keys: Values) -> Ints:
    """`[C]` places that put each list in order, the highest value of the first key first; later keys part equals.

    What is equal in all keys stays in the order of the engine.
    """
    rows = np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))
    return np.lexsort((*(-key for key in reversed(keys)), rows))


def ranks(offsets: Ints, *keys: Values) -> Ints:
    """`[C]` the place from 1 of each candidate in `order_of`."""
    order = order_of(offsets, *keys)
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.arange(len(order)) - np.repeat(offsets[:-1], np.diff(offsets)) + 1
    return found


def shares(values: Values, offsets: Ints) -> Values:
    """`[C]` the share of the others of the list with a lower value, equal ones half; one half without a value.

    Args:
        values: NaN where there is none; such are no others.
        offsets: `[Q+1]`.
    """
    held = np.isfinite(values)
    rows = np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))[held]
    own = values[held]
    order = np.lexsort((own, rows))
    row, value = rows[order], own[order]
    new = np.ones(len(row), dtype=bool)
    new[1:] = (row[1:] != row[:-1]) | (value[1:] != value[:-1])
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, len(row)))
    run = np.cumsum(new) - 1
    first = np.searchsorted(row, row)  # where the list begins
    others = np.searchsorted(row, row, side="right") - first - 1
    below = starts[run] - first + (sizes[run] - 1) / 2
    found = np.full(len(values), 0.5)
    placed = np.empty(len(row))
    placed[order] = np.where(others > 0, below / np.maximum(others, 1), 0.5)
    found[held] = placed
    return found


def softmax(scores: Values, offsets: Ints) -> Values:
    """`[C]` the probability of each candidate within its list."""
    if not len(scores):
        return scores
    top = np.maximum.reduceat(scores, offsets[:-1])
    raised = np.exp(scores - np.repeat(top, np.diff(offsets)))
    found: Values = raised / np.repeat(total(raised, offsets), np.diff(offsets))
    return found
