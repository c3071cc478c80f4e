"""Going on from a saved network: what it is built over now, and for how long it goes on.

The learning rate rises and falls once more. What the network knows of other columns stays as it was fitted: a
new category or user is one that it has not seen. A new item begins with a vector drawn as at first, and with what its
features say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ensue.artifacts import FEATURES, PRIOR, VOCABULARY
from ensue.domain import Domain
from ensue.errors import ModelError
from ensue.features import Features
from ensue.inputs import Inputs
from ensue.model import Training
from ensue.prior_table import TOTALS, Leaning
from ensue.ranking import Parts
from ensue.second_head import weight_beside
from ensue.sequences import Sequences

EPOCHS, STEPS = 4, 200
"""Passes over what it goes on with, and steps, at least. None of them is left out: the first one, while the learning
rate rises, often loses what the next ones win, so the best is chosen at the end."""

Described = TypeVar("Described", bound=Any)


def of_saved(model: Any, parts: Parts, training: Training) -> tuple[Domain, dict[str, Tensor]]:
    """What a saved network is built over now that there are new events, and its weights of before.

    Args:
        model: its description.
        parts: of the saved one.
        training: new events, over a catalogue that begins with the saved one's.

    Raises:
        ModelError: its item vectors are shared out among all items, or features are not at hand.
    """
    if model.item_vectors == "hashed":
        raise ModelError(
            f"{model.name}: hashed item vectors are shared out among all items, so new ones would change the old: "
            "fit the model anew."
        )
    inputs = Inputs.restored(parts.settings, parts.tables.get(VOCABULARY))
    weights = {name: torch.from_numpy(array) for name, array in parts.arrays.items()}
    levels = weights.get("rating.levels.levels")
    ratings = training.sequences.rating if levels is None else levels.numpy()
    catalogue = training.catalogue
    said = parts.settings.get(PRIOR)
    known = (
        None if said is None else Leaning.restored(said, parts.arrays, len(parts.arrays[TOTALS])).transitions
    )
    prior = model.transitions(training, known)
    beside = weight_beside(model, training)
    if beside and (levels := weights.get("beside.reading.levels.levels")) is not None:
        ratings = levels.numpy()
    domain = Domain(len(catalogue), catalogue.counts, inputs, ratings=ratings, prior=prior, beside=beside)
    if not model.features:
        return domain, weights
    if catalogue.features is None:
        raise ModelError(f"{model.name}: the features of its items are not at hand.")
    features = Features.restored(parts.settings.get("features"), parts.tables[FEATURES])
    return replace(domain, features=features, items=features.arrays(catalogue.features)), weights


def prolonged(model: Described, sequences: Sequences) -> Described:
    """The model with as many epochs as going on takes.

    Args:
        model: with every setting filled in.
        sequences: what it goes on with.
    """
    steps = max(sequences.n_places // model.batch_tokens, 1)
    epochs = max(EPOCHS, -(-STEPS // steps))
    changed: Described = replace(model, epochs=epochs, patience=epochs)
    return changed
