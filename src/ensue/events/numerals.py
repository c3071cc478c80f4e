"""Which text is a number, and which text a number is: the one place for columns whose source knows no types.

A log from a delimited file holds text alone, and what is told of an event later comes as JSON: text, numbers, truths,
and 2.0 written as 2. What is made of them here has the same meaning whatever it stands beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

NUMBER = r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$"
"""A number as people write it, and no code of digits: 007 is none."""


def all_numbers(values: pl.Series) -> bool:
    """Whether a column of text holds numbers alone, and at least one; empty text is missing.

    >>> all_numbers(pl.Series(["1", "2.50", ""])), all_numbers(pl.Series(["1", "02"]))
    (True, False)
    """
    if values.dtype != pl.String:
        return False
    known = values.filter(values.is_not_null() & (values != ""))
    return len(known) > 0 and bool(known.str.contains(NUMBER).all())


def all_fractions(values: pl.Series) -> bool:
    """Whether they are numbers, and some of them fractions: then they are no codes.

    >>> all_fractions(pl.Series(["1", "2.50"])), all_fractions(pl.Series(["1", "2"]))
    (True, False)
    """
    return all_numbers(values) and bool(values.str.contains(".", literal=True).any())


def as_text(values: pl.Series) -> pl.Series:
    """Values as a log that knows no types holds them: a whole number has no point, and NaN is missing.

    >>> as_text(pl.Series([2.0, 2.5])).to_list(), as_text(pl.Series([True])).to_list()
    (['2', '2.5'], ['true'])
    """
    text = values.cast(pl.String)
    if not values.dtype.is_float():
        return text
    whole = values.cast(pl.Int64, strict=False)
    plain = whole.cast(pl.String).zip_with((whole == values).fill_null(value=False), text)
    return plain.set(values.is_nan(), None)


def as_numbers(values: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Numbers, null where there is none; and whether each value is one that cannot be read as a finite number.

    >>> numbers, odd = as_numbers(pl.Series(["2", "", "cheap"]))
    >>> numbers.to_list(), odd.to_list()
    ([2.0, None, None], [False, False, True])
    """
    if values.dtype == pl.String:
        values = values.set(values == "", None)
    numbers = values.cast(pl.Float64, strict=False)
    return numbers, numbers.is_infinite().fill_null(value=False) | (numbers.is_null() & values.is_not_null())


def column(name: str, values: Sequence[Any]) -> pl.Series:
    """One column of values as JSON has them, None where missing.

    Values of one kind stay as they are. Whole numbers beside fractions are fractions; of any other kinds together, each
    value is the text that a log would hold.

    Raises:
        TypeError, OverflowError, polars.exceptions.PolarsError: they cannot be one column.

    >>> column("price", [2, 2.5]).to_list(), column("price", ["2.5", 2.0, None]).to_list()
    ([2.0, 2.5], ['2.5', '2', None])
    """
    kinds = _kinds(values)
    if kinds == {int, float}:
        return pl.Series(name, values, dtype=pl.Float64)
    if len(kinds) < 2 or not kinds <= {bool, int, float, str}:
        return pl.Series(name, values, strict=True)
    parts = [as_text(pl.Series([one if type(one) is kind else None for one in values])) for kind in kinds]
    return pl.select(pl.coalesce(parts)).to_series().alias(name)


def legible_numbers(values: Sequence[Any]) -> tuple[Sequence[Any], list[int]]:
    """Values for a column that is read as numbers, None for those that are none; and the places of these.

    >>> legible_numbers(["2", 2.5, "cheap"])
    (['2', 2.5, None], [2])
    """
    kinds = _kinds(values)
    if kinds <= {int} or kinds == {bool}:
        return values, []
    if bool in kinds:  # beside others truths are the numbers that they are alone
        values = [int(one) if type(one) is bool else one for one in values]
    places = as_numbers(column("", values))[1].arg_true().to_list()
    if places:
        values = list(values)
        for place in places:
            values[place] = None
    return values, places


def _kinds(values: Sequence[Any]) -> set[type]:
    return set(map(type, values)) - {type(None)}
