"""The exported graph: one file that answers as the network does, without torch and without ensue."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
import torch
from tests.asking import assert_steps_are_the_whole
from torch.onnx._internal.exporter._registration import ONNXRegistry

import ensue
from ensue import artifacts
from ensue.domain import Domain
from ensue.errors import MissingExtraError
from ensue.events.log import EventLog
from ensue.export import OPSET, _read_once, steps_to_onnx, to_onnx
from ensue.inputs import Inputs
from ensue.model import Training
from ensue.models.neural.rnn import LSTM
from ensue.models.neural.transformer import Transformer
from ensue.network import Network
from ensue.neural_model import NeuralModel

N = 11
VARIANTS = {
    "recurrent, two layers, wider than its items": LSTM(width=6, hidden=9, layers=2, length=7),
    "recurrent, a second one in this process": LSTM(width=6, length=7, tied=False, bias=True),
    "attention, rotary, cosines, own table": Transformer(width=8, length=7, tied=False, bias=True),
    "attention, learnt positions, a window of two": Transformer(
        width=6, length=2, blocks=1, positions="learnt"
    ),
}


@pytest.fixture(scope="module", params=list(VARIANTS))
def exported(request: pytest.FixtureRequest) -> tuple[NeuralModel, Network, bytes]:
    model = VARIANTS[request.param]
    torch.manual_seed(3)
    network = model.network(Domain.of(N))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    graph = _untouched(network.train(), lambda: to_onnx(network, Inputs(length=model.length)))
    return model, network, graph


def _untouched(network: Network, export: Callable[[], bytes]) -> bytes:
    """The exported graph, once it is known that nothing of the network and of the caller was changed."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    exporter = vars(ONNXRegistry)["from_torchlib"], torch.fx.config.do_not_emit_stack_traces
    state, told = torch.get_rng_state(), io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        graph = export()
    assert told.getvalue() == ""
    assert network.training
    assert (vars(ONNXRegistry)["from_torchlib"], torch.fx.config.do_not_emit_stack_traces) == exporter
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    return graph


def test_the_graph_answers_batches_of_any_size_as_the_network_does(
    exported: tuple[NeuralModel, Network, bytes], seeded: np.random.Generator
) -> None:
    model, network, graph = exported
    session = onnxruntime.InferenceSession(graph)
    network.eval()
    for rows, width, slots, questions in [
        (1, 1, 1, 1),
        (1, model.length, 1, 1),
        (5, model.length, 3, 9),
        (4, 1, 1, 2),
        (2, 2, 2, 3),
    ]:
        width = min(width, model.length)
        items = seeded.integers(0, N, (rows, width))
        items[np.arange(width) > seeded.integers(0, width, rows)[:, None]] = N  # padding on the right
        feed = {
            "items": items,
            "asked": seeded.integers(0, width, (rows, slots)),
            "places": seeded.integers(0, rows * slots, questions),
        }
        (found,) = session.run(["scores"], feed)
        with torch.no_grad():
            expected = network(*(torch.from_numpy(feed[name]) for name in ("items", "asked", "places")))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-5)


def test_a_recurrent_graph_goes_on_from_a_state_and_no_other_does(
    exported: tuple[NeuralModel, Network, bytes],
) -> None:
    model, network, graph = exported
    steps = steps_to_onnx(network, graph)
    if not isinstance(model, LSTM):
        assert steps is None
        return
    assert_steps_are_the_whole(graph, steps, N, model.length)
    onnx.checker.check_model(onnx.load_model_from_string(steps or b""))
    hidden = model.hidden or model.width
    assert [(node.name, node.shape) for node in onnxruntime.InferenceSession(steps).get_inputs()[3:]] == [
        (f"before{place}", [1, 1, hidden]) for place in range(2 * model.layers)
    ]


def test_where_the_product_is_apart_no_second_graph_holds_the_items_once_more(
    exported: tuple[NeuralModel, Network, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, network, graph = exported
    monkeypatch.setattr("ensue.retrieval.APART", N - 1)
    assert steps_to_onnx(network, graph) is None


def test_the_graph_does_not_tell_where_the_caller_keeps_programs(
    exported: tuple[NeuralModel, Network, bytes],
) -> None:
    for file in (ensue.__file__, torch.__file__, __file__):
        assert str(Path(file).parent).encode() not in exported[2]


def test_translations_are_read_once_for_all_exports(
    exported: tuple[NeuralModel, Network, bytes],
) -> None:
    """To read them takes half a second, and a third of the time of an export."""
    assert _read_once.cache_info().misses == 1


def test_the_graph_is_whole_in_one_file(exported: tuple[NeuralModel, Network, bytes]) -> None:
    model = onnx.load_model_from_string(exported[2])
    onnx.checker.check_model(model)
    assert all(not tensor.external_data for tensor in model.graph.initializer)
    assert [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")] == [OPSET]
    assert {entry.domain for entry in model.opset_import} <= {"", "ai.onnx"}
    assert [tensor.name for tensor in model.graph.input] == ["items", "asked", "places"]
    assert [tensor.name for tensor in model.graph.output] == ["scores"]


def test_a_saved_network_answers_in_a_few_lines_without_ensue(ring_log: EventLog, tmp_path: Any) -> None:
    """What a service in any language does, here with numpy."""
    model = Transformer(width=16, length=12, epochs=8, batch_tokens=64, learning_rate=1e-2)
    recommender = model.fit(Training.of(ring_log))
    folder = artifacts.save(recommender, tmp_path / "model")

    session = onnxruntime.InferenceSession(str(folder / "network.onnx"))
    ids = pl.read_parquet(folder / "catalogue.parquet")["item"].to_list()
    history = ["F", "G", "H"]
    items = np.array([[ids.index(item) for item in history]])
    scores = session.run(None, {"items": items, "asked": np.array([[2]]), "places": np.array([0])})[0][0]
    best = [ids[j] for j in np.argsort(-scores, kind="stable") if ids[j] not in history]

    assert best[0] == "I"
    slate = recommender.recommend(history, 7)
    assert tuple(best) == slate.items
    np.testing.assert_allclose([scores[ids.index(item)] for item in best], slate.scores, rtol=0, atol=1e-5)


@pytest.mark.parametrize("library", ["onnx", "onnxscript"])
def test_without_the_exporter_the_remedy_is_told(library: str, without: Callable[[str], None]) -> None:
    network = LSTM(width=4, length=3).network(Domain.of(N))
    without(library)
    with pytest.raises(MissingExtraError, match=r"needs onnx and onnxscript: pip install 'ensue\[train\]'"):
        to_onnx(network, Inputs(length=3))
