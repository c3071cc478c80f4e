"""XLNet's two streams: against loops and another implementation, in natural order, and one step at a time."""

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

from ensue.models.neural.transformer_xl import TransformerXLEncoder
from ensue.models.neural.xlnet import XLNetEncoder
from ensue.network import Batch

B, T, D, H = 3, 7, 8, 2


def loud(module: nn.Module) -> Any:
    """The module in double precision, with weights large enough that everything shows."""
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double().eval()


def made(blocks: int = 2, length: int = T) -> XLNetEncoder:
    encoder: XLNetEncoder = loud(XLNetEncoder(D, length, blocks, H, dropout=0.0))
    return encoder


def batch_of(x: Tensor) -> Batch:
    return Batch(torch.zeros(x.shape[:2], dtype=torch.int64), n_items=1)


@pytest.fixture
def inputs() -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(B, T, D)))


@pytest.fixture
def order() -> Tensor:
    return torch.from_numpy(np.stack([np.random.default_rng(seed).permutation(T) for seed in range(B)]))


def masks(order: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Whether a content sees a content, and whether a query sees a content, as tensors `[B, 1, ., K]`."""
    content = order[:, None, :] <= order[:, :, None]
    return content[:, None], (order[:, None, :] < order.gather(1, places)[:, :, None])[:, None]


# ------------------------------------------------------------------------------------- the two streams


def sinusoid(distance: int) -> NDArray[np.float64]:
    angles = [distance / 10_000 ** (2 * i / D) for i in range(D // 2)]
    return np.array([math.sin(a) for a in angles] + [math.cos(a) for a in angles])


def normed(x: NDArray[np.float64], scale: NDArray[np.float64], shift: NDArray[np.float64]) -> Any:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * scale + shift


def attended(
    block: nn.Module,
    biases: NDArray[np.float64],
    asking: NDArray[np.float64],
    place: int,
    contents: NDArray[np.float64],
    seen: list[int],
) -> NDArray[np.float64]:
    """One place of one layer: attention over the contents seen, and the feed-forward layer, written out."""
    w = {name: tensor.detach().numpy() for name, tensor in block.state_dict().items()}
    mixed, size = np.zeros(D), D // H
    for head in range(H):
        own = slice(head * size, (head + 1) * size)
        q, (r_w_bias, r_r_bias) = w["query.weight"][own] @ asking, biases[:, head]
        logits = []
        for j in seen:
            k, r = w["key.weight"][own] @ contents[j], w["place.weight"][own] @ sinusoid(place - j)
            logits.append(((q + r_w_bias) @ k + (q + r_r_bias) @ r) / math.sqrt(size))
        weights = np.exp(logits) / np.exp(logits).sum()
        for j, weight in zip(seen, weights, strict=True):
            mixed[own] += weight * (w["value.weight"][own] @ contents[j])
    x = normed(asking + w["out.weight"] @ mixed, w["attention_norm.weight"], w["attention_norm.bias"])
    hidden = w["feed_forward.0.weight"] @ x + w["feed_forward.0.bias"]
    hidden = hidden * np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in hidden])
    x = x + w["feed_forward.3.weight"] @ hidden + w["feed_forward.3.bias"]
    out: NDArray[np.float64] = normed(x, w["forward_norm.weight"], w["forward_norm.bias"])
    return out


def test_two_streams_are_a_triple_loop(inputs: Tensor, order: Tensor) -> None:
    encoder = made(blocks=2)
    places = order.argsort(dim=1)[
        :, [T - 1, T - 2, 0]
    ]  # the last two of the order, and the first, which sees nothing
    content_sees, query_sees = masks(order, places)
    with torch.no_grad():
        content, queries = encoder.streams(inputs, content_sees, places, query_sees)
    biases, first = encoder.biases.detach().numpy(), encoder.query.detach().numpy()
    for row in range(B):
        h, when = inputs[row].numpy(), order[row].tolist()
        g = dict.fromkeys(places[row].tolist(), first)
        for number, block in enumerate(encoder.layers):
            before = h
            h = np.stack(
                [
                    attended(
                        block,
                        biases[number],
                        before[i],
                        i,
                        before,
                        [j for j in range(T) if when[j] <= when[i]],
                    )
                    for i in range(T)
                ]
            )
            g = {
                i: attended(
                    block, biases[number], g[i], i, before, [j for j in range(T) if when[j] < when[i]]
                )
                for i in g
            }
            if number == 0:
                np.testing.assert_allclose(content[row].numpy(), h, rtol=0, atol=1e-10)
        np.testing.assert_allclose(queries[row].numpy(), np.stack(list(g.values())), rtol=0, atol=1e-10)


def test_the_streams_are_those_of_hugging_face(order: Tensor) -> None:
    """The same weights by name, random orders, three layers; the published epsilon of the norms is set to ours."""
    from transformers import XLNetConfig, XLNetModel

    config = XLNetConfig(
        vocab_size=10, d_model=12, n_layer=3, n_head=3, d_inner=48, ff_activation="gelu", layer_norm_eps=1e-5
    )
    torch.manual_seed(2)
    theirs: Any = XLNetModel(config)
    theirs.train(False)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.4)
    ours = XLNetEncoder(12, T, 3, 3, dropout=0.1).eval()
    with torch.no_grad():
        ours.query.copy_(theirs.mask_emb[0, 0])
        for number, (block, layer) in enumerate(zip(ours.layers, theirs.layer, strict=True)):
            attention = layer.rel_attn
            ours.biases[number, 0], ours.biases[number, 1] = attention.r_w_bias, attention.r_r_bias
            for linear, name in (
                (block.query, "q"),
                (block.key, "k"),
                (block.value, "v"),
                (block.place, "r"),
            ):
                linear.weight.copy_(getattr(attention, name).reshape(12, 12).T)  # [D, H, h], inputs first
            block.out.weight.copy_(attention.o.reshape(12, 12))
            block.attention_norm.load_state_dict(attention.layer_norm.state_dict())
            block.feed_forward[0].load_state_dict(layer.ff.layer_1.state_dict())
            block.feed_forward[3].load_state_dict(layer.ff.layer_2.state_dict())
            block.forward_norm.load_state_dict(layer.ff.layer_norm.state_dict())
    x = torch.randn(B, T, 12)
    places = order.argsort(dim=1)[:, -3:]
    content_sees, query_sees = masks(order, places)
    with torch.no_grad():
        content, queries = ours.streams(x, content_sees, places, query_sees)
        found = theirs(
            inputs_embeds=x,
            perm_mask=(order[:, None, :] >= order[:, :, None]).float(),
            target_mapping=nn.functional.one_hot(places, T).float(),
            output_hidden_states=True,
            use_mems=False,
        )
    torch.testing.assert_close(queries, found.last_hidden_state, rtol=0, atol=1e-5)
    below_the_last = found.hidden_states[4]  # content and query streams in turn, from the inputs on
    torch.testing.assert_close(content, below_the_last, rtol=0, atol=1e-5)


def test_in_natural_order_places_and_order_are_one(inputs: Tensor) -> None:
    encoder = made()
    step = torch.arange(T)
    before = step <= step[:, None]
    after_each = (step + 1).expand(B, T)
    with torch.no_grad():
        expected = encoder.streams(inputs, before, after_each, before)[1]
        torch.testing.assert_close(encoder(inputs, batch_of(inputs)), expected, rtol=0, atol=1e-10)


def test_the_content_stream_in_natural_order_is_a_causal_network(inputs: Tensor) -> None:
    """That of Transformer-XL with one segment, given the same layer."""
    encoder = made(blocks=2)
    causal = TransformerXLEncoder(D, 1, H, segment=T, memory=0, dropout=0.0).double().eval()
    causal.blocks = nn.ModuleList([encoder.blocks[0]])
    with torch.no_grad():
        causal.biases.copy_(encoder.biases[0])
        before = torch.ones(T, T, dtype=torch.bool).tril()
        content, _ = encoder.streams(inputs, before, None, before)
        torch.testing.assert_close(content, causal(inputs, batch_of(inputs)), rtol=0, atol=1e-10)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 3), st.booleans())
def test_in_natural_order_no_state_changes_with_the_future(
    length: int, known: int, blocks: int, training: bool
) -> None:
    known = min(known, length)
    encoder = made(blocks).train(training)
    before = torch.randn(1, length, D, dtype=torch.float64)
    after = before.clone()
    after[:, known:] = torch.randn(1, length - known, D)
    with torch.no_grad():
        first, second, alone = (encoder(x, batch_of(x)) for x in (before, after, before[:, :known]))
        torch.testing.assert_close(second[:, :known], first[:, :known], rtol=0, atol=1e-10)
        torch.testing.assert_close(alone, first[:, :known], rtol=0, atol=1e-10)
        if blocks:
            before[:, known - 1] += 1
            assert (
                encoder(before, batch_of(before))[:, known - 1 :] - first[:, known - 1 :]
            ).abs().min() > 1e-9


@pytest.mark.parametrize(("length", "blocks"), [(T, 2), (T + 3, 1), (1, 2), (T, 0)])
def test_stepping_gives_the_states_of_the_row(length: int, blocks: int, inputs: Tensor) -> None:
    encoder = made(blocks, length)
    inputs = inputs[:, :length]
    with torch.no_grad():
        expected = encoder(inputs, batch_of(inputs))
        state = encoder.begin(B)
        for step in range(inputs.shape[1]):
            out, state = encoder.step(inputs[:, step], state, batch_of(inputs[:, :1]))
            torch.testing.assert_close(out, expected[:, step], rtol=0, atol=1e-10)
            assert all(len(part) == B for part in state)
