"""Training batches as tensors: stretches of the flat arrays of events, padded, with the items that came next.

What is augmented is augmented here, batch by batch, from the generator of the epoch: validation and test never are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ensue.aiming import NEXT, Aiming
from ensue.augment import Augmentation, Ragged, one_of, similar_items
from ensue.batching import Ints, Items, Stretches, Value, pad, ranges
from ensue.errors import ConfigError
from ensue.examples import Examples
from ensue.inputs import GAPS, TIME, USER, WAIT, Arrays, Inputs, waits
from ensue.network import Asked, Batch
from ensue.prior_table import Transitions
from ensue.sequences import MISSING_TIME, Queries, Sequences
from ensue.waiting import UNTOLD


@dataclass(frozen=True)
class Augmenting:
    """What is done to training rows before they are learnt from.

    Attributes:
        choices: each row that is augmented draws one of them.
        share: of the rows that are.
    """

    choices: tuple[Augmentation, ...] = ()
    share: float = 0.5


@dataclass(frozen=True, eq=False)
class Targets:
    """Where the targets of some rows stand.

    Attributes:
        starts: `[B]` first input of each row.
        ends: `[B]` after its last input.
        places: as `Aiming.places` gives them; None is one place after each input.
    """

    starts: Ints
    ends: Ints
    places: Ints | None

    def of(self, values: NDArray[Value], padding: Any) -> NDArray[Value]:
        """`[B, T]` what a flat array holds of them, right-padded."""
        if self.places is None:
            return pad(values, self.starts + 1, self.ends + 1, padding)
        offsets = np.append(0, np.cumsum(self.ends - self.starts))
        return pad(values[self.places], offsets[:-1], offsets[1:], padding)


class Feed:
    """Makes the batches of one fit.

    Args:
        sequences: what is trained on.
        inputs: the columns that the network reads.
        device: where it is trained.
        augmenting: what is done to rows first.
        ratings: whether ratings are trained.
        prior: tables of these sequences, of which batches say what they ask; None asks nothing.
        aiming: which later event each step is asked for.
    """

    def __init__(
        self,
        sequences: Sequences,
        inputs: Inputs,
        device: torch.device,
        augmenting: Augmenting = Augmenting(),
        ratings: bool = False,
        prior: Transitions | None = None,
        aiming: Aiming = NEXT,
    ) -> None:
        self.sequences, self.inputs, self.device, self.augmenting = sequences, inputs, device, augmenting
        self.aiming = aiming
        self.flat = inputs.flat(sequences)
        self.users = inputs.rows(sequences.users, len(sequences)) if USER in inputs.reads else None
        self.ratings = sequences.rating if ratings else None
        self.weights = _evened(sequences)
        self.prior = prior
        self.rng = np.random.default_rng(0)
        self.similar: NDArray[np.int32] | None = None
        if any(choice.uses_similar for choice in augmenting.choices):
            self.similar = similar_items(Ragged.of(sequences.items, sequences.offsets), sequences.n_items)

    def fingerprint(self, validation: Examples | None) -> str:
        """What a run learns from and is judged by, as a short text: a checkpoint of other data is not gone on from.

        Args:
            validation: by which it is judged.
        """
        digest, sequences = hashlib.sha256(), self.sequences
        arrays: list[NDArray[Any] | None] = [sequences.items, sequences.offsets, sequences.rating]
        arrays += [*self.flat.values(), self.users, None if self.prior is None else self.prior.folds]
        if validation is not None:
            arrays += [validation.targets, validation.queries.lengths, validation.target_ratings]
        arrays.append(sequences.weight)
        for array in (array for array in arrays if array is not None):
            for begin in range(0, len(array), 2**20):  # never more than a piece of what lies in a file
                digest.update(np.ascontiguousarray(array[begin : begin + 2**20]).data)
        return digest.hexdigest()[:16]

    def begin(self, rng: np.random.Generator) -> None:
        """Takes the random numbers of an epoch."""
        self.rng = rng

    def batch(self, stretches: Stretches) -> Batch:
        """The batch of some stretches, a share of them augmented."""
        starts, ends = stretches.starts, stretches.ends
        augmented = np.zeros(len(starts), dtype=np.bool_)
        if self.augmenting.choices:
            if stretches.fresh is not None:
                raise ConfigError(
                    "Rows that go on from batch to batch cannot be augmented: leave augment out."
                )
            augmented = self.rng.random(len(starts)) < self.augmenting.share
        if augmented.any():
            view = self.view(starts[augmented], ends[augmented] + 1)
            if (view.lengths > 1).any() or not augmented.all():
                return self._mixed(Stretches(starts[~augmented], ends[~augmented]), view, starts[augmented])
        return self._plain(stretches)

    def view(self, starts: Ints, ends: Ints) -> Ragged:
        """A view of some stretches, each by one of the augmentations."""
        return one_of(self.augmenting.choices, self._ragged(starts, ends), self.rng, self.similar)

    def views(self, stretches: Stretches) -> Batch:
        """The batch of one view of each stretch with its last event, for what compares views with each other."""
        view = self.view(stretches.starts, stretches.ends + 1)
        return self._of(view, view.offsets[:-1], view.offsets[1:], stretches.starts)

    def whole(self, stretches: Stretches) -> Batch:
        """The batch of the stretches' inputs as they are."""
        ragged = self._ragged(stretches.starts, stretches.ends)
        return self._of(ragged, ragged.offsets[:-1], ragged.offsets[1:], stretches.starts)

    def _ragged(self, starts: Ints, ends: Ints) -> Ragged:
        """The events of some stretches, with their places in the flat arrays."""
        _, places = ranges(starts, ends)
        offsets = np.concatenate([[0], np.cumsum(ends - starts)])
        return Ragged(self.sequences.items[places], offsets, np.zeros(len(places), dtype=bool), places)

    def _plain(self, stretches: Stretches) -> Batch:
        n, starts, ends = self.sequences.n_items, stretches.starts, stretches.ends
        limits = self.sequences.offsets[self._sequence(starts) + 1]
        sought = Targets(starts, ends, self.aiming.places(starts, ends, limits, self.rng))
        items = pad(self.sequences.items, starts, ends, n)
        later = sought.of(self.sequences.items, n)
        fresh = None if stretches.fresh is None else torch.from_numpy(stretches.fresh).to(self.device)
        arrays = self._read(self.flat, starts, ends, sought)
        batch = self._tensors(items, later, arrays, starts, fresh)
        if self.prior is not None:
            begins = self.sequences.offsets[self._sequence(starts)]
            batch = self._asking(batch, self.prior, self.sequences.items, (begins, starts, ends), starts)
        if self.weights is not None:
            batch = self._weighed(batch, self.weights, sought)
        return batch if self.ratings is None else self._rated(batch, self.ratings, sought)

    def _mixed(self, plain: Stretches, view: Ragged, begun: Ints) -> Batch:
        """Rows as they are, and after them rows of a view: inputs are all events but the last."""
        own = self._ragged(plain.starts, plain.ends + 1)
        both = Ragged(
            np.concatenate([own.items, view.items]),
            np.concatenate([own.offsets, own.offsets[-1] + view.offsets[1:]]),
            np.concatenate([own.masked, view.masked]),
            np.concatenate([own.places, view.places]),
        )
        starts = np.concatenate([plain.starts, begun])
        enough = both.lengths > 1
        return self._of(
            both, both.offsets[:-1][enough], both.offsets[1:][enough] - 1, starts[enough], later=True
        )

    def _of(self, view: Ragged, starts: Ints, ends: Ints, begun: Ints, later: bool = False) -> Batch:
        """A batch of stretches of a view; a masked event is read as no item."""
        n = self.sequences.n_items
        items = pad(np.where(view.masked, np.int32(n), view.items), starts, ends, n)
        sought = (
            Targets(starts, ends, self.aiming.places(starts, ends, ends + 1, self.rng)) if later else None
        )
        after = None if sought is None else sought.of(view.items, n)
        flat = {name: values[view.places] for name, values in self.flat.items()}
        batch = self._tensors(items, after, self._read(flat, starts, ends, sought), begun)
        if self.prior is not None and later:
            shown = np.where(view.masked, np.int32(n), view.items)
            batch = self._asking(batch, self.prior, shown, (starts, starts, ends), begun)
        if self.weights is not None and sought is not None:
            batch = self._weighed(batch, self.weights[view.places], sought)
        if self.ratings is None or sought is None:
            return batch
        return self._rated(batch, self.ratings[view.places], sought)

    def _read(self, flat: Arrays, starts: Ints, ends: Ints, sought: Targets | None) -> Arrays:
        """What is read of some stretches, all but the user: each question is asked when its target happened.

        A share of the waits is not told, nor is that of a target which a view has put before what it comes after.

        Args:
            flat: the columns that the stretches lie in.
            starts: `[B]` first input of each.
            ends: `[B]` after the last input.
            sought: the targets; without, each row is asked once, at a time that is not known.
        """
        found = self.inputs.padded(flat, starts, ends)
        if not self.inputs.when_asked:
            return found
        if sought is None:
            return found | {WAIT: np.full((len(starts), 1), GAPS, dtype=np.int64)}
        now, then = pad(flat[TIME], starts, ends, MISSING_TIME), sought.of(flat[TIME], MISSING_TIME)
        told = (then >= now) & (self.rng.random(now.shape) >= UNTOLD)
        return found | {WAIT: np.where(told, waits(then, now), GAPS)}

    def _asking(
        self, batch: Batch, table: Transitions, items: Items, at: tuple[Ints, Ints, Ints], begun: Ints
    ) -> Batch:
        """The batch with what it asks of a prior: after each event, the last items and what to leave out.

        Args:
            batch: of stretches of `items`.
            table: the prior's.
            items: flat; `N` for an event that is read as no item.
            at: `[B]` each: from where a row may look back, where it starts, and where it ends.
            begun: `[B]` places in the sequences that say whose rows they are.
        """
        first, starts, ends = at
        n, back = self.sequences.n_items, np.arange(table.last)
        rows, places = ranges(starts, ends)
        asked = places[:, None] - back
        held = asked >= first[rows][:, None]
        recent = np.where(held, items[np.where(held, asked, places[:, None])], n)
        folds = None if table.folds is None else table.folds[self._sequence(begun)][rows]
        found = np.full((*batch.items.shape, table.last), -1, dtype=np.int64)
        found[rows, places - starts[rows]] = table.rows(recent, folds)
        begin = np.zeros(batch.items.shape, dtype=np.int64)
        end = begin.copy()
        begin[rows, places - starts[rows]], end[rows, places - starts[rows]] = first[rows], places + 1
        histories = Queries(items, begin.ravel(), end.ravel(), n)
        return replace(batch, asked=Asked(table, found, histories))

    def _sequence(self, places: Ints) -> Ints:
        """`[B]` the sequence that each place of the flat arrays belongs to."""
        found: Ints = np.searchsorted(self.sequences.offsets, places, side="right") - 1
        return found

    def _rated(self, batch: Batch, ratings: NDArray[np.float32], sought: Targets) -> Batch:
        """The batch with the ratings of the items that came next."""
        padded = torch.from_numpy(sought.of(ratings, np.nan)).to(self.device)
        return replace(batch, later_rating=padded)

    def _weighed(self, batch: Batch, weights: NDArray[np.float32], sought: Targets) -> Batch:
        """The batch with how much the items that came next count as targets; what counts nothing is not trained."""
        padded = sought.of(weights, 0.0)
        trained = torch.from_numpy(np.flatnonzero(padded)).to(self.device)
        return replace(batch, weights=torch.from_numpy(padded).to(self.device), trained=trained)

    def _tensors(
        self,
        items: NDArray[np.int32],
        later: NDArray[np.int32] | None,
        arrays: dict[str, NDArray[np.generic]],
        begun: Ints,
        fresh: torch.Tensor | None = None,
    ) -> Batch:
        """The batch of padded arrays, whose rows begin at these places of the flat arrays."""
        if self.users is not None:
            arrays[USER] = self.users[self._sequence(begun)]
        return Batch(
            torch.from_numpy(items.astype(np.int64)).to(self.device),
            self.sequences.n_items,
            {name: torch.from_numpy(arrays[name]).to(self.device) for name in self.inputs.reads},
            None if later is None else torch.from_numpy(later.astype(np.int64)).to(self.device),
            fresh,
            trained=None
            if later is None
            else torch.from_numpy(np.flatnonzero(later != self.sequences.n_items)).to(self.device),
        )


def _evened(sequences: Sequences) -> NDArray[np.float32] | None:
    """`[E]` the weights of events as targets, 1 on average over those that count; None where all count alike."""
    weight = sequences.weight
    if weight is None:
        return None
    first = np.zeros(len(weight) + 1, dtype=bool)
    first[sequences.offsets] = True
    counted = weight[(weight > 0) & ~first[:-1]]
    mean = float(counted.mean(dtype=np.float64)) if len(counted) else 1.0
    return np.asarray(weight / np.float32(mean), dtype=np.float32)
