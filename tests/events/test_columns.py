"""Columns: recognised by usual names, mapped by the caller, and every doubt an error that says what to write."""

from __future__ import annotations

import pytest

from ensue.errors import ColumnError
from ensue.events.columns import USUAL, by_position, check_mapping, choose, looks_like_data, usual


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("userId", "user"),
        ("visitorid", "user"),
        ("CustomerID", "user"),
        ("reviewerID", "user"),
        ("User ID", "user"),
        ("movieId", "item"),
        ("StockCode", "item"),
        ("parent_asin", "item"),
        ("ItemId", "item"),
        ("unixReviewTime", "time"),
        ("EVENT_TIME", "time"),
        ("user_id:token", "user"),
        ("timestamp:float", "time"),
        ("behavior", "event"),
        ("SessionId", "session"),
        ("pos", "order"),
        ("order_id", "basket"),
        ("InvoiceNo", "basket"),
        ("overall", "rating"),
        ("title", None),
        ("reviewTime", None),
    ],
)
def test_usual_names(name: str, meaning: str | None) -> None:
    assert usual(name) == meaning


def test_no_usual_name_means_two_things() -> None:
    folded = [
        name.replace("_", "") for names in USUAL.values() for name in {n.replace("_", "") for n in names}
    ]
    assert len(folded) == len(set(folded))


def test_all_usual_columns_are_found_and_the_rest_is_left() -> None:
    found = choose(["ts", "sku", "uid", "price", "qty"], None, "f")
    assert found.columns == {"user": "uid", "item": "sku", "time": "ts", "quantity": "qty"}
    assert found.notes == ()


def test_the_mapping_wins_and_takes_its_column_away() -> None:
    found = choose(["user", "asin", "parent_asin", "t"], {"item": "parent_asin", "time": "t"}, "f")
    assert found.columns == {"user": "user", "item": "parent_asin", "time": "t"}


def test_an_empty_source_leaves_a_column_out() -> None:
    found = choose(["user", "item", "time", "rating"], {"rating": "", "time": ""}, "f")
    assert found.columns == {"user": "user", "item": "item"}
    assert "no time column" in found.notes[0]


def test_a_session_stands_in_for_the_user() -> None:
    found = choose(["session_id", "item_id", "time"], None, "f")
    assert found.columns == {"user": "session_id", "item": "item_id", "time": "time", "session": "session_id"}
    assert "each session ('session_id') is taken as a user" in found.notes[0]


@pytest.mark.parametrize(
    ("names", "mapping", "said"),
    [
        (
            ["user", "asin", "parent_asin"],
            {},
            "'asin' and 'parent_asin' in f.csv could all be the item: say which",
        ),
        (["user", "asin", "parent_asin"], {}, "columns={'item': 'asin'} (--columns item=asin)"),
        (
            ["user", "item", "score", "stars"],
            {},
            "or leave it out with columns={'rating': ''} (--columns rating=)",
        ),
        (["who", "item", "ts"], {}, "No column for the user in f.csv: found who, item, ts."),
        (["user", "itm_id", "ts"], {}, "columns={'item': 'itm_id'} (--columns item=itm_id)"),
        (
            ["uid", "sku", "ts"],
            {"time": "tss"},
            "Column 'tss' (mapped to time) is not in f.csv, which has: uid, sku, ts. Did you mean 'ts'?",
        ),
        (
            ["user", "item", "timestmap"],
            {},
            "'timestmap' looks like one, map it: columns={'time': 'timestmap'}",
        ),
        (
            ["user", "item", "local_time"],
            {},
            "or say that there is none: columns={'time': ''} (--columns time=)",
        ),
        (
            ["a", "b"],
            {"user": "a", "item": "a"},
            "Column 'a' is mapped to user and to item: they must differ",
        ),
    ],
)
def test_every_doubt_says_what_to_write(names: list[str], mapping: dict[str, str], said: str) -> None:
    with pytest.raises(ColumnError) as caught:
        choose(names, mapping, "f.csv")
    assert said in str(caught.value)


def test_words_that_only_contain_time_are_no_reason_to_stop() -> None:
    found = choose(["user", "item", "sometimes", "candidate", "update"], None, "f")
    assert found.columns == {"user": "user", "item": "item"}


def test_unknown_keys_are_refused_all_at_once_with_what_was_meant() -> None:
    with pytest.raises(ColumnError) as caught:
        check_mapping({"timestmap": "ts", "user_id": "uid", "item": "sku", "colour": "c"})
    text = str(caught.value)
    assert "'timestmap', did you mean 'time' (whose usual names include 'timestamp')?" in text
    assert "'user_id', did you mean 'user'" in text
    assert "'colour'" in text
    assert "Known are: user, item, time, event" in text


def test_very_many_columns_do_not_make_a_message_of_a_page() -> None:
    with pytest.raises(ColumnError) as caught:
        choose([f"{'x' * 200}{n}" for n in range(500)], None, "f")
    assert len(str(caught.value)) < 2_000
    assert "and 470 more" in str(caught.value)


def test_a_first_line_of_data() -> None:
    assert looks_like_data(["196", "242", "3", "881250949"])
    assert looks_like_data(["u1", "i1", "4,5"])
    assert not looks_like_data(["user", "item", "2021"])
    assert not looks_like_data(["who", "what", "when"])


def test_places_instead_of_names() -> None:
    assert by_position({"user": "1", "item": "2"}, ["1", "7", "3"])
    assert by_position({"user": "1", "item": "2", "time": ""}, ["u", "i"])
    assert not by_position({"user": "1", "item": "sku"}, ["1", "sku"])
    assert not by_position({"user": "0", "item": "1"}, ["0", "1", "2"])  # pandas wrote unnamed columns
    assert not by_position({}, ["a"])
