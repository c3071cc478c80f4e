"""What a network is built over: a catalogue, and what is known of its items, users and events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.features import FeatureArrays, Features
from ensue.inputs import USER, Inputs
from ensue.prior_table import Transitions
from ensue.wanted import Wanted


@dataclass(frozen=True, eq=False)
class Domain:
    """What a network is built over.

    Attributes:
        n_items: `N`.
        counts: `[N]` training events of each item.
        inputs: the columns that it reads, encoded.
        features: how the features of its items are read; None for a network that reads none.
        items: the features of the `N` items.
        ratings: all of training, NaN where an event has none; None where the log has none.
        prior: what has followed what, for a network with such a prior; None for others.
        beside: how much ratings count that are learnt beside next items; 0 learns none.
        start: `[N, D]` where the item vectors begin; None draws them.
    """

    n_items: int
    counts: NDArray[np.int64]
    inputs: Inputs = field(default_factory=Inputs)
    features: Features | None = None
    items: FeatureArrays | None = None
    ratings: NDArray[np.float32] | None = None
    prior: Transitions | None = None
    beside: float = 0.0
    start: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, n_items: int) -> Domain:
        """A catalogue of this size, of whose items nothing else is known."""
        return cls(n_items, np.ones(n_items, dtype=np.int64))

    @property
    def n_users(self) -> int:
        """Users that training knows: codes from here up are unknown ones."""
        return self.inputs.encodings[USER].unseen_code if USER in self.inputs.reads else 0

    def notes(self, model: str, features: Sequence[str | Mapping[str, Any]] = ()) -> tuple[str, ...]:
        """What the columns of events and items are read as, one line each: decisions that nobody typed.

        Args:
            model: name of the network.
            features: of items, as the network wants them.
        """
        lines = [f"{model}: reads {note}" for note in self.inputs.notes]
        entries = {} if self.features is None else self.features.entries
        for wanted in map(Wanted.of, features):
            feature = entries[wanted.column]
            lines.append(f"{model}: reads of items {feature.note}")
            if feature.separator and wanted.kind is None and wanted.separator is None:
                lines[-1] += f"; recognised by the '{feature.separator}' in its text, unless a kind is given"
        encodings = [*self.inputs.encodings.entries.values(), *(one.encoding for one in entries.values())]
        if any(encoding is not None and encoding.kind == "category" for encoding in encodings):
            lines.append(
                f"{model}: a value that training did not know is read as unseen, which is told from missing"
            )
        return tuple(lines)
