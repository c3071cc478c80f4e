"""Presets: a whole description of a network from what the data is, for whoever does not want to choose.

Each choice has its reason in words; what a preset leaves open is filled in as for any network (`ensue.suiting`). These
are starting points: what of them was measured is in docs/log.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensue.errors import ConfigError, nearest
from ensue.sequences import Sequences
from ensue.suiting import SHORT

PRESETS = ("fast", "accurate")

PLACED = 500_000
"""Up to so many items their vectors begin at what stands together: finding the directions takes a while beyond."""


@dataclass(frozen=True)
class Preset:
    """What a preset comes to on some data.

    Attributes:
        model: name of the network.
        settings: those that differ from its defaults.
        minutes: how long it is meant to train.
        reasons: why, one line each.
    """

    model: str
    settings: Mapping[str, Any]
    minutes: float
    reasons: tuple[str, ...]


def preset(name: str, sequences: Sequences) -> Preset:
    """What a preset comes to on these sequences.

    Args:
        name: one of `PRESETS`.
        sequences: what is trained on.

    Raises:
        ConfigError: there is no such preset.

    References:
        Measured, with what was tried beside it: docs/log.md.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset='{name}' must be one of {', '.join(PRESETS)}.{nearest(name, PRESETS)}")
    long = float(np.quantile(sequences.lengths, 0.95)) if len(sequences) else 1.0
    short, accurate = long <= SHORT, name == "accurate"
    model, settings, what = _short(accurate) if short else _long(accurate)
    minutes = 60.0 if accurate else 10.0
    settings["prior"] = "beside"
    reasons = [
        f"preset {name}: {what}, since 95 % of the histories have at most {long:.0f} events, "
        f"which is {'short' if short else 'long'}",
        f"preset {name}: the counts of sequential rules beside it, which know other things than it does",
        f"preset {name}: {minutes:g} minutes at most, unless told otherwise",
    ]
    if sequences.n_items <= PLACED:
        settings["item_start"] = "together"
        reasons.insert(1, f"preset {name}: item vectors begin near those of the items that stand with them")
    return Preset(model, settings, minutes, tuple(reasons))


def _long(accurate: bool) -> tuple[str, dict[str, Any], str]:
    """For long histories: a wide memory costs less than attention, and learns more within minutes."""
    hidden = 512 if accurate else 256
    settings = {"hidden": hidden, "epochs": 30 if accurate else 20}
    return "lstm", settings, f"an LSTM of {hidden} units"


def _short(accurate: bool) -> tuple[str, dict[str, Any], str]:
    """For short ones: one look at a few events, and much dropout, since there is little to learn each item from."""
    settings = {
        "blocks": 1,
        "width": 128 if accurate else 64,
        "dropout": 0.6 if accurate else 0.5,
        "temperature": 0.05,
        "batch_tokens": 1024,
        "epochs": 20 if accurate else 12,
    }
    return "transformer", settings, f"a Transformer of one block with dropout {settings['dropout']:g}"
