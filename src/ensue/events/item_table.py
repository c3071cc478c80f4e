"""What is known of the items of a log of one's own: a table with a row for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from ensue.errors import ColumnError, DataError, nearest
from ensue.events.columns import usual
from ensue.events.numerals import all_numbers
from ensue.events.readers import Options, RawTable, delimited, reader_for

ITEM, TITLE = "item", "title"
TITLES = ("title", "name", "item_name", "product_name", "label")
"""Columns that may be the title, the first that is there; the others stay what they are."""

FORMS = ("delimited", "jsonlines", "parquet")


def read_items(
    source: str | Path | pl.DataFrame,
    *,
    columns: Mapping[str, str] | None = None,
    quoting: bool = True,
    decimal: str = ".",
) -> tuple[pl.DataFrame, str]:
    """The table of items, and in a sentence what it tells.

    Ids stay text exactly as written. A column of text that holds numbers alone is read as numbers, as rules about
    prices and networks ask for; several values of one item are written with "|" between them.

    Args:
        source: a file (CSV, TSV, JSON lines, Parquet; plain, gzip or zstd), or a polars DataFrame.
        columns: "item" -> its name in the table, where it is not recognised; its name in the log serves too.
        quoting: False takes double quotes as plain characters.
        decimal: mark before the fraction, "." or ",".

    Returns:
        Columns "item", "title" where there is one, and all others as they are called; an empty text is missing.

    Raises:
        ColumnError: there is no column of items, or there are several.
        DataError: the file is missing, broken or no table; an item has no id, or two rows.
    """
    table = _table(source, Options(quoting=quoting))
    frame = table.frame
    named = _item_column(frame.columns, (columns or {}).get(ITEM, ""), table.file)
    ids = frame[named].cast(pl.String)
    missing = ids.is_null() | (ids == "")
    if missing.any():
        where = _where(table, int(missing.arg_max() or 0))
        raise DataError(f"{where}: an item has no id in the column '{named}': fill it, or leave the row out.")
    twice = ~ids.is_first_distinct()
    if twice.any():
        row = int(twice.arg_max() or 0)
        raise DataError(
            f"{_where(table, row)}: item '{ids[row]}' has a row before this one: keep one row for each item."
        )
    others = [_read(frame[name], decimal) for name in frame.columns if name != named]
    found = pl.DataFrame([ids.alias(ITEM), *others])
    title = next((name for name in TITLES if name in found.columns), None)
    if title is not None and title != TITLE:
        found = found.rename({title: TITLE})
    told = [
        f"{name} (number)" if found[name].dtype.is_numeric() else name
        for name in found.columns
        if name != ITEM
    ]
    return found, f"{table.file} tells of {found.height:,} items: {', '.join(told) or 'their ids alone'}"


def told_of(items: pl.Series, table: pl.DataFrame) -> tuple[str, ...]:
    """What is to be said of items that have no row in a table of them; nothing where all have one.

    Args:
        items: `[E]` ids of the events.
        table: as `read_items` gives it.
    """
    own = items.drop_nulls().unique(maintain_order=True)
    without = own.filter(~own.is_in(table[ITEM].implode()))
    if without.is_empty():
        return ()
    said = f"{len(without):,} of {len(own):,} items of the events have no row in the table of items"
    if len(without) == len(own):
        said += f", so that it tells nothing: '{own[0]}' is an id of the events, '{table[ITEM][0]}' one of the table"
    return (said,)


def _table(source: Any, options: Options) -> RawTable:
    if isinstance(source, pl.DataFrame):
        lines = pl.int_range(1, source.height + 1, dtype=pl.Int64, eager=True)
        return RawTable("the table of items", source, lines, pl.DataFrame(), source.height)
    path = Path(source).expanduser()
    if path.is_dir():
        raise DataError(f"{path} is a folder: the table of items is one file.")
    reader = reader_for(path)
    if reader.name not in FORMS:
        raise DataError(
            f"{path.name} is read as {reader.name}: the table of items is CSV, TSV, JSON lines or Parquet."
        )
    if reader.name == "delimited":
        table = delimited.split(path, options, lambda first: (first, False))
    else:
        table = reader.read(path, options)
    if table.rejected.height:
        line, reason, value = table.rejected.row(0)
        raise DataError(f"{table.file}, line {line}: {reason} ({value}): mend the table of items.")
    return table


def _item_column(names: list[str], given: str, file: str) -> str:
    """Which column holds the ids."""
    if given in names:
        return given
    found = [name for name in names if usual(name) == ITEM] or [n for n in names if n.casefold() == "id"]
    if len(found) == 1:
        return found[0]
    if found:
        quoted = " and ".join(f"'{name}'" for name in found[:5])
        raise ColumnError(f"{quoted} in {file} could all be the item: say which, columns={{'item': 'NAME'}}.")
    raise ColumnError(
        f"No column for the item in {file}, which has: {', '.join(names)}: call it 'item', or say which with "
        f"columns={{'item': 'NAME'}} (--columns item=NAME).{nearest(ITEM, names)}"
    )


def _where(table: RawTable, row: int) -> str:
    file, line = table.place(int(table.lines[row]))
    return f"{file}, line {line}"


def _read(values: pl.Series, decimal: str) -> pl.Series:
    """A column as it is, but for text that holds numbers alone."""
    if values.dtype != pl.String:
        return values
    values = values.set(values == "", None)
    plain = values.str.replace(",", ".", literal=True) if decimal == "," else values
    if not all_numbers(plain):
        return values
    whole = plain.drop_nulls().str.contains(r"^-?\d{1,18}$").all()
    return plain.cast(pl.Int64 if whole else pl.Float64)
