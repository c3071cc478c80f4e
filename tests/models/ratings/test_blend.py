"""A blend: weights by the normal equations, from ratings that no model of it has seen; networks among them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensue import artifacts, runtime
from ensue.errors import ConfigError, ModelError
from ensue.expected_ratings import ratings_by, rmse
from ensue.model import Conditions, Training, model_of, refit
from ensue.models.ratings.blend import Blend, stacked
from ensue.models.ratings.held_out import held_out
from ensue.splits import Split

GRU: dict[str, Any] = {
    "model": "gru", "width": 8, "epochs": 3, "loss": "mean-squared-error", "inputs": ["rating"], "batch_tokens": 512,
    "learning_rate": 0.02,
}  # fmt: skip
QUICK: dict[str, Any] = {"model": "bayesian", "factors": 2, "draws": 20, "kept": 4}


def training_of(parts: Split) -> Training:
    training = Training.of(parts.train)
    return replace(training, validation=parts.examples("validation", training.catalogue))


def test_weights_by_the_normal_equations(seeded: np.random.Generator) -> None:
    answers, given = seeded.normal(size=(50, 2)), seeded.normal(size=50)

    def cost(weights: np.ndarray) -> float:
        off = given - answers @ weights[:2] - weights[2]
        return float(off @ off + 3.0 * ((weights[:2] - 0.5) ** 2).sum())

    best = stacked(answers, given, 3.0)
    for place in range(3):
        for step in (1e-3, -1e-3):
            beside = best.copy()
            beside[place] += step
            assert cost(beside) > cost(best)


def test_a_strong_pull_gives_equal_weights_and_what_is_right_gets_all() -> None:
    rng = np.random.default_rng(4)
    given = rng.normal(size=300)
    answers = np.column_stack([given, rng.normal(size=300)])
    np.testing.assert_allclose(
        stacked(answers, given, 1e9), [0.5, 0.5, given.mean() - answers.mean()], atol=1e-4
    )
    np.testing.assert_allclose(stacked(answers, given, 1e-6), [1, 0, 0], atol=1e-4)


def test_weights_come_from_validation_and_stay_when_fitted_anew(parts: Split) -> None:
    training = training_of(parts)
    model = Blend(of=("svd", QUICK))
    first = model.fit(training)
    members = [model_of("svd").fit(training), model_of("bayesian", factors=2, draws=20, kept=4).fit(training)]
    asked = training.validation
    assert asked is not None
    assert asked.target_ratings is not None
    mean = first.facts["mean_rating"]
    answers = np.column_stack([ratings_by(one, asked) for one in members])
    expected = stacked(answers - mean, asked.target_ratings.astype(np.float64) - mean, model.ridge)
    assert first.settings["weights"] == pytest.approx(expected.tolist())
    assert first.facts["rmse_of_members"] == pytest.approx([rmse(one, asked) for one in members])
    both = mean + (answers - mean) @ expected[:2] + expected[2]
    np.testing.assert_allclose(ratings_by(first, asked), np.clip(both, 1, 5))
    assert rmse(first, asked) < min(first.facts["rmse_of_members"]) + 1e-3
    again = refit(model, first, Training.of(parts.before_test), Conditions())
    assert again.settings["weights"] == first.settings["weights"]
    assert again.catalogue.counts.sum() == parts.before_test.n_events


def test_without_validation_the_ends_of_sequences_are_held_out_and_then_learnt_from(parts: Split) -> None:
    training = Training.of(parts.train)
    part = held_out(training, 0.25)
    assert part.validation is not None
    assert len(part.validation) + len(part.sequences.items) == len(training.sequences.items)
    whole, first = training.sequences, part.sequences
    for s in (0, 7, len(whole) - 1):
        items = whole.items[whole.offsets[s] : whole.offsets[s + 1]]
        cut = len(items) - int(len(items) * 0.25)
        np.testing.assert_array_equal(first.items[first.offsets[s] : first.offsets[s + 1]], items[:cut])
        asked = part.validation.groups == s
        np.testing.assert_array_equal(part.validation.targets[asked], items[cut:])
        assert part.validation.queries.lengths[asked].tolist() == list(range(cut, len(items)))
    blend = Blend(of=(QUICK,), held=0.25)
    found = blend.fit(training)
    alone = replace(blend, weights=tuple(found.settings["weights"])).fit(training)
    np.testing.assert_array_equal(
        found.scores(training.sequences.queries()), alone.scores(training.sequences.queries())
    )


def test_a_network_is_trained_stored_and_restored_as_part_of_it(parts: Split, tmp_path: Path) -> None:
    training = training_of(parts)
    fitted = Blend(of=(GRU, QUICK)).fit(training)
    assert fitted.settings["steps"][0] > 0
    assert fitted.settings["steps"][1] == 0
    folder = artifacts.save(fitted, tmp_path / "blend")
    queries = parts.examples("test", fitted.catalogue).queries[:40]
    loaded = runtime.load(folder)
    np.testing.assert_allclose(loaded.scores(queries), fitted.scores(queries), atol=1e-5)
    assert loaded.scoring.reads == ("rating",)  # type: ignore[attr-defined]
    program = (
        "import sys; sys.modules.update(torch=None, onnx=None, onnxscript=None)\n"
        "from ensue import runtime; print(len(runtime.load(sys.argv[1]).recommend(['i01', 'i02'], 3)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True)
    assert done.stdout.strip() == "3", done.stderr
    again = refit(Blend(of=(GRU, QUICK)), fitted, Training.of(parts.before_test), Conditions())
    assert again.settings["steps"] == fitted.settings["steps"]


def test_a_model_of_the_next_item_is_refused(parts: Split) -> None:
    with pytest.raises(ModelError, match="blend: popular does not answer with ratings"):
        Blend(of=("svd", "popular")).fit(training_of(parts))
    with pytest.raises(ConfigError, match="blend: no model is called 'svdd'"):
        Blend(of=("svdd",)).fit(training_of(parts))
    with pytest.raises(ModelError, match="no rating is left to choose weights on"):
        Blend(of=("svd",), held=0.01).fit(Training.of(parts.train))
