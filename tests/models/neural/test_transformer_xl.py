"""Transformer-XL: its four terms against loops, its segments against one masked row, and how far its memory reaches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from ensue.errors import ConfigError
from ensue.models.neural.transformer_xl import (
    RelativeLayer,
    TransformerXL,
    TransformerXLEncoder,
    shifted,
    sinusoids,
)
from ensue.network import Batch

B, T, D, H = 2, 11, 8, 2
SHAPES = [(4, 4, 2), (3, 7, 2), (2, 0, 1), (1, 1, 3), (5, 2, 3), (1, 0, 1), (20, 5, 2), (4, 9, 0)]
"""Segment, memory and blocks: memory longer than a segment, shorter, none, and a segment longer than the row."""


def batch_of(x: Tensor) -> Batch:
    return Batch(torch.zeros(x.shape[:2], dtype=torch.int64), n_items=1)


def loud(encoder: nn.Module) -> Any:
    """The module in double precision, with weights large enough that everything shows."""
    torch.manual_seed(1)
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return encoder.double().eval()


def made(segment: int, memory: int, blocks: int = 2) -> TransformerXLEncoder:
    encoder: TransformerXLEncoder = loud(TransformerXLEncoder(D, blocks, H, segment, memory, dropout=0.0))
    return encoder


@pytest.fixture
def inputs() -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(B, T, D)))


def arrays(module: nn.Module) -> dict[str, NDArray[np.float64]]:
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


def sinusoid(distance: int) -> NDArray[np.float64]:
    angles = [distance / 10_000 ** (2 * i / D) for i in range(D // 2)]
    return np.array([math.sin(a) for a in angles] + [math.cos(a) for a in angles])


def normed(x: NDArray[np.float64], scale: NDArray[np.float64], shift: NDArray[np.float64]) -> Any:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * scale + shift


def test_distances_are_sines_then_cosines() -> None:
    expected = np.stack([sinusoid(distance) for distance in (0, 1, 7, -2)])
    found = sinusoids(torch.tensor([0.0, 1.0, 7.0, -2.0], dtype=torch.float64), D)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-14)


@given(st.integers(1, 7), st.integers(0, 6))
def test_the_shift_is_the_direct_index(rows: int, before: int) -> None:
    """Column c holds distance P - 1 - c; key j of row i, `before` keys lying before the first, is that far away."""
    columns = before + rows
    x = torch.arange(2 * rows * columns).reshape(2, rows, columns).double()
    found = shifted(x)
    for row in range(rows):
        for key in range(before + row + 1):
            distance = before + row - key
            assert torch.equal(found[:, row, key], x[:, row, columns - 1 - distance])


@pytest.mark.parametrize(("segment", "memory"), [(3, 2), (4, 4), (2, 6), (11, 0)])
def test_a_layer_is_the_four_terms_in_a_triple_loop(segment: int, memory: int, inputs: Tensor) -> None:
    encoder = made(segment, memory, blocks=1)
    with torch.no_grad():
        found = encoder(inputs, batch_of(inputs)).numpy()
    w = arrays(encoder.blocks[0])
    u, v = encoder.biases.detach().numpy()
    size = D // H
    for row, states in zip(inputs.numpy(), found, strict=True):
        for i in range(T):
            mixed = np.zeros(D)
            seen = range(max(i // segment * segment - memory, 0), i + 1)
            for head in range(H):
                own = slice(head * size, (head + 1) * size)
                q = w["query.weight"][own] @ row[i]
                logits = []
                for j in seen:
                    k, r = w["key.weight"][own] @ row[j], w["place.weight"][own] @ sinusoid(i - j)
                    a, b, c, d = q @ k, q @ r, u[head] @ k, v[head] @ r
                    logits.append((a + b + c + d) / math.sqrt(size))
                weights = np.exp(logits) / np.exp(logits).sum()
                for j, weight in zip(seen, weights, strict=True):
                    mixed[own] += weight * (w["value.weight"][own] @ row[j])
            x = normed(row[i] + w["out.weight"] @ mixed, w["attention_norm.weight"], w["attention_norm.bias"])
            hidden = np.maximum(w["feed_forward.0.weight"] @ x + w["feed_forward.0.bias"], 0)
            x = x + w["feed_forward.3.weight"] @ hidden + w["feed_forward.3.bias"]
            expected = normed(x, w["forward_norm.weight"], w["forward_norm.bias"])
            np.testing.assert_allclose(states[i], expected, rtol=0, atol=1e-10)


def test_a_query_that_sees_nothing_gets_nothing(inputs: Tensor) -> None:
    layer: RelativeLayer = loud(RelativeLayer(D, H, dropout=0.0))
    seen = layer.seen(inputs, torch.ones(T, D, dtype=torch.float64))
    sees = torch.ones(T, T, dtype=torch.bool)
    sees[3] = False
    biases = torch.ones(2, H, D // H, dtype=torch.float64)
    found = layer(inputs, seen, sees, biases, shifted)
    x = layer.attention_norm(inputs[:, 3])
    torch.testing.assert_close(found[:, 3], layer.forward_norm(x + layer.feed_forward(x)))
    found.sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in layer.parameters() if p.grad is not None)


def recurrent(encoder: TransformerXLEncoder, x: Tensor) -> Tensor:
    """Segment after segment, each layer's last states kept for the next: section 3.2 as it is written."""
    memories = [x.new_zeros(len(x), 0, D) for _ in encoder.blocks]
    out = []
    for start in range(0, x.shape[1], encoder.segment):
        states = x[:, start : start + encoder.segment]
        for number, block in enumerate(encoder.layers):
            seen = torch.cat([memories[number].detach(), states], dim=1)
            keep = max(seen.shape[1] - encoder.memory, 0)
            memories[number] = seen[:, keep:]
            m, k = states.shape[1], seen.shape[1]
            places = sinusoids(torch.arange(k - 1, -1, -1).double(), D)
            sees = torch.arange(k) <= torch.arange(m)[:, None] + (k - m)
            states = block(states, block.seen(seen, places), sees, encoder.biases, shifted)
        out.append(states)
    return torch.cat(out, dim=1)


