"""Which text is a number: the one place that says so for columns whose source knows no types."""

from __future__ import annotations

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
