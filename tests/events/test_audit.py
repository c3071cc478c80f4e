"""The audit: every measure against arithmetic on a log small enough to count by hand, and every rule of the advice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ColumnError, DataError
from ensue.events.audit import audit
from ensue.events.faults import RATE_MOST, TIE_MOST, faults
from ensue.events.findings import Finding, told
from ensue.events.leaks import Ints, agreement, leaks
from ensue.events.log import TIME, EventLog
from ensue.events.profile import duration, found_valley, profile, scale_of


def log_of(rows: Sequence[tuple[str, str, float]], **more: Sequence[object]) -> EventLog:
    """Events (user, item, time in hours)."""
    values = [(user, item, round(hours * 3_600_000_000)) for user, item, hours in rows]
    frame = pl.DataFrame(values, schema={"user": pl.String, "item": pl.String, "time": TIME}, orient="row")
    return EventLog.of(frame.with_columns(**{name: pl.Series(list(column)) for name, column in more.items()}))


COUNTED = [
    ("u", "a", 24),
    ("u", "b", 24),
    ("u", "a", 36),
    ("v", "a", 48),
    ("v", "c", 72),
    ("w", "a", 72),
    ("w", "a", 72),
]


def test_measures_of_a_log_counted_by_hand() -> None:
    found = audit(
        log_of(COUNTED, rating=[1.0, 2.0, 5.0, 1.0, None, 2.0, 2.0], event=["view"] * 5 + ["buy", None])
    )
    assert (found.events, found.users, found.items, found.sequences) == (7, 3, 3, 3)
    assert found.density == 5 / (3 * 3)  # ua ub va vc wa
    assert (found.first and found.first.isoformat()) == "1970-01-02T00:00:00+00:00"
    assert found.span_days == 2.0
    assert found.lengths["min"] == 2
    assert found.lengths["median"] == 2
    assert found.lengths["max"] == 3
    assert found.mean_length == 7 / 3
    assert found.single == 0
    assert found.repeat_share == pytest.approx(2 / 7)
    assert found.duplicates == 0  # w has a twice at one time, once bought
    assert audit(log_of(COUNTED)).duplicates == 1
    assert found.tied_share == 4 / 7
    assert found.top_1_share == 5 / 7  # ceil(0.01 * 3) = 1 item: a
    assert found.top_10_share == 5 / 7
    assert found.gini == pytest.approx((2 * (3 * 5 + 2 * 1 + 1 * 1)) / (3 * 7) - 4 / 3)
    assert found.ratings == (1.0, 5.0, 3)
    assert found.event_types == {"view": 5, "(none)": 1, "buy": 1}
    assert found.sessions is None
    assert found.suspicious == 0


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_the_gini_coefficient_is_half_the_relative_mean_difference(counts: list[int]) -> None:
    rows = [("u", f"i{n}", 0.0) for n, count in enumerate(counts) for _ in range(count)]
    mean = sum(counts) / len(counts)
    difference = sum(abs(a - b) for a in counts for b in counts) / len(counts) ** 2
    assert audit(log_of(rows)).gini == pytest.approx(difference / (2 * mean))


def test_order_only_logs_have_no_times_and_no_ties() -> None:
    found = audit(EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["a", "a"]})))
    assert (found.first, found.last, found.span_days, found.tied_share, found.duplicates) == (
        None,
        None,
        None,
        0,
        0,
    )
    assert found.advised("split") == "last"
    assert found.advised("sessions") == "none"
    assert "time: none, the order of the events is given" in found.lines()


def test_suspicious_times_and_single_users_are_counted() -> None:
    found = audit(log_of([("u", "a", 0), ("v", "a", -1), ("w", "a", 24 * 365 * 200), ("w", "b", 1)]))
    assert found.suspicious == 3
    assert found.single == 2
    assert "suspicious times (0, before 1970, after 2100): 3" in found.lines()
    assert "users with one event: 2 (66.7%)" in found.lines()


def test_sequences_by_session() -> None:
    found = audit(log_of(COUNTED, session=list("1123345")), by="session")
    assert (found.by, found.sequences, found.sessions) == ("session", 5, 5)
    assert found.tied_share == 2 / 7  # the two at the start; those of w are in sessions of their own
    assert found.advised("sessions") == "given"


# ------------------------------------------------------------------------------------------- advice


@pytest.mark.parametrize(("repeats", "advised"), [(0, True), (4, True), (5, False), (50, False)])
def test_seen_items_are_left_out_when_few_events_repeat(repeats: int, advised: bool) -> None:
    rows = [("u", f"i{n}", n) for n in range(100 - repeats)] + [("u", "i0", 200 + n) for n in range(repeats)]
    advice = next(a for a in audit(log_of(rows)).advice if a.option == "exclude_seen")
    assert advice.value is advised
    assert f"{repeats / 100:.1%} of events repeat an item" in advice.reason


def test_a_temporal_split_needs_events_after_the_cut() -> None:
    spread = [(f"u{n % 7}", f"i{n}", n) for n in range(100)]
    assert audit(log_of(spread)).advised("split") == "temporal"
    at_once = [(user, item, 1.0) for user, item, _ in spread]
    advice = next(a for a in audit(log_of(at_once)).advice if a.option == "split")
    assert advice.value == "last"
    assert "only 0.0% of events lie after" in advice.reason


def test_sessions_by_gap_are_advised_where_they_part_users_into_several() -> None:
    bursts = [(f"u{u}", f"i{n}", 24 * day + n / 60) for u in range(3) for day in range(4) for n in range(3)]
    advice = next(a for a in audit(log_of(bursts)).advice if a.option == "sessions")
    assert advice.value == "1800"
    assert "4.0 sessions a user of 3.0 events each" in advice.reason
    alone = [(f"u{u}", f"i{n}", 24.0 * n) for u in range(3) for n in range(4)]
    assert audit(log_of(alone)).advised("sessions") == "none"


def test_many_ties_are_said_to_rest_on_the_row_order() -> None:
    tied = [("u", f"i{n}", 1.0) for n in range(5)]
    assert audit(log_of(tied)).advised("order") == "row"
    assert audit(log_of(tied, order=[5, 4, 3, 2, 1])).advised("order") is None
    assert audit(log_of([("u", f"i{n}", n) for n in range(5)])).advised("order") is None


def test_the_audit_is_plain_json() -> None:
    found = audit(log_of(COUNTED))
    stored = json.loads(json.dumps(found.to_json()))
    assert stored["last"] == "1970-01-04T00:00:00+00:00"
    assert stored["advice"][0] == {
        "option": "exclude_seen",
        "value": False,
        "reason": "28.6% of events repeat an item, not less than 5%",
    }


def test_what_cannot_be_audited() -> None:
    log = log_of(COUNTED)
    with pytest.raises(DataError, match="The log has no events"):
        audit(log.where(pl.lit(False)))
    with pytest.raises(ColumnError, match=r"Column 'session' is missing; the log has: user, item, time\."):
        audit(log, by="session")


@pytest.mark.data
def test_what_is_known_of_movielens(data_dir: Path) -> None:
    from ensue.events.source import read

    found = audit(read(data_dir / "ml-100k"))
    assert found.repeat_share == 0
    assert found.lengths["min"] == 20
    assert found.density == 100_000 / (943 * 1_682)
    assert found.advised("exclude_seen") is True
    assert found.advised("split") == "temporal"


# ------------------------------------------------------------------------------------------- in detail


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


def test_repeats_are_parted_into_those_at_once_and_later_ones() -> None:
    shape = profile(log_of([("u", "a", 0), ("u", "a", 1), ("u", "b", 2), ("u", "a", 3), ("v", "a", 4)]))
    assert shape.consecutive_repeats == 1 / 5
    assert shape.later_repeats == pytest.approx(1 / 5)


def test_gaps_are_between_events_of_one_user() -> None:
    shape = profile(log_of([("u", "a", 0), ("u", "b", 1), ("u", "c", 1), ("v", "a", 0), ("v", "b", 3)]))
    assert shape.gaps is not None
    assert shape.gaps["median"] == 3600  # 0, 3600 and 10800 seconds
    assert shape.no_gap == 1 / 3
    assert shape.gap_histogram is not None
    assert sum(shape.gap_histogram.counts) == 2


def test_lengths_and_popularity_add_up() -> None:
    shape = profile(log_of(COUNTED))
    assert list(shape.lengths.edges) == [1, 2, 3, 4]
    assert list(shape.lengths.counts) == [0, 2, 1]
    assert shape.popularity[-1] == (1.0, 1.0)
    assert shape.popularity[1] == (1 / 3, 5 / 7)


def test_activity_counts_every_period_and_those_without_events() -> None:
    shape = profile(log_of([("u", "a", 0), ("u", "b", 25), ("u", "c", 26), ("u", "d", 24 * 3)]))
    assert (shape.activity, shape.every) == (
        (("1970-01-01", 1), ("1970-01-02", 2), ("1970-01-03", 0), ("1970-01-04", 1)),
        "day",
    )
    assert profile(log_of([("u", "a", 0), ("u", "b", 24 * 200)])).every == "week"
    assert profile(log_of([("u", "a", 0), ("u", "b", 24 * 2000)])).every == "month"


def test_turnover_counts_events_on_items_younger_than_a_week_after_the_beginning() -> None:
    week = 24 * 7
    rows = [("u", "old", n * week) for n in range(9)]  # 8 weeks, of which the first 4 are history
    rows += [("u", "new", 5 * week), ("u", "new", 5 * week + 1), ("u", "new", 6 * week)]
    shape = profile(log_of(rows))
    assert shape.young_share == 2 / (5 + 3)
    assert shape.new_items_per_week == 1 / 4
    assert profile(log_of([*rows[:1], ("u", "b", week)])).young_share is None


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1, 3, 5], "1 to 5, whole"),
        ([0.5, 3, 5], "0.5 to 5, in halves"),
        ([-1, 0.3, 1], "-1 to 1"),
        ([-10, 10], "any, -10 to 10"),
        ([0, 1], "0 or 1"),
        ([0, 0.5, 1], "0 to 1"),
        ([1, 10], "1 to 10, whole"),
        ([0, 55, 100], "0 to 100"),
        ([1, 2.25, 4], "any, 1 to 4"),
        ([3, 5000], "any, 3 to 5000"),
        ([4], "one value only, 4: it says nothing"),
    ],
)
def test_scales_of_ratings_are_recognised(values: list[float], scale: str) -> None:
    assert scale_of(np.array(values, dtype=float)) == scale


def test_baskets_are_counted_by_user() -> None:
    log = log_of([("u", "a", 0), ("u", "b", 0), ("v", "a", 1), ("v", "c", 2)], basket=["1", "1", "1", None])
    assert profile(log).baskets == (2, 3 / 2)


@pytest.mark.parametrize(("short", "long"), [(20, 30_000), (60, 200_000), (120, 86_400)])
def test_two_hills_of_gaps_have_a_valley_between_them(short: float, long: float) -> None:
    rng = np.random.default_rng(0)
    gaps = np.concatenate([rng.lognormal(np.log(short), 0.8, 3000), rng.lognormal(np.log(long), 0.8, 1500)])
    found = found_valley(gaps)
    assert found is not None
    assert short * 3 < found < long / 3
    assert found_valley(gaps[:100]) is None, "too few to say"


@pytest.mark.parametrize("seed", range(10))
def test_one_hill_has_no_valley(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert found_valley(rng.lognormal(np.log(3000), 1.5, 3000)) is None
    assert found_valley(rng.exponential(3000, 3000)) is None


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


def test_spans_are_said_in_the_unit_that_suits_them() -> None:
    spans = {
        1: "1 s",
        90: "90 s",
        1500: "25 min",
        12_600: "3.5 h",
        86_400 * 12: "12 days",
        86_400 * 1038.8: "1,039 days",
    }
    assert {seconds: duration(seconds) for seconds in spans} == spans
