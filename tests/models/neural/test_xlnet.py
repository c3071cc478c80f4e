"""XLNet: two streams against loops and against another implementation, its orders, and what it trains and answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.asking import asked
from torch import Tensor, nn

from ensue.domain import Domain
from ensue.errors import ConfigError, ModelError
from ensue.models.neural import xlnet
from ensue.models.neural.transformer_xl import TransformerXLEncoder
from ensue.models.neural.xlnet import XLNet, XLNetEncoder, XLNetNetwork, drawn_order, predicted_places
from ensue.network import Batch
from ensue.scorer import Head
from ensue.side import Users

B, T, D, H, N = 3, 7, 8, 2, 9


def loud(module: nn.Module) -> Any:
    """The module in double precision, with weights large enough that everything shows."""
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double().eval()


def made(blocks: int = 2, length: int = T) -> XLNetEncoder:
    encoder: XLNetEncoder = loud(XLNetEncoder(D, length, blocks, H, dropout=0.0))
    return encoder


def network_of(order: str, **settings: Any) -> XLNetNetwork:
    model = XLNet(width=D, heads=H, length=T, dropout=0.0, order=order, **settings)
    network: XLNetNetwork = loud(model.network(Domain.of(N)))
    return network


def batch_of(x: Tensor) -> Batch:
    return Batch(torch.zeros(x.shape[:2], dtype=torch.int64), n_items=1)


def rows_of(*rows: list[int], wide: int = 0) -> Batch:
    """A training batch: each row's events, the last of which is only a target."""
    width = max(wide, *(len(row) - 1 for row in rows))
    padded = torch.tensor([row + [N] * (width + 1 - len(row)) for row in rows])
    later = padded[:, 1:]
    return Batch(torch.where(later == N, N, padded[:, :-1]), N, later=later)


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


# ------------------------------------------------------------------------------------------- the orders


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.booleans())
def test_an_order_is_one_of_the_real_places_and_then_of_padding(lengths: list[int], close: bool) -> None:
    place, length = torch.arange(6), torch.tensor(lengths)[:, None]
    real, last = place < length, place == length - 1
    order = drawn_order(real, last if close else None)
    for row, size in zip(order, lengths, strict=True):
        assert sorted(row[:size].tolist()) == list(range(size))
        assert sorted(row[size:].tolist()) == list(range(size, 6))
        if close and size:
            assert int(row[size - 1]) == size - 1
    sees = order[:, None, :] <= order[:, :, None]
    assert not bool((sees & real[:, :, None] & ~real[:, None, :]).any())  # padding is seen by nothing real


def test_all_orders_are_equally_likely() -> None:
    torch.manual_seed(0)
    order = drawn_order(torch.ones(6000, 3, dtype=torch.bool))
    _, counts = order.unique(dim=0, return_counts=True)
    assert len(counts) == 6
    standard = math.sqrt(6000 * 1 / 6 * 5 / 6)
    assert bool(((counts - 1000).abs() < 4 * standard).all())


def test_each_row_has_an_order_of_its_own_from_the_seed() -> None:
    real = torch.ones(4, 20, dtype=torch.bool)
    torch.manual_seed(3)
    first, second = drawn_order(real), drawn_order(real)
    torch.manual_seed(3)
    assert torch.equal(drawn_order(real), first)
    assert not torch.equal(first, second)
    assert len(first.unique(dim=0)) == 4


def test_the_last_targets_of_the_order_are_predicted() -> None:
    order = torch.tensor([[3, 0, 4, 2, 1], [4, 2, 0, 1, 3]])
    targets = torch.tensor([[False, True, True, True, True], [False, True, True, False, False]])
    places, held = predicted_places(order, targets, 0.5)
    assert places[0].tolist() == [2, 3]  # the first place, third of the order, is nobody's target
    assert int(places[1, 0]) == 1
    assert held.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize(
    ("share", "targets", "expected"),
    [(1 / 6, 1, 1), (1 / 6, 6, 1), (1 / 6, 7, 2), (0.1, 30, 3), (0.3, 50, 15), (1.0, 5, 5), (0.5, 0, 0)],
)
def test_the_share_is_rounded_up(share: float, targets: int, expected: int) -> None:
    order = torch.arange(60)[None]
    wanted = (torch.arange(60) > 0) & (torch.arange(60) <= targets)
    assert int(predicted_places(order, wanted[None], share)[1].sum()) == expected


