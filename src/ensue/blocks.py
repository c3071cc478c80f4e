"""Stretches of consecutive queries that are worked on at once, so that memory is bounded whatever their number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ensue.batching import Ints


def blocks(costs: Ints, most: int, groups: Ints | None = None) -> Iterator[slice]:
    """Every query once, in order, in stretches that cost at most `most`; one query at least, whatever it costs.

    Args:
        costs: `[Q]` what each query takes, such as bytes.
        most: of one stretch.
        groups: `[Q]` ascending; queries of one group stay together if they fit.
    """
    total = len(costs)
    cost = np.concatenate([[0], np.cumsum(costs)])
    between = np.append(np.flatnonzero(np.diff(groups)) + 1, total) if groups is not None else None
    start = 0
    while start < total:
        end = int(np.searchsorted(cost, cost[start] + most, side="right")) - 1
        if between is not None:
            fitting = int(np.searchsorted(between, end, side="right")) - 1
            if fitting >= 0 and between[fitting] > start:
                end = int(between[fitting])
        end = max(end, start + 1)
        yield slice(start, end)
        start = end
