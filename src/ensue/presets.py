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
        Gated blocks: Hertel et al., "Efficient user history modeling with amortized inference for deep learning
        recommendation models" (LiGR), arXiv:2412.06924; SwiGLU: Shazeer, arXiv:2002.05202. Cosines over a temperature:
        figures in docs/log.md.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset='{name}' must be one of {', '.join(PRESETS)}.{nearest(name, PRESETS)}")
    long = float(np.quantile(sequences.lengths, 0.95)) if len(sequences) else 1.0
    short = long <= SHORT
    accurate = name == "accurate"
    blocks = (1 if short else 2) * (2 if accurate else 1)
    dropout = 0.4 if short else 0.2
    tokens = 2048 if sequences.n_places > 400_000 else 1024
    settings: dict[str, Any] = {
        "block": "gated",
        "feed_forward": "swiglu",
        "blocks": blocks,
        "dropout": dropout,
        "temperature": 0.05,
        "learning_rate": 2e-3,
        "prior": "beside",
        "epochs": 60 if accurate else 30,
    }
    if sequences.n_places > 100_000:
        settings["batch_tokens"] = tokens
    kind = "short" if short else "long"
    histories = f"95 % of the histories have at most {long:.0f} events, which is {kind}"
    minutes = 60.0 if accurate else 10.0
    return Preset(
        "transformer",
        settings,
        minutes,
        (
            f"preset {name}: a transformer of {blocks} gated blocks with dropout {dropout:g}, since {histories}",
            f"preset {name}: scores are cosines over a temperature of 0.05, which began lower and ended a "
            "little higher than plain products where it was tried",
            f"preset {name}: the counts of sequential rules beside it, which know other things than it does",
            f"preset {name}: {minutes:g} minutes at most, unless told otherwise",
        ),
    )
