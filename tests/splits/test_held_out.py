"""Users and items that are held out whole: nothing of them is learnt from, and they are asked for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, DataError
from ensue.events.log import EventLog
from ensue.splits import PARTS, TEST, TRAIN, VALIDATION, Split, items_out, split, users_out

EVENT = st.tuples(st.sampled_from("pqrstuvwxyz"), st.sampled_from("abcdefghijk"), st.integers(0, 15))
events = st.lists(EVENT, min_size=1, max_size=60)
seeds = st.integers(0, 5)
COLUMNS = {"users": "user", "items": "item"}


def log_of(rows: list[tuple[str, str, int]]) -> EventLog:
    """Events of (user, item, microseconds)."""
    frame = pl.DataFrame(rows, schema={"user": pl.String, "item": pl.String, "time": pl.Int64}, orient="row")
    return EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))


def cut(log: EventLog, rule: str, seed: int) -> Split | None:
    """The log split by a rule, or None where it rightly says that too little is left."""
    try:
        return split(log, rule, test=0.25, validation=0.2, seed=seed)
    except DataError:
        return None


def drawn(found: Split, rule: str, code: int) -> set[str]:
    return set(found.log.frame[COLUMNS[rule]].filter(pl.Series(found.part == code)))


@pytest.mark.parametrize("rule", ["users", "items"])
@given(rows=events, seed=seeds)
def test_every_event_is_in_one_part_and_no_user_or_item_in_two(
    rule: str, rows: list[tuple[str, str, int]], seed: int
) -> None:
    found = cut(log_of(rows), rule, seed)
    if found is None:
        return
    assert sum(found.sizes.values()) == len(rows)
    parts = [drawn(found, rule, code) for code in PARTS.values()]
    number = len({row[0 if rule == "users" else 1] for row in rows})
    tested = max(round(0.25 * number), 1)
    validated = max(round(0.2 * (number - tested)), 1)
    assert [len(part) for part in parts] == [number - tested - validated, validated, tested]
    assert sum(map(len, parts)) == len(set.union(*parts)), "no value stands in two parts"
    column = COLUMNS[rule]
    assert not set(found.train.frame[column]) & (parts[VALIDATION] | parts[TEST])
    assert not set(found.before_test.frame[column]) & parts[TEST]


@pytest.mark.parametrize("rule", ["users", "items"])
@given(rows=events, seed=seeds)
def test_the_draw_hangs_on_the_seed_and_the_ids_alone(
    rule: str, rows: list[tuple[str, str, int]], seed: int
) -> None:
    found = cut(log_of(rows), rule, seed)
    again = cut(log_of(rows[::-1]), rule, seed)
    if found is None or again is None:
        assert found is again
        return
    for code in (TRAIN, VALIDATION, TEST):
        assert drawn(found, rule, code) == drawn(again, rule, code)


def test_another_seed_draws_others() -> None:
    log = log_of([(f"u{n:02}", f"i{n:02}", n) for n in range(40)])
    for rule in COLUMNS:
        tested = [frozenset(drawn(split(log, rule, seed=seed), rule, TEST)) for seed in range(5)]
        assert len(set(tested)) > 1
        assert {len(found) for found in tested} == {4}


def test_held_out_users_are_asked_by_their_own_histories() -> None:
    rows = [(user, item, time) for user in "uvwx" for time, item in enumerate("abcd")]
    found = users_out(log_of(rows), test=0.25, validation=0.25, seed=3)
    catalogue = Catalogue.fit(found.train)
    for part in ("validation", "test"):
        asked = found.examples(part, catalogue)
        assert set(asked.group_ids) == drawn(found, "users", PARTS[part])
        assert asked.target_ids.to_list() == ["b", "c", "d"]
        assert asked.queries.lengths.tolist() == [1, 2, 3]
        assert asked.without_history == 1
    assert found.leaks
    assert "1 of 4 users are tested and 1 validated" in found.notes[0]


def test_sessions_of_a_held_out_user_are_held_out_together() -> None:
    frame = log_of([(user, item, n) for user in "uvwx" for n, item in enumerate("abcd")]).frame
    log = EventLog.of(frame.with_columns(session=pl.Series(["1", "1", "2", "2"] * 4)))
    found = users_out(log, test=0.25, validation=0.0, by="session")
    asked = found.examples("test", Catalogue.fit(found.train))
    assert asked.target_ids.to_list() == ["b", "d"], "a history stays within its session"
    assert len(drawn(found, "users", TEST)) == 1


@given(rows=events, seed=seeds)
def test_a_held_out_item_is_asked_for_once_by_each_user_and_nothing_else_is(
    rows: list[tuple[str, str, int]], seed: int
) -> None:
    log = log_of(rows)
    found = cut(log, "items", seed)
    if found is None:
        return
    users, items = log.frame["user"].to_list(), log.frame["item"].to_list()
    places = found.asked("test").tolist()
    pairs = [(users[place], items[place]) for place in places]
    held = drawn(found, "items", TEST)
    assert set(Counter(pairs).values()) <= {1}
    assert set(pairs) == {(u, i) for u, i in zip(users, items, strict=True) if i in held}
    assert all((users[p], items[p]) not in list(zip(users, items, strict=True))[:p] for p in places)


def test_a_history_holds_what_a_model_knows_and_its_items_are_cold() -> None:
    rows = [(user, item, time) for user in "uvw" for time, item in enumerate("abcdef")]
    log = log_of([*rows, ("u", "f", 9), ("u", "a", 10)])
    found = items_out(log, test=0.2, validation=0.2, seed=1)
    tested, validated = drawn(found, "items", TEST), drawn(found, "items", VALIDATION)
    assert (len(tested), len(validated)) == (1, 1)
    first, again = Catalogue.fit(found.train), Catalogue.fit(found.before_test)
    assert set(first.ids) == set("abcdef") - tested - validated
    assert set(again.ids) == set("abcdef") - tested
    asked = found.examples("test", again)
    assert set(asked.target_ids) == tested
    assert (asked.targets == -1).all(), "a model that knows items by their events alone misses them"
    place = "abcdef".index(next(iter(tested)))
    assert asked.queries.lengths.tolist() == [place] * 3
    extended = again.extend(pl.DataFrame({"item": sorted(tested)}))
    assert (found.examples("test", extended).targets == len(again)).all()
    assert found.leaks


def test_repeats_of_a_held_out_item_are_told_and_not_asked_for() -> None:
    log = log_of([("u", "a", 0), ("u", "b", 1), ("u", "b", 2), ("u", "a", 3), ("v", "a", 0), ("v", "b", 5)])
    found = items_out(log, test=0.5, validation=0.0)
    held = next(iter(drawn(found, "items", TEST)))
    assert found.sizes == {"train": 3, "validation": 0, "test": 3}
    assert len(found.asked("test")) == 2
    assert found.notes[1].startswith("1 events repeat a held-out item")
    assert set(found.train.frame["item"]) == {"a", "b"} - {held}


def test_shares_that_leave_nobody_are_refused() -> None:
    log = log_of([("u", "a", 1), ("v", "b", 2)])
    with pytest.raises(DataError, match="Of 2 users 1 would be tested and 1 validated"):
        users_out(log)
    assert users_out(log, validation=0).sizes == {"train": 1, "validation": 0, "test": 1}
    with pytest.raises(ConfigError, match="seed=-1"):
        items_out(log, seed=-1)
    with pytest.raises(ConfigError, match="test=1 is not a share"):
        users_out(log, test=1.0)
    with pytest.raises(ConfigError, match=r"has no option 'sed'.*Did you mean 'seed'"):
        split(log, "users", sed=1)


def test_ids_of_any_order_find_their_part() -> None:
    names = ["10", "9", "ä", "a", "A", "", "é"]
    rows = [(name or "empty", "x", n) for n, name in enumerate(names)] * 2
    found = users_out(log_of(rows), test=0.3, validation=0.2)
    assert np.bincount(found.part, minlength=3).tolist() == [2 * 4, 2 * 1, 2 * 2]
