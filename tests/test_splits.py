"""Splits: every event in one part, nothing learnt from the future, and what cannot be split says so."""

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
    VALIDATION,
    Examples,
    Split,
    at_times,
    last_out,
    ratio,
    split,
    temporal,
)

EVENT = st.tuples(st.sampled_from("uvwxy"), st.sampled_from("abcdef"), st.integers(0, 15))
events = st.lists(EVENT, min_size=1, max_size=40)


def log_of(rows: list[tuple[str, str, int]]) -> EventLog:
    """Events of (user, item, microseconds)."""
    frame = pl.DataFrame(rows, schema={"user": pl.String, "item": pl.String, "time": pl.Int64}, orient="row")
    return EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))


def times(log: EventLog) -> list[int]:
    return log.frame["time"].dt.epoch("us").to_list()


def cut(log: EventLog, rule: str) -> Split | None:
    """The log split by a rule, or None where the rule rightly refuses it."""
    options: dict[str, object] = {"test": 0.3, "validation": 0.3} if rule in {"temporal", "ratio"} else {}
    try:
        return split(log, rule, **options)
    except DataError:
        return None


def histories(examples: Examples, catalogue: Catalogue) -> list[list[str]]:
    q = examples.queries
    return [catalogue.decode(q.items[a:b]) for a, b in zip(q.starts.tolist(), q.ends.tolist(), strict=True)]


# ------------------------------------------------------------------------------------------ every split


@pytest.mark.parametrize("rule", ["temporal", "last", "ratio"])
@given(rows=events)
def test_the_parts_together_are_the_log(rule: str, rows: list[tuple[str, str, int]]) -> None:
    log = log_of(rows)
    found = cut(log, rule)
    if found is None:
        return
    assert sum(found.sizes.values()) == len(rows)
    assert found.sizes["train"] == found.train.n_events > 0
    assert found.before_test.n_events == found.sizes["train"] + found.sizes["validation"]
    parts = [log.where(found.part == code).frame for code in PARTS.values()]
    assert pl.concat(parts).sort("row").equals(log.frame.sort("row"))
    assert found.train.frame["row"].to_list() == [
        row for row, part in zip(log.frame["row"], found.part, strict=True) if part == TRAIN
    ], "in the order of the log"


@pytest.mark.parametrize("rule", ["temporal", "last", "ratio"])
@given(rows=events)
def test_no_event_of_a_part_is_earlier_in_its_sequence_than_one_of_the_part_before(
    rule: str, rows: list[tuple[str, str, int]]
) -> None:
    log = log_of(rows)
    found = cut(log, rule)
    if found is None:
        return
    for user in log.frame["user"].unique():
        parts = found.part[(log.frame["user"] == user).to_numpy()]
        assert (np.diff(parts.astype(int)) >= 0).all()


# ------------------------------------------------------------------------------------- global temporal


@given(events)
def test_no_training_event_is_later_than_a_cut(rows: list[tuple[str, str, int]]) -> None:
    log = log_of(rows)
    found = cut(log, "temporal")
    if found is None:
        return
    when = np.array(times(log))
    latest = when[found.part == TRAIN].max()
    for later in (VALIDATION, TEST):
        assert (when[found.part == later] > latest).all()
    held_out = when[found.part == TEST].min()
    assert (when[found.part != TEST] < held_out).all()
    assert found.leaks == ""


def test_the_cuts_are_the_quantiles_of_all_times_and_of_what_lies_before() -> None:
    log = log_of([("u", "a", t) for t in range(101)])
    found = temporal(log, test=0.1, validation=0.1)
    # 0.9 quantile of 0..100 is 90; of the 0..89 before it, 80.1
    when = np.array(times(log))
    assert when[found.part == TEST].tolist() == list(range(90, 101))
    assert when[found.part == VALIDATION].tolist() == list(range(81, 90))


def test_events_at_the_cut_are_all_in_the_later_part() -> None:
    log = log_of([("u", "a", 1), ("u", "b", 5), ("v", "c", 5), ("w", "d", 6), ("w", "e", 4)])
    found = at_times(log, 5)
    assert found.sizes == {"train": 2, "validation": 0, "test": 3}
    both = at_times(log, 6, 5)
    assert both.sizes == {"train": 2, "validation": 2, "test": 1}


def test_without_validation_everything_before_the_test_is_training() -> None:
    log = log_of([("u", "a", t) for t in range(101)])
    assert temporal(log, validation=0).sizes == {"train": 90, "validation": 0, "test": 11}


def test_times_of_today_are_cut_to_the_microsecond() -> None:
    now = 1_800_000_000_000_000
    found = at_times(log_of([("u", "a", now - 1), ("u", "b", now), ("u", "c", now + 1)]), now)
    assert found.part.tolist() == [TRAIN, TEST, TEST]


