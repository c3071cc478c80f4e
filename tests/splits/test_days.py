"""The sessions of the last days: none in two parts, nothing learnt from what is later than a question."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.catalogue import Catalogue
from ensue.errors import ColumnError, ConfigError, DataError
from ensue.events.log import EventLog
from ensue.splits import TEST, TRAIN, UNUSED, VALIDATION, Split, check, last_days, split

DAY = 86_400_000_000
HOUR = DAY // 24

EVENT = st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abcd"), st.integers(0, 24 * 5))


def log_of(rows: list[tuple[str, str, int]]) -> EventLog:
    """Events of (session, item, hours); every session is of a user of its own."""
    frame = pl.DataFrame(rows, schema={"user": pl.String, "item": pl.String, "time": pl.Int64}, orient="row")
    time = (pl.col("time") * HOUR).cast(pl.Datetime("us", "UTC"))
    return EventLog.of(frame.with_columns(time, session=pl.col("user")))


def parts(found: Split) -> dict[str, list[int]]:
    """Session -> the parts of its events."""
    table = pl.DataFrame({"session": found.log.frame["session"], "part": found.part})
    return {str(key[0]): one["part"].to_list() for key, one in table.group_by("session")}


def hours(found: Split, code: int) -> list[int]:
    when = found.log.frame["time"].dt.epoch("us").filter(pl.Series(found.part == code))
    return sorted((when // HOUR).to_list())


@pytest.mark.parametrize("straddling", ["start", "end"])
@given(rows=st.lists(EVENT, min_size=1, max_size=40))
def test_sessions_go_whole_by_one_event(straddling: str, rows: list[tuple[str, str, int]]) -> None:
    log = log_of(rows)
    try:
        found = split(log, "days", straddling=straddling)
    except DataError:
        return
    assert sum(found.sizes.values()) == len(rows)
    cut = max(hour for _, _, hour in rows) - 24
    for session, codes in parts(found).items():
        mine = sorted(hour for name, _, hour in rows if name == session)
        mark = mine[0] if straddling == "start" else mine[-1]
        expected = TEST if mark >= cut else VALIDATION if mark >= cut - 24 else TRAIN
        ends = {TRAIN: cut - 24, VALIDATION: cut, TEST: 10**9}[expected]
        if straddling == "start":
            assert codes == [expected if hour < ends else UNUSED for hour in mine]
        else:
            assert codes == [expected] * len(mine)
    if straddling == "start":
        assert found.leaks == ""
        assert all(hour < cut - 24 for hour in hours(found, TRAIN))
        assert all(hour >= cut for hour in hours(found, TEST))
    check(found)


def test_a_session_that_straddles_the_cut_goes_by_its_start_and_its_end_is_unused() -> None:
    rows = [("old", "a", 0), ("old", "b", 1), ("over", "a", 23), ("over", "b", 25), ("new", "a", 24 + 6),
            ("new", "b", 24 + 24)]  # fmt: skip
    found = last_days(log_of(rows), validation=False)
    assert parts(found) == {"old": [TRAIN] * 2, "over": [TRAIN, UNUSED], "new": [TEST] * 2}
    assert found.sizes == {"train": 3, "validation": 0, "test": 2, "unused": 1}
    assert "1 events of sessions that straddle a cut are later than it, and unused" in found.notes
    asked = found.examples("test", Catalogue.fit(found.train))
    assert asked.group_ids.to_list() == ["new"]


def test_by_its_end_it_is_tested_whole_and_the_leak_is_counted() -> None:
    rows = [("old", "a", 0), ("old", "b", 24), ("over", "a", 23), ("over", "b", 25), ("new", "a", 30),
            ("new", "b", 24 + 24 + 1)]  # fmt: skip
    found = last_days(log_of(rows), validation=False, straddling="end")
    assert parts(found) == {"old": [TRAIN] * 2, "over": [TEST] * 2, "new": [TEST] * 2}
    assert found.leaks.startswith("1 events of sessions that straddle")
    clean = last_days(log_of([row for row in rows if row[0] != "over"]), validation=False, straddling="end")
    assert clean.leaks == ""


def test_more_days_and_parts_of_a_day_move_the_cut() -> None:
    rows = [(f"s{hour:02}", "a", hour) for hour in range(0, 121, 6)]
    # the last event is at hour 120: the last day begins at 96, the last two at 72, the last half at 108
    for days, cut in ((1.0, 96), (2.0, 72), (0.5, 108)):
        found = last_days(log_of(rows), days=days)
        assert hours(found, TEST) == [hour for hour in range(0, 121, 6) if hour >= cut]
        before = cut - round(24 * days)
        assert hours(found, VALIDATION) == [hour for hour in range(0, 121, 6) if before <= hour < cut]


def test_what_cannot_be_split_by_days_says_so() -> None:
    log = log_of([("s", "a", 0), ("t", "b", 100)])
    with pytest.raises(ConfigError, match="take by='session'"):
        last_days(log, by="user")
    with pytest.raises(ConfigError, match="days=0: take a number"):
        last_days(log, days=0)
    with pytest.raises(ConfigError, match="Did you mean 'start'"):
        last_days(log, straddling="strat")
    with pytest.raises(DataError, match="No session lies before the last 10 days"):
        last_days(log, days=5)
    with pytest.raises(ColumnError, match="no sessions"):
        last_days(EventLog.of(log.frame.drop("session")))
    with pytest.raises(ColumnError, match="no times"):
        last_days(EventLog.of(log.frame.drop("time")))
