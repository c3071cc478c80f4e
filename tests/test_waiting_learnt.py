"""The wait of a question: learnt by who reads it, saved, served and trained further."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.test_waiting import log_of

from ensue import artifacts, runtime
from ensue.evaluation import evaluate
from ensue.export import TorchScoring
from ensue.ladder import reads
from ensue.model import Conditions, Training, model_of
from ensue.models.neural.rnn import LSTM
from ensue.neural_model import NeuralModel
from ensue.ranking import Parts, Recommender
from ensue.replaying import replay
from ensue.rules import Availability, Rules
from ensue.serving.served import Served, served
from ensue.splits import Split, last_out
from ensue.suspicion import probe
from ensue.tracks import TIME_AWARE, TIME_BLIND, track_of


@pytest.fixture(scope="module")
def parts() -> Split:
    """After less than an hour the next item of six follows, else the one after it: nothing but the wait tells."""
    rng = np.random.default_rng(0)
    soon = rng.random((60, 14)) < 0.5
    gaps = np.where(soon, rng.integers(60, 3600, soon.shape), rng.integers(7200, 10**6, soon.shape))
    steps = np.where(soon, 1, 2)
    steps[:, 0] = rng.integers(0, 6, 60)
    return last_out(log_of(np.cumsum(steps, axis=1) % 6, gaps))


def taught(parts: Split, asked: str) -> Recommender:
    model = LSTM(
        width=16, length=8, epochs=14, batch_tokens=128, learning_rate=2e-2, dropout=0.0, asked=asked, ema=0.0
    )
    return model.fit(Training.of(parts.train, exclude_seen=False))


@pytest.fixture(scope="module")
def aware(parts: Split, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recommender, Path]:
    """What has learnt the wait, and the folder that it is saved in."""
    recommender = taught(parts, "wait")
    return recommender, artifacts.save(recommender, tmp_path_factory.mktemp("aware") / "model")


def test_what_follows_on_the_wait_alone_is_learnt_by_who_reads_it(
    parts: Split, aware: tuple[Recommender, Path]
) -> None:
    examples = parts.examples("test", aware[0].catalogue)
    found, blind = (
        evaluate(one, examples, metrics=("recall@1",)) for one in (aware[0], taught(parts, "none"))
    )
    assert found.value("recall@1") >= 0.95
    assert blind.value("recall@1") < 0.75
    assert (found.track, blind.track) == (TIME_AWARE, TIME_BLIND)
    assert found.to_json()["track"] == TIME_AWARE
    assert "time-aware: reads when the question is asked" in found.lines()


def test_a_saved_one_answers_the_same_and_says_what_it_reads(
    parts: Split, aware: tuple[Recommender, Path]
) -> None:
    loaded = runtime.load(aware[1])
    examples = parts.examples("test", loaded.catalogue)
    asked = examples.queries
    np.testing.assert_allclose(loaded.scores(asked), aware[0].scores(asked), rtol=0, atol=1e-4)
    assert track_of(loaded) == TIME_AWARE
    assert reads(loaded) == ("time",)
    assert probe(loaded, examples, reads(loaded)) == ()


def test_what_is_served_is_what_was_measured(parts: Split, aware: tuple[Recommender, Path]) -> None:
    answering: Served = served(aware[1], Rules(), Availability())
    assert answering.timed
    found = replay(answering, parts)
    found.check()
    assert found.agreement.same == found.agreement.questions == parts.n_targets("test")


def test_it_is_trained_further_with_what_it_reads(parts: Split, aware: tuple[Recommender, Path]) -> None:
    model = model_of("lstm", **aware[0].settings)
    assert isinstance(model, NeuralModel)
    scoring = aware[0].scoring
    assert isinstance(scoring, TorchScoring)
    weights = {name: tensor.numpy() for name, tensor in scoring.network.state_dict().items()}
    kept = Parts(scoring.inputs.to_json(), weights)
    on = model.go_on(kept, Training.of(parts.before_test), Conditions(steps=2))
    assert track_of(on) == TIME_AWARE
