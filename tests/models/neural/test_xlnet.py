"""XLNet: its orders, what is trained on them, and what it answers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.asking import asked
from tests.models.neural.test_xlnet_streams import D, H, T, loud, masks
from torch import Tensor

from ensue.domain import Domain
from ensue.errors import ConfigError, ModelError
from ensue.models.neural import xlnet
from ensue.models.neural.xlnet import XLNet, XLNetNetwork, drawn_order, predicted_places
from ensue.network import Batch
from ensue.scorer import Head
from ensue.side import Users

N = 9


def network_of(order: str, **settings: Any) -> XLNetNetwork:
    model = XLNet(width=D, heads=H, length=T, dropout=0.0, order=order, **settings)
    network: XLNetNetwork = loud(model.network(Domain.of(N)))
    return network


def rows_of(*rows: list[int], wide: int = 0) -> Batch:
    """A training batch: each row's events, the last of which is only a target."""
    width = max(wide, *(len(row) - 1 for row in rows))
    padded = torch.tensor([row + [N] * (width + 1 - len(row)) for row in rows])
    later = padded[:, 1:]
    return Batch(torch.where(later == N, N, padded[:, :-1]), N, later=later)


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