# ------------------------------------------------------------------------------- training and answering


def fixed(monkeypatch: pytest.MonkeyPatch, *orders: list[int]) -> None:
    """These orders in place of drawn ones; what lies beyond them is padding."""

    def given_order(real: Tensor, closing: Tensor | None = None) -> Tensor:
        padded = [order + list(range(len(order), real.shape[1])) for order in orders]
        return torch.tensor(padded)

    monkeypatch.setattr(xlnet, "drawn_order", given_order)


def test_a_query_is_trained_on_what_came_before_it_in_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events 4 6 1 and the target 2; the order of their places is 2, 0, 3, 1, so that 3 and 1 are predicted."""
    network = network_of("permuted", predicted=0.6)
    fixed(monkeypatch, [1, 3, 0, 2])
    with torch.no_grad():
        queries, targets = network.pairs(rows_of([4, 6, 1, 2]))
        assert targets.tolist() == [6, 2]
        contents = network.items(torch.tensor([[4, 6, 1, 2]])) * network.input_scale
        order = torch.tensor([[1, 3, 0, 2]])
        places = torch.tensor([[1, 3]])
        content_sees, query_sees = masks(order, places)
        encoder = network.encoder
        expected = encoder.streams(contents, content_sees, places, query_sees)[1][0]
        torch.testing.assert_close(queries, expected, rtol=0, atol=1e-10)
        same, targets = network.pairs(rows_of([4, 8, 1, 2]))  # no query sees the item that it is to find
        assert targets.tolist() == [8, 2]
        torch.testing.assert_close(same, queries, rtol=0, atol=1e-10)
        moved, _ = network.pairs(rows_of([4, 6, 1, 5]))  # place 3 is seen from place 1
        assert (moved[0] - queries[0]).abs().max() > 1e-3
        torch.testing.assert_close(moved[1], queries[1], rtol=0, atol=1e-10)


def test_padding_changes_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("permuted", predicted=1.0)
    orders = ([2, 0, 3, 1], [1, 0], [0, 4, 2, 1, 3])
    rows = ([4, 6, 1, 2], [3, 8], [0, 5, 7, 5, 2])
    alone: list[tuple[int, Tensor]] = []
    with torch.no_grad():
        for row, order in zip(rows, orders, strict=True):
            fixed(monkeypatch, order)
            queries, targets = network.pairs(rows_of(row))
            alone += zip(targets.tolist(), queries, strict=True)
        fixed(monkeypatch, *orders)
        queries, targets = network.pairs(rows_of(*rows, wide=T))
    assert targets.tolist() == [target for target, _ in alone]
    torch.testing.assert_close(queries, torch.stack([query for _, query in alone]), rtol=0, atol=1e-10)


def test_gradients_are_numbers_where_a_query_sees_nothing() -> None:
    network = network_of("permuted", predicted=1.0)
    queries, _ = network.pairs(rows_of([4, 6, 1, 2], [3, 8]))
    queries.square().sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize(("closing", "always"), [(True, True), (False, False)])
def test_what_will_be_asked_is_always_trained_if_it_closes_the_order(closing: bool, always: bool) -> None:
    network = network_of("permuted", predicted=0.4, closing=closing)
    found = [set(network.pairs(rows_of([4, 6, 1, 2, 3, 0]))[1].tolist()) for _ in range(40)]
    assert all(len(targets) == 2 for targets in found)
    assert all(0 in targets for targets in found) == always
    assert set.union(*found) == {6, 1, 2, 3, 0}  # every event but the first


def test_only_targets_are_predicted() -> None:
    """Where not every event is a target, the others are still seen, and are never predicted."""
    network = network_of("permuted", predicted=1.0, closing=False)
    items = torch.tensor([[4, 6, 1, 2]])
    for later, expected in (([N, 1, N, 3], {1, 3}), ([6, N, N, N], {6})):
        queries, targets = network.pairs(Batch(items, N, later=torch.tensor([later])))
        assert set(targets.tolist()) == expected
        assert len(queries) == len(expected)


def test_a_place_whose_item_is_not_told_is_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last event of the first row nothing is a target: no order may show its place to the others."""
    told: list[list[bool]] = []

    def watched(real: Tensor, closing: Tensor | None = None) -> Tensor:
        told.extend(real.tolist())
        return drawn_order(real, closing)

    monkeypatch.setattr(xlnet, "drawn_order", watched)
    items, later = torch.tensor([[4, 6, 1], [4, 6, N]]), torch.tensor([[6, 1, N], [6, 2, N]])
    network_of("permuted").pairs(Batch(items, N, later=later))
    assert told == [[True, True, True, False], [True, True, True, False]]


