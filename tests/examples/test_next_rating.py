"""The commands of docs/examples/next-rating.md, on a small log of the same layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import ensue
from ensue.cli import call
from ensue.experiment import described_model, read_experiment
from ensue.models.ratings.blend import Blend

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "next-rating.toml"
USERS, ITEMS, EVENTS = 60, 25, 16


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users of two tastes, who like the films of their own and not those of the other."""
    rng = np.random.default_rng(2)
    users = np.tile(np.arange(USERS), EVENTS)
    items = np.array([rng.permutation(ITEMS)[:EVENTS] for _ in range(USERS)]).T.ravel()
    rating = 3 + np.where(users % 2 == items % 2, 1.4, -1.4) + rng.normal(0, 0.5, len(users))
    frame = pl.DataFrame(
        {
            "user_id": [f"u{n}" for n in users],
            "item_id": [f"film {n}" for n in items],
            "rating": np.clip(np.round(rating), 1, 5),
            "timestamp": 874_724_710 + 60 * np.arange(len(users)),
        }
    )
    path = tmp_path_factory.mktemp("ratings") / "ratings.csv"
    frame.write_csv(path)
    return path


def test_all_models_of_the_example_can_be(log: Path) -> None:
    experiment = read_experiment(EXAMPLE)
    found = {label: described_model(label, settings) for label, settings in experiment.models.items()}
    assert list(found) == ["svd", "svdpp", "bayesian", "gru", "blend"]
    blend = found["blend"]
    assert isinstance(blend, Blend)
    members = {member.name: member for member in blend.members()}
    assert [members[name] for name in found if name != "blend"] == [
        found[name] for name in found if name != "blend"
    ]


def test_the_run_measures_ratings_beside_biases_and_its_model_answers_and_blends(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "small.toml"
    config.write_text(
        'split = {rule = "temporal"}\n[models.bayesian]\ndraws = 40\nfactors = 2\n'
        '[models.blend]\nof = ["svd", {model = "bayesian", draws = 40, factors = 2}]\n'
    )
    out = tmp_path / "run"
    assert call(["run", str(log), "--config", str(config), "--out", str(out)]) == 0
    run = json.loads((out / "run.json").read_text())
    for row in run["models"]:
        ratings = row["ratings"]
        rmse = ratings["warm"]["metrics"]["rmse"]["value"]
        assert rmse < ratings["baselines"]["item and user bias"]["warm"]["metrics"]["rmse"]["value"] - 0.2
        assert ratings["scale"] == {"lowest": 1.0, "highest": 5.0, "step": 1.0, "levels": 5}
    capsys.readouterr()
    assert call(["evaluate", str(out / "models" / "blend"), "--events", str(log)]) == 0
    shown = capsys.readouterr().out
    assert "ratings from 1 to 5 in steps of 1, as found in training" in shown
    assert "rating by" in shown
    slate = ensue.load(out / "models" / "blend").recommend(["film 2", "film 4"], 3)
    assert all(1 <= score <= 5 for score in slate.scores)
