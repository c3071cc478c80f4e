"""The recurrent encoders against their equations written out, and against torch's own cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from tests.asking import assert_steps_are_the_whole
from torch import Tensor, nn

from ensue.domain import Domain
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.export import steps_to_onnx, to_onnx
from ensue.inputs import Inputs
from ensue.model import Training
from ensue.models.neural.rnn import GRU, LSTM, RNN, Elman, RecurrentEncoder
from ensue.network import Batch

Array = NDArray[np.float64]
KINDS: dict[str, tuple[type[nn.RNNBase], dict[str, Any]]] = {
    "tanh": (Elman, {"nonlinearity": "tanh"}),
    "relu": (Elman, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {}),
    "lstm": (nn.LSTM, {}),
}


def made(kind: str, width: int, hidden: int, layers: int, dropout: float = 0.0) -> RecurrentEncoder:
    torch.manual_seed(0)
    cell, settings = KINDS[kind]
    return RecurrentEncoder(cell, width, hidden, layers, dropout, **settings).double().eval()


def nothing(rows: int, steps: int) -> Batch:
    return Batch(torch.zeros(rows, steps, dtype=torch.int64), 1)


def run(encoder: RecurrentEncoder, inputs: Array) -> Array:
    with torch.no_grad():
        found: Array = encoder(torch.from_numpy(inputs), nothing(*inputs.shape[:2])).numpy()
    return found


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def layer_norm(x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    normed: Array = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return normed


def cell_by_hand(kind: str, x: Array, h: Array, c: Array, w: Array, u: Array, b: Array, d: Array) -> Any:
    """One step of a layer: the new hidden state and the new cell."""
    if kind in ("tanh", "relu"):
        a = x @ w.T + h @ u.T + b + d
        return (np.tanh(a) if kind == "tanh" else np.where(a > 0, a, 0)), c
    if kind == "gru":
        (xr, xz, xn), (hr, hz, hn) = np.split(x @ w.T + b, 3, axis=1), np.split(h @ u.T + d, 3, axis=1)
        r, z = sigmoid(xr + hr), sigmoid(xz + hz)
        return (1 - z) * np.tanh(xn + r * hn) + z * h, c
    take, forget, new, give = np.split(x @ w.T + h @ u.T + b + d, 4, axis=1)
    c = sigmoid(forget) * c + sigmoid(take) * np.tanh(new)
    return sigmoid(give) * np.tanh(c), c


def by_hand(kind: str, encoder: RecurrentEncoder, inputs: Array, layers: int) -> Array:
    """The cell's equations, layer on layer, step by step."""
    state = {name: value.numpy() for name, value in encoder.state_dict().items()}
    for layer in range(layers):
        w, u = state[f"recurrence.weight_ih_l{layer}"], state[f"recurrence.weight_hh_l{layer}"]
        b, d = state[f"recurrence.bias_ih_l{layer}"], state[f"recurrence.bias_hh_l{layer}"]
        hidden = cell = np.zeros((len(inputs), u.shape[1]))
        outputs = []
        for step in range(inputs.shape[1]):
            hidden, cell = cell_by_hand(kind, inputs[:, step], hidden, cell, w, u, b, d)
            outputs.append(hidden)
        inputs = np.stack(outputs, axis=1)
    if "out.weight" in state:
        inputs = inputs @ state["out.weight"].T + state["out.bias"]
    return layer_norm(inputs)


