"""A saved model is the model: the same scores, needing nothing but its folder, and no torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ensue import artifacts
from ensue.events.log import EventLog
from ensue.model import Model, Training, models
from ensue.models.ratings.rating_model import RatingModel
from ensue.neural_model import NeuralModel
from ensue.ranking import Recommender
from ensue.runtime import GraphScoring
from ensue.sequences import Queries
from ensue.serving.carried_states import CarriedStates
from ensue.serving.stepping import stepping

RECURRENT = ("gru", "gru4rec", "lstm", "rnn")
"""Networks whose state has one size, with an operator of its own in their graphs."""

HISTORIES = [["A"], ["C", "D"], ["E", "unheard of"], [], ["J", "A", "B"] * 9]


def test_the_same_scores_after_saving_and_loading(
    fitted: Recommender, loaded: Recommender, queries: Queries, tolerance: float
) -> None:
    np.testing.assert_allclose(loaded.scores(queries), fitted.scores(queries), rtol=0, atol=tolerance)


def test_the_same_slates_after_saving_and_loading(fitted: Recommender, loaded: Recommender) -> None:
    for before, after in zip(
        fitted.recommend_many(HISTORIES, 10), loaded.recommend_many(HISTORIES, 10), strict=True
    ):
        assert after.items == before.items
        assert (after.fallback, after.unknown) == (before.fallback, before.unknown)


def test_a_network_that_keeps_its_states_answers_as_it_does_anew(
    model: Model, loaded: Recommender, shelf: Callable[[str], tuple[Recommender, Path]], queries: Queries
) -> None:
    folder = shelf(model.name)[1]
    steps = artifacts.steps_of(folder, artifacts.describe(folder))
    assert (steps is not None) is (model.name in RECURRENT)
    if steps is None:
        return
    assert isinstance(loaded.scoring, GraphScoring)
    states = CarriedStates(1_000_000)
    kept = stepping(loaded.scoring, steps, states, artifacts.describe(folder)["checksum"], folder)
    for ends in (queries.starts + 1, np.minimum(queries.starts + 3, queries.ends), queries.ends):
        asked = replace(queries, ends=ends)
        alone = np.concatenate([kept.score(asked[q : q + 1]) for q in range(len(asked))])
        np.testing.assert_allclose(alone, loaded.scoring.score(asked), rtol=0, atol=1e-5)
    assert states.continued > len(queries)


def test_alone_and_in_a_batch_after_loading(loaded: Recommender, queries: Queries, tolerance: float) -> None:
    together = loaded.scores(queries)
    alone = np.concatenate([loaded.scores(queries[q : q + 1]) for q in range(len(queries))])
    np.testing.assert_allclose(alone, together, rtol=0, atol=tolerance)


def test_what_is_known_of_a_model_is_kept(fitted: Recommender, loaded: Recommender) -> None:
    assert loaded.model == fitted.model
    assert loaded.settings == fitted.settings
    assert loaded.exclude_seen == fitted.exclude_seen
    assert {**loaded.facts, "seconds": 0} == {**fitted.facts, "seconds": 0}
    assert loaded.catalogue.ids.to_list() == fitted.catalogue.ids.to_list()
    assert loaded.catalogue.counts.tolist() == fitted.catalogue.counts.tolist()


def test_its_own_rule_of_seen_items_is_kept(model: Model, ring_log: EventLog, tmp_path: Path) -> None:
    if isinstance(model, NeuralModel):
        pytest.skip("the rule lies outside the scoring, and an export takes seconds")
    for rule in (True, False):
        recommender = model.fit(Training.of(ring_log, exclude_seen=rule))
        folder = artifacts.save(recommender, tmp_path / str(rule))
        assert artifacts.describe(folder)["exclude_seen"] is rule


PROGRAM = """
import json, sys
sys.modules.update(torch=None, onnx=None, onnxscript=None)
from pathlib import Path
from ensue import runtime
answers = {}
for folder in sorted(Path("models").iterdir()):
    slates = runtime.load(folder).recommend_many(json.loads(sys.argv[1]), 10)
    answers[folder.name] = [[slate.items, slate.scores, slate.fallback] for slate in slates]
print(json.dumps(answers))
"""


def test_models_answer_elsewhere_with_nothing_but_their_folder(
    shelf: Callable[[str], tuple[Recommender, Path]], tmp_path: Path
) -> None:
    """Another process, another folder, no torch, no GPU, no data, and the place they were saved in is gone."""
    home, away = tmp_path / "home", tmp_path / "away"
    names = [name for name in models.names() if not issubclass(models.get(name), RatingModel)]
    expected = {}
    for name in names:
        recommender, folder = shelf(name)
        shutil.copytree(folder, home / "models" / name)
        expected[name] = recommender.recommend_many(HISTORIES, 10)
    away.mkdir()
    shutil.move(home / "models", away / "models")
    shutil.rmtree(home)
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(HISTORIES)],
        cwd=away,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    answers = json.loads(found.stdout)
    assert list(answers) == sorted(names)
    for name, slates in expected.items():
        for slate, (items, scores, fallback) in zip(slates, answers[name], strict=True):
            assert tuple(items) == slate.items, name
            assert scores == pytest.approx(slate.scores, abs=1e-5)
            assert fallback is slate.fallback
