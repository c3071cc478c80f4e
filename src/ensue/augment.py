"""Views of sequences for training: the same histories cut, masked, reordered or filled, and windows of them.

A view is made of a whole batch of ragged sequences at once. Each sequence draws one key from the generator, and all
that happens to it follows from its key and its own events: nothing in another sequence changes it. An empty one stays
empty, any other keeps at least one event, and what is given is never written to. Nothing but training is augmented.

References:
    Xie et al., "Contrastive learning for sequential recommendation" (CL4SRec), arXiv:2010.14395: crop, mask, reorder.
    Liu et al., "Contrastive self-supervised sequential recommendation with robust augmentation" (CoSeRec),
    arXiv:2108.06479: substitute and insert, by similarity.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.batching import ranges
from ensue.described import component_of
from ensue.errors import ConfigError
from ensue.registry import Registry

Ints = NDArray[np.int64]
Items = NDArray[np.int32]
Bools = NDArray[np.bool_]
Keys = NDArray[np.uint64]

NONE = -1
"""Stands in a table of similar items where an item has no more of them."""

PAIRS_AT_ONCE = 20_000_000
"""About how many pairs of items are held while their similarity is worked out."""


@dataclass(frozen=True, eq=False)
class Ragged:
    """`S` sequences end to end, and where each of their events came from.

    Attributes:
        items: `[E]` item indices, `0..N-1`.
        offsets: `[S+1]`; sequence s is `items[offsets[s]:offsets[s+1]]`.
        masked: `[E]` events that a network must not see: it puts a vector of its own in their place. Their items are
            kept, as what is to be guessed.
        places: `[E]` where each event stood in what was first given, to take other columns from there; an inserted
            event has the place of the one before which it was put.
    """

    items: Items
    offsets: Ints
    masked: Bools
    places: Ints

    @classmethod
    def of(cls, items: Items, offsets: Ints) -> Ragged:
        """Sequences as they are, with nothing masked."""
        return cls(items, offsets, np.zeros(len(items), dtype=bool), np.arange(len(items), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ints:
        """`[S]` events of each sequence."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> Ints:
        """`[E]` the sequence of each event."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    @property
    def steps(self) -> Ints:
        """`[E]` the place of each event in its own sequence, from 0."""
        return np.arange(len(self.items), dtype=np.int64) - self.offsets[:-1][self.rows]

    def taken(self, events: Ints, lengths: Ints) -> Ragged:
        """Sequences of these lengths, made of the events at these positions, in copies."""
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])
        return Ragged(self.items[events], offsets, self.masked[events], self.places[events])

    def kept(self, which: Bools) -> Ragged:
        """The sequences with only these of their events."""
        return self.taken(np.flatnonzero(which), np.bincount(self.rows[which], minlength=len(self)))


def _uniform(keys: Keys, stream: int, steps: Ints | int = 0) -> NDArray[np.float64]:
    """`[E]` numbers in [0, 1) that follow from a sequence's key, a step in it and a stream, and from nothing else."""
    counter = _mixed(keys + np.uint64(stream)) + np.asarray(steps, dtype=np.uint64)
    return np.asarray((_mixed(counter) >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def _mixed(counter: Keys) -> Keys:
    """Bits in which neighbouring counters have nothing in common: splitmix64 of Steele et al., OOPSLA 2014."""
    bits = (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@dataclass(frozen=True)
class Augmentation(ABC):
    """A way to make another view of sequences.

    Attributes:
        share: how much of each sequence it is about, above 0 and at most 1; counts are rounded down.
    """

    name: ClassVar[str]
    uses_similar: ClassVar[bool] = False

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"{self.name}: share={self.share:g} must lie above 0 and be at most 1.")

    def __call__(self, sequences: Ragged, rng: np.random.Generator, similar: Items | None = None) -> Ragged:
        """Another view of every sequence.

        Args:
            sequences: left as they are.
            rng: gives one key per sequence.
            similar: `[N, K]` what `similar_items` gives; needed where `uses_similar`.

        Raises:
            ConfigError: similar items are needed and not given.
        """
        return one_of([self], sequences, rng, similar)

    @abstractmethod
    def _view(self, sequences: Ragged, keys: Keys, similar: Items) -> Ragged:
        """A view of each sequence that follows from its key in `keys` `[S]`; `similar` is of no size if unused."""

    def counts(self, sequences: Ragged) -> Ints:
        """`[S]` the share of each length, rounded down (0.29 x 100 is 29, whatever the last binary digit)."""
        counts: Ints = np.floor(self.share * sequences.lengths + 1e-9).astype(np.int64)
        return counts


def _stretch(sequences: Ragged, keys: Keys, counts: Ints) -> tuple[Ints, Ints]:
    """Flat `(rows, positions)` of a random stretch of `counts` events of each sequence."""
    room = sequences.lengths - counts + 1
    starts = sequences.offsets[:-1] + (_uniform(keys, 1) * room).astype(np.int64)
    return ranges(starts, starts + counts)


def _chosen(sequences: Ragged, keys: Keys, counts: Ints) -> Bools:
    """`[E]` a random `counts` of the events of each sequence."""
    rows, steps = sequences.rows, sequences.steps
    order = np.lexsort((_uniform(keys[rows], 2, steps), rows))
    which = np.empty(len(rows), dtype=bool)
    which[order] = steps < counts[rows]  # the order goes sequence by sequence, so that steps are ranks in it
    return which


@dataclass(frozen=True)
class Crop(Augmentation):
    """One random stretch of each sequence, its length the share of the whole and at least 1."""

    name: ClassVar[str] = "crop"

    share: float = 0.6

    def _view(self, sequences: Ragged, keys: Keys, similar: Items) -> Ragged:
        counts = np.clip(self.counts(sequences), np.minimum(sequences.lengths, 1), None)
        return sequences.taken(_stretch(sequences, keys, counts)[1], counts)


@dataclass(frozen=True)
class Mask(Augmentation):
    """A random share of the events masked, but at least one of each sequence left to be seen."""

    name: ClassVar[str] = "mask"

    share: float = 0.3

    def _view(self, sequences: Ragged, keys: Keys, similar: Items) -> Ragged:
        counts = np.clip(self.counts(sequences), None, np.maximum(sequences.lengths - 1, 0))
        return replace(sequences, masked=_chosen(sequences, keys, counts))


@dataclass(frozen=True)
class Reorder(Augmentation):
    """A random stretch of each sequence, as long as the share of it, in a random order; the rest stays in place."""

    name: ClassVar[str] = "reorder"

    share: float = 0.6

    def _view(self, sequences: Ragged, keys: Keys, similar: Items) -> Ragged:
        rows, positions = _stretch(sequences, keys, self.counts(sequences))
        chance = _uniform(keys[rows], 2, positions - sequences.offsets[:-1][rows])
        events = np.arange(len(sequences.items), dtype=np.int64)
        events[positions] = positions[np.lexsort((chance, rows))]
        return sequences.taken(events, sequences.lengths)


@dataclass(frozen=True)
class Drop(Augmentation):
    """Each event left out by chance on its own; the share is the chance. At least one is kept, and the order."""

    name: ClassVar[str] = "drop"

    share: float = 0.2

    def _view(self, sequences: Ragged, keys: Keys, similar: Items) -> Ragged:
        chance = _uniform(keys[sequences.rows], 2, sequences.steps)
        highest = np.zeros(len(sequences))
        np.maximum.at(highest, sequences.rows, chance)
        return sequences.kept((chance >= self.share) | (chance == highest[sequences.rows]))


@dataclass(frozen=True)
class Subsequence(Augmentation):
    """A random share of the events, at least one, in their order."""

    name: ClassVar[str] = "subsequence"

    share: float = 0.8

    def _view(self, sequences: Ragged, keys: Keys, similar: Items) -> Ragged:
        return sequences.kept(_chosen(sequences, keys, np.maximum(self.counts(sequences), 1)))


@dataclass(frozen=True)
class _BySimilar(Augmentation):
    """What views share that bring in similar items.

    Attributes:
        share: of the events that are drawn, rounded down.
        most: one of this many most similar items is drawn; CoSeRec takes the first.
    """

    uses_similar: ClassVar[bool] = True

    most: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most < 1:
            raise ConfigError(f"{self.name}: most={self.most} must be at least 1.")

    def drawn(self, sequences: Ragged, keys: Keys, similar: Items) -> tuple[Ints, Items]:
        """A random share of the events, and for each an item that is like its own; none that has no such item."""
        events = np.flatnonzero(_chosen(sequences, keys, self.counts(sequences)))
        found = similar[sequences.items[events], : self.most]
        held = (found != NONE).sum(axis=1)
        events, found, held = events[held > 0], found[held > 0], held[held > 0]
        chance = _uniform(keys[sequences.rows[events]], 3, sequences.steps[events])
        return events, found[np.arange(len(events)), (chance * held).astype(np.int64)]


@dataclass(frozen=True)
class Substitute(_BySimilar):
    """A random share of the events with an item that is similar to their own; one without similar items stays."""

    name: ClassVar[str] = "substitute"

    share: float = 0.3

    def _view(self, sequences: Ragged, keys: Keys, similar: Items) -> Ragged:
        events, found = self.drawn(sequences, keys, similar)
        items = sequences.items.copy()
        items[events] = found
        return replace(sequences, items=items)


@dataclass(frozen=True)
class Insert(_BySimilar):
    """A similar item before each of a random share of the events; none before one without similar items."""

    name: ClassVar[str] = "insert"

    share: float = 0.2

    def _view(self, sequences: Ragged, keys: Keys, similar: Items) -> Ragged:
        events, found = self.drawn(sequences, keys, similar)
        doubled = np.sort(np.concatenate([np.arange(len(sequences.items), dtype=np.int64), events]))
        grown = np.bincount(sequences.rows[events], minlength=len(sequences))
        longer = sequences.taken(doubled, sequences.lengths + grown)
        at = events + np.arange(len(events))  # the first of each double, shifted by those before it
        longer.items[at], longer.masked[at] = found, False
        return longer


augmentations: Registry[Augmentation] = Registry(("ensue.augment",), Augmentation, "ensue.augmentations")
"""Every augmentation by name."""


def augmentation_of(described: str | Mapping[str, Any]) -> Augmentation:
    """An augmentation from its name, or from a table with its name and settings.

    Args:
        described: "crop", or {"name": "substitute", "share": 0.2, "most": 5}.

    Raises:
        ConfigError: unknown name or setting, or a value of a wrong kind.
    """
    return component_of(augmentations, described, "augmentation", Crop.name)


def one_of(
    choices: Sequence[Augmentation], sequences: Ragged, rng: np.random.Generator, similar: Items | None = None
) -> Ragged:
    """A view of each sequence by one of several augmentations, drawn evenly for each sequence on its own.

    Raises:
        ConfigError: there is nothing to choose from, or similar items are needed and not given.
    """
    if not choices:
        raise ConfigError("A view needs at least one augmentation to choose from.")
    needy = [choice.name for choice in choices if choice.uses_similar]
    if needy and similar is None:
        raise ConfigError(f"{needy[0]} needs similar items: give the table of similar_items(...).")
    table = np.zeros((0, 0), dtype=np.int32) if similar is None else similar
    keys = rng.integers(2**64, size=len(sequences), dtype=np.uint64)
    views = [choice._view(sequences, keys, table) for choice in choices]
    items, masked, places = (
        np.concatenate([getattr(view, part) for view in views]) for part in ("items", "masked", "places")
    )
    whole = Ragged(items, np.append(0, np.cumsum([view.lengths for view in views])), masked, places)
    drawn = (_uniform(keys, 0) * len(views)).astype(np.int64)
    rows = drawn * len(sequences) + np.arange(len(sequences))
    return whole.taken(ranges(whole.offsets[rows], whole.offsets[rows + 1])[1], whole.lengths[rows])


def similar_items(sequences: Ragged, n_items: int, most: int = 10) -> Items:
    """`[N, K]` the items that occur in the same sequences as each, the most similar first, then `NONE`.

    The similarity of i and j is the sum over the sequences with both of 1 / log(1 + n), n the different items of the
    sequence, divided by the root of (sequences with i x sequences with j), as in item-based filtering with inverse
    user frequency. Equals stand in the order of the catalogue.

    Args:
        sequences: of training only.
        n_items: `N`.
        most: `K`.
    """
    ones = np.ones(len(sequences.items))
    held = sp.coo_array((ones, (sequences.rows, sequences.items)), shape=(len(sequences), n_items)).tocsr()
    held.data[:] = 1
    sizes = np.diff(held.indptr)
    by_item = held.T.tocsr()
    scale = 1 / np.sqrt(np.maximum(np.diff(by_item.indptr), 1))  # that of j; that of i orders nothing
    weighted = sp.diags_array(1 / np.log1p(np.maximum(sizes, 1))) @ held @ sp.diags_array(scale)
    part = np.cumsum(by_item @ sizes) // PAIRS_AT_ONCE
    cuts = np.searchsorted(part, np.unique(part), side="right")
    table = np.full((n_items, most), NONE, dtype=np.int32)
    for begin, end in zip(np.append(0, cuts[:-1]), cuts, strict=True):
        block = (by_item[begin:end] @ weighted).tocoo()
        other = block.row + begin != block.col
        one, two, value = block.row[other] + begin, block.col[other], block.data[other].round(12)
        order = np.lexsort((two, -value, one))
        one, two = one[order], two[order]
        rank = np.arange(len(one)) - np.searchsorted(one, one)
        table[one[rank < most], rank[rank < most]] = two[rank < most]
    return table


def prefix_windows(offsets: Ints, length: int) -> tuple[Ints, Ints]:
    """`(starts, ends)` of the newest `length` inputs before every event but the first: a window for each target."""
    if length < 1:
        raise ConfigError(f"A window of {length} events holds nothing: take a length of at least 1.")
    rows, ends = ranges(offsets[:-1] + 1, offsets[1:])
    return np.maximum(offsets[:-1][rows], ends - length), ends


def sliding_windows(offsets: Ints, length: int, stride: int) -> tuple[Ints, Ints]:
    """`(starts, ends)` of windows of up to `length` inputs, cut from the end, each `stride` before the next.

    Every target is in one window at least; with a stride of `length` the windows are those of `batching.windows`.
    """
    if not 1 <= stride <= length:
        raise ConfigError(f"A stride of {stride} must lie between 1 and the length of the windows, {length}.")
    inputs = np.diff(offsets) - 1
    counts = np.where(inputs > 0, 1 - np.minimum(length - inputs, 0) // stride, 0)
    rows, number = ranges(np.zeros_like(counts), counts)
    ends = offsets[1:][rows] - 1 - number * stride
    return np.maximum(offsets[:-1][rows], ends - length), ends
