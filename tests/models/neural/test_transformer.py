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
from ensue.models.neural.transformer import (
    Block,
    CausalAttention,
    Transformer,
    TransformerEncoder,
    rotated,
)

B, T, D = 2, 5, 6


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(B, T, D)))


@pytest.mark.parametrize(
    ("heads", "rotary"), [(1, False), (2, False), (3, False), (6, False), (1, True), (3, True)]
)
def test_attention_is_a_triple_loop(heads: int, rotary: bool, inputs: torch.Tensor) -> None:
    torch.manual_seed(0)
    attention = CausalAttention(D, heads, rotary).double().eval()
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


def test_the_first_step_attends_to_itself_alone(inputs: torch.Tensor) -> None:
    attention = CausalAttention(D, 2).double().eval()
    value = attention.project(inputs)[:, :, 2 * D :]
    torch.testing.assert_close(attention(inputs)[:, 0], attention.out(value[:, 0]))


def test_a_block_adds_normed_sublayers(inputs: torch.Tensor) -> None:
    block = Block(D, 2, dropout=0.5).double().eval()
    after_attention = inputs + block.attention(nn.functional.layer_norm(inputs, (D,)))
    normed = nn.functional.layer_norm(after_attention, (D,))
    first, second = block.feed_forward[0], block.feed_forward[2]
    expected = after_attention + second(nn.functional.gelu(first(normed)))
    torch.testing.assert_close(block(inputs), expected)


def test_positions_are_added_from_the_first_event_of_the_window(inputs: torch.Tensor) -> None:
    encoder = TransformerEncoder(D, length=8, blocks=0, heads=1, dropout=0.0).double()
    assert encoder.positions is not None
    with torch.no_grad():
        encoder.positions.copy_(torch.arange(8.0)[:, None].expand(8, D) * torch.arange(D))
    shifted = inputs + torch.arange(T)[:, None] * torch.arange(D)
    torch.testing.assert_close(encoder(inputs), nn.functional.layer_norm(shifted, (D,)))


def test_the_order_of_the_past_counts(inputs: torch.Tensor) -> None:
    torch.manual_seed(0)
    encoder = TransformerEncoder(D, length=T, blocks=1, heads=2, dropout=0.0).double().eval()
    assert encoder.positions is not None
    nn.init.normal_(encoder.positions)
    swapped = inputs[:, [1, 0, 2, 3, 4]]
    with torch.no_grad():
        assert (encoder(inputs)[:, -1] - encoder(swapped)[:, -1]).abs().max() > 1e-3


@given(st.integers(1, 8), st.integers(1, 7), st.sampled_from([1, 3]), st.integers(0, 2), st.booleans())
def test_no_step_sees_a_later_one(length: int, known: int, heads: int, blocks: int, rotary: bool) -> None:
    known = min(known, length)
    torch.manual_seed(0)
    encoder = TransformerEncoder(D, length, blocks, heads, 0.0, rotary).eval()
    before = torch.randn(1, length, D)
    after = before.clone()
    after[:, known:] = torch.randn(1, length - known, D)
    with torch.no_grad():
        torch.testing.assert_close(encoder(before)[:, :known], encoder(after)[:, :known], rtol=0, atol=1e-6)
        torch.testing.assert_close(encoder(before)[:, :known], encoder(before[:, :known]), rtol=0, atol=1e-6)


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
        alone = encoder(rest)
        swapped = encoder(rest[:, [1, 0, 2, 3, 4, 5]])
        later = encoder(torch.cat([first.expand(1, 3, 8), rest], dim=1))
    assert (alone[:, -1] - swapped[:, -1]).abs().max() > 1e-3
    assert (alone - later[:, 3:]).abs().max() > 1e-3  # what lies before is seen


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"positions": "rotery"}, "positions='rotery' must be learnt or rotary. Did you mean 'rotary'"),
        ({"width": 6, "heads": 2}, "rotary positions turn pairs, and 3 entries a head are odd"),
    ],
)
def test_positions_that_cannot_be_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Transformer(**settings)
