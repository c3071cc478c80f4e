"""What a model of sessions is asked about: the session that goes on, cut as its training was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from ensue import artifacts, ladder
from ensue.events.log import EventLog
from ensue.events.sessions.rule import Sessions
from ensue.experiment import experiment_of
from ensue.model import fit
from ensue.moments import microseconds
from ensue.objective import Objective
from ensue.sequences import MISSING_TIME
from ensue.serving.application import application
from ensue.serving.settings import Settings
from ensue.serving.state.history import History, Row
from ensue.serving.visits import going_on

BEGAN = datetime(2024, 3, 1, tzinfo=UTC)

events = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 4 * 86_400), st.integers(0, 8).map(lambda halves: 1_800 * halves)).map(
            lambda second: BEGAN + timedelta(seconds=second)
        ),  # gaps that are just as long as the rule's among them
        st.sampled_from(["view", "buy"]),
        st.sampled_from(["web", "app"]),
    ),
    min_size=1,
    max_size=12,
).map(lambda rows: sorted(rows, key=lambda row: row[0]))
rules = st.builds(
    Sessions,
    gap=st.sampled_from([0.0, 1800.0, 86_400.0]),
    calendar=st.sampled_from(["", "day"]),
    zone=st.sampled_from(["UTC", "Asia/Tokyo"]),
    closing=st.sampled_from([(), ("buy",)]),
    starts=st.sampled_from([{}, {"shop": ("app",)}]),
    changes=st.sampled_from([(), ("shop",)]),
    max_events=st.integers(0, 4),
    max_seconds=st.sampled_from([0.0, 7200.0]),
)


def of(rows: list[tuple[datetime, str, str]], session: int | None = None) -> tuple[Row, ...]:
    """The events as a store holds them."""
    return tuple(
        Row(microseconds(at), number, f"i{number}", kind, None, session, f'{{"shop": "{shop}"}}')
        for number, (at, kind, shop) in enumerate(rows)
    )


@given(events, rules)
def test_events_without_a_session_are_cut_as_a_log_is(
    rows: list[tuple[datetime, str, str]], rule: Sessions
) -> None:
    table: dict[str, Any] = {"user": ["u"] * len(rows), "item": [f"i{place}" for place in range(len(rows))]}
    for place, name in enumerate(("time", "event", "shop")):
        table[name] = [row[place] for row in rows]
    frame = rule.apply(EventLog.of(pl.DataFrame(table))).frame
    last = frame if rule.nothing else frame.filter(pl.col("session") == pl.col("session").last())
    assert going_on(History(of(rows)), rule).items == last["item"].to_list()


@pytest.mark.parametrize("more", [{}, {"calendar": "day"}])
def test_a_gap_just_as_long_as_the_rule_does_not_cut(more: dict[str, Any]) -> None:
    """By the times alone, and where the rule goes by more than those."""
    rule = Sessions(gap=1800.0, **more)
    seconds = (0, 1800, 3600.000001, 5400)
    rows = [(BEGAN + timedelta(seconds=second), "view", "web") for second in seconds]
    assert going_on(History(of(rows)), rule).items == ["i2", "i3"]
    assert going_on(History(of(rows[:2])), rule).items == ["i0", "i1"]
    untimed = [row._replace(time=MISSING_TIME) for row in of(rows[:2])]
    assert going_on(History((*untimed, *of(rows)[2:3])), rule).items == ["i0", "i1", "i2"]


@given(events, events, rules)
def test_events_since_a_session_that_was_told_are_no_part_of_it(
    told: list[tuple[datetime, str, str]], since: list[tuple[datetime, str, str]], rule: Sessions
) -> None:
    live = tuple(row._replace(item=f"new {row.item}") for row in of(since))
    found = going_on(History(of(told, session=-3) + live, 7, 5), rule)
    assert found.rows == going_on(History(live), rule).rows
    assert (found.revision, found.settled) == (7, 5)
    assert going_on(History(live + of(told, session=-3)), rule).items == [row.item for row in of(told)]


def test_a_model_of_visits_is_asked_about_this_visit(tmp_path: Path) -> None:
    """Of a user who is new, and of one whose visits the run has kept, with and without their ids."""
    rows = [
        (f"u{user}", f"i{(5 * user + visit + step) % 9}", BEGAN + timedelta(days=visit, minutes=step))
        for user in range(12)
        for visit in range(3)
        for step in range(4)
    ]
    log = EventLog.of(pl.DataFrame(rows, schema=["user", "item", "time"], orient="row"))
    plan = {
        "out": str(tmp_path / "run"),
        "sequences": {"by": "session", "session_gap": 1800.0},
        "split": {"rule": "last"},
        "models": {"rules": {}},
    }
    ladder.run(experiment_of(plan), log=log)
    told = [
        {"user": "new", "item": item, "time": at}
        for item, at in (
            ("i7", "2024-06-01T08:00Z"),
            ("i0", "2024-06-02T08:00Z"),
            ("i1", "2024-06-02T08:01Z"),
        )
    ]
    told += [{**event, "user": "u3"} for event in told[1:]]
    with TestClient(application(Settings(run=str(tmp_path / "run"))), base_url="http://127.0.0.1") as client:

        def answer(**asked: Any) -> list[tuple[str, float]]:
            given = client.post("/v1/recommend", json={"k": 5, **asked}).json()["items"]
            return [(one["item"], one["score"]) for one in given]

        assert client.post("/v1/events", json=told).json()["new"] == len(told)
        visit = answer(history=["i0", "i1"])
        assert answer(user="new") == visit != answer(history=["i7", "i0", "i1"])
        assert answer(user="u3") == visit
        client.post(
            "/v1/events", json={"user": "u3", "item": "i5", "session": "s", "time": "2024-06-02T08:02Z"}
        )
        assert answer(user="u3") == answer(history=["i5"])


def test_nothing_of_a_long_history_is_answered_again(tmp_path: Path) -> None:
    """What is left out is the same as offline, however far back it lies."""
    rows = [("heavy", f"i{step}", BEGAN + timedelta(minutes=step)) for step in range(1_500)]
    rows += [
        (f"u{user}", f"i{step}", BEGAN + timedelta(days=3, minutes=10 * user + step))
        for user in range(9)
        for step in range(6)
    ]
    rows += [(f"u{user}", f"new{user % 3}", BEGAN + timedelta(days=4)) for user in range(9)]
    log = EventLog.of(pl.DataFrame(rows, schema=["user", "item", "time"], orient="row"))
    plan = {"out": str(tmp_path / "run"), "split": {"rule": "last"}, "models": {"popular": {}}}
    ladder.run(experiment_of(plan), log=log)
    with TestClient(application(Settings(run=str(tmp_path / "run"))), base_url="http://127.0.0.1") as client:
        asked = {"user": "heavy", "k": 5, "exclude_seen": True}
        given = client.post("/v1/recommend", json=asked).json()["items"]
    assert not {one["item"] for one in given} & {item for user, item, _ in rows if user == "heavy"}


def test_a_basket_comes_after_what_the_model_reads_of_its_user(tmp_path: Path) -> None:
    """A model of purchases does not read views, so what was viewed may be offered."""
    rows = [
        (f"u{user}", "ABCDVW"[(user + step) % 6], BEGAN + timedelta(days=user, hours=step), "buy")
        for user in range(20)
        for step in range(4)
    ]
    rows += [(f"u{user}", "V", BEGAN + timedelta(days=user, hours=9), "view") for user in range(20)]
    log = EventLog.of(pl.DataFrame(rows, schema=["user", "item", "time", "event"], orient="row"))
    bought = Objective(inputs=("buy",), targets=("buy",))
    learnt = {"objective": bought.to_json(), "sequences": {"by": "user"}}
    artifacts.save(fit("rules", log, objective=bought), tmp_path / "m", facts={"learnt": learnt})
    with TestClient(application(Settings(run=str(tmp_path / "m"))), base_url="http://127.0.0.1") as client:
        told = [("A", "buy", "2024-06-01T00:00Z"), ("B", "view", "2024-06-01T01:00Z")]
        client.post(
            "/v1/events",
            json=[{"user": "n", "item": item, "event": kind, "time": at} for item, kind, at in told],
        )
        after = client.post("/v1/basket", json={"user": "n", "basket": ["C"], "k": 3}).json()["items"]
        plain = client.post("/v1/recommend", json={"history": ["A", "C"], "k": 3}).json()["items"]
    assert [one["item"] for one in after] == [one["item"] for one in plain]
    assert "B" in [one["item"] for one in after]