@pytest.mark.parametrize(("hidden", "layers"), [(4, 1), (7, 1), (4, 2), (3, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_states_are_those_of_the_equations(
    kind: str, hidden: int, layers: int, seeded: np.random.Generator
) -> None:
    encoder = made(kind, 4, hidden, layers, dropout=0.3)
    inputs = seeded.normal(size=(2, 3, 4))
    np.testing.assert_allclose(run(encoder, inputs), by_hand(kind, encoder, inputs, layers), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_states_are_those_of_torchs_own_cells(kind: str, seeded: np.random.Generator) -> None:
    encoder, inputs = made(kind, 4, 5, 1), torch.from_numpy(seeded.normal(size=(2, 6, 4)))
    cells: dict[str, Any] = {"gru": nn.GRUCell, "lstm": nn.LSTMCell}
    cell = cells.get(kind, nn.RNNCell)(4, 5, **KINDS[kind][1]).double()
    names = {name: encoder.recurrence.get_parameter(f"{name}_l0") for name in dict(cell.named_parameters())}
    cell.load_state_dict(names)
    state: Any = None
    with torch.no_grad():
        found = encoder(inputs, nothing(2, 6))
        for step in range(6):
            state = cell(inputs[:, step], state)
            hidden = state[0] if kind == "lstm" else state
            torch.testing.assert_close(found[:, step], encoder.finished(hidden), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("hidden", "layers"), [(4, 1), (5, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_stepping_is_the_whole(kind: str, hidden: int, layers: int, seeded: np.random.Generator) -> None:
    encoder, inputs = (
        made(kind, 4, hidden, layers).float(),
        torch.from_numpy(seeded.normal(size=(3, 9, 4))).float(),
    )
    with torch.no_grad():
        whole, state = encoder(inputs, nothing(3, 9)), encoder.begin(3)
        for step in range(9):
            assert all(len(part) == 3 for part in state)
            out, state = encoder.step(inputs[:, step], state, nothing(3, 1))
            torch.testing.assert_close(out, whole[:, step], atol=1e-5, rtol=0)


def test_histories_advance_apart_from_each_other(seeded: np.random.Generator) -> None:
    """The first axis of a state is the history: rows can be picked out and go on alone."""
    encoder, inputs = made("lstm", 4, 5, 2), torch.from_numpy(seeded.normal(size=(3, 2, 4)))
    with torch.no_grad():
        _, state = encoder.step(inputs[:, 0], encoder.begin(3), nothing(3, 1))
        together, _ = encoder.step(inputs[:, 1], state, nothing(3, 1))
        alone, _ = encoder.step(inputs[2:, 1], tuple(part[2:] for part in state), nothing(1, 1))
    torch.testing.assert_close(alone, together[2:], atol=1e-12, rtol=0)


@pytest.mark.parametrize("model", [RNN(width=4), LSTM(width=4, layers=2), GRU(width=4, layers=2)])
def test_a_state_knows_nothing_of_later_steps(model: RNN | LSTM | GRU, seeded: np.random.Generator) -> None:
    encoder = model.encoder().eval()
    inputs = torch.from_numpy(seeded.normal(size=(1, 6, 4)).astype(np.float32))
    other = inputs.clone()
    other[:, 4:] += 1
    with torch.no_grad():
        before, after = encoder(inputs, nothing(1, 6)), encoder(other, nothing(1, 6))
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.equal(before[:, 4:], after[:, 4:])


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_hidden_units_are_as_wide_as_the_items_unless_said_otherwise(kind: type[RNN | LSTM | GRU]) -> None:
    plain, wide = kind(width=8).encoder(), kind(width=8, hidden=20, layers=3).encoder()
    assert isinstance(plain, RecurrentEncoder)
    assert isinstance(wide, RecurrentEncoder)
    assert (plain.recurrence.hidden_size, wide.recurrence.hidden_size) == (8, 20)
    assert (plain.recurrence.num_layers, wide.recurrence.num_layers) == (1, 3)
    assert wide(torch.zeros(1, 2, 8), nothing(1, 2)).shape == (1, 2, 8)


@pytest.mark.parametrize("layers", [1, 2])
def test_with_a_memory_each_unit_begins_with_a_span_of_its_own(layers: int) -> None:
    """Forget gates of s / (s + 1) for s even between 1 and 49 steps, input gates of 1 / (s + 1), nothing besides."""
    torch.manual_seed(0)
    encoder = RecurrentEncoder(nn.LSTM, 8, 500, layers, dropout=0.0, memory=50)
    for layer in range(layers):
        take, forget, _, _ = encoder.recurrence.get_parameter(f"bias_ih_l{layer}").detach().chunk(4)
        spans = forget.exp()
        assert torch.equal(take, -forget)
        assert 1 <= float(spans.min()) < 2
        assert 48 < float(spans.max()) <= 49
        assert float(spans.mean()) == pytest.approx(25, abs=4 * (48 / 12**0.5) / 500**0.5)
        own, others = encoder.recurrence.get_parameter(f"bias_hh_l{layer}").detach().split([1000, 1000])
        assert bool((own == 0).all())
        assert bool((others != 0).all())


def reach(model: LSTM) -> float:
    """How far the state after 30 more steps depends on the first event, without training."""
    torch.manual_seed(0)
    encoder = model.encoder().eval()
    first = torch.randn(1, 31, 16)
    other = first.clone()
    other[:, 0] += 1
    with torch.no_grad():
        gap: Tensor = encoder(first, nothing(1, 31))[:, -1] - encoder(other, nothing(1, 31))[:, -1]
    return float(gap.norm())


def test_a_memory_lets_the_distant_past_count() -> None:
    assert reach(LSTM(width=16, memory=50)) > 1000 * reach(LSTM(width=16, memory=0))


@pytest.mark.parametrize(
    "model",
    [
        RNN(width=6, hidden=7, layers=2, length=8),
        RNN(width=6, length=8, activation="relu", tied=False),
        GRU(width=6, hidden=7, layers=2, length=8),
        LSTM(width=6, hidden=4, length=8, tied=False),
    ],
)
def test_the_exported_graph_takes_any_number_of_steps(
    model: RNN | GRU | LSTM, seeded: np.random.Generator
) -> None:
    """The second layer and a relu are where one operator a layer could go wrong."""
    torch.manual_seed(1)
    network = model.network(Domain.of(9)).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    graph = to_onnx(network, Inputs(length=model.length))
    assert_steps_are_the_whole(graph, steps_to_onnx(network, graph), 9, model.length)
    session = onnxruntime.InferenceSession(graph)
    for rows, steps in [(1, 1), (4, 8), (3, 5)]:
        feed = {
            "items": seeded.integers(0, 9, (rows, steps)),
            "asked": np.full((rows, 1), steps - 1),
            "places": np.arange(rows),
        }
        with torch.no_grad():
            expected = network(*(torch.from_numpy(value) for value in feed.values()))
        np.testing.assert_allclose(session.run(["scores"], feed)[0], expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        (LSTM, {"memory": -1}, "lstm: memory=-1 must be at least 3 steps, or 0 for none."),
        (LSTM, {"memory": 2}, "lstm: memory=2 must be at least 3 steps, or 0 for none."),
        (LSTM, {"hidden": -1}, "lstm: hidden=-1, layers=1: hidden is at least 1, or 0 for the width"),
        (GRU, {"layers": 0}, "gru: hidden=0, layers=0: hidden is at least 1, or 0 for the width"),
        (RNN, {"layers": 0}, "rnn: hidden=0, layers=0: hidden is at least 1, or 0 for the width"),
        (RNN, {"activation": "tan"}, "rnn: activation='tan' must be tanh or relu. Did you mean 'tanh'?"),
    ],
)
def test_settings_that_make_no_sense_are_refused(kind: Any, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as told:
        kind(**settings)
    assert str(told.value).startswith(says)


@pytest.mark.parametrize(
    "settings",
    [{}, {"personal": "adapter"}, {"personal": "embedding"}, {"asked": "wait"}, {"temperature": 0.1}],
)
def test_with_a_table_of_its_own_a_network_scores_its_units(
    settings: dict[str, Any], ring_log: EventLog
) -> None:
    """The classic LSTM of the tutorials: wide vectors are read, fewer units scored, and no layer lies between."""
    model = LSTM(width=12, hidden=5, length=8, epochs=1, tied=False, **settings)
    assert (model.states_width, LSTM(width=12, hidden=5).states_width) == (5, 12)
    assert LSTM(width=12, hidden=5, item_vectors="one-hot").states_width == 5
    network = model.network(Domain.of(9))
    assert isinstance(network.encoder, RecurrentEncoder)
    assert isinstance(network.encoder.out, nn.Identity)
    assert network.head.table is not None
    assert (network.head.table.shape, network.items.weight.shape) == ((9, 5), (9, 12))
    recommender = model.fit(Training.of(ring_log))
    assert len(recommender.recommend(["A", "B"], 3).items) == 3


def test_dropout_lies_between_the_layers_and_after_the_last() -> None:
    """With all states dropped the norm sees the last bias alone; one layer has nothing between."""
    for layers, between in ((1, 0.0), (2, 0.4)):
        assert RecurrentEncoder(nn.GRU, 4, 5, layers, 0.4).recurrence.dropout == between
    encoder = RecurrentEncoder(nn.GRU, 4, 5, 1, 1.0).train()
    assert isinstance(encoder.out, nn.Linear)
    found = encoder(torch.randn(2, 3, 4), nothing(2, 3))
    expected = nn.functional.layer_norm(encoder.out.bias, (4,))
    torch.testing.assert_close(found, expected.expand(2, 3, 4))