def test_an_event_that_is_read_as_no_item_is_a_place_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an augmentation leaves it: its content is nothing, and its item is still to be found."""
    network = network_of("permuted", predicted=0.6)
    fixed(monkeypatch, [1, 3, 0, 2], [0, 1, 2])
    items = torch.tensor([[4, N, 1], [5, N, N]])
    later = torch.tensor([[6, 1, 2], [7, 3, N]])
    with torch.no_grad():
        queries, targets = network.pairs(Batch(items, N, later=later))
        assert targets.tolist() == [6, 2, 3, 7]
        vectors = network.items(torch.tensor([[4, N, 1, 2], [5, N, 3, N]])) * network.input_scale
        order, places = torch.tensor([[1, 3, 0, 2], [0, 1, 2, 3]]), torch.tensor([[1, 3], [2, 1]])
        content_sees, query_sees = masks(order, places)
        expected = network.encoder.streams(vectors, content_sees, places, query_sees)[1]
    torch.testing.assert_close(queries, expected.flatten(0, 1), rtol=0, atol=1e-10)
    told: list[list[bool]] = []

    def watched(real: Tensor, closing: Tensor | None = None) -> Tensor:
        told.extend(real.tolist())
        return order

    monkeypatch.setattr(xlnet, "drawn_order", watched)
    network.pairs(Batch(items, N, later=later))
    assert told == [[True, True, True, True], [True, True, True, False]]


def test_in_natural_order_all_steps_are_trained_as_they_are_answered() -> None:
    network = network_of("natural")
    batch = rows_of([4, 6, 1, 2], [3, 8])
    rows, steps = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        queries, targets = network.pairs(batch)
        torch.testing.assert_close(queries, network.answers(batch, *asked(rows, steps)))
    assert targets.tolist() == [6, 1, 2, 8]
    assert network.causal
    assert XLNet(order="natural").causal


@pytest.mark.parametrize("order", ["permuted", "natural"])
def test_an_answer_depends_on_its_own_history_alone(order: str) -> None:
    network = network_of(order)
    items = torch.tensor([[4, 6, 1, 2, 7], [3, 8, N, N, N]])
    rows, steps = torch.tensor([0, 1, 0, 0]), torch.tensor([2, 1, 4, 0])
    with torch.no_grad():
        together = network.answers(Batch(items, N), *asked(rows, steps))
        for found, row, step in zip(together, rows, steps, strict=True):
            history = Batch(items[row, : step + 1][None], N)
            alone = network.answers(history, step[None, None], torch.tensor([0]))[0]
            torch.testing.assert_close(found, alone, rtol=0, atol=1e-10)


def test_a_permuted_answer_sees_the_history_whole_from_everywhere() -> None:
    network = network_of("permuted")
    assert not network.causal
    assert not XLNet(order="permuted").causal
    items = torch.tensor([[4, 6, 1]])
    everything = torch.ones(1, 1, dtype=torch.bool)
    with torch.no_grad():
        contents = network.items(items) * network.input_scale
        encoder = network.encoder
        expected = encoder.streams(contents, everything, torch.tensor([[3]]), everything)[1][:, 0]
        found = network.answers(Batch(items, N), torch.tensor([[2]]), torch.tensor([0]))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_an_order_that_ends_with_the_question_trains_what_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With one block, a query reads the events themselves: the last of any order is the answer to the history."""
    network = network_of("permuted", blocks=1)
    fixed(monkeypatch, [2, 0, 1, 3])
    with torch.no_grad():
        queries, targets = network.pairs(rows_of([4, 6, 1, 2]))
        found = network.answers(Batch(torch.tensor([[4, 6, 1]]), N), torch.tensor([[2]]), torch.tensor([0]))
    assert targets.tolist() == [2]
    torch.testing.assert_close(queries, found, rtol=0, atol=1e-10)


