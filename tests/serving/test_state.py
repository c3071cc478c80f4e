"""What every store promises, tried on a real SQLite file and on a real Redis server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.serving.state_backings import NOW, SECOND, Hands, Open, Redis, at, event, kept

from ensue.errors import DataError, QueryError
from ensue.serving.state import Appended, Erased, Kept, Limits, Store, open_store
from ensue.serving.state.sqlite import SqliteStore


def test_an_event_is_there_when_it_is_acknowledged_for_whoever_opens_the_store(opened: Open) -> None:
    one, other = opened(), opened()
    assert one.append([event("A", -2), event("B", -1)]) == Appended(new=2)
    assert other.history(user="u").items == ["A", "B"]
    one.close()
    assert opened().history(user="u").times == [
        datetime(2023, 11, 14, 22, 13, 18, tzinfo=UTC),
        datetime(2023, 11, 14, 22, 13, 19, tzinfo=UTC),
    ]


def test_nobody_is_known_before_the_first_event(store: Store) -> None:
    assert len(store.history(user="u")) == len(store.history(session="u")) == 0
    assert store.append([]) == Appended()
    assert store.erase(user="u") == Erased(0, 0, 0, clean=store.erase(user="u").clean)


def test_one_history_is_asked_for_at_a_time(store: Store) -> None:
    wrongs: list[dict[str, Any]] = [{}, {"user": "u", "session": "s"}]
    for wrong in wrongs:
        with pytest.raises(QueryError, match="one of them"):
            store.history(**wrong)
        with pytest.raises(QueryError, match="one of them"):
            store.erase(**wrong)
    with pytest.raises(QueryError, match="most=0"):
        store.history(user="u", most=0)


def test_late_events_are_put_in_their_place_and_ties_keep_the_order_of_arrival(store: Store) -> None:
    store.append([event("C", -1), event("A", -3)])
    assert store.append([event("B", -2), event("D", -1)]) == Appended(new=2, late=1)
    assert store.history(user="u").items == ["A", "B", "C", "D"]
    assert store.history(user="u", most=2).items == ["C", "D"]


def test_times_before_1970_and_the_first_year_are_in_order(store: Store) -> None:
    store.append([event("B", -1.0 - NOW / SECOND), event("C", 0), event("A", -62_135_596_800 - NOW / SECOND)])
    assert store.history(user="u").items == ["A", "B", "C"]


def test_an_event_without_an_id_is_known_by_item_time_and_type(store: Store) -> None:
    first = event("A", -5, event="view", rating=1.0)
    assert store.append([first, event("A", -5, event="view", rating=2.0)]) == Appended(new=1, repeated=1)
    others = [event("A", -5, event="buy"), event("A", -5), event("B", -5, event="view"), event("A", -4)]
    assert store.append([first, *others]) == Appended(new=4, repeated=1)
    assert store.append(others) == Appended(repeated=4)


def test_an_event_with_an_id_is_known_by_it_within_its_history(store: Store) -> None:
    assert store.append([event("A", -5, id="1"), event("B", -4, id="1")]) == Appended(new=1, repeated=1)
    assert store.append([event("A", -5, id="2"), event("A", -5, user="v", id="1")]) == Appended(new=2)
    assert store.history(user="u").items == ["A", "A"]


def test_an_event_without_time_happens_when_it_arrives_and_each_is_another(opened: Open) -> None:
    hands = Hands()
    store = opened(clock=hands.clock)
    assert store.append([event("A"), event("A")]) == Appended(new=2)
    hands.pass_by(2)
    assert store.append([event("B", id="x")]) == Appended(new=1)
    hands.pass_by(2)
    assert store.append([event("B", id="x")]) == Appended(repeated=1)
    assert [row.time for row in store.history(user="u").rows] == [at(0), at(0), at(2)]


def test_what_lies_far_ahead_is_placed_at_its_arrival_once(opened: Open) -> None:
    hands = Hands()
    store = opened(clock=hands.clock)
    year = 365 * 86_400
    assert store.append([event("A", year), event("B", 60)]) == Appended(new=2, ahead=1)
    hands.pass_by(100)
    assert store.append([event("A", year), event("C", 100)]) == Appended(new=1, repeated=1, ahead=1)
    assert store.history(user="u").items == ["A", "B", "C"]
    hands.pass_by(2 * year)
    assert store.append([event("A", year)]) == Appended(repeated=1)
    assert store.append([event("D", 9 * year), event("D", 8 * year)]) == Appended(new=2, ahead=2)


def test_a_session_and_a_user_each_have_their_own(store: Store) -> None:
    store.append([event("A", -9, user=None, session="s"), event("B", -8, session="s"), event("C", -7)])
    assert store.history(session="s").items == ["A", "B"]
    assert store.history(user="u").items == ["B", "C"]
    assert len(store.history(user="s")) == 0
    assert store.append([event("B", -8, session="s")]) == Appended(repeated=1)


def test_the_last_session_of_a_user_is_told_apart(store: Store) -> None:
    store.append([event("A", -9, session="s"), event("B", -8, session="t"), event("C", -7, session="t")])
    assert store.history(user="u").last_session.items == ["B", "C"]
    store.append([event("D", -6)])
    assert store.history(user="u").last_session.items == ["D"]


def test_everything_of_an_event_comes_back_as_a_question(store: Store) -> None:
    context = {"city": 'Zürich "x"', "n": 3, "share": 0.5, "new": True}
    store.append([event("A", -2, event="view", rating=4.5, context=context), event("ü\U0001f600", -1)])
    asked = store.history(user="u").question("u", at=datetime(2024, 1, 1, tzinfo=UTC))
    assert (asked.history, asked.user, asked.ratings) == (["A", "ü\U0001f600"], "u", [4.5, None])
    assert asked.context == {
        "event": ["view", None],
        **{name: [value, None] for name, value in context.items()},
    }
    assert store.history(user="u").question(columns=["city"]).context == {"city": ['Zürich "x"', None]}
    for columns, times, ratings in (
        (["city"], False, False),
        (["gap"], True, False),
        (["rating"], False, True),
    ):
        question = store.history(user="u").question(columns=columns)
        assert (question.times is not None, question.ratings is not None) == (times, ratings)


def test_kept_histories_come_before_and_among_live_events_and_each_event_once(store: Store) -> None:
    store.append([event("B", -8, event="view"), event("D", -6)])
    run = kept(("u", "A", -9), ("u", "B", -8), ("u", "C", -7), ("v", "X", -5))
    assert store.keep(run, "one") == Kept(users=2, events=4)
    assert store.history(user="u").items == ["A", "B", "C", "D"]
    assert store.history(user="v").items == ["X"]
    assert store.append([event("C", -7, event="view"), event("A", -9)]) == Appended(repeated=2)
    assert store.append([event("E", -7.5)]) == Appended(new=1, late=1)
    assert store.history(user="u").items == ["A", "B", "E", "C", "D"]
    assert store.history(user="u", most=3).items == ["E", "C", "D"]
    assert store.counts().kept == 4


def test_a_kept_event_of_another_type_is_another(store: Store) -> None:
    store.append([event("A", -9, event="view")])
    store.keep(kept(("u", "A", -9), ("u", "B", -8), event=["buy", "buy"]), "one")
    assert store.append([event("B", -8, event="view"), event("B", -8, event="buy")]) == Appended(
        new=1, repeated=1
    )
    assert sorted(store.history(user="u").items) == ["A", "A", "B", "B"]


def test_the_same_histories_are_taken_over_once_and_others_take_their_place(opened: Open) -> None:
    store = opened(clock=Hands().clock)
    store.keep(kept(("u", "A", -9), ("w", "X", -9)), "one")
    store.append([event("B", -5)])
    assert opened().keep(kept(("u", "Z", -9)), "one") == Kept(already=True)
    assert store.keep(kept(("u", "A", -9), ("u", "C", -8), ("v", "Y", -9)), "two") == Kept(2, 3)
    assert store.history(user="u").items == ["A", "C", "B"]
    assert store.history(user="v").items == ["Y"]
    assert len(store.history(user="w")) == 0
    assert store.counts().kept == 3
    assert store.keep(kept(), "none") == Kept()
    assert store.history(user="u").items == ["B"]


def test_columns_sessions_and_order_of_kept_histories_come_back(store: Store) -> None:
    run = kept(
        ("u", "A", 0), ("u", "B", -5), ("u", "A", -3), ("v", "Z", -1),
        rating=[1, 2, 3, None], session=["x", "y", "y", "x"], city=["here", None, "there", None], n=[1, 2, 3, 4],
    ).drop("time")  # fmt: skip
    store.keep(run, "one")
    store.append([event("C", -5)])
    history = store.history(user="u")
    assert (history.items, history.times[:3]) == (["A", "B", "A", "C"], [None, None, None])
    assert history.question().ratings == [1.0, 2.0, 3.0, None]
    assert history.context() == {"city": ["here", None, "there", None], "n": [1, 2, 3, None]}
    codes = [row.session for row in history.rows]
    assert codes[0] != codes[1] == codes[2]
    assert codes[3] is None


def test_of_a_long_kept_history_the_end_is_taken(opened: Open) -> None:
    store = opened(Limits(events=3))
    store.keep(kept(*[("u", str(n), n) for n in range(5)], *[("v", "A", 0)]), "one")
    assert store.history(user="u").items == ["2", "3", "4"]
    with pytest.raises(DataError, match="no column 'item'"):
        store.keep(pl.DataFrame({"user": ["u"]}), "two")
    began = time.monotonic()
    assert store.keep(kept(("u", "A", 0)), "two").events == 1
    assert time.monotonic() - began < 30  # nobody waits for one that has given up


def test_revisions_grow_with_every_change_and_never_come_again(store: Store) -> None:
    seen = [store.revision(user="u")]

    def changed() -> None:
        assert store.revision(user="u") == store.history(user="u").revision
        seen.append(store.revision(user="u"))

    store.append([event("A", -9)])
    changed()
    store.append([event("B", -9)])
    changed()
    store.append([event("B", -9), event("Z", -9, user="v")])
    assert store.revision(user="u") == seen[-1]
    store.keep(kept(("u", "C", -10)), "one")
    changed()
    before = store.changes()
    store.erase(user="u")
    assert store.changes() > before
    store.append([event("D", 1)])
    changed()
    assert seen == sorted(set(seen))


def test_a_state_is_advanced_by_what_came_at_the_end_and_made_anew_otherwise(store: Store) -> None:
    store.keep(kept(("u", "A", -9)), "one")
    first = store.history(user="u").revision
    store.append([event("B", -8), event("C", -7)])
    later = store.history(user="u")
    assert (later.since(first), later.since(later.revision)) == (1, 3)
    store.append([event("D", -6)])
    assert store.history(user="u").since(later.revision) == 3
    assert store.history(user="u", most=1).since(first) is None
    before = store.revision(user="u")
    store.append([event("L", -7.5), event("M", -5)])
    assert store.history(user="u").since(before) is None
    before = store.revision(user="u")
    store.append([event("L", -8.5), event("N", -4)])
    assert store.history(user="u", most=2).items == ["M", "N"]
    assert store.history(user="u", most=2).since(before) is None
    before = store.revision(user="u")
    store.keep(kept(("u", "A", -9), ("u", "K", -20)), "two")
    assert store.history(user="u").since(before) is None
    before = store.revision(user="u")
    store.erase(user="u")
    assert store.history(user="u").since(before) is None
    store.append([event("N", 1)])
    assert store.history(user="u").since(before) is None


def test_many_threads_and_stores_lose_nothing(opened: Open) -> None:
    stores, faults = [opened(), opened()], []

    def client(number: int) -> None:
        try:
            for step in range(15):
                store = stores[(number + step) % 2]
                store.append([event("A", step, user=f"own{number}"), event(f"{number}", step, user="team")])
                assert len(store.history(user=f"own{number}")) == step + 1
        except Exception as fault:  # noqa: BLE001
            faults.append(fault)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert len(opened().history(user="team")) == 8 * 15
    assert opened().counts().events == 2 * 8 * 15


def test_two_who_take_over_the_same_histories_at_once_write_them_once(opened: Open) -> None:
    run, found = kept(*[(f"u{n}", "A", n) for n in range(50)]), []
    threads = [threading.Thread(target=lambda: found.append(opened().keep(run, "one"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found, key=lambda one: one.already) == [
        Kept(50, 50),
        Kept(already=True),
        Kept(already=True),
    ]
    assert opened().counts().kept == 50


def test_a_path_is_a_file_and_an_address_a_server(tmp_path: Path, redis: Callable[[], Redis]) -> None:
    assert isinstance(open_store(str(tmp_path / "live.db")), SqliteStore)
    assert open_store(redis().address("address")).append([event("A")]) == Appended(new=1)
