"""Friendships as a log: both directions of each, once."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ColumnError
from ensue.events.readers.friendships import both_ways
from ensue.events.readers.table import REJECTED, RawTable
from ensue.events.source import read

pairs = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=20)


def table_of(rows: list[tuple[str, str]]) -> RawTable:
    frame = pl.DataFrame(rows, schema={"one": pl.String, "other": pl.String}, orient="row")
    lines = pl.Series("line", range(2, len(rows) + 2), dtype=pl.Int64)
    return RawTable("friends.csv", frame, lines, pl.DataFrame(schema=REJECTED), len(rows))


@given(pairs)
def test_each_friendship_stands_once_in_each_direction_and_nobody_is_their_own(
    rows: list[tuple[str, str]],
) -> None:
    found = both_ways(table_of(rows), "one", "other")
    held = found.frame.rows()
    assert len(held) == len(set(held))
    assert set(held) == {pair for a, b in rows if a != b for pair in ((a, b), (b, a))}
    selves = sum(a == b for a, b in rows)
    assert found.rejected["reason"].to_list() == ["friendship of a user with themselves"] * selves
    assert found.rows == len(held) + selves


def test_rows_of_the_source_keep_their_order_and_lines_and_what_it_lacks_comes_after_them() -> None:
    found = both_ways(table_of([("a", "b"), ("b", "a"), ("c", "a"), ("a", "b")]), "one", "other")
    assert found.frame.rows() == [("a", "b"), ("b", "a"), ("c", "a"), ("a", "c")]
    assert found.lines.to_list() == [2, 3, 4, 4]
    assert found.notes == (
        "2 friendships stand in both directions: each is in the history of both",
        "the source has 1 of them in one direction only",
        "1 rows say a friendship again, and are left out",
    )


def test_everybody_is_their_own_and_what_else_is_known_stays_beside_it() -> None:
    known = pl.DataFrame({"item": ["a", "x"], "town": ["Ulm", "Oslo"]})
    raw = table_of([("a", "b")])
    assert both_ways(RawTable(**{**vars(raw), "items": known}), "one", "other").items is not None
    found = both_ways(RawTable(**{**vars(raw), "items": known}), "one", "other").items
    assert found is not None
    assert sorted(found.rows()) == [("a", "a", "Ulm"), ("b", "b", None)]


def test_any_table_is_read_by_its_first_two_columns_or_those_that_are_named(tmp_path: Path) -> None:
    path = tmp_path / "friends.csv"
    path.write_text("since,from,to,when\n1999,u,v,before\n2001,w,u,after\n", encoding="utf-8")
    log = read(path, format="friends", columns={"user": "from", "item": "to"})
    assert log.frame.select("user", "item", "when").rows() == [
        ("u", "v", "before"),
        ("u", "w", "after"),
        ("v", "u", "before"),
        ("w", "u", "after"),
    ]
    first = read(path, format="friends")
    assert ("1999", "u") in first.frame.select("user", "item").rows()
    with pytest.raises(ColumnError, match=r"friends\.csv has no column 'too', but: since, from, to, when"):
        read(path, format="friends", columns={"item": "too"})
    path.write_text("only\na\n", encoding="utf-8")
    with pytest.raises(ColumnError, match="has one column, 'only', and a friendship needs two"):
        read(path, format="friends", delimiter=";")


def test_times_of_friendships_are_read_where_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "friends.csv"
    path.write_text("from,to,at\nu,v,2020-01-01\n", encoding="utf-8")
    log = read(path, format="friends", columns={"time": "at"})
    assert [f"{time:%Y}" for time in log.frame["time"]] == ["2020", "2020"]
