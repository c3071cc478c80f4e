"""Questions in the asker's own words, and what is made of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from ensue.catalogue import Catalogue
from ensue.encodings import Encoding
from ensue.errors import QueryError
from ensue.questions import Question, legible, queries_of
from ensue.sequences import MISSING_TIME

CATALOGUE = Catalogue(pl.Series("item", ["a", "b"]), np.array([2, 1]))
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_columns_stay_beside_their_events_when_an_item_is_unknown() -> None:
    asked = Question(
        ["a", "?", "b"], user="u", times=[NOON] * 3, ratings=[1, 2, None], context={"city": ["x", "y", None]}
    )
    queries, coded = queries_of([asked, Question(["b"])], CATALOGUE)
    assert [codes.tolist() for codes in coded] == [[0, -1, 1], [1]]
    assert (queries.items.tolist(), queries.ends.tolist()) == ([0, 1, 1], [2, 3])
    noon = int(NOON.timestamp()) * 1_000_000
    assert queries.time is not None
    assert queries.time.tolist() == [noon, noon, MISSING_TIME]
    assert queries.rating is not None
    assert queries.rating[0] == 1
    assert np.isnan(queries.rating[1:]).all()
    assert queries.context["city"].to_list() == ["x", None, None]
    assert queries.users is not None
    assert queries.users.to_list() == ["u", None]


def test_a_time_without_a_zone_is_utc() -> None:
    queries, _ = queries_of([Question(["a"], times=[NOON.replace(tzinfo=None)], at=NOON)], CATALOGUE)
    assert queries.time is not None
    assert queries.at is not None
    assert queries.time.tolist() == queries.at.tolist()


@pytest.mark.skipif(
    not hasattr(time, "tzset"), reason="this system cannot change its zone while a program runs"
)
def test_that_holds_wherever_the_machine_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        queries, _ = queries_of([Question(["a"], times=[NOON.replace(tzinfo=None)], at=NOON)], CATALOGUE)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert queries.time is not None
    assert queries.at is not None
    assert queries.time.tolist() == queries.at.tolist()


def test_bare_histories_carry_nothing_else() -> None:
    queries, _ = queries_of([Question(["a"]), Question([])], CATALOGUE)
    assert (queries.time, queries.rating, queries.users, queries.at) == (None, None, None, None)
    assert queries.context == {}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"history": "a"}, "history is the text 'a'"),
        ({"history": ["a", 1]}, "history holds 1, which is not text"),
        ({"history": ["a"], "ratings": [1, 2]}, "ratings has 2 values for a history of 1"),
        ({"history": ["a"], "context": {"city": []}}, "city has 0 values for a history of 1"),
    ],
)
def test_a_wrong_question_gives_one_clear_line(settings: dict[str, object], says: str) -> None:
    with pytest.raises(QueryError, match=says):
        Question(**settings)  # type: ignore[arg-type]


def test_a_time_that_is_no_moment_is_told() -> None:
    """As a table of pandas has it, whose missing times pass for datetimes."""
    pandas = pytest.importorskip("pandas")
    with pytest.raises(QueryError, match="must be datetimes"):
        queries_of([Question(["a", "b"], times=[pandas.NaT, NOON])], CATALOGUE)


@pytest.mark.parametrize("wrong", [{"times": ["noon"]}, {"ratings": ["good"]}])
def test_a_value_of_a_wrong_kind_is_told(wrong: dict[str, list[str]]) -> None:
    with pytest.raises(QueryError, match="must be"):
        queries_of([Question(["a"], **wrong)], CATALOGUE)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [[2, 2.5], ["2", 2.5], [2, "2.5"], [2.0, "2.50"]])
def test_numbers_written_in_several_ways_are_one_column(values: list[object]) -> None:
    """In one question, and over several that are asked together."""
    price = Encoding.fit("price", pl.Series(["1.5", "3"]), "number")
    wanted = price.codes(pl.Series([2.0, 2.5])).tolist()
    together = [Question(["a", "b"], context={"price": values})]
    apart = [Question([item], context={"price": [value]}) for item, value in zip("ab", values, strict=True)]
    for asked in (together, apart):
        queries, _ = queries_of(asked, CATALOGUE)
        assert price.codes(queries.context["price"]).tolist() == wanted


def test_what_cannot_be_one_column_is_told() -> None:
    for values in ([["x"], "y"], [10**200, 1]):
        with pytest.raises(QueryError, match="values of 'city' cannot be one column"):
            queries_of([Question(["a", "b"], context={"city": values})], CATALOGUE)


def test_what_cannot_be_read_is_left_out_and_placed() -> None:
    asked = Question(["a", "b"], context={"price": ["cheap", 2], "size": [1, None], "city": ["here", 3]})
    found, odd = legible(asked, {"price", "size", "none"})
    assert odd == [("price", 0)]
    assert found.context == {"price": [None, 2], "size": [1, None], "city": ["here", 3]}
    assert found.history == asked.history
    same, odd = legible(asked, {"size"})
    assert (same is asked, odd) == (True, [])
