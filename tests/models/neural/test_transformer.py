"""The Transformer's parts against loops over heads, steps and keys."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ensue.errors import ConfigError
from ensue.models.neural.blocks import Attention, Block, SwiGLU, feed_forward_of, rotated
from ensue.models.neural.transformer import Transformer, TransformerEncoder
from ensue.network import Batch

B, T, D = 2, 5, 6
KINDS = [("pre-norm", "gelu"), ("post-norm", "relu"), ("gated", "swiglu")]


def events(x: torch.Tensor) -> Batch:
    """A batch as full as its inputs; a Transformer reads nothing of it."""
    return Batch(torch.zeros(x.shape[:2], dtype=torch.int64), 1)


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(B, T, D)))


@pytest.mark.parametrize(
    ("heads", "rotary"), [(1, False), (2, False), (3, False), (6, False), (1, True), (3, True)]
)
def test_attention_is_a_triple_loop(heads: int, rotary: bool, inputs: torch.Tensor) -> None:
    torch.manual_seed(0)
    attention = Attention(D, heads, rotary).double().eval()
    size = D // heads
    with torch.no_grad():
        found = attention(inputs)
        q, k, v = attention.project(inputs).split(D, dim=2)
        for row, own in [(b, slice(h * size, (h + 1) * size)) for b in range(B) for h in range(heads)]:
            for x in (q, k) if rotary else ():
                x[row, :, own] = rotated(x[row, :, own][None, None])[0, 0]
        mixed = torch.zeros(B, T, D, dtype=torch.float64)
        for row in range(B):
            for head in range(heads):
                own = slice(head * size, (head + 1) * size)
                for step in range(T):
                    weights = [
                        math.exp(float(q[row, step, own] @ k[row, key, own]) / math.sqrt(size))
                        for key in range(step + 1)
                    ]
                    for key, weight in enumerate(weights):
                        mixed[row, step, own] += weight / sum(weights) * v[row, key, own]
        expected = attention.out(mixed)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rotary", [False, True])
def test_attention_both_ways_is_a_triple_loop_over_real_steps(rotary: bool, inputs: torch.Tensor) -> None:
    """Real steps may lie anywhere in a row; rotary angles follow where each is said to stand."""
    torch.manual_seed(0)
    attention = Attention(D, 3, rotary).double().eval()
    seen = torch.tensor([[True, True, True, False, False], [False, True, False, True, True]])
    places = torch.tensor([[2, 1, 0, 0, 0], [3, 2, 2, 1, 0]])
    with torch.no_grad():
        found = attention(inputs, seen, places)
        q, k, v = attention.project(inputs).split(D, dim=2)
        mixed = torch.zeros(B, T, D, dtype=torch.float64)
        for row, head, step in [(b, h, t) for b in range(B) for h in range(3) for t in range(T)]:
            own = slice(head * 2, head * 2 + 2)
            weights = {}
            for key in range(T):
                if seen[row, key]:
                    angle = float(places[row, step] - places[row, key]) if rotary else 0.0
                    a, b = (float(x) for x in q[row, step, own])
                    turned = torch.tensor(
                        [
                            a * math.cos(angle) - b * math.sin(angle),
                            a * math.sin(angle) + b * math.cos(angle),
                        ],
                        dtype=torch.float64,
                    )
                    weights[key] = math.exp(float(turned @ k[row, key, own]) / math.sqrt(2))
            for key, weight in weights.items():
                mixed[row, step, own] += weight / sum(weights.values()) * v[row, key, own]
        expected = attention.out(mixed)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_the_first_step_attends_to_itself_alone(inputs: torch.Tensor) -> None:
    attention = Attention(D, 2).double().eval()
    value = attention.project(inputs)[:, :, 2 * D :]
    torch.testing.assert_close(attention(inputs)[:, 0], attention.out(value[:, 0]))


def test_a_block_adds_normed_sublayers(inputs: torch.Tensor) -> None:
    block = Block(D, 2, dropout=0.5).double().eval()
    after_attention = inputs + block.attention(nn.functional.layer_norm(inputs, (D,)))
    normed = nn.functional.layer_norm(after_attention, (D,))
    first, _, second = block.feed_forward.children()
    expected = after_attention + second(nn.functional.gelu(first(normed)))
    torch.testing.assert_close(block(inputs), expected)


def test_a_post_norm_block_norms_each_sum(inputs: torch.Tensor) -> None:
    """y = n1(x + A(x)), out = n2(y + F(y)); the two norms are told apart by their weights."""
    torch.manual_seed(0)
    block = Block(D, 2, dropout=0.5, kind="post-norm", feed_forward="relu").double().eval()
    for norm in (block.attention_norm, block.forward_norm):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)

    def normed(x: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        return centred / (centred.pow(2).mean(dim=-1, keepdim=True) + 1e-5).sqrt() * norm.weight + norm.bias

    y = normed(inputs + block.attention(inputs), block.attention_norm)
    first, _, second = block.feed_forward.children()
    expected = normed(y + second(first(y).clamp(min=0)), block.forward_norm)
    torch.testing.assert_close(block(inputs), expected)


def test_a_gated_block_weighs_each_sublayer_by_what_came_in(inputs: torch.Tensor) -> None:
    """y = x + sigmoid(W x + b) A(n(x)), out = y + sigmoid(W' y + b') F(n(y))."""
    torch.manual_seed(0)
    block = Block(D, 2, dropout=0.5, kind="gated").double().eval()
    gates = []
    for gate in (block.attention_gate, block.forward_gate):
        assert isinstance(gate, nn.Linear)
        gates.append(gate)
    x = inputs
    for gate, sublayer in zip(gates, (block.attention, block.feed_forward), strict=True):
        opened = 1 / (1 + torch.exp(-(x @ gate.weight.T + gate.bias)))
        x = x + opened * sublayer(nn.functional.layer_norm(x, (D,)))
    torch.testing.assert_close(block(inputs), x)
    with torch.no_grad():
        for gate in gates:
            gate.weight.zero_()
            gate.bias.fill_(-1e3)
    torch.testing.assert_close(block(inputs), inputs)  # both gates shut


def test_swiglu_by_arithmetic() -> None:
    """Width 1 has ceil(8/3) = 3 units: sum over u of c_u silu(a_u x) (b_u x), here at x = 2."""
    layer = SwiGLU(1).double()
    a, b, c = [0.5, -1.0, 2.0], [1.0, 3.0, -0.5], [1.0, 0.25, -2.0]
    with torch.no_grad():
        for linear, values in ((layer.gate, a), (layer.up, b)):
            linear.weight.copy_(torch.tensor(values)[:, None])
        layer.down.weight.copy_(torch.tensor(c)[None])
    expected = sum(
        c_u * (a_u * 2 / (1 + math.exp(-a_u * 2))) * (b_u * 2) for a_u, b_u, c_u in zip(a, b, c, strict=True)
    )
    found = layer(torch.tensor([2.0], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64))


def test_swiglu_has_about_as_many_weights_as_the_others() -> None:
    """3 x 64 x 171 = 32,832 against 2 x 64 x 256 = 32,768, and 320 biases."""
    sizes = {
        kind: sum(p.numel() for p in feed_forward_of(kind, 64).parameters()) for kind in ("gelu", "swiglu")
    }
    assert sizes == {"gelu": 2 * 64 * 256 + 256 + 64, "swiglu": 3 * 64 * 171}


@pytest.mark.parametrize(
    ("kind", "expansion", "size"),
    [
        ("relu", 1, 2 * 64 * 64 + 64 + 64),  # as in SASRec
        ("gelu", 2, 2 * 64 * 128 + 128 + 64),
        ("swiglu", 1, 3 * 64 * 43),  # ceil(2 x 64 / 3)
    ],
)
def test_a_block_is_as_wide_inside_as_asked(kind: str, expansion: int, size: int) -> None:
    encoder = Transformer(width=64, length=4, blocks=2, feed_forward=kind, expansion=expansion).encoder()
    inside = [module.feed_forward for module in encoder.modules() if isinstance(module, Block)]
    assert [sum(p.numel() for p in layer.parameters()) for layer in inside] == [size, size]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rotary", [False, True])
def test_step_by_step_is_all_at_once(kind: tuple[str, str], rotary: bool) -> None:
    torch.manual_seed(0)
    length = 7
    encoder = TransformerEncoder(8, length, 2, 2, 0.3, rotary, *kind).eval()
    if encoder.positions is not None:
        nn.init.normal_(encoder.positions)
    x = torch.randn(3, length, 8)
    with torch.no_grad():
        whole = encoder(x, events(x))
        state = encoder.begin(3)
        for step in range(length):
            out, state = encoder.step(x[:, step], state, events(x[:, step : step + 1]))
            torch.testing.assert_close(out, whole[:, step], rtol=0, atol=1e-5)


def test_rows_at_different_steps_share_a_batch() -> None:
    """A state is rows side by side: one two events on and one at its beginning advance together."""
    torch.manual_seed(0)
    encoder = TransformerEncoder(8, 6, 2, 2, 0.0, rotary=True).eval()
    x = torch.randn(1, 4, 8)
    with torch.no_grad():
        whole = encoder(x, events(x))[0]
        state = encoder.begin(1)
        for step in range(2):
            _, state = encoder.step(x[:, step], state, events(x[:, :1]))
        both = tuple(torch.cat(pair) for pair in zip(state, encoder.begin(1), strict=True))
        out, _ = encoder.step(torch.stack([x[0, 2], x[0, 0]]), both, events(x[:, :1]))
    torch.testing.assert_close(out, whole[[2, 0]], rtol=0, atol=1e-5)


def test_a_full_cache_forgets_its_oldest_step() -> None:
    """One block sees keys and values of inputs alone, so the last L steps decide: distances stay as they are."""
    torch.manual_seed(0)
    encoder = TransformerEncoder(8, 3, 1, 2, 0.0, rotary=True).eval()
    x = torch.randn(2, 8, 8)
    with torch.no_grad():
        state = encoder.begin(2)
        for step in range(8):
            out, state = encoder.step(x[:, step], state, events(x[:, :1]))
        torch.testing.assert_close(out, encoder(x[:, -3:], events(x[:, -3:]))[:, -1], rtol=0, atol=1e-5)


def test_a_post_norm_stack_norms_inputs_and_positions_first(inputs: torch.Tensor) -> None:
    encoder = TransformerEncoder(D, T, 1, 2, 0.0, kind="post-norm").double().eval()
    assert encoder.positions is not None
    x = nn.functional.layer_norm(inputs + encoder.positions, (D,))
    torch.testing.assert_close(encoder(inputs, events(inputs)), encoder.blocks[0](x))


def test_positions_are_added_from_the_first_event_of_the_window(inputs: torch.Tensor) -> None:
    encoder = TransformerEncoder(D, length=8, blocks=0, heads=1, dropout=0.0).double()
    assert encoder.positions is not None
    with torch.no_grad():
        encoder.positions.copy_(torch.arange(8.0)[:, None].expand(8, D) * torch.arange(D))
    shifted = inputs + torch.arange(T)[:, None] * torch.arange(D)
    torch.testing.assert_close(encoder(inputs, events(inputs)), nn.functional.layer_norm(shifted, (D,)))


def test_the_order_of_the_past_counts(inputs: torch.Tensor) -> None:
    torch.manual_seed(0)
    encoder = TransformerEncoder(D, length=T, blocks=1, heads=2, dropout=0.0).double().eval()
    assert encoder.positions is not None
    nn.init.normal_(encoder.positions)
    swapped = inputs[:, [1, 0, 2, 3, 4]]
    with torch.no_grad():
        assert (encoder(inputs, events(inputs)) - encoder(swapped, events(swapped)))[:, -1].abs().max() > 1e-3


@given(
    st.integers(1, 8),
    st.integers(1, 7),
    st.sampled_from([1, 3]),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from(KINDS),
)
def test_no_step_sees_a_later_one(
    length: int, known: int, heads: int, blocks: int, rotary: bool, kind: tuple[str, str]
) -> None:
    known = min(known, length)
    torch.manual_seed(0)
    encoder = TransformerEncoder(D, length, blocks, heads, 0.0, rotary, *kind).eval()
    before = torch.randn(1, length, D)
    after = before.clone()
    after[:, known:] = torch.randn(1, length - known, D)
    with torch.no_grad():
        whole, other, part = (encoder(x, events(x)) for x in (before, after, before[:, :known]))
    torch.testing.assert_close(whole[:, :known], other[:, :known], rtol=0, atol=1e-6)
    torch.testing.assert_close(whole[:, :known], part, rtol=0, atol=1e-6)


@pytest.mark.parametrize("heads", [0, -1, 3])
def test_heads_must_divide_the_width(heads: int) -> None:
    with pytest.raises(ConfigError, match=f"transformer: {heads} heads do not divide a width of 64"):
        Transformer(heads=heads)


def test_rotary_products_depend_on_the_distance_alone() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 4, dtype=torch.float64)
    products = rotated(q.expand(1, 1, 9, 4)) @ rotated(k.expand(1, 1, 9, 4)).transpose(-1, -2)
    for distance in range(9):
        diagonal = products[0, 0].diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert products[0, 0, :, 0].unique().numel() == 9


def test_rotation_is_that_of_the_paper_and_keeps_lengths() -> None:
    """Pair i (entries i and i + h/2) of step t is turned by t / 10000^(2i/h); here h = 4."""
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    turned = rotated(x.expand(1, 1, 6, 4))[0, 0, 5]
    fast, slow = 5.0, 5.0 / 10_000 ** (2 / 4)
    expected = [
        1 * math.cos(fast) - 3 * math.sin(fast),
        2 * math.cos(slow) - 4 * math.sin(slow),
        1 * math.sin(fast) + 3 * math.cos(fast),
        2 * math.sin(slow) + 4 * math.cos(slow),
    ]
    torch.testing.assert_close(turned, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(turned.norm(), x.norm())


def test_rotary_attention_knows_the_order_without_learnt_places() -> None:
    torch.manual_seed(0)
    encoder = TransformerEncoder(8, length=20, blocks=2, heads=2, dropout=0.0, rotary=True).double().eval()
    assert encoder.positions is None
    first, rest = torch.randn(1, 1, 8, dtype=torch.float64), torch.randn(1, 6, 8, dtype=torch.float64)
    with torch.no_grad():
        alone, swapped, later = (
            encoder(x, events(x))
            for x in (rest, rest[:, [1, 0, 2, 3, 4, 5]], torch.cat([first.expand(1, 3, 8), rest], dim=1))
        )
    assert (alone[:, -1] - swapped[:, -1]).abs().max() > 1e-3
    assert (alone - later[:, 3:]).abs().max() > 1e-3  # what lies before is seen


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"positions": "rotery"}, "positions='rotery' must be learnt or rotary. Did you mean 'rotary'"),
        (
            {"block": "pre norm"},
            "block='pre norm' must be pre-norm or post-norm or gated. Did you mean 'pre-norm'",
        ),
        ({"feed_forward": "silu"}, "feed_forward='silu' must be gelu or relu or swiglu"),
        ({"expansion": 0}, "transformer: expansion=0 must be at least 1"),
        ({"width": 6, "heads": 2}, "rotary positions turn pairs, and 3 entries a head are odd"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Transformer(**settings)


@pytest.mark.parametrize(("kind", "feed_forward"), KINDS)
def test_dropout_falls_on_what_each_sublayer_adds(kind: str, feed_forward: str, inputs: torch.Tensor) -> None:
    """With everything dropped a block adds nothing: what came in is left, normed twice where sums are."""
    block = Block(D, 2, 1.0, kind=kind, feed_forward=feed_forward).double().train()
    left = inputs
    if kind == "post-norm":
        left = nn.functional.layer_norm(nn.functional.layer_norm(inputs, (D,)), (D,))
    torch.testing.assert_close(block(inputs), left)


def test_past_the_window_a_step_stands_at_its_last_place(inputs: torch.Tensor) -> None:
    """A stack of no block: norm(x + position), the position of step 3 and later being that of step 2."""
    encoder = TransformerEncoder(D, 3, 0, 2, 0.0).double().eval()
    assert encoder.positions is not None
    nn.init.normal_(encoder.positions)
    state = encoder.begin(B)
    for step in range(T):
        out, state = encoder.step(inputs[:, step], state, events(inputs[:, step : step + 1]))
        expected = nn.functional.layer_norm(inputs[:, step] + encoder.positions[min(step, 2)], (D,))
        torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize(("kind", "feed_forward"), KINDS)
@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_steps_alone_are_those_of_the_whole(kind: str, feed_forward: str, blocks: int, rotary: bool) -> None:
    """What the last block computes for some steps is what it computes for all of them; steps may be asked twice."""
    torch.manual_seed(0)
    encoder = TransformerEncoder(8, T, blocks, 2, 0.0, rotary, kind, feed_forward).double().eval()
    inputs = torch.from_numpy(np.random.default_rng(1).normal(size=(B, T, 8)))
    asked = torch.tensor([[0, 4, 2], [3, 3, 0]])
    with torch.no_grad():
        found, whole = encoder.at(inputs, events(inputs), asked), encoder(inputs, events(inputs))
    for row in range(B):
        torch.testing.assert_close(found[row], whole[row, asked[row]], rtol=0, atol=1e-12)
