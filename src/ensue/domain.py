"""What a network is built over: a catalogue, and what is known of its items, users and events."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ensue.features import FeatureArrays, Features
from ensue.inputs import USER, Inputs
from ensue.prior_table import Transitions


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
    """

    n_items: int
    counts: NDArray[np.int64]
    inputs: Inputs = field(default_factory=Inputs)
    features: Features | None = None
    items: FeatureArrays | None = None
    ratings: NDArray[np.float32] | None = None
    prior: Transitions | None = None

    @classmethod
    def of(cls, n_items: int) -> Domain:
        """A catalogue of this size, of whose items nothing else is known."""
        return cls(n_items, np.ones(n_items, dtype=np.int64))

    @property
    def n_users(self) -> int:
        """Users that training knows: codes from here up are unknown ones."""
        return self.inputs.encodings[USER].unseen_code if USER in self.inputs.reads else 0
