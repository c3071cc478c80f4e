"""The parts of a network, each against its arithmetic."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ensue.item_vectors import ItemTable, ItemVectors
from ensue.network import Batch, Encoder, Network, State
from ensue.scorer import Head, Scorer

N, D = 6, 4


class Through(Encoder):
    """Passes everything on."""

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        return x

    def begin(self, rows: int) -> State:
        return ()

    def step(self, x: Tensor, state: State, batch: Batch) -> tuple[Tensor, State]:
        return x, state


def table_of(vectors: Tensor) -> ItemVectors:
    table = ItemTable(*vectors.shape)
    table.weight = nn.Parameter(vectors)
    return table


def test_items_are_rows_and_padding_is_zeros() -> None:
    table = ItemTable(N, D)
    vectors = table(torch.tensor([[0, 5, N, N]]))
    assert torch.equal(vectors[0, :2], table.weight[[0, 5]])
    assert torch.equal(vectors[0, 2:], torch.zeros(2, D))


def test_padding_trains_no_item() -> None:
    table = ItemTable(N, D)
    table(torch.tensor([[3, N, N]])).sum().backward()
    assert table.weight.grad is not None
    assert table.weight.grad.tolist() == [[1.0] * D if item == 3 else [0.0] * D for item in range(N)]


def test_the_table_has_a_row_for_each_item_and_none_besides() -> None:
    assert ItemTable(N, D).weight.shape == (N, D)


def test_logits_are_products_with_the_table() -> None:
    table = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    queries = torch.tensor([[3.0, 4.0]])
    assert Scorer(table).logits(queries).tolist() == [[3.0, 2 * 4.0, 3.0 + 4.0]]
    bias = torch.tensor([0.5, 0.0, -1.0])
    assert Scorer(table, bias).logits(queries).tolist() == [[3.5, 8.0, 6.0]]
    assert Scorer(table, bias, scale=2.0).logits(queries).tolist() == [[6.5, 16.0, 13.0]]


def test_a_tied_head_scores_with_the_vectors_of_the_items() -> None:
    vectors = torch.randn(N, D)
    tied = Head(N, D, tied=True, bias=False, temperature=0.0)
    assert list(tied.parameters()) == []
    assert tied.scorer(table_of(vectors)).table.tolist() == vectors.tolist()
    own = Head(N, D, tied=False, bias=True, temperature=0.0)
    assert [name for name, _ in own.named_parameters()] == ["table", "bias"]
    assert own.scorer(table_of(vectors)).table is own.table
    assert own.bias is not None
    assert own.bias.tolist() == [0.0] * N


def test_with_a_temperature_scores_are_cosines_divided_by_it() -> None:
    vectors, queries = torch.randn(N, D), torch.randn(3, D)
    scorer = Head(N, D, tied=True, bias=False, temperature=0.05).scorer(table_of(vectors))
    expected = nn.functional.cosine_similarity(queries[:, None], vectors[None], dim=2) / 0.05
    torch.testing.assert_close(scorer.logits(queries), expected)
    torch.testing.assert_close(scorer.logits(7 * queries), expected)
    longer = Head(N, D, tied=True, bias=False, temperature=0.05).scorer(table_of(3 * vectors))
    torch.testing.assert_close(longer.logits(queries), expected)


def test_the_product_of_prepared_queries_with_the_table_is_the_logits() -> None:
    """What a loss relies on when it works block by block."""
    for temperature in (0.0, 0.3):
        scorer = Head(N, D, tied=False, bias=False, temperature=temperature).scorer(ItemTable(N, D))
        queries = torch.randn(3, D)
        torch.testing.assert_close(scorer.prepared(queries) @ scorer.table.T, scorer.logits(queries))


def test_a_network_scores_the_steps_that_are_asked_about() -> None:
    """With an encoder that passes everything on, the state is the item's vector, scaled by sqrt(D)."""
    head = Head(N, D, tied=True, bias=False, temperature=0.0)
    network = Network(ItemTable(N, D), Through(), head).eval()
    items = torch.tensor([[0, 1, N], [2, 3, 4]])
    scores = network(items, torch.tensor([[1, 0], [0, 2]]), torch.tensor([3, 0, 2]))
    weight = network.items.weight
    torch.testing.assert_close(scores, math.sqrt(D) * weight[[4, 1, 2]] @ weight.T)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_dropout_is_for_training_only(share: float) -> None:
    head = Head(N, D, tied=True, bias=False, temperature=0.0)
    network = Network(ItemTable(N, D), Through(), head, share)
    items = torch.zeros((1, 1000), dtype=torch.int64)
    torch.manual_seed(0)
    trained = (network.train().states(Batch(items, N)) == 0).double().mean()
    assert float(trained) == pytest.approx(share, abs=4 * math.sqrt(0.25 / 4000))
    assert not bool((network.eval().states(Batch(items, N)) == 0).any())
