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
