"""Presets: a network by the length of histories, settings that it takes, a reason for each choice."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ensue.errors import ConfigError
from ensue.model import model_of
from ensue.presets import PLACED, PRESETS, preset
from ensue.sequences import Sequences


def of_length(length: int, n_items: int = 100, rows: int = 20) -> Sequences:
    items = np.arange(rows * length, dtype=np.int32) % n_items
    keys = pl.Series([f"u{row}" for row in range(rows)])
    return Sequences(items, np.arange(rows + 1) * length, keys, n_items)


@pytest.mark.parametrize(("length", "network"), [(0, "transformer"), (50, "transformer"), (51, "lstm")])
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_follows_the_length_of_histories(name: str, length: int, network: str) -> None:
    found = preset(name, of_length(length))
    assert found.model == network
    assert found.settings["prior"] == "beside"
    assert found.settings["item_start"] == "together"
    model = model_of(found.model, **found.settings)
    assert model.settings().items() >= dict(found.settings).items()
    assert f"95 % of the histories have at most {length} events" in found.reasons[0]
    assert len(found.reasons) == 4
    assert all(reason.startswith(f"preset {name}: ") for reason in found.reasons)


def test_accurate_is_wider_and_learns_for_longer() -> None:
    for length, width in ((20, "width"), (100, "hidden")):
        fast, accurate = (preset(name, of_length(length)) for name in PRESETS)
        assert accurate.settings[width] == 2 * fast.settings[width]
        assert accurate.settings["epochs"] > fast.settings["epochs"]
        assert (fast.minutes, accurate.minutes) == (10, 60)


def test_no_log_at_all_and_very_many_items() -> None:
    assert preset("fast", of_length(0, rows=0)).model == "transformer"
    assert "item_start" not in preset("fast", of_length(100, PLACED + 1)).settings
    with pytest.raises(
        ConfigError, match=r"preset='fats' must be one of fast, accurate\. Did you mean 'fast'"
    ):
        preset("fats", of_length(100))
