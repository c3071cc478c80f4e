"""Items by what is known of them: vectors that are worked out, and new items that can be scored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from ensue import artifacts, runtime
from ensue.errors import ModelError
from ensue.events.log import EventLog
from ensue.export import TorchScoring
from ensue.features import Features
from ensue.item_features import FeatureItems
from ensue.item_vectors import HashedItems, ItemTable
from ensue.model import Training, model_of
from ensue.new_items import extended
from ensue.objective import Objective
from ensue.ranking import Recommender

ITEMS = pl.DataFrame(
    {
        "item": ["a", "b", "c"],
        "brand": ["acme", None, "blau"],
        "genres": ["x|y", "", "y"],
        "price": [1.0, None, 3.0],
        "text": [[1.0, 0.0], [0.0, 1.0], None],
    }
)


def made(names: list[str], own: bool = True) -> FeatureItems:
    features = Features.fit(ITEMS, names)
    table = ItemTable(3, 4) if own else None
    return FeatureItems(table, features, features.arrays(ITEMS), 4, 0.0).eval()


def test_a_vector_is_the_sum_of_what_is_known() -> None:
    vectors = made(["brand", "genres"])
    brands, genres = (vectors.tables[key].get_parameter("weight") for key in ("0", "1"))
    own = vectors.own.weight if vectors.own is not None else torch.zeros(0)
    y, x = 0, 1  # y is in two items
    expected = own[0] + brands[0] + (genres[x] + genres[y]) / 2
    torch.testing.assert_close(vectors.weight[0], expected)
    torch.testing.assert_close(vectors.weight[2], own[2] + brands[1] + genres[y])


def test_what_is_missing_is_learnt_and_what_is_unseen_says_nothing() -> None:
    vectors = made(["brand", "price", "text"], own=False)
    vectors.weight.sum().backward()
    table = vectors.tables["0"].get_parameter("weight")
    assert table.grad is not None
    assert table.grad.abs().sum(dim=1).tolist() == [4.0, 4.0, 0.0, 4.0]  # acme, blau, unseen, missing
    assert all(vectors.absent[key].grad is not None for key in ("1", "2"))
    assert table[2].tolist() == [0.0] * 4


def test_an_item_without_values_gets_the_vector_of_what_is_missing() -> None:
    vectors = made(["genres", "price", "text"], own=False)
    with torch.no_grad():
        for place, key in enumerate(("0", "1", "2")):
            vectors.absent[key].copy_(torch.full((4,), 10.0**place))
    text = vectors.lines["2"].get_parameter("weight")
    scale = 1.0  # the mean length of the two vectors of training
    torch.testing.assert_close(vectors.weight[1], torch.full((4,), 11.0) + text[:, 1] / scale)


def test_a_share_of_the_items_is_met_without_their_own_vectors_in_training_alone() -> None:
    features = Features.fit(ITEMS, ["brand"])
    frame = pl.concat([ITEMS] * 400)
    vectors = FeatureItems(ItemTable(1200, 4), features, features.arrays(frame), 4, 0.2)
    torch.manual_seed(0)
    alone = vectors.tables["0"](vectors.get_buffer("codes_0"))
    hidden = (vectors.weight == alone).all(dim=1).float().mean()
    assert 0.2 - 4 * 0.0116 < float(hidden) < 0.2 + 4 * 0.0116  # sqrt(0.2 x 0.8 / 1200)
    assert not bool((vectors.eval().weight == alone).all(dim=1).any())


@pytest.mark.parametrize("n", [1, 2, 10, 97])
def test_hashed_items_have_vectors_of_their_own_in_fewer_rows(n: int) -> None:
    items = HashedItems(n, 3)
    assert len(torch.unique(items.weight, dim=0)) == n
    assert len(items.remainders) + len(items.quotients) <= 2 * n**0.5 + 3
    chosen = torch.tensor([0, n - 1])
    torch.testing.assert_close(items.rows(chosen), items.weight[chosen])


@pytest.fixture(scope="module")
def fitted(ring_frame: pl.DataFrame) -> Recommender:
    kinds = pl.DataFrame({"item": list("ABCDEFGHIJ"), "kind": list("abcdefghij")})
    training = Training.of(EventLog.of(ring_frame, items=kinds), exclude_seen=False)
    course = {"epochs": 20, "patience": 20, "batch_tokens": 64, "learning_rate": 1e-2}
    return model_of("lstm", width=16, length=12, features=("kind",), id_dropout=0.5, **course).fit(training)


def test_a_new_item_that_is_like_another_is_scored_like_it(fitted: Recommender) -> None:
    """K is of the kind of D, and D follows C."""
    more = extended(fitted, pl.DataFrame({"item": ["K"], "kind": ["d"]}))
    assert set(more.recommend(["C"], 2).items) == {"D", "K"}
    assert more.catalogue.ids.to_list()[:10] == fitted.catalogue.ids.to_list()
    assert fitted.recommend(["C"], 11).items == tuple(i for i in more.recommend(["C"], 11).items if i != "K")


def test_new_items_are_kept_with_the_model(
    fitted: Recommender, tmp_path_factory: pytest.TempPathFactory
) -> None:
    more = extended(fitted, pl.DataFrame({"item": ["K"], "kind": ["d"]}))
    folder = artifacts.save(more, tmp_path_factory.mktemp("more") / "model")
    assert runtime.load(folder).recommend(["C", "K"], 11).items == more.recommend(["C", "K"], 11).items


def test_a_bias_of_a_new_item_is_nothing(ring_frame: pl.DataFrame) -> None:
    kinds = pl.DataFrame({"item": list("ABCDEFGHIJ"), "kind": list("abcdefghij")})
    training = Training.of(EventLog.of(ring_frame, items=kinds), exclude_seen=False)
    plain = model_of("lstm", width=8, length=4, features=("kind",), bias=True, epochs=1).fit(training)
    more = extended(plain, pl.DataFrame({"item": ["K"], "kind": ["d"]}))
    assert isinstance(more.scoring, TorchScoring)
    head = more.scoring.network.head
    assert head.bias is not None
    assert (len(head.bias), float(head.bias[10].detach())) == (11, 0.0)


def test_a_model_without_features_says_what_is_needed(ring_log: EventLog) -> None:
    plain = model_of("rules").fit(Training.of(ring_log))
    with pytest.raises(ModelError, match="rules knows items by their events alone"):
        extended(plain, pl.DataFrame({"item": ["K"]}))


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_a_new_item_can_be_rated_where_ratings_are_learnt_beside(
    name: str, ring_frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kinds = pl.DataFrame({"item": list("ABCDEFGHIJ"), "kind": list("abcdefghij")})
    rated = ring_frame.with_columns(rating=(pl.int_range(pl.len()) % 5 + 1).cast(pl.Float64))
    training = Training.of(
        EventLog.of(rated, items=kinds), objective=Objective(rating=1.0), exclude_seen=False
    )
    plain = model_of(name, width=8, length=4, features=("kind",), epochs=1).fit(training)
    more = extended(plain, pl.DataFrame({"item": ["K"], "kind": ["d"]}))
    assert isinstance(plain.scoring, TorchScoring)
    assert isinstance(more.scoring, TorchScoring)
    queries = training.sequences.queries()[np.arange(2)]
    wider = replace(queries, n_items=11)
    found = more.scoring.ratings(wider)
    assert found.shape == (2, 11)
    np.testing.assert_allclose(found[:, :10], plain.scoring.ratings(queries), atol=1e-5)
    folder = artifacts.save(more, tmp_path_factory.mktemp("rated") / "model")
    assert runtime.load(folder).recommend(["C", "K"], 11).items == more.recommend(["C", "K"], 11).items
