"""What the settings of a network can be: ranges of numbers, and the words that a setting takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ensue.errors import nearest
from ensue.inputs import WAIT
from ensue.item_start import STARTS
from ensue.waiting import ASKED

WORDS: Mapping[str, tuple[str, ...]] = {
    "item_vectors": ("learnt", "hashed", "one-hot"),
    "item_start": STARTS,
    "asked": ASKED,
    "personal": ("none", "embedding", "adapter"),
    "prior": ("none", "rules", "beside"),
}

RANGES: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    ("width validation_targets ahead", lambda value: value >= 1, "must be at least 1"),
    (
        "length epochs patience batch_tokens prior_window prior_last",
        lambda value: value >= 0,
        "must be at least 1, or 0 for automatic",
    ),
    ("dropout id_dropout warmup ema", lambda value: 0 <= value < 1, "must lie from 0 up to 1"),
    ("prior_decay", lambda value: 0 <= value <= 1, "must lie from 0, for automatic, to 1"),
    ("prior_weight", lambda value: not value or 0 < value < np.inf, "must not be negative"),
    ("prior_top", lambda value: value >= 0, "must be at least 1, or 0 for all"),
    ("prior_folds", lambda value: value >= 2, "must be at least 2"),
    ("augment_share ahead_share", lambda value: 0 < value <= 1, "must lie above 0 and be at most 1"),
    ("temperature weight_decay", lambda value: value >= 0, "must not be negative"),
    ("learning_rate clip", lambda value: value > 0, "must be above 0"),
)


def settings_faults(model: Any, features: Sequence[str]) -> list[str]:
    """What cannot be, each in a few words; nothing where all can.

    Args:
        model: the network's description.
        features: the columns of items that it reads.
    """
    faults = [
        f"{name}={getattr(model, name):g} {rule}"
        for names, holds, rule in RANGES
        for name in names.split()
        if getattr(model, name) is not None and not holds(getattr(model, name))
    ]
    faults += [
        f"{name}={list(columns)} names a column twice"
        for name, columns in (("inputs", model.inputs), ("features", features))
        if len(set(columns)) < len(columns)
    ]
    if model.item_start != "drawn" and model.item_vectors == "hashed":
        faults.append(
            f"item_start='{model.item_start}' needs a vector for each item, and hashed ones have none"
        )
    if model.ahead > 1 and not model.causal:
        faults.append(
            f"ahead={model.ahead} is for networks that read left to right, and this one does not: leave it out"
        )
    if WAIT in model.inputs:
        faults.append(f"'{WAIT}' is no input of an event: take asked='{WAIT}' for that of the question")
    for name, known in WORDS.items():
        value = getattr(model, name)
        if value not in known:
            faults.append(
                f"{name}='{value}' must be one of {', '.join(known)}.{nearest(value, known)}".rstrip(".")
            )
    return faults
