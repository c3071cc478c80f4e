"""Rolling windows: disjoint, in order, each trained on what lies before; and the splits of an experiment's table."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.catalogue import Catalogue
from ensue.errors import ColumnError, ConfigError, DataError
from ensue.events.log import EventLog
from ensue.splits import (
    PARTS,
    TEST,
    TRAIN,
    UNUSED,
    Split,
    rolling,
    split,
    split_as,
    temporal,
)

EVENT = st.tuples(st.sampled_from("uvwx"), st.sampled_from("abcd"), st.integers(0, 30))
events = st.lists(EVENT, min_size=1, max_size=60)


def log_of(rows: list[tuple[str, str, int]]) -> EventLog:
    """Events of (user, item, microseconds)."""
    frame = pl.DataFrame(rows, schema={"user": pl.String, "item": pl.String, "time": pl.Int64}, orient="row")
    return EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))


def when(found: Split, code: int) -> list[int]:
    stamps = found.log.frame["time"].dt.epoch("us").to_numpy()
    return sorted(stamps[found.part == code].tolist())


@pytest.mark.parametrize("sliding", [False, True])
@given(rows=events, windows=st.integers(1, 4))
def test_tests_are_adjacent_disjoint_and_later_than_all_that_is_learnt_from(
    sliding: bool, rows: list[tuple[str, str, int]], windows: int
) -> None:
    log = log_of(rows)
    try:
        found = rolling(log, windows=windows, test=0.15, validation=0.2, sliding=sliding)
    except DataError:
        return
    assert len(found) == windows
    tested = [when(one, TEST) for one in found]
    joined = [stamp for part in tested for stamp in part]
    assert joined == sorted(joined), "one after the other, none twice"
    stamps = sorted(time for _, _, time in rows)
    assert joined == stamps[len(stamps) - len(joined) :], "adjacent up to the last event"
    for one, part in zip(found, tested, strict=True):
        assert sum(one.sizes.values()) == len(rows)
        assert max(when(one, TRAIN)) < part[0]
        assert all(stamp < part[0] for stamp in when(one, PARTS["validation"]))
        assert one.leaks == ""
        if not sliding:
            assert all(stamp > part[-1] for stamp in when(one, UNUSED))


@given(rows=events)
def test_one_window_is_the_temporal_split(rows: list[tuple[str, str, int]]) -> None:
    log = log_of(rows)
    try:
        expected = temporal(log, test=0.2, validation=0.3)
    except DataError:
        with pytest.raises(DataError):
            rolling(log, windows=1, test=0.2, validation=0.3)
        return
    (found,) = rolling(log, windows=1, test=0.2, validation=0.3)
    assert found.part.tolist() == expected.part.tolist()
    assert found.name == f"window 1 of 1, {expected.name}"


def test_the_windows_of_a_hundred_moments() -> None:
    log = log_of([("u", "a", time) for time in range(101)])
    growing = rolling(log, windows=3, test=0.1, validation=0.1)
    # the tests begin at the quantiles 0.7, 0.8 and 0.9 of 0..100; of the 0..69 before the first, 0.9 is at 62.1
    assert [when(one, TEST) for one in growing] == [
        list(range(70, 80)), list(range(80, 90)), list(range(90, 101))]  # fmt: skip
    assert [when(one, TRAIN)[0] for one in growing] == [0, 0, 0]
    assert when(growing[0], TRAIN) == list(range(63))
    assert growing[0].sizes["unused"] == 101 - 80
    assert "unused" not in growing[2].sizes
    sliding = rolling(log, windows=3, test=0.1, validation=0.1, sliding=True)
    assert [when(one, TRAIN)[0] for one in sliding] == [0, 10, 20]
    assert [one.before_test.n_events for one in sliding] == [70, 70, 70]
    assert "training from" in sliding[1].name
    assert "until" in sliding[0].name


def test_what_a_sliding_window_does_not_learn_from_stands_in_histories() -> None:
    log = log_of([("u", "abcdefghij"[time], time) for time in range(10)])
    second = rolling(log, windows=2, test=0.2, validation=0.0, sliding=True)[1]
    assert second.train.frame["item"].to_list() == list("cdefgh")
    asked = second.examples("test", Catalogue.fit(log))
    assert asked.queries.lengths.tolist() == [8, 9]
    assert asked.target_ids.to_list() == ["i", "j"]


def test_windows_that_cannot_be_say_so() -> None:
    log = log_of([("u", "a", time) for time in range(20)])
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        rolling(log, windows=10, test=0.1)
    with pytest.raises(ConfigError, match="windows=0"):
        rolling(log, windows=0)
    crowded = log_of([("u", "a", 0), *[("u", "b", 5)] * 30])
    with pytest.raises(DataError, match=r"No event lies between .* nothing can be tested"):
        rolling(crowded, windows=2, validation=0.0)
    with pytest.raises(DataError, match="window 1 of 2 begins: take fewer"):
        rolling(log_of([("u", "b", 5)] * 30), windows=2)
    with pytest.raises(ColumnError, match="no times"):
        rolling(EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["a", "b"]})))


# ------------------------------------------------------------------------------ the table of an experiment


def test_a_table_gives_each_rule_its_own_options() -> None:
    log = log_of([(f"u{n % 7}", f"i{n % 5}", n) for n in range(70)])
    table = {"test": 0.3, "validation": 0.2, "seed": 2, "days": 3.0, "windows": 0, "window": 0}
    for rule, options in {
        "temporal": {"test": 0.3, "validation": 0.2},
        "ratio": {"test": 0.3, "validation": 0.2},
        "last": {},
        "users": {"test": 0.3, "validation": 0.2, "seed": 2},
        "items": {"test": 0.3, "validation": 0.2, "seed": 2},
    }.items():
        found = split_as(log, {"rule": rule, **table})
        assert found.part.tolist() == split(log, rule, **options).part.tolist()
    assert split_as(log, {"rule": "last", **table, "validation": 0.0}).sizes["validation"] == 0
    assert split_as(log, {"rule": "temporal"}).part.tolist() == temporal(log).part.tolist()


def test_a_table_chooses_one_window() -> None:
    log = log_of([("u", "a", time) for time in range(101)])
    table = {"rule": "temporal", "test": 0.1, "validation": 0.1, "windows": 3, "sliding": True}
    for number, expected in enumerate(rolling(log, sliding=True), start=1):
        found = split_as(log, {**table, "window": number})
        assert np.array_equal(found.part, expected.part)
        assert found.name == expected.name
    for number in (0, 4):
        with pytest.raises(ConfigError, match="make 3 runs"):
            split_as(log, {**table, "window": number})
    with pytest.raises(ConfigError, match="does not cut by time"):
        split_as(log, {**table, "rule": "last", "window": 1})


def test_a_table_is_checked_against_what_a_sequence_is() -> None:
    frame = log_of([("u", "a", time) for time in range(4)]).frame
    log = EventLog.of(frame.with_columns(session=pl.col("user"), basket=pl.col("time").cast(pl.String)))
    with pytest.raises(ConfigError, match=r"baskets of users: take sequences.by = 'user'"):
        split_as(log, {"rule": "basket"}, "session")
    assert split_as(log, {"rule": "basket"}).sizes == {"train": 2, "validation": 1, "test": 1}
    with pytest.raises(ConfigError, match="--by session"):
        split_as(log, {"rule": "days"}, "user")
    with pytest.raises(ConfigError, match="Did you mean 'users'"):
        split_as(log, {"rule": "user"})
