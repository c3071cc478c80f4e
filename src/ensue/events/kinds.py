"""Events of two sources in columns of one kind: what a Parquet file knows of its columns, a CSV file does not."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from ensue.errors import ColumnError, DataError
from ensue.events import times
from ensue.events.numerals import NUMBER, all_fractions, all_numbers

_TRUTH = {"true": True, "false": False, "1": True, "0": False}


def alike(
    known: pl.DataFrame, later: pl.DataFrame, *, but: Collection[str] = (), of: str = "the new events"
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two tables whose common columns are of the same kinds: those of the known one, as far as they hold both.

    Empty text, null and NaN are missing. Text that is a number becomes that number, and a number among text the text
    that a delimited file would hold. Whole numbers become fractions where the later ones are.

    Args:
        known: what kinds are taken from.
        later: rows from another source, with their place in it as `row`, if that is known.
        but: columns that stay as they are.
        of: what the later rows are, for messages.

    Raises:
        ColumnError: a column cannot be brought to that kind at all.
        DataError: a value cannot.

    Example:
        >>> known = pl.DataFrame({"price": [2.5]})
        >>> _, later = alike(known, pl.DataFrame({"row": [0, 1], "price": ["1", ""]}))
        >>> later["price"].to_list()
        [1.0, None]
    """
    for name in known.columns:
        if name in later.columns and name not in but:
            kept, given = _as_text(known[name]), _as_text(later[name])
            kind = _kind(kept, given)
            try:
                found = _brought(given, kind, kept)
            except pl.exceptions.PolarsError:
                raise ColumnError(
                    f"Column '{name}' of {of} is {given.dtype}, and {kind} in what is known: write it as that."
                ) from None
            _refuse(given, found, kind, later, of)
            known = known.with_columns(kept.cast(kind))
            later = later.with_columns(found)
    return known, later


def _as_text(values: pl.Series) -> pl.Series:
    """Categories as text, since those of a file are no limit to what another may hold; all else as it is."""
    return values.cast(pl.String) if values.dtype in (pl.Categorical, pl.Enum) else values


def _kind(known: pl.Series, later: pl.Series) -> pl.DataType:
    """The kind that both columns are to have."""
    kept, given = known.dtype, later.dtype
    if kept == pl.Null:
        return given
    if not kept.is_integer():
        return kept
    numbers = later if given.is_integer() else _numbers(later)
    if not given.is_integer() and bool((numbers != numbers.round()).any()):
        return pl.Float64()
    fit = numbers.cast(kept, strict=False).null_count() == numbers.null_count()
    return kept if fit else pl.Int64()


def _brought(values: pl.Series, kind: pl.DataType, known: pl.Series) -> pl.Series:
    """The values as that kind, null where they are missing or cannot be read.

    Args:
        values: as they came.
        kind: what is wanted.
        known: values of that kind, by which others are written where they are text.
    """
    if values.dtype == kind:
        return values
    if values.dtype == pl.Null:
        return values.cast(kind)
    if kind == pl.String:
        return _written(values, known)
    if kind == pl.Boolean:
        return _truth(values)
    if kind.is_numeric():
        numbers = values if values.dtype.is_integer() else _numbers(values)
        found = numbers.cast(kind, strict=False)
        if kind.is_integer() and values.dtype == pl.String:  # a float holds no more than 15 digits
            digits = values.str.extract(r"^(-?\d+)$").cast(kind, strict=False)
            return pl.select(
                pl.when(found.is_not_null() & digits.is_not_null()).then(digits).otherwise(found)
            ).to_series()
        return found
    if kind == pl.Date or isinstance(kind, pl.Datetime):
        return _moments(values, kind)
    return values.cast(kind, strict=False)


def _numbers(values: pl.Series) -> pl.Series:
    """Finite numbers, null where there is none."""
    if values.dtype == pl.String:
        values = values.set(~values.str.contains(NUMBER).fill_null(False), None)
    elif not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        return pl.Series(values.name, [None] * len(values), dtype=pl.Float64)
    numbers = values.cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite().fill_null(False), None)


def _truth(values: pl.Series) -> pl.Series:
    """True or false, by the words or by 1 and 0."""
    if values.dtype != pl.String:
        numbers = _numbers(values)
        return numbers.set(~numbers.is_in([0.0, 1.0]).fill_null(False), None).cast(pl.Boolean)
    words = values.str.to_lowercase()
    return words.replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)


def _moments(values: pl.Series, kind: pl.DataType) -> pl.Series:
    """Times, or their days, in the unit and zone of a kind; where either has no zone, UTC is meant."""
    rows = pl.Series(range(1, len(values) + 1))
    found = times.parse(values, None, rows, f"column '{values.name}'").values.rename(values.name)
    if kind == pl.Date:
        return found.dt.date()
    zone = kind.time_zone if isinstance(kind, pl.Datetime) else None
    zoned = found.dt.replace_time_zone(None) if zone is None else found.dt.convert_time_zone(zone)
    return zoned.cast(kind)


def _written(values: pl.Series, known: pl.Series) -> pl.Series:
    """The text that a delimited file would hold, whole numbers and true or false written as the known ones are."""
    kind = values.dtype
    if kind == pl.Boolean:
        words = {str(word).lower(): word for word in known.drop_nulls().unique()}
        if all_numbers(known):
            return values.cast(pl.Int8).cast(pl.String)
        return values.cast(pl.String).replace({word: words.get(word, word) for word in ("true", "false")})
    if kind.is_float():
        values = values.fill_nan(None)
        whole = values.cast(pl.Int64, strict=False)
        if all_numbers(known) and not all_fractions(known) and bool((whole == values).all()):
            return whole.cast(pl.String)
    if isinstance(kind, pl.Datetime):
        return values.dt.to_string("iso")
    return values.cast(pl.String)


def _refuse(given: pl.Series, found: pl.Series, kind: pl.DataType, later: pl.DataFrame, of: str) -> None:
    """Raises an error for values that are known and could not be read."""
    missing = given.is_null()
    if given.dtype == pl.String:
        missing |= given.str.strip_chars() == ""
    elif given.dtype.is_float():
        missing |= given.is_nan()
    lost = found.is_null() & ~missing.fill_null(True)
    if not lost.any():
        return
    first, number = lost.arg_max() or 0, int(lost.sum())
    where = f" in row {later['row'][first] + 1:,}" if "row" in later.columns else ""
    others = f" ({number:,} values of the column are like it)" if number > 1 else ""
    raise DataError(
        f"Column '{given.name}' of {of} holds '{given[first]}'{where}{others}, and what is known holds "
        f"{_words(kind)}: correct such values, or leave them empty."
    )


def _words(kind: pl.DataType) -> str:
    if kind.is_numeric():
        return "whole numbers" if kind.is_integer() else "numbers"
    if kind == pl.Boolean:
        return "true or false"
    return "times" if kind.is_temporal() else str(kind)
