"""Graphs of LSTMs with weights of 8 bits: near the graph that they were made of, and served where it is asked for."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
import torch
from numpy.typing import NDArray

from ensue import artifacts
from ensue.domain import Domain
from ensue.errors import ArtifactError
from ensue.events.log import EventLog
from ensue.export import steps_to_onnx, to_onnx
from ensue.inputs import Inputs
from ensue.model import Training, model_of
from ensue.models.neural.rnn import GRU, LSTM
from ensue.retrieval import session_of
from ensue.rules import Availability, Rules
from ensue.serving.carried_states import CarriedStates
from ensue.serving.served import Served, served
from ensue.serving.stepping import Stepping
from ensue.small_graph import QUANTISED, small_graph

N, LENGTH, HIDDEN, LAYERS = 300, 40, 64, 2


def steps_of(model: LSTM | GRU) -> bytes:
    torch.manual_seed(0)
    network = model.network(Domain.of(N)).eval()
    graph = steps_to_onnx(network, to_onnx(network, Inputs(length=LENGTH)))
    assert graph is not None
    return graph


@pytest.fixture(scope="module")
def steps() -> bytes:
    return steps_of(LSTM(width=32, hidden=HIDDEN, layers=LAYERS, memory=10, length=LENGTH, temperature=0.1))


def scores(graph: bytes, items: NDArray[np.int64]) -> NDArray[np.float32]:
    session = session_of(graph, 1)
    feed = {
        "items": items[None],
        "asked": np.array([[len(items) - 1]]),
        "places": np.zeros(1, dtype=np.int64),
    }
    feed |= {node.name: np.zeros(node.shape, np.float32) for node in session.get_inputs()[3:]}
    found: NDArray[np.float32] = session.run(["scores"], feed)[0]
    return found


def test_its_scores_are_near_those_it_was_made_of(steps: bytes, seeded: np.random.Generator) -> None:
    """Not equal, or nothing would have been rounded; the best item is the same but for near ties."""
    small = small_graph(steps)
    assert small is not None
    best = 0
    for length in (1, 7, LENGTH) * 5:
        items = seeded.integers(0, N, length)
        whole, found = scores(steps, items), scores(small, items)
        assert 0 < np.abs(found - whole).max() < 0.02 * whole.std()
        best += int(found.argmax() == whole.argmax())
    assert best >= 13


def test_it_is_smaller_takes_and_gives_the_same_and_tells_nothing_of_this_machine(steps: bytes) -> None:
    small = small_graph(steps)
    assert small is not None
    held = onnx.load_model_from_string(small)
    assert sum(node.op_type == QUANTISED for node in held.graph.node) == LAYERS
    assert not any(node.op_type == "LSTM" for node in held.graph.node)
    ways = [
        [(node.name, node.shape) for node in (*session.get_inputs(), *session.get_outputs())]
        for session in (session_of(steps, 1), session_of(small, 1))
    ]
    assert ways[0] == ways[1]
    assert len(small) < 0.6 * len(steps)
    assert b"/tmp" not in small
    assert str(Path.home()).encode() not in small


def test_others_have_none_and_nothing_is_said(steps: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    small_graph(steps)
    assert (caplog.records, logging.getLogger().level) == ([], logging.INFO)
    assert small_graph(steps_of(GRU(width=8, length=LENGTH))) is None


# ------------------------------------------------------------------------------------------- saved and served


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An LSTM and a GRU, trained for a moment and saved."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"user": [f"u{n // 20}" for n in range(800)], "item": [f"i{n}" for n in rng.integers(0, 60, 800)]}
    )
    training = Training.of(EventLog.of(frame))
    place = tmp_path_factory.mktemp("small")
    return {
        name: artifacts.save(
            model_of(name, width=32, hidden=HIDDEN, length=LENGTH, epochs=1).fit(training), place / name
        )
        for name in ("lstm", "gru")
    }


def loaded(folder: Path, layers: str, states: CarriedStates | None) -> Served:
    return served(folder, Rules(), Availability(), states=states, layers=layers)


@pytest.mark.parametrize("most", [None, 10**6])
def test_one_question_is_answered_by_it_where_that_is_asked_for(
    folders: dict[str, Path], most: int | None
) -> None:
    """With and without states; many questions at once go by the graph as it was learnt."""
    exact = loaded(folders["lstm"], "fp32", None).recommender
    states = None if most is None else CarriedStates(most)
    small = loaded(folders["lstm"], "int8", states).recommender
    assert isinstance(small.scoring, Stepping)
    history = [f"i{n % 60}" for n in range(7, 80, 3)]
    ours, theirs = small.recommend(history, 10), exact.recommend(history, 10)
    assert ours.scores != theirs.scores
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=0.02)
    assert len(set(ours.items) & set(theirs.items)) >= 9
    assert (
        small.recommend_many([history] * 2, 10)[0].scores == exact.recommend_many([history] * 2, 10)[0].scores
    )
    if states is not None:
        again = small.recommend(history, 10)
        assert states.continued > 0
        np.testing.assert_allclose(again.scores, ours.scores, atol=0.02)
    assert len(small.scoring.carried) == (0 if most is None else len(states or ()))


def test_a_model_without_layers_has_nothing_to_say(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog.of(pl.DataFrame({"user": ["u"] * 6, "item": list("ABCABC")}))
    folder = artifacts.save(model_of("markov").fit(Training.of(log)), tmp_path / "markov")
    with caplog.at_level(logging.WARNING):
        loaded(folder, "int8", CarriedStates(10**6))
    assert caplog.records == []


def test_a_model_that_has_none_says_so(folders: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = loaded(folders["gru"], "int8", CarriedStates(10**6))
    assert [record.getMessage() for record in caplog.records] == [
        "gru has no steps-int8.onnx, so its layers are computed in fp32"
    ]
    history = ["i1", "i2"]
    exact = loaded(folders["gru"], "fp32", None).recommender
    np.testing.assert_allclose(
        found.recommender.recommend(history, 5).scores, exact.recommend(history, 5).scores, atol=1e-5
    )


def test_the_file_is_checked_as_every_other(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["lstm"], tmp_path / "lstm")
    path = folder / artifacts.SMALL
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match=f"{artifacts.SMALL} has been changed or damaged"):
        artifacts.read(folder)
    path.unlink()
    with pytest.raises(ArtifactError, match=artifacts.SMALL):
        loaded(folder, "int8", None)
