"""Text that is a number, numbers as text, and columns of values of several kinds."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.events.numerals import as_numbers, as_text, column, legible_numbers

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.lists(st.none() | numbers | st.booleans() | st.text(max_size=4), max_size=8)


@pytest.mark.parametrize(
    ("given", "kind", "found"),
    [
        ([1, None, 2], pl.Int64, [1, None, 2]),
        ([1.5, None], pl.Float64, [1.5, None]),
        ([2, 2.5], pl.Float64, [2.0, 2.5]),
        ([True, None], pl.Boolean, [True, None]),
        (["a", None], pl.String, ["a", None]),
        ([None, None], pl.Null, [None, None]),
        ([], pl.Null, []),
        (["2.50", 2, 2.0, 2.5, None], pl.String, ["2.50", "2", "2", "2.5", None]),
        ([2.5, "x"], pl.String, ["2.5", "x"]),
        ([True, "x", False], pl.String, ["true", "x", "false"]),
        ([True, 2, 2.5], pl.String, ["true", "2", "2.5"]),
        (["x", math.nan], pl.String, ["x", None]),
    ],
)
def test_a_column_has_one_kind(given: list[Any], kind: pl.DataType, found: list[Any]) -> None:
    made = column("price", given)
    assert (made.name, made.dtype, made.to_list()) == ("price", kind, found)


@pytest.mark.parametrize("given", [[[1], "a"], [{"a": 1}, 1], [10**200]])
def test_what_cannot_be_one_column_is_told(given: list[Any]) -> None:
    with pytest.raises((TypeError, OverflowError, pl.exceptions.PolarsError)):
        column("price", given)


@given(values, values)
def test_a_value_means_the_same_whatever_it_stands_beside(some: list[Any], others: list[Any]) -> None:
    """As a category, and as a number where it is one: alone, or in any column."""
    whole = column("x", [*some, *others])
    texts, (read, odd) = as_text(whole).to_list(), as_numbers(whole)
    for place, value in enumerate([*some, *others]):
        alone = column("x", [value])
        assert texts[place] == as_text(alone).to_list()[0]
        if not isinstance(value, bool):
            assert read[place] == as_numbers(alone)[0][0]
            assert odd[place] == as_numbers(alone)[1][0]


@given(st.lists(st.none() | numbers | st.booleans(), max_size=8), st.booleans())
def test_numbers_are_read_alike_as_they_are_and_as_text(given: list[Any], beside: bool) -> None:
    """Text is put in the place of some of them."""
    written = [
        str(one) if beside and place % 2 and type(one) is float else one for place, one in enumerate(given)
    ]
    made, places = legible_numbers(written)
    assert places == []
    assert as_numbers(column("x", made))[0].to_list() == [
        None if one is None else float(one) for one in given
    ]


def test_what_is_no_finite_number_is_left_out_and_placed() -> None:
    given = ["2", "cheap", None, 2.5, "", math.inf, "inf", True]
    made, places = legible_numbers(given)
    assert (list(made), places) == (["2", None, None, 2.5, "", None, None, 1], [1, 5, 6])
    assert given[1] == "cheap", "what was given stays as it was"
    assert legible_numbers([1.5, math.inf]) == ([1.5, None], [1])


@pytest.mark.parametrize("given", [[1, 2], [1.5, None], [True], ["1", "2.5"], [None], []])
def test_columns_that_can_be_read_are_not_copied(given: list[Any]) -> None:
    assert legible_numbers(given)[0] is given
