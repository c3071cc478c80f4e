"""Sessions by every rule, and the laws that all of them keep."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.errors import ColumnError, ConfigError, DataError
from ensue.events.log import EventLog
from ensue.events.sessions.continued import go_on
from ensue.events.sessions.rule import Sessions
from ensue.events.sessions.text import sessions_of

Event = tuple[str, str, int, str]

EVENTS = st.lists(
    st.tuples(
        st.sampled_from("uvw"), st.sampled_from("abc"), st.integers(0, 12), st.sampled_from(["view", "buy"])
    ),
    min_size=1,
    max_size=24,
)
RULES = st.builds(
    Sessions,
    given=st.just(False),
    gap=st.sampled_from([0.0, 1.0, 2.0, 5.0]),
    calendar=st.sampled_from(["", "day"]),
    closing=st.sampled_from([(), ("buy",)]),
    starts=st.sampled_from([{}, {"item": ("a",)}]),
    changes=st.sampled_from([(), ("event",)]),
    max_events=st.sampled_from([0, 1, 3]),
    max_seconds=st.sampled_from([0.0, 2.0, 4.0]),
)
HOUR = 3_600_000_000


def log_of(events: list[Event], unit: int = 1_000_000) -> EventLog:
    """Events of (user, item, time in units of so many microseconds, type)."""
    rows = [(user, item, time * unit, kind) for user, item, time, kind in events]
    schema: dict[str, Any] = {
        "user": pl.String,
        "item": pl.String,
        "time": pl.Datetime("us", "UTC"),
        "event": pl.String,
    }
    return EventLog.of(pl.DataFrame(rows, schema=schema, orient="row"))


def sessions(log: EventLog) -> list[str]:
    """The items of each session, in the order of the log."""
    grouped = log.frame.group_by("session", maintain_order=True).agg(pl.col("item").str.join(""))
    return grouped["item"].to_list()


def views(items: str, times: list[int]) -> list[Event]:
    return [("u", item, time, "view") for item, time in zip(items, times, strict=True)]


# ------------------------------------------------------------------------------------------- laws


@settings(max_examples=60)
@given(EVENTS, RULES, st.integers(0, 12))
def test_later_events_are_cut_after_kept_ones_as_if_all_had_been_one_log(
    events: list[Event], rule: Sessions, until: int
) -> None:
    log = log_of(events)
    early = pl.col("time").dt.epoch("s") <= until
    old, new = log.where(early), log.where(~early)
    if rule.nothing or not old.n_events or not new.n_events:
        return
    kept, later = go_on(rule, rule.apply(old).frame, new)
    names = ["user", "time", "row", "session"]
    both = pl.concat([kept.select(names), later.frame.select(names)]).sort("user", "time", "row")
    assert both.rows() == rule.apply(log).frame.select(names).sort("user", "time", "row").rows()


@settings(max_examples=20)
@given(EVENTS, RULES, st.sampled_from([0, 2, 3]))
def test_every_event_is_in_one_session_or_counted(events: list[Event], rule: Sessions, least: int) -> None:
    log = log_of(events)
    whole = rule.apply(log)
    if rule.nothing:
        return
    assert whole.frame.drop("session").equals(log.frame)
    assert whole.frame.group_by("session").agg(pl.col("user").n_unique())["user"].max() == 1
    sizes = whole.frame.select(pl.len().over("session")).to_series()
    short = int((sizes < least).sum())
    if short == len(events) or 0 < rule.max_events < least:
        return
    cut = dataclasses.replace(rule, min_events=least).apply(log)
    assert cut.frame.equals(whole.frame.filter(sizes >= least)), (
        "the long ones are as before, none put together"
    )
    assert log.n_events - cut.n_events == sum(cut.reading.set_aside.values()) == short
    assert cut.reading.rows_read == cut.reading.rows_kept + short


@settings(max_examples=20)
@given(EVENTS, RULES, st.randoms(use_true_random=False))
def test_sessions_do_not_see_other_users(events: list[Event], rule: Sessions, random: Any) -> None:
    def mine(among: list[Event]) -> list[tuple[Any, ...]]:
        frame = rule.apply(log_of(among)).frame.filter(pl.col("user") == "u")
        return frame.drop("row").rows()

    own = [event for event in events if event[0] == "u"] or views("a", [1])
    others = [event for event in events if event[0] != "u"]
    random.shuffle(others)
    assert mine(own) == mine([*others, *own])


@settings(max_examples=20)
@given(EVENTS, RULES)
def test_a_session_begins_exactly_where_a_cut_or_a_limit_says_so(events: list[Event], rule: Sessions) -> None:
    """The rule once more, event by event."""
    if rule.nothing:
        return
    expected, begun, count = [], None, 0
    values = rule.starts.get("item", ()) if isinstance(rule.starts, dict) else ()
    before: dict[str, Any] | None = None
    for row in log_of(events).frame.iter_rows(named=True):
        new = before is None or before["user"] != row["user"]
        if not new:
            assert before is not None
            silence = (row["time"] - before["time"]).total_seconds()
            new = (
                bool(rule.gap and silence > rule.gap)
                or bool(rule.calendar and row["time"].date() != before["time"].date())
                or before["event"] in rule.closing
                or row["item"] in values
                or bool(rule.changes and row["event"] != before["event"])
                or bool(rule.max_events and count == rule.max_events)
                or bool(rule.max_seconds and (row["time"] - begun).total_seconds() > rule.max_seconds)
            )
        begun, count = (row["time"], 1) if new else (begun, count + 1)
        expected.append(new)
        before = row
    found = rule.apply(log_of(events)).frame["session"]
    assert (found != found.shift(1)).fill_null(True).to_list() == expected


# ------------------------------------------------------------------------------------------- each rule


def test_a_gap_of_exactly_the_limit_does_not_cut() -> None:
    log = log_of(views("abcd", [0, 1800, 3600, 5401]))
    assert sessions(Sessions(gap=1800).apply(log)) == ["abc", "d"]
    assert sessions(Sessions(gap=1799.999999).apply(log)) == ["a", "b", "c", "d"]
    assert Sessions(gap=1800).apply(log).frame.equals(log.with_sessions(1800).frame)


def test_days_weeks_and_months_begin_at_midnight_of_the_zone() -> None:
    moments = [
        "2024-02-29T21:30",
        "2024-02-29T22:30",
        "2024-03-01T00:30",
        "2024-03-03T23:30",
        "2024-03-04T00:30",
    ]
    times = [dt.datetime.fromisoformat(moment) for moment in moments]
    log = EventLog.of(pl.DataFrame({"user": ["u"] * 5, "item": list("abcde"), "time": times}))
    assert sessions(Sessions(calendar="day").apply(log)) == ["ab", "c", "d", "e"]
    assert sessions(Sessions(calendar="day", zone="Europe/Helsinki").apply(log)) == ["a", "bc", "de"]
    assert sessions(Sessions(calendar="week").apply(log)) == ["abcd", "e"], "4 March 2024 is a Monday"
    assert sessions(Sessions(calendar="week", zone="Europe/Helsinki").apply(log)) == ["abc", "de"]
    assert sessions(Sessions(calendar="month").apply(log)) == ["ab", "cde"]


def test_a_session_that_is_too_long_goes_on_as_a_new_one() -> None:
    log = log_of(views("abcdefg", [0, 1, 2, 3, 4, 5, 6]))
    by_length = Sessions(max_events=3).apply(log)
    assert sessions(by_length) == ["abc", "def", "g"]
    assert by_length.frame["session"].unique(maintain_order=True).to_list() == ["u#1", "u#2", "u#3"]
    assert "3, 1 of them with one event; 2 begin where one had grown too long" in by_length.reading.notes[-1]
    assert sessions(Sessions(max_seconds=2).apply(log)) == ["abc", "def", "g"], (
        "2 seconds from the first to the last"
    )
    assert sessions(Sessions(max_seconds=1.999999).apply(log)) == ["ab", "cd", "ef", "g"], (
        "to the microsecond"
    )
    assert sessions(Sessions(max_seconds=2, max_events=2).apply(log)) == ["ab", "cd", "ef", "g"]
    assert sessions(Sessions(starts={"item": ("c",)}, max_events=3).apply(log)) == ["ab", "cde", "fg"]


def test_a_closing_event_ends_its_session_and_belongs_to_it() -> None:
    events = [
        ("u", item, n, kind)
        for n, (item, kind) in enumerate(zip("abcde", ["view", "buy", "buy", "view", "x"], strict=True))
    ]
    cut = Sessions(closing=("buy", "sign")).apply(log_of(events))
    assert sessions(cut) == ["ab", "c", "de"]
    assert "no event is of type sign" in cut.reading.notes[-1]
    untyped = log_of(events).frame.with_columns(
        event=pl.Series([None, "buy", None, None, None], dtype=pl.String)
    )
    assert sessions(Sessions(closing=("buy",)).apply(EventLog.of(untyped))) == ["ab", "cde"]


def test_any_expression_starts_a_session_and_sees_one_user_only() -> None:
    log = log_of([("u", "a", 0, "view"), ("u", "b", 5, "buy"), ("v", "c", 9, "view"), ("v", "d", 10, "buy")])
    slow = pl.col("time").diff().dt.total_seconds() > 3
    assert sessions(Sessions(starts=slow).apply(log)) == ["a", "b", "cd"]
    late = pl.col("time") == pl.col("time").max()
    assert sessions(Sessions(starts=late).apply(log)) == ["a", "b", "c", "d"]
    for expression, said in (
        (pl.col("nothing") > 1, "cannot be computed"),
        (pl.col("item"), "gives String: it must be true or false"),
    ):
        with pytest.raises(DataError, match=said):
            Sessions(starts=expression).apply(log)
    with pytest.raises(ConfigError, match="cannot be kept with a model"):
        Sessions(starts=slow).said("session")


def test_values_and_changes_of_any_column_start_a_session() -> None:
    frame = log_of(views("abcde", [0, 1, 2, 3, 4])).frame
    log = EventLog.of(frame.with_columns(page=pl.Series([1, 7, 7, None, 7]), device=pl.Series(list("ttppt"))))
    assert sessions(Sessions(starts={"page": ("7",)}).apply(log)) == ["a", "b", "cd", "e"]
    assert sessions(Sessions(changes=("device",)).apply(log)) == ["ab", "cd", "e"]
    assert sessions(Sessions(changes=("page",)).apply(log)) == ["a", "bc", "d", "e"], (
        "no value is another value"
    )


def test_given_sessions_stay_even_where_they_overlap_and_are_cut_within() -> None:
    frame = log_of([*views("abcd", [0, 1, 2, 3]), ("v", "e", 0, "view")]).frame
    log = EventLog.of(frame.with_columns(session=pl.Series(["x#1", "y", "x#1", "x#1", "z"])))
    given_ = Sessions(given=True).apply(log)
    assert given_.frame.equals(log.frame)
    assert Sessions(max_events=3).apply(log).frame.equals(log.frame), "none is too long, so ids stay"
    cut = Sessions(given=True, max_events=2).apply(log)
    assert sessions(cut) == ["ac", "b", "d", "e"]
    assert cut.frame["session"].to_list() == ["x\\#1#1", "y#1", "x\\#1#1", "x\\#1#2", "z#1"]
    assert "in place of the sessions of the source" in Sessions(gap=9).apply(log).reading.notes[-1]
    assert "in place" not in cut.reading.notes[-1]


def test_sessions_that_are_all_too_short_stop_with_the_value_that_keeps_data() -> None:
    log = log_of(views("abcde", [0, 1, 9, 10, 11]))
    with pytest.raises(DataError, match=r"at least 4 .*5 events before, 0 after. The largest .* is 3\."):
        Sessions(gap=2, min_events=4).apply(log)
    assert sessions(Sessions(gap=2, min_events=3).apply(log)) == ["cde"]


def test_what_a_rule_needs_and_is_not_there() -> None:
    bare = EventLog.of(pl.DataFrame({"user": ["u"], "item": ["a"]}))
    for rule in (Sessions(gap=1), Sessions(calendar="day"), Sessions(max_seconds=1)):
        with pytest.raises(DataError, match="need times, and this log has none"):
            rule.apply(bare)
    for rule, name in (
        (Sessions(given=True), "session"),
        (Sessions(closing=("x",)), "event"),
        (Sessions(starts={"usr": ("x",)}), "usr"),
        (Sessions(changes=("x",)), "x"),
    ):
        with pytest.raises(ColumnError, match=f"need the column '{name}'"):
            rule.apply(bare)
    with pytest.raises(ColumnError, match="Did you mean 'user'"):
        Sessions(starts={"usr": ("x",)}).apply(bare)
    assert Sessions(max_events=1).apply(bare.where(pl.lit(False))).n_events == 0


def test_all_faults_of_a_rule_are_told_at_once() -> None:
    rule = Sessions(
        gap=float("nan"),
        max_seconds=-1,
        max_events=2,
        min_events=3,
        calendar="dya",  # type: ignore[arg-type]
        zone="Mars",
    )
    with pytest.raises(ConfigError) as caught:
        rule.apply(log_of(views("a", [0])))
    text = str(caught.value)
    for said in (
        "gap = nan",
        "max_seconds = -1",
        "more than max_events = 2",
        "Did you mean 'day'",
        "zone = 'Mars'",
    ):
        assert said in text
    assert len(text.splitlines()) == 1 + 5


# ------------------------------------------------------------------------------------------- kept and typed


@settings(max_examples=20)
@given(RULES, st.sampled_from(["user", "session"]))
def test_a_rule_is_the_same_after_it_was_kept(rule: Sessions, by: str) -> None:
    assert Sessions.learnt(rule.said(by)) == rule


def test_a_gap_alone_is_said_as_models_always_said_it() -> None:
    assert Sessions(gap=60).said("session") == {"by": "session", "session_gap": 60.0}
    assert Sessions().said("user") == {"by": "user", "session_gap": 0.0}
    both = Sessions(gap=60, closing=("buy",)).said("session")
    assert both == {"by": "session", "session_gap": 0.0, "sessions": {"gap": 60, "closing": ["buy"]}}
    with pytest.raises(ConfigError, match="does not know \\(moon\\)"):
        Sessions.learnt({"sessions": {"moon": 1}})


def test_a_rule_in_a_short_text() -> None:
    assert sessions_of("") == {}
    found = sessions_of("given, gap:1800,closing:buy,closing:sign,max:50,longest:3600,week,zone:Europe/Oslo")
    assert found == {
        "given": True, "gap": 1800.0, "closing": ["buy", "sign"], "max_events": 50, "max_seconds": 3600.0,
        "calendar": "week", "zone": "Europe/Oslo",
    }  # fmt: skip
    assert sessions_of("starts:page=home,starts:page=x=y,changes:device") == {
        "starts": {"page": ["home", "x=y"]}, "changes": ["device"],
    }  # fmt: skip
    for odd in ("dya", "gap", "gap:long", "max:1.5", "starts:page", "closing:", "zone:"):
        with pytest.raises(ConfigError, match="is none of given, day, week"):
            sessions_of(odd)


def test_numbers_of_sessions_rise_in_the_order_of_time() -> None:
    log = log_of([(user, "a", time, "view") for user, time in itertools.product("uv", range(0, 50, 10))])
    assert Sessions(gap=5).apply(log).frame["session"].to_list() == [
        f"{u}#{n}" for u in "uv" for n in range(1, 6)
    ]


# ------------------------------------------------------------------------------- after kept events


def after(rule: Sessions, kept: pl.DataFrame, later: pl.DataFrame) -> tuple[list[str], list[str], str]:
    """Session ids of kept and later events, and what was said; events are in the order of their rows."""
    found, log = go_on(rule, kept, EventLog.of(later))
    return found["session"].to_list(), log.frame["session"].to_list(), log.reading.notes[-1]


def test_sessions_of_the_source_go_on_by_their_names() -> None:
    later = pl.DataFrame({"user": ["u", "v"], "item": ["c", "c"], "session": ["s", "new"]})
    for names in (["s", "s", "t"], ["u#s", "u#s", "v#s"]):
        kept = pl.DataFrame({"user": ["u", "u", "v"], "item": ["a", "b", "a"], "session": names})
        found = after(Sessions(), kept, later)
        assert found[:2] == (names, [names[0], "new"])
        assert found[2] == "sessions with new events: 2, 1 of them go on from kept ones"
    with pytest.raises(ColumnError, match="sessions are those of its source, and the new log has none"):
        after(Sessions(), kept, later.drop("session"))


def test_a_late_event_between_two_sessions_is_where_the_rule_puts_it() -> None:
    kept = Sessions(gap=5).apply(log_of(views("ab", [0, 8]))).frame
    assert kept["session"].to_list() == ["u#1", "u#2"]
    found, later = go_on(Sessions(gap=5), kept, log_of(views("c", [4])))
    assert found["session"].to_list() == ["u#1", "u#1"]
    assert later.frame["session"].to_list() == ["u#1"]


def test_kept_sessions_stay_as_they_were_cut() -> None:
    """Also where the rule would not cut them: what stood between two of them may have been left out of histories."""
    log = log_of([*views("ab", [0, 1]), ("u", "x", 2, "close"), *views("cd", [3, 4])])
    kept = Sessions(gap=5, closing=("close",)).apply(log).frame.filter(pl.col("event") != "close")
    assert kept["session"].to_list() == ["u#1", "u#1", "u#2", "u#2"]
    found, later = go_on(Sessions(gap=5, closing=("close",)), kept, log_of(views("e", [6])))
    assert found["session"].to_list() == ["u#1", "u#1", "u#2", "u#2"]
    assert later.frame["session"].to_list() == ["u#2"]


def test_short_sessions_are_set_aside_unless_they_go_on() -> None:
    rule = Sessions(gap=5, min_events=2)
    kept = rule.apply(log_of(views("ab", [0, 1]))).frame
    _, later = go_on(rule, kept, log_of([*views("c", [3]), *views("d", [100])]))
    assert later.frame["item"].to_list() == ["c"]
    assert later.reading.set_aside == {"in a session of fewer than 2 events": 1}
    with pytest.raises(DataError, match=r"No session with new events has 2 events \(min_events\)"):
        go_on(rule, kept, log_of(views("d", [100])))


def test_a_rule_may_go_by_columns_of_any_name() -> None:
    frame = pl.DataFrame({"user": ["u"] * 4, "item": list("abcd"), "name": ["x", "x", "x", "y"]})
    rule = Sessions(changes=("name",))
    kept = rule.apply(EventLog.of(frame[:2])).frame
    assert after(rule, kept, frame[2:])[1] == ["u#1", "u#2"]
