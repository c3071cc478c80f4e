"""The recurrent encoder against its equations written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from ensue.errors import ConfigError
from ensue.models.neural.rnn import LSTM, RecurrentEncoder

Array = NDArray[np.float64]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def layer_norm(x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    normed: Array = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return normed


def by_hand(encoder: RecurrentEncoder, inputs: Array, layers: int) -> Array:
    """Hochreiter and Schmidhuber's cell with forget gate, layer on layer, step by step."""
    state = {name: value.numpy() for name, value in encoder.state_dict().items()}
    for layer in range(layers):
        w, u = state[f"recurrence.weight_ih_l{layer}"], state[f"recurrence.weight_hh_l{layer}"]
        bias = state[f"recurrence.bias_ih_l{layer}"] + state[f"recurrence.bias_hh_l{layer}"]
        hidden = cell = np.zeros((len(inputs), u.shape[1]))
        outputs = []
        for step in range(inputs.shape[1]):
            gates = inputs[:, step] @ w.T + hidden @ u.T + bias
            take, forget, new, give = np.split(gates, 4, axis=1)
            cell = sigmoid(forget) * cell + sigmoid(take) * np.tanh(new)
            hidden = sigmoid(give) * np.tanh(cell)
            outputs.append(hidden)
        inputs = np.stack(outputs, axis=1)
    if "out.weight" in state:
        inputs = inputs @ state["out.weight"].T + state["out.bias"]
    return layer_norm(inputs)


@pytest.mark.parametrize(("hidden", "layers"), [(4, 1), (7, 1), (4, 2), (3, 3)])
def test_the_states_are_those_of_the_equations(hidden: int, layers: int, seeded: np.random.Generator) -> None:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(nn.LSTM, 4, hidden, layers, dropout=0.3).double().eval()
    inputs = seeded.normal(size=(2, 3, 4))
    with torch.no_grad():
        found = encoder(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(found, by_hand(encoder, inputs, layers), atol=1e-12)


def test_a_state_knows_nothing_of_later_steps(seeded: np.random.Generator) -> None:
    encoder = LSTM(width=4, layers=2).encoder().eval()
    inputs = torch.from_numpy(seeded.normal(size=(1, 6, 4)).astype(np.float32))
    other = inputs.clone()
    other[:, 4:] += 1
    with torch.no_grad():
        before, after = encoder(inputs), encoder(other)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.equal(before[:, 4:], after[:, 4:])


def test_hidden_units_are_as_wide_as_the_items_unless_said_otherwise() -> None:
    plain, wide = LSTM(width=8).encoder(), LSTM(width=8, hidden=20).encoder()
    assert isinstance(plain, RecurrentEncoder)
    assert isinstance(wide, RecurrentEncoder)
    assert (plain.recurrence.hidden_size, wide.recurrence.hidden_size) == (8, 20)
    assert wide(torch.zeros(1, 2, 8)).shape == (1, 2, 8)


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


def test_a_memory_lets_the_distant_past_count() -> None:
    """How far the state after 30 more steps depends on the first event, without training."""

    def reach(memory: int) -> float:
        torch.manual_seed(0)
        encoder = LSTM(width=16, memory=memory).encoder().eval()
        first = torch.randn(1, 31, 16)
        other = first.clone()
        other[:, 0] += 1
        with torch.no_grad():
            return float((encoder(first)[:, -1] - encoder(other)[:, -1]).norm())

    assert reach(50) > 1000 * reach(0)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"memory": -1}, "lstm: memory=-1 must be at least 3 steps, or 0 for none."),
        ({"memory": 2}, "lstm: memory=2 must be at least 3 steps, or 0 for none."),
        ({"hidden": -1}, "lstm: hidden=-1, layers=1: hidden is at least 1, or 0 for the width"),
        ({"layers": 0}, "lstm: hidden=0, layers=0: hidden is at least 1, or 0 for the width"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, int], says: str) -> None:
    with pytest.raises(ConfigError) as told:
        LSTM(**settings)  # type: ignore[arg-type]
    assert str(told.value).startswith(says)
