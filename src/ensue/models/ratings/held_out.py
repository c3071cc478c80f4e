"""Ratings kept back from a training at the end of each sequence, to choose on where there is no validation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import ranges
from ensue.errors import ModelError
from ensue.expected_ratings import rated_places
from ensue.model import Training
from ensue.sequences import Sequences
from ensue.splits import Examples


def held_out(training: Training, share: float) -> Training:
    """A training whose sequences lack a share at their ends, which is its validation.

    Args:
        training: all that may be learnt from.
        share: of the events of each sequence, rounded down.

    Raises:
        ModelError: every sequence is too short for that, or what is left out has no rating.
    """
    whole = training.sequences
    lengths = whole.lengths
    taken = np.minimum(np.floor(lengths * share + 1e-9).astype(np.int64), np.maximum(lengths - 1, 0))
    ends = whole.offsets[1:]
    group, places = ranges(ends - taken, ends)
    asked = Examples(
        queries=replace(
            whole.queries(),
            starts=whole.offsets[:-1][group],
            ends=places,
            users=None if whole.users is None else whole.users.gather(group),
            at=None if whole.time is None else whole.time[places],
        ),
        targets=whole.items[places],
        groups=np.unique(group, return_inverse=True)[1].astype(np.int64),
        group_ids=whole.keys.gather(np.unique(group)),
        target_ids=training.catalogue.ids.gather(whole.items[places]),
        protocol=f"last {share:g} of each sequence",
        target_ratings=None if whole.rating is None else whole.rating[places],
    )
    if len(rated_places(asked)) == 0:
        raise ModelError(
            f"blend: no rating is left to choose weights on: sequences are too short for held={share:g} of each."
        )
    return replace(training, sequences=_without(whole, places), validation=asked)


def _without(whole: Sequences, places: NDArray[np.int64]) -> Sequences:
    """The sequences without the events at these places."""
    kept = np.ones(len(whole.items), dtype=np.bool_)
    kept[places] = False
    before = np.concatenate([[0], np.cumsum(kept)])
    return replace(
        whole,
        items=whole.items[kept],
        offsets=before[whole.offsets],
        time=None if whole.time is None else whole.time[kept],
        rating=None if whole.rating is None else whole.rating[kept],
        weight=None if whole.weight is None else whole.weight[kept],
        context={name: values.filter(pl.Series(kept)) for name, values in whole.context.items()},
    )
