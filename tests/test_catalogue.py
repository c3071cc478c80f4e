"""The catalogue: index order, exact ids, and places that stay."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import DataError
from ensue.events.log import EventLog

ids = st.text(min_size=1, max_size=6)
id_lists = st.lists(ids, min_size=1, max_size=30)


def fit(items: list[str], known: pl.DataFrame | None = None) -> Catalogue:
    frame = pl.DataFrame(
        {"user": ["u"] * len(items), "item": items}, schema={"user": pl.String, "item": pl.String}
    )
    return Catalogue.fit(EventLog.of(frame, known))


def test_items_are_numbered_most_frequent_first_then_by_id() -> None:
    found = fit(["b", "c", "a", "c", "d", "d"])
    assert found.ids.to_list() == ["c", "d", "a", "b"]
    assert found.counts.tolist() == [2, 2, 1, 1]
    assert found.share.tolist() == pytest.approx([2 / 6, 2 / 6, 1 / 6, 1 / 6])


@given(id_lists)
def test_encoding_and_decoding_give_back_every_id_as_written(items: list[str]) -> None:
    found = fit(items)
    codes = found.encode(items)
    assert found.decode(codes) == items
    assert codes.dtype == np.int32
    assert ((codes >= 0) & (codes < len(found))).all()


@given(id_lists)
def test_counts_fall_and_equal_counts_are_in_the_order_of_their_ids(items: list[str]) -> None:
    found = fit(items)
    keys = [(-items.count(item), item.encode()) for item in found.ids]
    assert keys == sorted(keys)
    assert len(set(items)) == len(found)
    assert found.counts.tolist() == [items.count(item) for item in found.ids]
    assert found.share.sum() == pytest.approx(1)


def test_ids_that_look_like_numbers_or_like_nothing_stay_apart() -> None:
    strange = ["007", "7", "07", "7.0", "1e3", "NA", "null", "nan", "None", " 7", "7 ", "-1", "é", "e\u0301"]
    found = fit(strange)
    assert len(found) == len(strange)
    assert found.decode(found.encode(strange)) == strange
    assert found.encode(["0007", "NaN", "", "n/a"]).tolist() == [UNKNOWN] * 4


def test_unknown_items_are_coded_minus_one_in_place_and_repeats_each_time() -> None:
    found = fit(["a", "b"])
    assert found.encode(["b", "x", "a", "b", "x"]).tolist() == [1, -1, 0, 1, -1]
    assert found.encode([]).tolist() == []
    assert found.encode(pl.Series("other name", ["b"])).tolist() == [1]


def test_an_index_outside_the_catalogue_is_an_error_and_never_another_item() -> None:
    found = fit(["a", "b"])
    for wrong in ([-1], [2], [0, 5]):
        with pytest.raises(IndexError, match=r"outside 0\.\.1"):
            found.decode(wrong)
    assert found.decode([]) == []


@given(id_lists, st.lists(ids, min_size=1, max_size=10))
def test_extending_keeps_every_place_and_puts_new_items_last(items: list[str], new: list[str]) -> None:
    before = fit(items)
    after = before.extend(pl.DataFrame({"item": new}, schema={"item": pl.String}))
    assert after.ids.to_list()[: len(before)] == before.ids.to_list()
    added = [item for item in dict.fromkeys(new) if item not in items]
    assert after.ids.to_list()[len(before) :] == added
    assert after.counts.tolist() == before.counts.tolist() + [0] * len(added)
    assert after.encode(items).tolist() == before.encode(items).tolist()


def test_extending_brings_features_and_leaves_those_of_old_items() -> None:
    found = fit(["a", "a", "b"], pl.DataFrame({"item": ["a", "b"], "title": ["A", None]}))
    new = pl.DataFrame({"item": ["c", "a"], "title": ["C", "other"], "price": [3.5, 1.0]})
    after = found.extend(new)
    assert after.titles == ["A", None, "C"]
    assert after.features is not None
    assert after.features["price"].to_list() == [None, None, 3.5]
    plain = fit(["a"]).extend(new)
    assert plain.ids.to_list() == ["a", "c"]
    assert plain.titles == [None, "C"]


def test_titles_stand_beside_their_items_and_are_none_where_unknown() -> None:
    known = pl.DataFrame({"item": ["z", "a", "b"], "title": ["Z", "A", None], "year": [1, 2, 3]})
    found = fit(["b", "a", "c", "a"], known)
    assert found.ids.to_list() == ["a", "b", "c"]
    assert found.titles == ["A", None, None]
    assert found.features is not None
    assert found.features["year"].to_list() == [2, 3, None]
    assert fit(["a"]).titles == [None]


def test_an_empty_or_inconsistent_catalogue_is_refused() -> None:
    with pytest.raises(DataError, match="catalogue is empty"):
        fit([])
    with pytest.raises(DataError, match="'a' stands in the catalogue twice"):
        Catalogue(pl.Series(["a", "b", "a"]), np.zeros(3, dtype=np.int64))
    with pytest.raises(DataError, match="2 item ids but 3 counts"):
        Catalogue(pl.Series(["a", "b"]), np.zeros(3, dtype=np.int64))


def test_the_shares_of_a_catalogue_that_counted_nothing_are_nought() -> None:
    assert Catalogue(pl.Series(["a", "b"]), np.zeros(2, dtype=np.int64)).share.tolist() == [0, 0]
