"""The canonical log: its order, its checks, sessions, its fingerprint, and the laws they keep."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
import re
import struct

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ColumnError, DataError
from ensue.events.audit import audit
from ensue.events.baskets import baskets
from ensue.events.filtering import Filters
from ensue.events.log import TIME, EventLog, Reading, SetAside, digest, ordered, tied_events
from ensue.events.sessions.rule import Sessions
from ensue.objective import Objective
from ensue.splits import friends_out
from ensue.splits import given as by_a_column

Event = tuple[str, str, int]

EVENTS = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.integers(0, 5)), min_size=1, max_size=30
)


def frame_of(events: list[Event]) -> pl.DataFrame:
    rows = [(user, item, second * 1_000_000) for user, item, second in events]
    return pl.DataFrame(rows, schema={"user": pl.String, "item": pl.String, "time": TIME}, orient="row")


def sequences(log: EventLog, by: str = "user") -> dict[str, list[str]]:
    return {key[0]: part["item"].to_list() for key, part in log.frame.group_by(by, maintain_order=True)}


@given(EVENTS)
def test_order_is_by_user_time_and_row(events: list[Event]) -> None:
    log = EventLog.of(frame_of(events))
    expected = [
        row for row, _ in sorted(enumerate(events), key=lambda pair: (pair[1][0], pair[1][2], pair[0]))
    ]
    assert log.frame["row"].to_list() == expected


@given(EVENTS, st.randoms(use_true_random=False))
def test_moving_rows_of_other_users_changes_no_sequence(events: list[Event], random: object) -> None:
    mine = [event for event in events if event[0] == "u"]
    others = [event for event in events if event[0] != "u"]
    shuffled = others.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    merged, rest = [], list(mine)
    for event in shuffled:
        if rest and random.random() < 0.5:  # type: ignore[attr-defined]
            merged.append(rest.pop(0))
        merged.append(event)
    before, after = EventLog.of(frame_of(events)), EventLog.of(frame_of(merged + rest))
    assert sequences(before).get("u") == sequences(after).get("u")


@given(EVENTS)
def test_ordering_twice_is_ordering_once(events: list[Event]) -> None:
    log = EventLog.of(frame_of(events))
    assert ordered(log.frame).equals(log.frame)
    assert EventLog.of(log.frame.reverse()).frame.equals(log.frame)


def test_a_second_key_decides_between_equal_times() -> None:
    frame = frame_of([("u", "a", 1), ("u", "b", 1), ("u", "c", 0)]).with_columns(order=pl.Series([2, 1, 9]))
    assert sequences(EventLog.of(frame)) == {"u": ["c", "b", "a"]}


def test_columns_come_in_canonical_order_and_context_last() -> None:
    frame = pl.DataFrame({"device": ["tv"], "rating": [3], "item": ["i"], "event": ["view"], "user": ["u"]})
    log = EventLog.of(frame)
    assert log.columns == ("user", "item", "time", "row", "event", "rating", "device")
    assert log.frame.schema["rating"] == pl.Float64
    assert not log.has_time


def test_integers_become_their_digits_and_times_go_to_utc() -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    frame = pl.DataFrame(
        {"user": [7], "item": [2**63 - 1], "time": [dt.datetime(2024, 3, 1, 2, tzinfo=zone)]},
        schema_overrides={"time": pl.Datetime("ms", "Europe/Helsinki")},
    )
    log = EventLog.of(frame)
    assert log.frame.select("user", "item").row(0) == ("7", "9223372036854775807")
    assert log.frame["time"].item() == dt.datetime(2024, 3, 1, 0, tzinfo=dt.UTC)
    assert log.frame.schema["time"] == TIME


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"user": ["u"]}, "Column 'item' is missing; the table has: user"),
        ({"user": [1.0], "item": ["a"]}, "Column 'user' is Float64"),
        ({"user": ["u", None], "item": ["a", "b"]}, "Column 'user' has no value in row 2"),
        ({"user": ["u", "v"], "item": ["a", ""]}, "Column 'item' has no value in row 2"),
        ({"user": ["u"], "item": ["a"], "session": [""]}, "Column 'session' has no value in row 1"),
        ({"user": ["u"], "item": ["a"], "time": [17]}, "parse it with ensue.read"),
        (
            {"user": ["u"], "item": ["a"], "rating": [float("nan")]},
            "'rating' is not a finite number in row 1",
        ),
        (
            {"user": ["u", "u"], "item": ["a", "b"], "row": [1, 1]},
            "Column 'row' must give each event a place",
        ),
        (
            {"user": ["u", "u"], "item": ["a", "b"], "row": [0, None]},
            "Column 'row' must give each event a place",
        ),
    ],
)
def test_what_would_lose_or_invent_something_is_refused(frame: dict[str, list[object]], said: str) -> None:
    with pytest.raises(ColumnError, match=said.replace("(", r"\(")):
        EventLog.of(pl.DataFrame(frame))


def test_times_that_are_partly_missing_are_refused() -> None:
    frame = frame_of([("u", "a", 1), ("u", "b", 2)]).with_columns(time=pl.col("time").replace({}).shift(1))
    with pytest.raises(ColumnError, match="Column 'time' has no value in row 1"):
        EventLog.of(frame)


def test_an_item_table_has_one_row_per_item() -> None:
    frame = frame_of([("u", "a", 1)])
    with pytest.raises(DataError, match="Item 'a' has more than one row"):
        EventLog.of(frame, items=pl.DataFrame({"item": ["a", "a"]}))
    with pytest.raises(ColumnError, match="Column 'item' is missing from the item table, which has: id"):
        EventLog.of(frame, items=pl.DataFrame({"id": ["a"]}))


def test_where_keeps_order_items_and_reading() -> None:
    items = pl.DataFrame({"item": ["a", "b"], "title": ["A", "B"]})
    log = EventLog.of(frame_of([("v", "a", 3), ("u", "b", 2), ("u", "a", 1)]), items)
    by_expression = log.where(pl.col("user") == "u")
    by_mask = log.where(np.array([True, True, False]))
    by_series = log.where(pl.Series([True, True, False]))
    assert by_expression.frame.equals(by_mask.frame)
    assert by_mask.frame.equals(by_series.frame)
    assert by_mask.frame["item"].to_list() == ["a", "b"]
    assert by_mask.items is log.items
    assert by_mask.reading is log.reading
    assert (log.n_events, log.n_users, log.n_items) == (3, 2, 2)
    assert log.where(pl.lit(False)).n_events == 0


# ------------------------------------------------------------------------------------------- sessions


def test_a_gap_longer_than_the_limit_ends_a_session() -> None:
    log = EventLog.of(
        frame_of([("u", "c", 3600), ("u", "a", 0), ("u", "b", 1800), ("u", "d", 5401), ("v", "e", 5)])
    )
    cut = log.with_sessions(1800)
    assert sequences(cut, "session") == {"u#1": ["a", "b", "c"], "u#2": ["d"], "v#1": ["e"]}
    assert "1800 seconds" in cut.reading.notes[-1]
    assert cut.columns == ("user", "item", "time", "row", "session")


def test_every_user_counts_sessions_from_one() -> None:
    log = EventLog.of(frame_of([("u", "a", 0), ("v", "b", 99_999), ("v", "c", 999_999)]))
    assert sequences(log.with_sessions(60), "session") == {"u#1": ["a"], "v#1": ["b"], "v#2": ["c"]}


@given(EVENTS, st.floats(0.5, 4))
def test_sessions_by_gap_are_the_cuts_and_no_more(events: list[Event], gap: float) -> None:
    cut = EventLog.of(frame_of(events)).with_sessions(gap).frame
    rows = list(zip(cut["user"], cut["time"], cut["session"], strict=True))
    for (user, time, session), (next_user, next_time, next_session) in itertools.pairwise(rows):
        same = user == next_user and (next_time - time).total_seconds() <= gap
        assert (session == next_session) == same


def test_a_gap_exact_to_the_microsecond() -> None:
    frame = frame_of([("u", "a", 0), ("u", "b", 1), ("u", "c", 2)])
    frame = frame.with_columns(time=pl.col("time") + pl.Series([0, 0, 1]).cast(pl.Duration("us")))
    assert sequences(EventLog.of(frame).with_sessions(1.0), "session") == {"u#1": ["a", "b"], "u#2": ["c"]}


@pytest.mark.parametrize("gap", [0, -1, float("nan"), float("inf")])
def test_an_impossible_gap_is_refused(gap: float) -> None:
    with pytest.raises(DataError, match="is not possible: give a positive number"):
        EventLog.of(frame_of([("u", "a", 0)])).with_sessions(gap)


def test_sessions_need_times() -> None:
    with pytest.raises(DataError, match="this log has none: map the time column"):
        EventLog.of(pl.DataFrame({"user": ["u"], "item": ["a"]})).with_sessions(60)


def test_the_same_session_text_under_two_users_is_two_sessions() -> None:
    frame = frame_of([("u", "a", 1), ("v", "b", 1), ("v", "c", 2)])
    alone = EventLog.of(frame.with_columns(session=pl.Series(["1", "2", "2"])))
    assert sequences(alone, "session") == {"1": ["a"], "2": ["b", "c"]}
    shared = EventLog.of(frame.with_columns(session=pl.Series(["1", "1", "1"])))
    assert sequences(shared, "session") == {"u#1": ["a"], "v#1": ["b", "c"]}


@given(
    st.lists(
        st.tuples(st.text("a#\\", min_size=1, max_size=4), st.text("b#\\", min_size=1, max_size=4)),
        min_size=1,
    )
)
def test_session_ids_are_different_exactly_when_user_or_session_is(pairs: list[tuple[str, str]]) -> None:
    users, given_ids = zip(*pairs, strict=True)
    log = EventLog.of(pl.DataFrame({"user": users, "session": given_ids, "item": ["i"] * len(pairs)}))
    assert log.frame["session"].n_unique() == len(set(pairs))
    assert log.frame.select("user", "session").n_unique() == len(set(pairs))


# ------------------------------------------------------------------------------------------- fingerprint, ties


def test_the_fingerprint_sees_ids_times_ratings_and_order() -> None:
    frame = frame_of([("u", "a", 1), ("u", "b", 1)]).with_columns(rating=pl.Series([1.0, 2.0]))
    base = EventLog.of(frame).fingerprint()
    assert base == EventLog.of(frame.with_columns(context=pl.lit("x"))).fingerprint()
    assert base == EventLog.of(frame.with_columns(row=pl.Series([10, 20]))).fingerprint()
    others = [
        frame.reverse(),
        frame.with_columns(rating=pl.Series([1.0, 3.0])),
        frame.with_columns(rating=pl.Series([1.0, None])),
        frame.drop("rating"),
        frame.with_columns(time=pl.col("time") + dt.timedelta(microseconds=1)),
        frame.with_columns(time=pl.lit(None, dtype=TIME)),
        frame.with_columns(user=pl.lit("u ")),
        frame.with_columns(item=pl.Series(["ab", ""]) + "x"),
    ]
    prints = {EventLog.of(other).fingerprint() for other in others}
    assert len(prints) == len(others)
    assert base not in prints


def test_the_fingerprint_tells_where_an_id_ends() -> None:
    one = EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["ab", "c"]}))
    other = EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["a", "bc"]}))
    assert one.fingerprint() != other.fingerprint()


def test_the_fingerprint_is_the_same_on_every_machine_and_version() -> None:
    log = EventLog.of(frame_of([("u", "a", 1), ("é", "b", 2)]).with_columns(rating=pl.Series([-0.0, 4.5])))
    parts = [
        b"ensue event log 1, 2 events",
        struct.pack("<2q", 1, 2) + "ué".encode(),  # lengths in bytes, then the text
        struct.pack("<2q", 1, 1) + b"ab",
        b"+" + bytes([0b00]) + struct.pack("<2q", 1_000_000, 2_000_000),  # which are missing, then the values
        b"+" + bytes([0b00]) + struct.pack("<2d", 0.0, 4.5),  # -0 is 0
    ]
    assert log.fingerprint() == hashlib.sha256(b"".join(parts)).hexdigest()
    assert digest(log.frame) == log.fingerprint()


def test_ties_are_events_that_share_user_and_time() -> None:
    log = EventLog.of(frame_of([("u", "a", 1), ("u", "b", 1), ("u", "c", 2), ("v", "a", 1), ("v", "b", 2)]))
    assert tied_events(log) == 2
    assert tied_events(log.with_sessions(1), by="session") == 2
    assert tied_events(EventLog.of(log.frame.drop("time"))) == 0
    assert tied_events(log.where(pl.lit(False))) == 0
    with pytest.raises(ColumnError, match="Column 'session' is missing"):
        tied_events(log, by="session")


# ------------------------------------------------------------------------------------------- the account


def test_the_account_of_a_reading_in_lines_and_json() -> None:
    examples = tuple(SetAside("f.csv", line, "empty user", f"value {line}") for line in range(2, 9))
    reading = Reading(
        files=("f.csv",),
        format="delimited",
        columns={"user": "uid"},
        rows_read=10,
        rows_kept=3,
        set_aside={"empty user": 7},
        examples=examples,
        notes=("one note",),
    )
    lines = reading.lines()
    assert lines[0] == "Read f.csv as delimited."
    assert "Columns: user = uid." in lines
    assert "Rows: 10 read, 3 kept, 7 set aside." in lines
    assert "  f.csv, line 2: empty user ('value 2')" in lines
    assert "  ... and 2 more." in lines
    assert lines[-1] == "Note: one note"
    stored = json.loads(json.dumps(reading.to_json()))
    assert stored["set_aside"] == {"empty user": 7}
    assert stored["examples"][0] == {"file": "f.csv", "line": 2, "reason": "empty user"}
    assert "value 2" not in json.dumps(stored)


def test_a_log_made_in_memory_has_an_account_too() -> None:
    reading = EventLog.of(frame_of([("u", "a", 1)])).reading
    assert (reading.rows_read, reading.rows_kept, reading.format) == (1, 1, "frame")
    assert reading.lines()[0] == "Read a table in memory as frame."


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.integers(-(2**50), 2**50) | st.sampled_from([0, 60, 120, 7])),
        max_size=30,
    ),
    far=st.booleans(),
)
def test_users_in_numbers_are_ordered_as_any(rows: list[tuple[int, int]], far: bool) -> None:
    frame = pl.DataFrame(
        {
            "user": [user * (2**31 if far else 1) for user, _ in rows],
            "item": [str(n) for n in range(len(rows))],
            "time": pl.Series([time for _, time in rows], dtype=pl.Int64)
            .cast(pl.Datetime("us"))
            .dt.replace_time_zone("UTC"),
            "row": range(len(rows)),
        },
        schema_overrides={"user": pl.Int64, "row": pl.Int64, "item": pl.String},
    )
    expected = sorted(range(len(rows)), key=lambda n: (*rows[n], n))
    assert ordered(frame)["item"].to_list() == [str(n) for n in expected]
    assert ordered(frame).columns == frame.columns


def test_messages_list_the_columns_of_the_source_and_not_ours() -> None:
    log = EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["a", "b"], "city": ["x", "y"]}))
    assert "row" in log.columns
    assert log.source_columns == tuple(name for name in log.columns if name != "row")
    for ask in (
        lambda: Filters(keep_events=("buy",)).apply(log),
        lambda: Sessions(closing=("buy",)).apply(log),
        lambda: audit(log, "session"),
        lambda: tied_events(log, "session"),
        lambda: baskets(log),
        lambda: by_a_column(log),
        lambda: friends_out(log, column="vlaue", tested="x"),
        lambda: Objective(targets=("buy",)).check(log),
    ):
        with pytest.raises(ColumnError) as told:
            ask()
        assert re.search(r"\bcity\b", str(told.value))
        assert not re.search(r"\brow\b", str(told.value))