@pytest.mark.parametrize(
    ("rows", "test_from", "message"),
    [
        ([("u", "a", 5), ("u", "b", 6)], 5, "nothing is left to train on"),
        ([("u", "a", 5), ("u", "b", 6)], 7, "nothing can be tested"),
    ],
)
def test_a_cut_that_leaves_a_part_empty_is_refused(
    rows: list[tuple[str, str, int]], test_from: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        at_times(log_of(rows), test_from)


def test_a_log_of_one_moment_or_without_times_cannot_be_split_by_time() -> None:
    with pytest.raises(DataError, match="take split='last'"):
        temporal(log_of([("u", "a", 5), ("u", "b", 5)]))
    timeless = EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["a", "b"]}))
    with pytest.raises(ColumnError, match="take split='last'"):
        temporal(timeless)
    with pytest.raises(ColumnError, match="take split='last'"):
        at_times(timeless, 5)


# ------------------------------------------------------------------------------ leave last out, and ratio


def test_the_last_event_is_the_test_and_the_one_before_it_the_validation() -> None:
    log = log_of([("u", c, t) for t, c in enumerate("abcd")] + [("v", "a", 0), ("v", "b", 1), ("w", "a", 9)])
    found = last_out(log)
    assert found.part.tolist() == [0, 0, 1, 2, 0, 2, 0]
    assert "1 users with a single event" in found.notes[0]
    assert "later than other users' test events" in found.leaks
    assert last_out(log, validation=False).part.tolist() == [0, 0, 0, 2, 0, 2, 0]


def test_leave_last_out_needs_no_times_and_works_by_session() -> None:
    log = EventLog.of(
        pl.DataFrame({"user": list("uuuu"), "item": list("abcd"), "session": ["1", "1", "2", "2"]})
    )
    found = last_out(log, by="session")
    assert found.part.tolist() == [0, 2, 0, 2]
    catalogue = Catalogue.fit(found.before_test)
    examples = found.examples("test", catalogue)
    assert histories(examples, catalogue) == [["a"], ["c"]], "a history stays within its session"
    assert examples.group_ids.to_list() == ["1", "2"]


@given(st.integers(1, 60), st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.3]), st.sampled_from([0.0, 0.1, 0.3]))
def test_a_share_of_a_sequence_is_rounded_down(n: int, test: float, validation: float) -> None:
    found = ratio(log_of([("u", "a", t) for t in range(n)]), test=test, validation=validation)
    hundredths = (round(test * 100), round(validation * 100))
    expected = [n * share // 100 for share in hundredths]
    assert [found.sizes["test"], found.sizes["validation"]] == expected


# -------------------------------------------------------------------------------------- wrong questions


def test_wrong_names_and_shares_say_what_would_be_right() -> None:
    log = log_of([("u", "a", 1), ("u", "b", 2)])
    with pytest.raises(ConfigError, match="Did you mean 'temporal'"):
        split(log, "temporl")
    with pytest.raises(ConfigError, match="take a number from 0 up to 1"):
        split(log, "ratio", test=10)
    with pytest.raises(ConfigError, match="Did you mean 'test'"):
        last_out(log).examples("tset", Catalogue.fit(log))
    with pytest.raises(ConfigError, match="successive, last"):
        last_out(log).examples("test", Catalogue.fit(log), "all")
    with pytest.raises(DataError, match="1 parts for 2 events"):
        Split(log, np.zeros(1, dtype=np.uint8), "mine")


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises((ConfigError, DataError)):
        ratio(log_of([("u", "a", t) for t in range(10)]), test=0.6, validation=0.6)


def test_an_unknown_option_of_a_split_is_named() -> None:
    with pytest.raises(ConfigError):
        split(log_of([("u", "a", 1), ("u", "b", 2)]), "last", tset=0.1)


def test_events_of_overlapping_sessions_are_split_by_session_in_place() -> None:
    """The parts are aligned with the log although the events of a session lie apart in it."""
    rows = [("u", "a", 1), ("u", "x", 2), ("u", "b", 3), ("u", "y", 4), ("u", "c", 5)]
    frame = log_of(rows).frame.with_columns(session=pl.Series(["s", "t", "s", "t", "s"]))
    log = EventLog.of(frame)
    split = last_out(log, by="session")
    assert dict(zip(log.frame["item"], split.part.tolist(), strict=True)) == {
        "a": 0,
        "x": 0,
        "b": 1,
        "y": 2,
        "c": 2,
    }
    catalogue = Catalogue.fit(log)
    examples = split.examples("test", catalogue)
    histories = [
        catalogue.decode(examples.queries.last(3)[q][:n]) for q, n in enumerate(examples.queries.lengths)
    ]
    assert dict(zip(examples.target_ids, histories, strict=True)) == {"c": ["b", "a"], "y": ["x"]}
    assert examples.group_ids.to_list() == ["s", "t"]
    assert examples.by == "session"
