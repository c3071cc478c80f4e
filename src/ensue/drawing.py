"""Distinct items drawn for many queries at once, each query from a stream of chances of its own.

A chance is a mix of the seed, of the query's number and of the number of the draw, and of nothing else: what a query
gets depends neither on the queries beside it nor on the version of a library.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints, Items, ranges

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

STEP = np.uint64(0x9E3779B97F4A7C15)
"""Between the states of two neighbours in a stream: 2^64 over the golden ratio, odd."""

DRAW_BYTES = 64
"""What one draw takes while it is looked at: its chance, its item, its place in the order of the items."""

KEY_BYTES = 40
"""What one item takes while all items of the catalogue are put in order."""


def chances(seed: int, rows: Ints, first: int, count: int) -> Values:
    """`[q, count]` numbers from 0 up to 1: chances `first`, `first + 1`, ... of the stream of each query.

    References:
        Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (SplitMix64).
    """
    start = _mixed(np.array([seed % 2**64], dtype=np.uint64) + STEP)
    streams = _mixed(start + (rows.astype(np.uint64) + np.uint64(1)) * STEP)
    draws = np.arange(first + 1, first + count + 1, dtype=np.uint64) * STEP
    return (_mixed(streams[:, None] + draws) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def tries(number: int, n_items: int) -> int:
    """How many draws each query begins with; none where ordering all items at once is as cheap."""
    return 2 * number + 16 if 2 * number + 16 < n_items else 0


def distinct(number: int, banned: Mask, rows: Ints, seed: int, weights: Values, most: int) -> Items:
    """`[q, number]` distinct items for each query, in the order they were drawn, padded with `N`.

    As if items were drawn one by one in proportion to their weights, from those that are neither banned nor drawn
    already. Most are found by drawing and leaving out what may not be; where some are still missing after a fixed
    number of draws, all items left are put in order by exponential waiting times, which is the same law.

    Args:
        number: how many each query gets, or as many as there are.
        banned: `[q, N]` items that it must not get.
        rows: `[q]` the numbers of the queries.
        seed: same seed and number of a query, same items.
        weights: `[N]`, above 0.
        most: bytes that may be taken at a time.

    References:
        Efraimidis & Spirakis, "Weighted random sampling with a reservoir", IPL 2006 (the order of waiting times).
    """
    n_items = banned.shape[1]
    wanted = np.minimum(number, n_items - np.count_nonzero(banned, axis=1))
    drawn = np.full((len(rows), number), n_items, dtype=np.int32)
    have = np.zeros(len(rows), dtype=np.int64)
    begun = tries(number, n_items)
    if begun:
        edges = np.cumsum(weights)
        found = np.searchsorted(edges / edges[-1], chances(seed, rows, 0, begun), side="right")
        taken = _first(found) & ~np.take_along_axis(banned, found, axis=1)
        places = np.cumsum(taken, axis=1) - 1
        taken &= places < number
        at, draw = np.nonzero(taken)
        drawn[at, places[at, draw]] = found[at, draw]
        have = np.count_nonzero(taken, axis=1)
    short = np.flatnonzero(have < wanted)
    step = max(most // (n_items * KEY_BYTES), 1)
    for begin in range(0, len(short), step):
        few = short[begin : begin + step]
        waiting = -np.log1p(-chances(seed, rows[few], begun, n_items)) / weights
        waiting[banned[few]] = np.inf
        at, places = ranges(np.zeros(len(few), dtype=np.int64), have[few])
        waiting[at, drawn[few[at], places]] = np.inf
        at, places = ranges(have[few], wanted[few])
        nearest = _ordered(waiting, number)
        drawn[few[at], places] = nearest[at, places - have[few][at]]
    return drawn


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 bits of which each depends on all bits of the state."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = state ^ (state >> np.uint64(31))
    return mixed


def _first(items: Ints) -> Mask:
    """`[q, D]` where an item stands for the first time in its row."""
    order = np.argsort(items, axis=1, kind="stable")
    ascending = np.take_along_axis(items, order, axis=1)
    new = np.ones(items.shape, dtype=bool)
    new[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    first = np.empty(items.shape, dtype=bool)
    np.put_along_axis(first, order, new, axis=1)
    return first


def _ordered(values: Values, number: int) -> Ints:
    """`[q, number]` places of the smallest values of each row, ascending."""
    if number < values.shape[1]:
        smallest = np.argpartition(values, number - 1, axis=1)[:, :number]
    else:
        smallest = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    order = np.argsort(np.take_along_axis(values, smallest, axis=1), axis=1, kind="stable")
    return np.take_along_axis(smallest, order, axis=1)
