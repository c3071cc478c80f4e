"""Padded batches of ragged rows: which stretches make a batch, and the one rule of padding.

What is stored carries lengths, never padding. A batch is right-padded with `N`, the size of the catalogue in use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ensue.errors import ConfigError

Ints = NDArray[np.int64]
Items = NDArray[np.int32]
Value = TypeVar("Value", bound=np.generic)

SCORING_TOKENS = 16_384
"""The most `rows x steps` that a network scores at a time."""


@dataclass(frozen=True, eq=False)
class Stretches:
    """The rows of one training batch: inputs `starts..ends` of the flat array of events; targets come after each.

    Attributes:
        starts: `[B]` first input of each row.
        ends: `[B]` after the last input.
        fresh: `[B]` rows that begin with an empty state; None where all do, as in any model that carries none.
    """

    starts: Ints
    ends: Ints
    fresh: NDArray[np.bool_] | None = None


def parts_of(stretches: Stretches, tokens: int) -> Iterator[Stretches]:
    """A batch in parts of consecutive rows, each within a token budget once padded; 0 leaves it whole.

    Args:
        stretches: the batch; rows that go on from batch to batch stay together.
        tokens: the most `rows x longest row` of a part; a longer row is a part of its own.
    """
    if tokens <= 0 or stretches.fresh is not None:
        yield stretches
        return
    cuts = _cuts(stretches.ends - stretches.starts, tokens)
    for first, last in pairwise(cuts):
        yield Stretches(stretches.starts[first:last], stretches.ends[first:last])


def ranges(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Flat `(rows, positions)` of the half-open ranges `starts[q]..ends[q]`, in order of q.

    The one place that turns offsets into positions; every ragged gather uses it.
    """
    lengths = np.maximum(ends - starts, 0)
    rows = np.repeat(np.arange(len(starts), dtype=np.int64), lengths)
    first = np.cumsum(lengths) - lengths
    return rows, np.arange(len(rows), dtype=np.int64) - first[rows] + np.asarray(starts, dtype=np.int64)[rows]


def shared_windows(
    starts: Ints, ends: Ints, length: int, tokens: int, share: bool = True
) -> Iterator[tuple[Ints, Ints, Ints, Ints, Ints]]:
    """Batches that hold every query's last `length` events, prefixes of one history sharing one row.

    A causal network computes the states of all steps of a row at once, so the queries after each event of a sequence
    cost one row together, as long as they begin at the same event. Longer histories have a window of their own.

    Args:
        starts: `[Q]` of the histories, which hold at least one event each.
        ends: `[Q]` of the histories.
        length: the most events of a history that the model sees; the newest are kept.
        tokens: the most `rows x longest row` of a batch.
        share: False gives every query a row of its own, for networks whose states depend on what comes later.

    Yields:
        `(which [q], first [B], last [B], rows [q], steps [q])`: row b holds the events `first[b]..last[b]`, and query
        `which[i]` is read at `(rows[i], steps[i])`.
    """
    begins = np.maximum(starts, ends - length)
    first, window = np.unique(begins, return_inverse=True) if share else (begins, np.arange(len(begins)))
    last = np.zeros(len(first), dtype=np.int64)
    np.maximum.at(last, window, ends)
    by_window = np.argsort(window, kind="stable")
    cuts = np.searchsorted(window[by_window], np.arange(len(first) + 1))
    for chosen in batches(last - first, tokens):
        rows, places = ranges(cuts[chosen], cuts[chosen + 1])
        which = by_window[places]
        yield which, first[chosen], last[chosen], rows, ends[which] - 1 - begins[which]


def pad(values: NDArray[Value], starts: Ints, ends: Ints, padding: Any) -> NDArray[Value]:
    """`[B, T]` the stretches `values[starts:ends]` right-padded; the one rule of padding.

    `T` is the longest stretch, at least 1.
    """
    lengths = ends - starts
    width = max(int(lengths.max(initial=0)), 1)
    batch = np.full((len(starts), width), padding, dtype=values.dtype)
    rows, positions = ranges(starts, ends)
    batch[rows, positions - starts[rows]] = values[positions]
    return batch


def windows(offsets: Ints, length: int) -> tuple[Ints, Ints]:
    """Stretches that train every target of every sequence exactly once.

    A window of `m` inputs at `starts[w]..ends[w]` has as its targets the events one place later, so that a sequence
    of n events gives n - 1 targets. Windows are cut from the end: the newest targets see the longest history, and
    older history trains in windows of its own.

    Args:
        offsets: `[S+1]` of the sequences.
        length: `T`, the most inputs in a window.

    Returns:
        `(starts, ends)` of the inputs of each window, `[W]` each.
    """
    if length < 1:
        raise ConfigError(f"A window of {length} events holds nothing: take a length of at least 1.")
    first, last = offsets[:-1], offsets[1:] - 1
    counts = np.maximum(-(-(last - first) // length), 0)
    rows, number = ranges(np.zeros(len(counts), dtype=np.int64), counts)
    ends = last[rows] - number * length
    return np.maximum(first[rows], ends - length), ends


def batches(lengths: Ints, tokens: int, rng: np.random.Generator | None = None) -> Iterator[Ints]:
    """Groups of windows of like length, each within a token budget once padded.

    Args:
        lengths: `[W]` inputs of each window.
        tokens: the most `rows x longest row` in a batch; a window longer than this is a batch of its own.
        rng: shuffles windows within a length bucket and the order of the batches; None keeps the order by length.

    Yields:
        Indices into `lengths`; together they hold every window exactly once.
    """
    if len(lengths) == 0:
        return
    noise = rng.random(len(lengths)) if rng is not None else np.zeros(len(lengths))
    bucket = np.ceil(np.log2(np.maximum(lengths, 1)) * 4) if rng is not None else lengths
    order = np.lexsort((noise, bucket))
    del noise, bucket  # an epoch holds no more of every window than their order
    cuts = _cuts(lengths[order], tokens)
    places = np.arange(len(cuts) - 1)
    if rng is not None:
        rng.shuffle(places)
    for place in places:
        yield order[cuts[place] : cuts[place + 1]]


def _cuts(lengths: Ints, tokens: int) -> Ints:
    """`[C+1]` where batches begin in windows, so that each stays within the budget once padded."""
    cuts = [0]
    while cuts[-1] < len(lengths):
        first = cuts[-1]
        ahead = lengths[first : first + max(tokens // max(int(lengths[first]), 1), 1)]
        cost = np.maximum.accumulate(ahead) * np.arange(1, len(ahead) + 1)
        cuts.append(first + max(int(np.searchsorted(cost, tokens, side="right")), 1))
    return np.array(cuts, dtype=np.int64)
