"""Times: exact to the microsecond from every form, the unit recognised and said, mixtures refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ConfigError, DataError
from ensue.events.times import Times, moment, parse, suspicious

START = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MOMENTS = st.integers(100_000_000_000_000, 4_000_000_000_000_000)  # microseconds, 1973 to 2096


def parsed(values: Sequence[object], unit: str | None = None, dtype: pl.DataType | None = None) -> Times:
    lines = pl.Series(range(2, len(values) + 2))
    return parse(pl.Series("t", values, dtype=dtype), unit, lines, "log.csv")


def micro(times: Times) -> list[int | None]:
    return times.values.dt.epoch("us").to_list()


@given(st.lists(MOMENTS, min_size=1, max_size=20))
def test_every_unit_of_text_and_integer_gives_the_same_instants(stamps: list[int]) -> None:
    assert micro(parsed([str(s) for s in stamps])) == stamps
    assert micro(parsed(stamps)) == stamps
    for unit, scale in (("ms", 1_000), ("s", 1_000_000)):
        whole = [s - s % scale for s in stamps]
        found = parsed([str(s // scale) for s in whole])
        assert (micro(found), found.unit) == (whole, unit)
        fraction = len(str(scale)) - 1
        decimal = parsed([f"{s // scale}.{s % scale:0{fraction}d}" for s in stamps])
        assert (micro(decimal), decimal.unit) == (stamps, unit)
    nano = parsed([s * 1000 + 999 for s in stamps])
    assert (micro(nano), nano.unit) == (stamps, "ns")


@given(st.lists(MOMENTS, min_size=1, max_size=20), st.integers(-14 * 60, 14 * 60))
def test_iso_text_with_any_offset_is_the_same_instant(stamps: list[int], minutes: int) -> None:
    zone = dt.timezone(dt.timedelta(minutes=minutes))
    texts = [(START + dt.timedelta(microseconds=s)).astimezone(zone).isoformat() for s in stamps]
    assert micro(parsed(texts)) == stamps
    assert micro(parsed([text.replace("T", " ") for text in texts])) == stamps


@given(st.lists(MOMENTS, min_size=1, max_size=20))
def test_float_seconds_keep_the_microsecond_that_a_float_holds(stamps: list[int]) -> None:
    assert micro(parsed([s / 1_000_000 for s in stamps])) == stamps


def test_the_unit_is_said() -> None:
    found = parsed(["1700000000123"])
    assert found.notes == (
        "times are numbers, taken as milliseconds since 1970 UTC by the size of their median",
    )


def test_a_day_is_midnight_utc_and_the_note_says_what_that_means_for_the_order() -> None:
    found = parsed(["2021-05-01", "2021-05-02"])
    assert [str(time) for time in found.values] == ["2021-05-01 00:00:00+00:00", "2021-05-02 00:00:00+00:00"]
    assert "dates without a time of day" in found.notes[0]
    for other in (["20210501", "20210502"], [20210501, 20210502], [dt.date(2021, 5, 1), dt.date(2021, 5, 2)]):
        assert micro(parsed(other)) == micro(found)


def test_text_without_an_offset_is_utc_on_every_machine() -> None:
    found = parsed(["2024-01-01 00:00:01", "2024-01-01T00:00:01Z", "2024-01-01T02:00:01+0200"])
    assert micro(found) == [1_704_067_201_000_000] * 3
    assert "without an offset are taken as UTC" in found.notes[0]
    assert parsed(["2024-01-01T00:00:01Z"]).notes == ()


def test_a_fraction_of_any_length() -> None:
    text = ["2024-01-01T00:00:00.5Z", "2024-01-01T00:00:00,25Z", "2024-01-01T00:00:00.1234569Z"]
    assert [stamp % 1_000_000 for stamp in micro(parsed(text)) if stamp] == [500_000, 250_000, 123_456]


def test_compact_digits_with_a_time_of_day() -> None:
    assert str(parsed(["20240131235959"]).values[0]) == "2024-01-31 23:59:59+00:00"


def test_what_is_no_time_is_null_and_never_1970() -> None:
    values = ["2024-02-30", "2024-01-01T24:00:00", "2024-01-01T00:61", "", "yesterday", "2024-01-01"]
    assert [value is None for value in micro(parsed(values))] == [True, True, True, True, True, False]
    assert micro(parsed(["1e400", "nan", "5"])) == [None, None, 5_000_000]
    assert micro(parsed([float("nan"), float("inf"), None, 5.5])) == [None, None, None, 5_500_000]
    assert micro(parsed([None, None])) == [None, None]


def test_other_spellings_of_numbers() -> None:
    assert (
        micro(parsed(["1.7e9", "+1700000000", " 1700000000 ", "1700000000."])) == [1_700_000_000_000_000] * 4
    )
    assert micro(parsed(["-0.25", ".5", "-1"])) == [-250_000, 500_000, -1_000_000]


def test_times_beyond_the_calendar_are_null() -> None:
    assert micro(parsed(["99999999999999999999", "1"])) == [None, 1_000_000]
    assert micro(parsed([-(2**63), 1])) == [None, 1_000_000]
    assert micro(parsed(["999999999999"], unit="s")) == [None]
    assert micro(parsed(["9999-12-31T23:59:59-01:00"])) == [None]
    assert micro(parsed([2**64 - 1, 1], dtype=pl.UInt64())) == [None, 1_000_000]


def test_units_that_are_mixed_are_refused_with_both_lines() -> None:
    with pytest.raises(DataError) as caught:
        parsed(["1700000000", "1700000000", "1700000000123"])
    text = str(caught.value)
    assert "line 2 has 1700000000 (seconds)" in text
    assert "line 4 has 1700000000123 (milliseconds)" in text
    assert "time_unit='s'" in text


def test_numbers_and_text_that_are_mixed_are_refused_with_both_lines() -> None:
    with pytest.raises(DataError, match=r"line 2 has '1700000000', line 3 has '2024-01-01'"):
        parsed(["1700000000", "2024-01-01"])


def test_one_odd_unit_among_many_costs_one_row() -> None:
    found = parsed(["1700000000"] * 150 + ["1700000000123"])
    assert micro(found)[-1] is None
    assert None not in micro(found)[:-1]
    assert "first: line 152" in found.notes[-1]


def test_a_forced_unit_wins() -> None:
    assert micro(parsed(["1700000000123"], unit="us")) == [1_700_000_000_123]
    assert micro(parsed(["31/01/2024"], unit="%d/%m/%Y")) == [1_706_659_200_000_000]
    assert micro(parsed(["1700000000"], unit="iso")) == [None]
    assert micro(parsed(["20240131", "1"], unit="date")) == [1_706_659_200_000_000, None]


def test_an_unknown_unit_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="Unknown time unit 'iso8601': use s, ms, us, ns, iso, date"):
        parsed(["1"], unit="iso8601")


@pytest.mark.parametrize("kind", [pl.Float32(), pl.Boolean(), pl.Binary()])
def test_a_type_that_cannot_hold_exact_times_is_refused(kind: pl.DataType) -> None:
    with pytest.raises(
        DataError, match=f"The time column of log.csv is {kind}, which cannot hold exact times"
    ):
        parse(pl.Series([None], dtype=kind), None, pl.Series([1]), "log.csv")


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_typed_times_of_any_unit_and_zone(unit: str) -> None:
    naive = pl.Series([dt.datetime(2024, 7, 1, 12)], dtype=pl.Datetime(unit))  # type: ignore[arg-type]  # noqa: DTZ001
    found = parse(naive, None, pl.Series([1]), "t")
    assert str(found.values[0]) == "2024-07-01 12:00:00+00:00"
    assert "taken as UTC" in found.notes[0]
    zoned = naive.dt.replace_time_zone("Europe/Rome")
    assert str(parse(zoned, None, pl.Series([1]), "t").values[0]) == "2024-07-01 10:00:00+00:00"


def test_suspicious_times_are_zero_negative_or_after_2100() -> None:
    found = parsed(["0", "-1", "1", "4133980799", "4133980800"])
    assert suspicious(found.values).to_list() == [True, True, False, False, True]


def test_one_moment_for_a_bound() -> None:
    assert moment("2000-01-01", "since") == 946_684_800_000_000
    with pytest.raises(ConfigError, match="until='soon' is not a date or time: write it like 2024-01-31"):
        moment("soon", "until")
