"""Item vectors that begin at what stands together: near in company, as long as drawn ones, the same for every run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue import artifacts, runtime
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.export import TorchScoring
from ensue.item_features import FeatureItems
from ensue.item_start import SPREAD, together
from ensue.model import Conditions, Training, model_of
from ensue.presets import preset
from ensue.sequences import Sequences

COURSE: dict[str, Any] = {"width": 8, "length": 6, "epochs": 1, "batch_tokens": 64, "dropout": 0.0}


def sequences(rows: list[list[int]], n: int) -> Sequences:
    offsets = np.cumsum([0, *map(len, rows)])
    items = np.array([item for row in rows for item in row], dtype=np.int32)
    return Sequences(items, offsets, pl.Series([f"u{row}" for row in range(len(rows))], dtype=pl.String), n)


def two_companies(rows: int = 200) -> Sequences:
    """Items 0 to 9 in one half of the sequences, 10 to 19 in the other."""
    rng = np.random.default_rng(0)
    return sequences(
        [rng.permutation(10)[:6].tolist() for _ in range(rows)]
        + [(10 + rng.permutation(10)[:6]).tolist() for _ in range(rows)],
        20,
    )


def test_items_in_the_same_company_begin_near_each_other() -> None:
    vectors = together(two_companies(), 4)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    same = np.add.outer(np.arange(20) < 10, np.arange(20) < 10) != 1
    np.fill_diagonal(same, False)
    apart = np.subtract.outer(np.arange(20) < 10, np.arange(20) < 10, dtype=int) != 0
    assert cosines[same].mean() > cosines[apart].mean() + 0.3


def test_they_are_the_directions_of_the_normed_counts() -> None:
    """Pairs at distance 1 count 1, at distance 2 one half; the plain eigenvectors of the dense matrix say the same."""
    rows = [[0, 1, 2], [2, 3], [3, 4, 0], [1, 4], [0, 2]]
    counts = np.zeros((5, 5))
    for row in rows:
        for later in range(len(row)):
            for earlier in range(later):
                counts[row[earlier], row[later]] += 1 / (later - earlier)
    both = counts + counts.T
    degree = both.sum(axis=1)
    values, vectors = np.linalg.eigh(both / np.sqrt(np.outer(degree, degree)))
    largest = np.argsort(-np.abs(values))[:3]
    expected = vectors[:, largest] * np.sqrt(np.abs(values[largest]))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = together(sequences(rows, 5), 3).astype(np.float64)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=0.35)  # a tenth is drawn beside


def test_an_item_without_company_is_drawn_like_any_other() -> None:
    """Not a tenth as long, as what is drawn beside the directions of the others is."""
    rows = [[0, 1, 2], [2, 3], [3, 4, 0], [1, 4], [5]]
    lengths = np.linalg.norm(together(sequences(rows, 6), 64), axis=1)
    np.testing.assert_allclose(lengths, SPREAD * 64**0.5, rtol=0.4)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 11), max_size=7), max_size=12),
    width=st.integers(1, 16),
    seed=st.integers(0, 3),
)
def test_every_item_has_a_vector_of_about_the_drawn_length(
    rows: list[list[int]], width: int, seed: int
) -> None:
    """Whatever the log: empty, one item, narrower or wider than there are directions."""
    vectors = together(sequences(rows, 12), width, seed)
    assert vectors.shape == (12, width)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert (np.linalg.norm(vectors, axis=1) > 0).all()
    assert np.linalg.norm(vectors, axis=1).max() < SPREAD * (width**0.5 + 6)
    assert np.array_equal(vectors, together(sequences(rows, 12), width, seed))


def log_of(rows: Sequences) -> EventLog:
    users = np.repeat(np.arange(len(rows)), rows.lengths)
    return EventLog.of(
        pl.DataFrame({"user": [f"u{u}" for u in users], "item": [f"i{i}" for i in rows.items]})
    )


def trained(tmp_path: Path | None = None, **own: Any) -> TorchScoring:
    training = Training.of(log_of(two_companies(30)))
    fitted = model_of("lstm", **COURSE | own).fit(training, Conditions(steps=1))
    if tmp_path is not None:
        loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"), threads=1)
        queries = training.sequences.head(5).queries()
        np.testing.assert_allclose(loaded.scores(queries), fitted.scores(queries), rtol=0, atol=1e-5)
    assert isinstance(fitted.scoring, TorchScoring)
    return fitted.scoring


def test_a_network_begins_there_and_is_saved_as_any_other(tmp_path: Path) -> None:
    training = Training.of(log_of(two_companies(30)))
    begun = together(training.sequences, 8)
    slow: dict[str, Any] = {"learning_rate": 1e-7, "weight_decay": 0.0, "ema": 0.0}
    scoring = trained(tmp_path, item_start="together", **slow)
    torch.testing.assert_close(
        scoring.network.items.weight.detach(), torch.from_numpy(begun), atol=1e-5, rtol=0
    )
    drawn = trained(item_start="drawn", **slow)
    assert not torch.allclose(drawn.network.items.weight.detach(), torch.from_numpy(begun), atol=1e-3)


def test_attributes_are_added_to_the_beginning_and_saved_as_any_other(tmp_path: Path) -> None:
    """What an item's own vector begins at is the same; attributes add to it, and answers need nothing else."""
    rows = two_companies(30)
    told = pl.DataFrame(
        {
            "item": [f"i{i}" for i in range(20)],
            "attributes": [["low" if i < 10 else "high"] for i in range(20)],
        }
    )
    log = log_of(rows)
    training = Training.of(EventLog.of(log.frame, told))
    settings = {**preset("accurate", training.sequences).settings, "features": ["attributes"]}
    model = model_of("transformer", **{**settings, **COURSE, "learning_rate": 1e-7, "ema": 0.0})
    fitted = model.fit(training, Conditions(steps=1))
    assert isinstance(fitted.scoring, TorchScoring)
    items = fitted.scoring.network.items
    assert isinstance(items, FeatureItems)
    assert items.own is not None
    begun = together(training.sequences, 8)
    np.testing.assert_allclose(items.own.weight.detach().numpy(), begun, atol=1e-5)
    added = (items.weight - items.own.weight).detach().numpy()
    low = np.array([int(name[1:]) < 10 for name in training.catalogue.ids])
    np.testing.assert_allclose(added[low], np.broadcast_to(added[low][0], (10, 8)), atol=1e-6)
    assert np.abs(added[low][0] - added[~low][0]).max() > 1e-3
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"), threads=1)
    queries = training.sequences.head(5).queries()
    np.testing.assert_allclose(loaded.scores(queries), fitted.scores(queries), rtol=0, atol=1e-5)


def test_composed_vectors_have_no_beginning_of_their_own() -> None:
    with pytest.raises(ConfigError, match="item_start='together' needs a vector for each item"):
        model_of("lstm", item_vectors="hashed", item_start="together")
    with pytest.raises(ConfigError, match="item_start='togehter' must be one of drawn, together"):
        model_of("lstm", item_start="togehter")
