"""Vectors of items by what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from math import sqrt
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue.catalogue import Catalogue
from ensue.item_similarity import unit_vectors


def cosines(columns: Mapping[str, Any]) -> list[list[float]] | None:
    """All products of items' vectors, as nested lists."""
    n = len(next(iter(columns.values())))
    ids = pl.Series("item", [f"i{item}" for item in range(n)])
    found = unit_vectors(Catalogue(ids, np.ones(n, dtype=np.int64), pl.DataFrame({"item": ids, **columns})))
    return None if found is None else (found @ found.T).toarray().tolist()


def test_several_categories_count_as_one_hot() -> None:
    found = cosines({"genres": ["drama|war", "war", "drama|war", None, "war|crime|drama", "crime"]})
    assert found is not None
    assert found[0] == pytest.approx([1, 1 / sqrt(2), 1, 0, 2 / sqrt(2 * 3), 0])
    assert found[3] == [0] * 6, "an item of which nothing is known is like none, not even itself"


def test_vectors_count_by_their_direction_beside_categories() -> None:
    alone = cosines({"text": [[3.0, 4.0], [6.0, 8.0], [4.0, -3.0], None]})
    assert alone is not None
    assert alone[0] == pytest.approx([1, 1, 0, 0])
    both = cosines({"brand": ["x", "x", "y", "y"], "text": [[1.0, 0.0], [0.0, 2.0], [5.0, 0.0], None]})
    assert both is not None
    # a brand and a direction, end to end: half of either
    assert both[0] == pytest.approx([1, 1 / 2, 1 / 2, 0])
    assert both[2][3] == pytest.approx(1 / sqrt(2)), "one of the two has no vector"


def test_what_no_two_items_share_or_what_has_no_kind_says_nothing() -> None:
    columns = {
        "title": ["same", "same", "same", "same"],
        "year": [1990, 1990, 1991, 1991],
        "released": [date(1990, 1, 1)] * 4,
        "described": ["a tale", "another", "a third", "a third"],
    }
    assert cosines(columns) is None
    known = cosines(columns | {"brand": ["x", "x", "y", "y"]})
    assert known == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]


def test_an_item_without_a_category_is_like_none() -> None:
    assert cosines({"brand": ["x", None, "x", None]}) == [
        [1, 0, 1, 0],
        [0, 0, 0, 0],
        [1, 0, 1, 0],
        [0, 0, 0, 0],
    ]


def test_a_catalogue_without_features_has_no_vectors() -> None:
    assert unit_vectors(Catalogue(pl.Series("item", ["a", "b"]), np.array([2, 1]))) is None
