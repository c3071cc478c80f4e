"""Columns of two sources brought to one kind: nothing is lost in silence, and what cannot be read is named."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ColumnError, DataError
from ensue.events.kinds import alike

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
ZONED = pl.Datetime("ms", "Europe/Helsinki")


def brought(known: pl.Series, later: pl.Series) -> pl.Series:
    """The later values, once both columns are of one kind."""
    kept, found = alike(known.to_frame("x"), later.to_frame("x"))
    assert kept["x"].dtype == found["x"].dtype
    return found["x"]


@pytest.mark.parametrize(
    ("known", "later", "wanted"),
    [
        ([2.5], ["1", "2.50", "", None, "1e2", "-3"], [1.0, 2.5, None, None, 100.0, -3.0]),
        ([2.5], [1, None], [1.0, None]),
        ([2.5], [True, False], [1.0, 0.0]),
        ([3], ["4", "", "5.0", "9007199254740993"], [4, None, 5, 9007199254740993]),
        ([3], [4.0, None, float("nan")], [4, None, None]),
        ([3], [True, None], [1, None]),
        ([True], ["true", "False", "", "1", "0"], [True, False, None, True, False]),
        ([True], [1, 0, None], [True, False, None]),
        ([True], [1.0, float("nan")], [True, None]),
        (["a"], [1, 2, None], ["1", "2", None]),
        (["0.5"], [2.5, 3.0, float("nan")], ["2.5", "3.0", None]),
        (["3", ""], [4.0, None], ["4", None]),
        (["3"], [4.5, 3.0], ["4.5", "3.0"]),
        (["True", "False"], [True, False, None], ["True", "False", None]),
        (["1"], [True, False], ["1", "0"]),
        (["x"], [True], ["true"]),
        (["x"], [None], [None]),
    ],
)
def test_values_become_what_the_known_column_holds(
    known: list[Any], later: list[Any], wanted: list[Any]
) -> None:
    found = brought(pl.Series(known), pl.Series(later))
    assert found.to_list() == wanted
    assert found.dtype == pl.Series(known).dtype


def test_whole_numbers_become_wider_where_the_later_ones_are() -> None:
    assert brought(pl.Series([3, 4]), pl.Series([2.5])).to_list() == [2.5]
    assert brought(pl.Series([3, 4]), pl.Series(["2.5", "1"])).to_list() == [2.5, 1.0]
    small = pl.Series([3], dtype=pl.Int8)
    assert brought(small, pl.Series([4])).dtype == pl.Int8
    assert brought(small, pl.Series([400])).to_list() == [400]
    assert brought(small, pl.Series(["400", ""])).to_list() == [400, None]


def test_times_take_the_unit_and_zone_of_the_known_ones() -> None:
    zoned = pl.Series([NOON]).cast(ZONED)
    naive = pl.Series([NOON.replace(tzinfo=None)], dtype=pl.Datetime("ns"))
    for known in (zoned, naive):
        for later in (zoned, naive, pl.Series(["2024-01-31T14:00+02:00"]), pl.Series([1706702400])):
            found = brought(known, later)
            assert found.dtype == known.dtype
            assert found.dt.epoch("ms").to_list() == [1706702400000]
    assert brought(zoned, pl.Series(["", None], dtype=pl.String)).to_list() == [None, None]
    assert brought(pl.Series([date(2024, 1, 1)]), pl.Series(["2024-01-31"])).to_list() == [date(2024, 1, 31)]
    assert brought(naive, pl.Series([date(2024, 1, 31)])).dt.epoch("s").to_list() == [1706702400 - 12 * 3600]
    assert brought(pl.Series(["2024-01-01"]), pl.Series([date(2024, 1, 31)])).to_list() == ["2024-01-31"]


def test_categories_of_a_file_are_no_limit_and_a_column_of_nothing_takes_any_kind() -> None:
    known = pl.Series(["a"], dtype=pl.Enum(["a", "b"]))
    assert brought(known, pl.Series(["c"])).to_list() == ["c"]
    assert brought(pl.Series(["a"]), pl.Series(["b"], dtype=pl.Categorical)).to_list() == ["b"]
    assert brought(pl.Series([None]), pl.Series([1.5])).to_list() == [1.5]


@pytest.mark.parametrize(
    ("known", "later", "told"),
    [
        ([2.5], ["1", "2;5", "no"], "row 2 (2 values of the column are like it), and what is known holds numbers"),
        ([2.5], ["007"], "'007' in row 1, and what is known holds numbers"),
        ([3], [float("inf")], "'inf' in row 1, and what is known holds whole numbers"),
        ([3], ["x"], "'x' in row 1, and what is known holds whole numbers"),
        ([True], ["maybe"], "'maybe' in row 1, and what is known holds true or false"),
        ([True], [2], "'2' in row 1, and what is known holds true or false"),
        ([NOON], ["noon"], "'noon' in row 1, and what is known holds times"),
        ([1.5], [NOON], "in row 1, and what is known holds numbers"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_and_counted(known: list[Any], later: list[Any], told: str) -> None:
    rows = pl.DataFrame({"row": range(len(later)), "x": later}, strict=False)
    with pytest.raises(DataError) as fault:
        alike(pl.DataFrame({"x": known}), rows)
    assert "Column 'x' of the new events holds '" in str(fault.value)
    assert f"{told}: correct such values, or leave them empty." in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_column_of_another_nature_is_refused() -> None:
    with pytest.raises(
        ColumnError, match=r"Column 'x' of the new items is List\(String\), and String in what is known"
    ):
        alike(pl.DataFrame({"x": ["a"]}), pl.DataFrame({"x": [["a", "b"]]}), of="the new items")


def test_other_columns_and_those_that_are_named_stay() -> None:
    known = pl.DataFrame({"id": ["a"], "x": [1.0]})
    kept, found = alike(known, pl.DataFrame({"id": [7], "x": ["2"], "y": ["z"]}), but=("id",))
    assert kept.equals(known)
    assert found.to_dicts() == [{"id": 7, "x": 2.0, "y": "z"}]


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1))
def test_numbers_come_back_from_the_text_of_a_file(values: list[float | None]) -> None:
    numbers = pl.Series(values, dtype=pl.Float64)
    written = pl.read_csv(numbers.to_frame("x").write_csv().encode(), infer_schema=False)["x"]
    assert brought(pl.Series([0.5]), written).to_list() == values
