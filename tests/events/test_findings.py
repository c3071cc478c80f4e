"""What an audit finds odd: events that cannot be meant, and columns and orders that know the answer."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tests.events.test_audit import COUNTED, log_of

from ensue.events.faults import RATE_MOST, TIE_MOST, faults
from ensue.events.findings import Finding, told
from ensue.events.leaks import Ints, agreement, leaks
from ensue.events.log import TIME, EventLog


def faults_of(log: EventLog) -> dict[str, Finding]:
    return {one.name: one for one in faults(log)}


def leaks_of(log: EventLog) -> dict[str, Finding]:
    return {one.name: one for one in leaks(log)}


def walks(users: int = 40, length: int = 20, seed: int = 0, **more: object) -> EventLog:
    """Random items out of 15, an hour apart; more columns are computed from `[E]` item numbers."""
    rng = np.random.default_rng(seed)
    items = rng.integers(15, size=users * length)
    frame = pl.DataFrame(
        {
            "user": [f"secret-{n:02d}" for n in np.repeat(np.arange(users), length)],
            "item": [f"i{n:02d}" for n in items],
            "time": pl.Series(np.tile(np.arange(length), users) * 3_600_000_000 + 1).cast(TIME),
        }
    )
    return EventLog.of(frame.with_columns(**{name: pl.Series(list(column)) for name, column in more.items()}))  # type: ignore[call-overload]


# ------------------------------------------------------------------------------------------- faults


def test_duplicates_and_their_examples_say_nothing_of_a_user() -> None:
    found = faults_of(log_of(COUNTED))["duplicates"]
    assert (found.count, found.of) == (1, 7)
    assert list(found.examples[0]) == ["row", "item", "time"]
    assert found.examples[0]["row"] == 6


def test_duplicates_of_different_types_are_two_events() -> None:
    assert faults_of(log_of(COUNTED, event=["view"] * 6 + ["buy"]))["duplicates"].count == 0


def test_users_faster_than_hands_are_counted() -> None:
    minute = 1 / 60
    rows = [("bot", f"i{n}", 5 + n * minute / 70) for n in range(RATE_MOST + 1)]
    rows += [("man", f"i{n}", 5 + n * minute / 70) for n in range(RATE_MOST)]
    found = faults_of(log_of(rows))["inhuman rates"]
    assert (found.count, found.of) == (1, 2)
    assert f"the most is {RATE_MOST + 1}" in found.what
    days = [("u", f"i{n}", 24.0) for n in range(100)]
    assert "inhuman rates" not in faults_of(log_of(days)), "whole days say nothing of a rate"


def test_users_at_one_second_and_huge_ties() -> None:
    rows = [("u", f"i{n}", 5.5) for n in range(TIE_MOST + 1)] + [
        ("v", "a", 1.1),
        ("v", "b", 2.2),
        ("w", "a", 3.3),
    ]
    found = faults_of(log_of(rows))
    assert found["users at one second"].count == 1
    assert (found["huge ties"].count, found["huge ties"].of) == (TIE_MOST + 1, TIE_MOST + 4)
    assert found["one time for many"].count == 0, "all of one user"
    shared = [(f"u{n}", "a", 5.5) for n in range(20)] + [("v", "a", n + 0.1) for n in range(20)]
    assert faults_of(log_of(shared))["one time for many"].count == 20


def test_ids_that_differ_in_spaces_or_case_alone() -> None:
    found = faults_of(log_of([("u", "a", 1), ("U", "A", 2), ("u ", "b", 3), ("v", " b", 4), ("w", "ß", 5)]))
    assert found["user ids with spaces around"].count == 1
    assert found["user ids with spaces around"].examples == ()
    assert found["user ids that differ in case alone"].count == 1
    assert found["item ids with spaces around"].examples == ({"item": " b"},)
    assert found["item ids that differ in case alone"].count == 1
    assert {one["item"] for one in found["item ids that differ in case alone"].examples} == {"a", "A"}


def test_what_is_rare_what_is_returned_and_what_is_missing() -> None:
    log = log_of(
        [("u", "a", 1), ("u", "a", 2), ("v", "b", 3)],
        quantity=[1.0, -1.0, 0.0],
        page=["x", "", None],
        one=["k"] * 3,
    )
    found = faults_of(log)
    assert (found["one-event users"].count, found["one-event items"].count) == (1, 1)
    assert found["returns"].count == 2
    assert found["missing page"].count == 2
    assert found["constant columns"].what == "one value or none: one"
    assert faults_of(log_of([("u", "a", 1), ("u", "b", 2)], event=["view", "Return"]))["returns"].count == 1


def test_ids_of_events_are_told_from_measurements() -> None:
    number = 40 * 20
    log = walks(request=[f"r{n}" for n in range(number)], price=np.random.default_rng(0).random(number))
    assert faults_of(log)["nearly unique columns"].what.endswith(": request")


def test_items_that_the_table_of_items_lacks() -> None:
    frame = log_of(COUNTED).frame
    found = faults_of(EventLog.of(frame, items=pl.DataFrame({"item": ["a", "b"]})))["items without a row"]
    assert (found.count, found.of) == (1, 3)


# ------------------------------------------------------------------------------------------- leaks


def numbers(log: EventLog) -> Ints:
    return log.frame["item"].str.slice(1).cast(pl.Int64).to_numpy()


def test_columns_are_told_apart_by_what_they_are_a_property_of() -> None:
    plain = walks()
    item = numbers(plain)
    following = np.append(item[1:], 0)
    rng = np.random.default_rng(1)
    total = np.bincount(item)
    wait = rng.integers(1, 10_000, len(item))
    log = walks(
        genre=[f"g{n % 4}" for n in item],
        country=[f"c{n % 3}" for n in np.repeat(np.arange(40), 20)],
        answer=[f"h{n % 5}" for n in following],
        device=rng.choice(["phone", "desk"], len(item)).tolist(),
        sales=[f"{total[n] * 10 + n * 0.01}" for n in item],
        noise=rng.random(len(item)),
    )
    found = leaks_of(log)
    named = {name: one.what.rpartition(": ")[2] for name, one in found.items() if one.unit == "columns"}
    assert named["columns of the item"] == "genre, sales"
    assert named["columns of the user"] == "country"
    assert named["columns that know the next item"] == "answer"
    assert named["columns that name the next item"] == "none"
    assert named["columns that know the next time"] == "none"
    assert found["columns of the item"].harmless
    assert not found["columns that know the next item"].harmless
    times = np.concatenate([[0], np.cumsum(wait)[:-1]]) * 1_000_000
    dwelt = EventLog.of(
        plain.frame.with_columns(
            time=pl.Series(times).cast(TIME),
            dwell=pl.Series(wait / 3.0),
            other=pl.Series(rng.random(len(item))),
        )
    )
    assert leaks_of(dwelt)["columns that know the next time"].what.endswith(": dwell")


def test_a_count_over_the_whole_log_knows_the_future() -> None:
    rng = np.random.default_rng(0)
    item = rng.zipf(1.5, 2000).clip(max=60)
    total = np.bincount(item)
    rows = [(f"u{n // 20}", f"i{item[n]}", float(n)) for n in range(2000)]
    found = leaks_of(
        log_of(
            rows, sold=[float(total[n]) for n in item], size=[float(n) for n in rng.permutation(100)[item]]
        )
    )
    assert found["columns counted over the whole log"].what.endswith(": sold")


@pytest.mark.parametrize(("order", "found"), [("rising", True), ("falling", True), ("chance", False)])
def test_ties_in_the_order_of_items_or_ratings_can_be_learnt(order: str, found: bool) -> None:
    rng = np.random.default_rng(0)
    rows, ratings = [], []
    for user in range(60):
        items = rng.permutation(50)[:5]
        items = np.sort(items) if order == "rising" else np.sort(items)[::-1] if order == "falling" else items
        rows += [(f"u{user}", f"{item:02d}", float(user)) for item in items]
        ratings += [float(item) for item in items]
    tied = leaks_of(log_of(rows, rating=ratings))
    for name in ("ties ordered by item id", "ties ordered by item number", "ties ordered by rating"):
        assert tied[name].of == 60 * 4
        assert tied[name].count == (60 * 4 if found else 0)
    counted = leaks_of(log_of(rows, order=list(range(len(rows)))))
    assert counted["ties ordered by item id"].of == 0, "an order column breaks ties"


def test_what_leave_last_out_sees_of_the_future() -> None:
    rows = [
        ("u", "a", 1),
        ("u", "b", 2),
        ("v", "a", 10),
        ("v", "c", 11),
        ("v", "d", 12),
        ("w", "a", 3),
        ("w", "b", 4),
        ("x", "a", 9),
    ]
    found = leaks_of(log_of(rows))["leave-last-out sees the future"]
    assert (found.count, found.of) == (3, 5)  # tests at 2, 4, 12; later than 4: 9, 10, 11 of 1, 3, 9, 10, 11
    copied = leaks_of(log_of([("u", "a", 1), ("u", "a", 1), ("v", "a", 1), ("v", "a", 2)]))
    assert copied["duplicates across leave-last-out"].count == 1


def test_agreement_is_not_biased_by_small_groups() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(2, size=20_000)
    assert agreement(np.arange(20_000) // 2, values) == pytest.approx(0.5, abs=0.03)
    assert agreement(np.arange(20_000), values) == 0.0


def test_a_sample_of_users_says_the_same_of_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    log = walks(genre=[f"g{n % 4}" for n in numbers(walks())])
    whole = leaks_of(log)["columns of the item"]
    monkeypatch.setattr("ensue.events.leaks.SAMPLE", 300)
    assert leaks_of(log)["columns of the item"] == whole


def test_findings_are_told_with_examples_and_what_was_not_found() -> None:
    lines = told(faults(log_of(COUNTED)))
    (line,) = [line for line in lines if line.startswith("duplicates: 1 of 7 events (14.29%)")]
    assert line.endswith("--duplicates first keeps one of each")
    assert lines[lines.index(line) + 1] == "  e.g. row 6, item 'a', time 1970-01-04 00:00:00"
    assert lines[-1].startswith("looked for, and not found: suspicious times")
