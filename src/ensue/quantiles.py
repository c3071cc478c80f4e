"""Quantiles of more numbers than memory holds: exact, by looking at all of them a few times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]

_BINS = 1 << 16
GATHERED = 1 << 22
"""So many numbers are sorted in memory."""


def quantile(parts: Callable[[], Iterable[Whole]], share: float, count: int) -> float:
    """`numpy.quantile` of numbers that come in parts.

    Args:
        parts: gives the numbers anew each time it is called.
        share: from 0 to 1.
        count: how many numbers there are.
    """
    place = share * (count - 1)
    low = math.floor(place)
    ends = order_statistics(parts, [low, min(low + 1, count - 1)])
    return float(np.quantile(np.array(ends), place - low))


def order_statistics(parts: Callable[[], Iterable[Whole]], ranks: Sequence[int]) -> list[int]:
    """The numbers that stand at some places of all numbers in order, without holding or sorting all.

    Args:
        parts: gives the numbers anew each time it is called.
        ranks: places, from 0, at most two neighbouring ones.
    """
    ends = [(int(part.min()), int(part.max()), len(part)) for part in parts() if len(part)]
    low, high, held = min(e[0] for e in ends), max(e[1] for e in ends), sum(e[2] for e in ends)
    before = 0
    while held > GATHERED and low < high:
        width = -(-(high - low + 1) // _BINS)
        counts = np.zeros(_BINS, dtype=np.int64)
        for part in parts():
            inside = part[(part >= low) & (part <= high)]
            counts += np.bincount((inside - low) // width, minlength=_BINS)
        reached = before + np.cumsum(counts)
        first, last = (int(np.searchsorted(reached, rank, side="right")) for rank in (ranks[0], ranks[-1]))
        fewer = int(counts[first : last + 1].sum())
        before += int(counts[:first].sum())
        low, high = low + first * width, min(low + (last + 1) * width - 1, high)
        if (
            fewer == held and last > first
        ):  # two neighbours in two full bins: no bin is narrow enough for both
            return [order_statistics(parts, [rank])[0] for rank in ranks]
        held = fewer
    if low == high:
        return [low for _ in ranks]
    gathered = np.concatenate([part[(part >= low) & (part <= high)] for part in parts()])
    places = [rank - before for rank in ranks]
    parted = np.partition(gathered, places)
    return [int(parted[place]) for place in places]
