"""FPMC: its scores by the published equation, and that it knows nothing but who acts and the last item."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from ensue.domain import Domain
from ensue.encodings import Encodings
from ensue.export import to_onnx
from ensue.inputs import USER, Inputs
from ensue.losses import loss_of
from ensue.models.neural.fpmc import FPMC, FactorHead, UserFactors
from ensue.network import Batch, Network

N, USERS, D = 7, 5, 3


def domain_of(personal: str) -> Domain:
    """A catalogue of N items, and users u0 to u4 where they count."""
    if personal == "none":
        return Domain.of(N)
    encodings = Encodings.fit({USER: pl.Series([f"u{n}" for n in range(USERS)])}, [USER])
    return Domain(N, np.ones(N, dtype=np.int64), Inputs((USER,), encodings, 4))


def network_of(personal: str = "embedding", **settings: Any) -> Network:
    torch.manual_seed(0)
    network = FPMC(width=D, length=4, personal=personal, **settings).network(domain_of(personal))
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network.double().eval()


def scores(network: Network, items: list[list[int]], users: list[int] | None) -> Tensor:
    """`[B, N]` after the last step of each row."""
    rows = torch.arange(len(items))
    fields = [] if users is None else [torch.tensor(users)]
    with torch.no_grad():
        found: Tensor = network(
            torch.tensor(items), torch.full_like(rows, len(items[0]) - 1)[:, None], rows, *fields
        )
    return found


def tables(network: Network) -> dict[str, Any]:
    return {name: value.detach().numpy() for name, value in network.named_parameters()}


@pytest.mark.parametrize("settings", [{}, {"bias": True}, {"tied": True}])
def test_scores_are_those_of_the_published_equation(settings: dict[str, Any]) -> None:
    """x(u, l, i) = <v_u^UI, v_i^IU> + <v_i^IL, v_l^LI> (Rendle et al., equation 19, a basket of one item l)."""
    network = network_of(**settings)
    value = tables(network)
    li = value["items.weight"] * D**0.5
    ui, iu = value["users.table"], value["head.table"][:, :D]
    il = value["items.weight"] if settings.get("tied") else value["head.table"][:, D:]
    bias = value.get("head.bias", np.zeros(N))
    found = scores(network, [[1, 2], [3, 4], [5, 6]], [4, 0, 2]).numpy()
    for row, (user, last) in enumerate([(4, 2), (0, 4), (2, 6)]):
        for item in range(N):
            expected = ui[user] @ iu[item] + il[item] @ li[last] + bias[item]
            assert found[row, item] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("tied", [False, True])
def test_without_users_it_is_the_factorised_chain_alone(tied: bool) -> None:
    network = network_of("none", tied=tied)
    value = tables(network)
    assert set(value) == ({"items.weight"} if tied else {"items.weight", "head.table"})
    il = value["items.weight"] if tied else value["head.table"]
    assert il.shape == (N, D)
    expected = il @ value["items.weight"][[2, 4]].T * D**0.5
    np.testing.assert_allclose(scores(network, [[1, 2], [3, 4]], None).numpy(), expected.T, atol=1e-12)


def test_an_unknown_user_gets_the_chain_alone() -> None:
    """Code 5 is one that training had not seen, code 6 nobody."""
    network = network_of()
    value = tables(network)
    expected = value["head.table"][:, D:] @ value["items.weight"][2] * D**0.5
    for code in (USERS, USERS + 1):
        np.testing.assert_allclose(scores(network, [[1, 2]], [code])[0].numpy(), expected, atol=1e-12)
    assert float((scores(network, [[1, 2]], [0])[0] - torch.from_numpy(expected)).abs().max()) > 0.05


def test_nothing_but_the_last_item_and_the_user_counts() -> None:
    network = network_of()
    assert torch.equal(scores(network, [[1, 5, 2]], [3]), scores(network, [[6, 0, 2]], [3]))
    assert torch.equal(scores(network, [[1, 5, 2]], [3]), scores(network, [[2]], [3]))
    assert not torch.equal(scores(network, [[1, 5, 2]], [3]), scores(network, [[1, 2, 5]], [3]))
    assert not torch.equal(scores(network, [[1, 5, 2]], [3]), scores(network, [[1, 5, 2]], [2]))


def test_cosines_are_of_both_parts_together() -> None:
    network = network_of(temperature=0.5)
    value = tables(network)
    query = np.concatenate([value["users.table"][1], value["items.weight"][2] * D**0.5])
    table = value["head.table"]
    lengths = np.sqrt((table**2).sum(1) * (query**2).sum())
    np.testing.assert_allclose(
        scores(network, [[2]], [1])[0].numpy(), table @ query / lengths / 0.5, atol=1e-12
    )


def test_cosines_of_a_tied_network_are_of_both_parts_together_too() -> None:
    network = network_of(temperature=0.5, tied=True)
    value = tables(network)
    query = np.concatenate([value["users.table"][1], value["items.weight"][2] * D**0.5])
    table = np.concatenate([value["head.table"], value["items.weight"]], axis=1)
    lengths = np.sqrt((table**2).sum(1) * (query**2).sum())
    found = scores(network, [[2]], [1])[0].numpy()
    np.testing.assert_allclose(found, table @ query / lengths / 0.5, atol=1e-12)


def test_one_vector_for_both_places_forgets_which_came_first() -> None:
    """Tied, without users, i after l scores as l after i; with vectors of their own it need not."""
    every = [[item] for item in range(N)]
    tied, apart = (scores(network_of("none", tied=tied), every, None) for tied in (True, False))
    torch.testing.assert_close(tied, tied.T)
    assert float((apart - apart.T).abs().max()) > 0.1


@pytest.mark.parametrize("settings", [{}, {"tied": True}, {"personal": "none"}, {"personal": "adapter"}])
def test_stepping_is_the_whole(settings: dict[str, Any]) -> None:
    network = network_of(**settings)
    items = torch.tensor([[1, 2, 3, 4], [6, 5, 4, 0]])
    fields = {} if network.users is None else {USER: torch.tensor([4, USERS])}
    with torch.no_grad():
        whole, state = network.states(Batch(items, N, fields)), network.begin(2)
        for step in range(4):
            out, state = network.step(Batch(items[:, step : step + 1], N, fields), state)
            torch.testing.assert_close(out, whole[:, step], atol=1e-12, rtol=0)


def test_its_own_tables_are_one_or_two_vectors_an_item_wide() -> None:
    shapes = {
        (personal, tied): {
            name: value.shape for name, value in tables(network_of(personal, tied=tied)).items()
        }
        for personal in ("embedding", "none", "adapter")
        for tied in (False, True)
    }
    items, users = {"items.weight": (N, D)}, {"users.table": (USERS, D)}
    assert shapes["embedding", False] == items | users | {"head.table": (N, 2 * D)}
    assert shapes["embedding", True] == items | users | {"head.table": (N, D)}
    assert shapes["none", False] == items | {"head.table": (N, D)}
    assert shapes["none", True] == items
    assert shapes["adapter", False] == items | {"users.table": (USERS, 2 * D), "head.table": (N, D)}


def test_it_learns_of_a_triple_as_published() -> None:
    """BPR over the one other item: the gradient of -log s(x) is -(1 - s(x)) that of x = x_target - x_negative."""
    network = network_of()
    batch = Batch(torch.tensor([[2]]), N, {USER: torch.tensor([1])}, later=torch.tensor([[4]]))
    loss = loss_of({"name": "bpr", "negatives": N})
    queries, targets = network.pairs(batch)
    loss(queries, targets, torch.ones(1), network.scorer()).backward()
    value = tables(network)
    query = np.concatenate([value["users.table"][1], value["items.weight"][2] * D**0.5])
    table = value["head.table"]
    others = [item for item in range(N) if item != 4]
    doubt = {item: 1 / (1 + np.exp(query @ (table[4] - table[item]))) / (N - 1) for item in others}
    grad = {name: torch.as_tensor(parameter.grad) for name, parameter in network.named_parameters()}
    pull = -sum(doubt[item] * (table[4] - table[item]) for item in others)
    np.testing.assert_allclose(grad["users.table"][1].numpy(), pull[:D], atol=1e-12)
    np.testing.assert_allclose(grad["items.weight"][2].numpy(), pull[D:] * D**0.5, atol=1e-12)
    np.testing.assert_allclose(grad["head.table"][4].numpy(), -sum(doubt.values()) * query, atol=1e-12)
    for item in others:
        np.testing.assert_allclose(grad["head.table"][item].numpy(), doubt[item] * query, atol=1e-12)
    assert not grad["users.table"][[0, 2, 3, 4]].any()


def test_the_exported_graph_takes_users_known_and_unknown(seeded: np.random.Generator) -> None:
    network = network_of(tied=True).float()
    session = onnxruntime.InferenceSession(to_onnx(network, domain_of("embedding").inputs))
    for rows, steps in [(1, 1), (4, 3)]:
        feed = {
            "items": seeded.integers(0, N, (rows, steps)),
            "asked": np.full((rows, 1), steps - 1),
            "places": np.arange(rows),
            USER: seeded.integers(0, USERS + 2, rows),
        }
        with torch.no_grad():
            expected = network(*(torch.from_numpy(value) for value in feed.values()))
        np.testing.assert_allclose(session.run(["scores"], feed)[0], expected.numpy(), atol=1e-5)


def test_its_parts_are_made_by_the_model() -> None:
    network = network_of()
    assert network.reads == (USER,)
    assert isinstance(network.users, UserFactors)
    assert isinstance(network.head, FactorHead)
    assert network_of("none").reads == ()