@pytest.mark.parametrize(("segment", "memory", "blocks"), SHAPES)
def test_segments_with_memory_are_one_masked_row(
    segment: int, memory: int, blocks: int, inputs: Tensor
) -> None:
    encoder = made(segment, memory, blocks)
    with torch.no_grad():
        at_once = encoder(inputs, batch_of(inputs))
        by_segment = encoder.train()(inputs, batch_of(inputs))
        expected = recurrent(encoder, inputs)
    torch.testing.assert_close(at_once, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(by_segment, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("segment", "memory", "blocks"), SHAPES)
def test_gradients_are_those_of_the_recurrence(
    segment: int, memory: int, blocks: int, inputs: Tensor
) -> None:
    encoder = made(segment, memory, blocks).train()
    weights = torch.randn(B, T, D, dtype=torch.float64)
    leaves = [inputs.clone().requires_grad_(), *encoder.blocks.parameters()]
    expected = torch.autograd.grad((recurrent(encoder, leaves[0]) * weights).sum(), leaves)
    found = torch.autograd.grad((encoder(leaves[0], batch_of(inputs)) * weights).sum(), leaves)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_no_gradient_flows_into_the_memory(inputs: Tensor) -> None:
    """What stands in the first segment learns from the targets of that segment alone, though later ones see it."""
    encoder = made(segment=4, memory=6).train()
    x = inputs.clone().requires_grad_()
    states = encoder(x, batch_of(x))
    later = torch.autograd.grad(states[:, 4:].square().sum(), x, retain_graph=True)[0]
    assert torch.equal(later[:, :4], torch.zeros(B, 4, D, dtype=torch.float64))
    assert bool((later[:, 4:].abs().sum(dim=2) > 0).all())
    whole = torch.autograd.grad(states.square().sum(), x, retain_graph=True)[0]
    own = torch.autograd.grad(states[:, :4].square().sum(), x)[0]
    torch.testing.assert_close(whole[:, :4], own[:, :4])
    through = torch.autograd.grad(encoder.eval()(x, batch_of(x))[:, 4:].square().sum(), x)[0]
    assert bool((through[:, :4].abs().sum(dim=2) > 0).all())  # the same states, with nothing stopped


@pytest.mark.parametrize("training", [False, True])
def test_with_a_memory_as_long_as_the_history_segments_change_nothing(training: bool, inputs: Tensor) -> None:
    with torch.no_grad():
        whole = made(segment=T, memory=0)(inputs, batch_of(inputs))
        for segment in (1, 2, 3, 5, 10):
            encoder = made(segment, memory=T).train(training)
            torch.testing.assert_close(encoder(inputs, batch_of(inputs)), whole, rtol=0, atol=1e-10)
            short = made(segment, memory=T // 2 - segment // 2).train(training)
            if segment < T // 2:
                assert (short(inputs, batch_of(inputs)) - whole).abs().max() > 1e-3


@given(st.integers(1, 4), st.integers(0, 5), st.integers(1, 3))
def test_a_state_reaches_what_its_layers_see_in_turn(segment: int, memory: int, blocks: int) -> None:
    step = np.arange(T)
    sees = (step <= step[:, None]) & (step >= (step // segment * segment - memory)[:, None])
    expected = np.linalg.matrix_power(sees.astype(int), blocks) > 0
    encoder = made(segment, memory, blocks)
    x = torch.randn(1, T, D, dtype=torch.float64)
    changed = torch.cat([x, x.expand(T, T, D) + torch.eye(T).double()[:, :, None] * torch.randn(D)])
    with torch.no_grad():
        states = encoder(changed, batch_of(changed))
    moved = (states[1:] - states[:1]).abs().amax(dim=2) > 1e-12
    np.testing.assert_array_equal(moved.numpy(), expected.T)


@given(st.integers(1, 8), st.integers(1, 7), st.integers(1, 4), st.integers(0, 4), st.booleans())
def test_no_step_sees_a_later_one(length: int, known: int, segment: int, memory: int, training: bool) -> None:
    known = min(known, length)
    encoder = made(segment, memory).train(training)
    before = torch.randn(1, length, D, dtype=torch.float64)
    after = before.clone()
    after[:, known:] = torch.randn(1, length - known, D)
    with torch.no_grad():
        first, second, alone = (encoder(x, batch_of(x)) for x in (before, after, before[:, :known]))
    torch.testing.assert_close(second[:, :known], first[:, :known], rtol=0, atol=1e-10)
    torch.testing.assert_close(alone, first[:, :known], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("segment", "memory", "blocks"), SHAPES)
def test_stepping_gives_the_states_of_the_row(segment: int, memory: int, blocks: int, inputs: Tensor) -> None:
    encoder = made(segment, memory, blocks)
    with torch.no_grad():
        expected = encoder(inputs, batch_of(inputs))
        state = encoder.begin(B)
        for step in range(T):
            out, state = encoder.step(inputs[:, step], state, batch_of(inputs[:, :1]))
            torch.testing.assert_close(out, expected[:, step], rtol=0, atol=1e-10)
            assert all(len(part) == B for part in state)


def test_rows_may_be_at_different_steps(inputs: Tensor) -> None:
    encoder = made(segment=3, memory=2)
    with torch.no_grad():
        expected = encoder(inputs, batch_of(inputs))
        ahead = encoder.begin(1)
        for step in range(4):
            _, ahead = encoder.step(inputs[:1, step], ahead, batch_of(inputs[:1, :1]))
        state = tuple(torch.cat(parts) for parts in zip(ahead, encoder.begin(1), strict=True))
        for step in range(T - 4):
            x = torch.stack([inputs[0, step + 4], inputs[1, step]])
            out, state = encoder.step(x, state, batch_of(x[:, None]))
            wanted = torch.stack([expected[0, step + 4], expected[1, step]])
            torch.testing.assert_close(out, wanted, rtol=0, atol=1e-10)


def recalled(memory: int, blocks: int) -> float:
    """How often, after training, the item six steps back is named; segments are of two events, items five."""
    torch.manual_seed(0)
    items, back, steps = 5, 6, 120
    encoder = TransformerXLEncoder(16, blocks, 1, 2, memory, dropout=0.0)
    table, out = nn.Embedding(items, 16), nn.Linear(16, items)
    parameters = [p for module in (encoder, table, out) for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    for _ in range(steps):
        row = torch.randint(0, items, (16, 18))
        logits = out(encoder(table(row), batch_of(row[..., None])))[:, back:]
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits.flatten(0, 1), row[:, :-back].flatten()).backward()
        optimizer.step()
    row = torch.randint(0, items, (200, 18))
    with torch.no_grad():
        named = out(encoder.eval()(table(row), batch_of(row[..., None])))[:, back:].argmax(dim=2)
    return float((named == row[:, :-back]).double().mean())


def test_longer_memory_reaches_further() -> None:
    """The answer lies 6 steps back; two blocks with a memory of 2 reach 1 + 2 x 2 = 5."""
    assert recalled(memory=2, blocks=1) < 0.26  # a fifth by chance
    assert recalled(memory=2, blocks=2) < 0.26
    assert recalled(memory=6, blocks=1) > 0.99


@pytest.mark.parametrize(
    ("settings", "segment", "memory"),
    [
        ({"length": 50}, 17, 17),
        ({"length": 50, "segment": 10}, 10, 10),
        ({"length": 50, "memory": 30}, 17, 30),
        ({"length": 1}, 1, 1),
    ],
)
def test_a_segment_is_a_third_of_the_window_and_remembers_as_much(
    settings: dict[str, Any], segment: int, memory: int
) -> None:
    encoder = TransformerXL(**settings).encoder()
    assert isinstance(encoder, TransformerXLEncoder)
    assert (encoder.segment, encoder.memory) == (segment, memory)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"heads": 3}, "transformer-xl: 3 heads do not divide a width of 64"),
        ({"heads": 0}, "0 heads do not divide"),
        ({"width": 7, "heads": 1}, "a sine and a cosine, and width=7 is odd"),
        ({"blocks": 0}, "blocks=0 must be at least 1"),
        ({"segment": -1}, "segment=-1, memory=0: each is at least 1, or 0 for automatic"),
        ({"memory": -2}, "segment=0, memory=-2: each is at least 1, or 0 for automatic"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        TransformerXL(**settings)


def test_dropout_falls_on_what_each_sublayer_adds(inputs: Tensor) -> None:
    """With everything dropped a layer adds nothing: what came in is left, normed twice."""
    encoder = TransformerXLEncoder(D, 1, H, 4, 4, dropout=1.0).double().train()
    left = nn.functional.layer_norm(nn.functional.layer_norm(inputs, (D,)), (D,))
    torch.testing.assert_close(encoder(inputs, batch_of(inputs)), left)


def test_dropout_falls_on_the_hidden_units_after_their_activation() -> None:
    """With all hidden units dropped the feed-forward layer gives its last bias, even where activation(0) is not 0."""
    layer = RelativeLayer(D, H, 1.0, nn.Sigmoid).double().train()
    found = layer.feed_forward(torch.randn(3, D, dtype=torch.float64))
    last = layer.feed_forward[-1]
    assert isinstance(last, nn.Linear)
    torch.testing.assert_close(found, last.bias.expand(3, D))