@pytest.mark.parametrize("how", ["embedding", "adapter"])
def test_users_enter_and_leave_as_in_any_network(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = network_of("permuted", predicted=0.5)
    users: Users = loud(Users(2, D, how))
    head = Head(N, D, tied=True, bias=False, temperature=0.0)
    personal = XLNetNetwork(plain.items, plain.encoder, head, users=users).double().eval()
    fixed(monkeypatch, [1, 3, 0, 2], [1, 3, 0, 2])
    batch = rows_of([4, 6, 1, 2], [4, 6, 1, 2])
    known = Batch(batch.items, N, {"user": torch.tensor([1, 2])}, later=batch.later)  # user 2 is unknown
    question = torch.tensor([[2], [2]]), torch.tensor([1, 0])
    with torch.no_grad():
        for found, without in (
            (personal.pairs(known)[0].reshape(2, 2, D).flip(0), plain.pairs(batch)[0].reshape(2, 2, D)),
            (personal.answers(known, *question)[:, None], plain.answers(batch, *question)[:, None]),
        ):
            torch.testing.assert_close(found[0], without[0], rtol=0, atol=1e-10)
            if how == "adapter":
                stretch, shift = users.table[1].chunk(2)
                torch.testing.assert_close(found[1], without[1] * (1 + stretch) + shift, rtol=0, atol=1e-10)
            else:
                assert (found[1] - without[1]).abs().max() > 1e-3


def test_a_users_vector_is_added_to_the_contents_of_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = network_of("permuted", predicted=0.6)
    users: Users = loud(Users(2, D, "embedding"))
    head = Head(N, D, tied=True, bias=False, temperature=0.0)
    personal = XLNetNetwork(plain.items, plain.encoder, head, users=users).double().eval()
    fixed(monkeypatch, [1, 3, 0, 2])
    batch, places = rows_of([4, 6, 1, 2]), torch.tensor([[1, 3]])
    contents = plain.items(torch.tensor([[4, 6, 1, 2]])) * plain.input_scale + users.table[1]
    with torch.no_grad():
        sees = masks(torch.tensor([[1, 3, 0, 2]]), places)
        expected = plain.encoder.streams(contents, sees[0], places, sees[1])[1][0]
        found, _ = personal.pairs(Batch(batch.items, N, {"user": torch.tensor([1])}, later=batch.later))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_permuted_carries_no_state() -> None:
    with pytest.raises(ModelError, match="order='permuted' no state goes on"):
        network_of("permuted").begin(2)
    assert len(network_of("natural").begin(2)[0]) == 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"order": "natrual"}, "order='natrual' must be permuted or natural. Did you mean 'natural'"),
        ({"predicted": 0.0}, "predicted=0 must lie above 0 and be at most 1"),
        ({"predicted": 1.5}, "predicted=1.5 must lie above 0 and be at most 1"),
        ({"heads": 3}, "xlnet: 3 heads do not divide a width of 64"),
        ({"width": 7, "heads": 7}, "xlnet: distances are told by pairs"),
        ({"blocks": 0}, "xlnet: blocks=0 must be at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        XLNet(**settings)
