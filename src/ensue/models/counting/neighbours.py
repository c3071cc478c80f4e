"""Item neighbours: which items stand close to which, for each of the last items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from ensue.catalogue import Catalogue
from ensue.errors import ConfigError
from ensue.model import Conditions, Model, Training
from ensue.models.counting.transitions import TransitionScoring, row_blocks
from ensue.ranking import Parts, Recommender
from ensue.sequences import Sequences
from ensue.spaces import Real, Space, Whole

PAIRS_AT_ONCE = 10_000_000
"""How many pairs of events are weighed at a time: bounds the memory of a fit."""


@dataclass(frozen=True)
class Neighbours(Model):
    """Item-kNN with recency: for each of the last items, the items most like it, the newest counting most.

    Two items are alike if they stand close to each other in many sequences, for how frequent they are:

        similarity(a, b) = sum of closeness / (sqrt(n(a) n(b)) + shrinkage),

    over all pairs of an event of a and an event of b in one sequence. The closeness of b at distance d after a is
    `fade^(d-1)` up to `window` events, and `backward` times that where b came before a. Of each item the `neighbours`
    most similar others are kept, the more frequent of equals; the score of b is the sum over the last items of
    `decay^j x similarity(item, b)`, with j = 0 for the most recent. Items without a score are ordered by popularity.

    With an objective, the closeness of b counts as much as its event does as a target, and n(b) counts targets.

    With fade=1, backward=1 and a window as long as the longest sequence, and no item twice in a sequence, the
    similarity is the cosine between the items' vectors over sequences, as published.

    Attributes:
        neighbours: how many similar items are kept of each.
        window: the largest distance, in events.
        fade: what each step of distance leaves of the closeness, from 0 to 1.
        backward: weight of pairs in the other order, from 0 (only what came later is alike) to 1 (order is ignored).
        shrinkage: takes similarity from pairs of rare items.
        last: how many of the last items are asked.
        decay: weight of each step further back in the history, from 0 to 1.

    References:
        Sarwar, Karypis, Konstan, Riedl, "Item-based collaborative filtering recommendation algorithms", WWW 2001,
        sections 3.1.1 and 3.2.1.
        Ludewig, Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 28, 2018, section 3.2.
    """

    name: ClassVar[str] = "neighbours"
    summary: ClassVar[str] = "items that stand close to each of the last items in many sequences"
    space: ClassVar[Space] = {
        "neighbours": Whole(20, 500, log=True),
        "window": Whole(1, 40),
        "fade": Real(0.5, 1.0),
        "backward": Real(0.0, 1.0),
        "shrinkage": Real(0.0, 200.0),
        "last": Whole(1, 40),
        "decay": Real(0.3, 1.0),
    }

    neighbours: int = 100
    window: int = 20
    fade: float = 0.9
    backward: float = 0.5
    shrinkage: float = 50.0
    last: int = 20
    decay: float = 0.8

    def __post_init__(self) -> None:
        for name in ("neighbours", "window", "last"):
            if getattr(self, name) < 1:
                raise ConfigError(f"neighbours: {name}={getattr(self, name)} must be at least 1.")
        for name in ("fade", "backward", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"neighbours: {name}={getattr(self, name):g} must lie from 0 to 1.")
        if not 0 <= self.shrinkage < float("inf"):
            raise ConfigError(
                f"neighbours: shrinkage={self.shrinkage:g} must be a number from 0 up, such as 50."
            )

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The neighbours of every item, worked out block by block of items."""
        items, weight, n = training.sequences.items, training.sequences.weight, training.sequences.n_items
        frequent = np.sqrt(np.bincount(items, minlength=n))
        sought = frequent if weight is None else np.sqrt(np.bincount(items, weight, minlength=n))
        blocks = []
        for begin, closeness in close_pairs(training.sequences, self.window, self.fade, self.backward):
            rows = np.repeat(np.arange(begin, begin + closeness.shape[0]), np.diff(closeness.indptr))
            others = rows != closeness.indices
            scale = frequent[rows] * sought[closeness.indices] + self.shrinkage
            closeness.data = np.where(
                others & (scale > 0), closeness.data / np.where(scale > 0, scale, 1), 0.0
            )
            blocks.append(largest(closeness, self.neighbours))
        table = sp.csr_array(sp.vstack(blocks, format="csr"))
        scoring = TransitionScoring(table, self.last, self.decay, training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> TransitionScoring:
        """The stored neighbours."""
        return TransitionScoring.restored(parts, catalogue)


def close_pairs(
    sequences: Sequences, window: int, fade: float, backward: float
) -> Iterator[tuple[int, sp.csr_array]]:
    """Summed closeness of every item to every other, for blocks of items: `(first item, [rows, N] table)`.

    Args:
        sequences: training sequences; no pair reaches over the end of one.
        window: the largest distance.
        fade: closeness at distance d is `fade^(d-1)`.
        backward: times that for what came before; 0 leaves those pairs out.
    """
    n, size = sequences.n_items, len(sequences.items)
    steps = np.arange(1, window + 1)
    weight = np.power(fade, steps - 1.0)
    if backward:
        steps, weight = np.concatenate([steps, -steps]), np.concatenate([weight, backward * weight])
    by_item = np.argsort(sequences.items, kind="stable")
    begins = np.searchsorted(sequences.items[by_item], np.arange(n + 1))
    starts = np.repeat(sequences.offsets[:-1], sequences.lengths)
    ends = np.repeat(sequences.offsets[1:], sequences.lengths)
    same = sp.eye_array(n, format="csr")
    for first, after in row_blocks(np.diff(begins) * len(steps), PAIRS_AT_ONCE):
        events = by_item[begins[first] : begins[after]]
        places = events[:, None] + steps
        held = (places >= starts[events, None]) & (places < ends[events, None])
        items = sequences.items[np.minimum(np.maximum(places, 0), size - 1)][held]
        pairs = np.concatenate([[0], np.cumsum(held.sum(axis=1))])[begins[first : after + 1] - begins[first]]
        weights = np.broadcast_to(weight, held.shape)[held]
        if sequences.weight is not None:
            weights = weights * sequences.weight[np.minimum(np.maximum(places, 0), size - 1)][held]
        repeated = sp.csr_array((weights, items, pairs), shape=(after - first, n))
        yield first, sp.csr_array(repeated @ same)  # sums what is repeated, without a sort


def largest(table: sp.csr_array, k: int) -> sp.csr_array:
    """The table with only the k largest entries of each row, those above 0; of equals the lower columns."""
    rows = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    held = np.flatnonzero(table.data > 0)
    long = np.bincount(rows[held], minlength=table.shape[0])[rows[held]] > k
    some = held[long]
    some = some[np.lexsort((table.indices[some], -table.data[some], rows[some]))]
    rank = np.arange(len(some)) - np.searchsorted(rows[some], rows[some])
    kept = np.concatenate([held[~long], some[rank < k]])
    return sp.csr_array(
        sp.coo_array((table.data[kept], (rows[kept], table.indices[kept])), shape=table.shape)
    )
