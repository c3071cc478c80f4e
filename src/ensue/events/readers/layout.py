"""What readers of published layouts share: files of a folder, their headers, rows set aside, several files as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ensue.errors import ColumnError, DataError
from ensue.events.readers import content, delimited
from ensue.events.readers.beside import Items, companion, unpacked_name
from ensue.events.readers.table import Options, RawTable, rejected

__all__ = [
    "Items",
    "american",
    "beside",
    "described",
    "files",
    "first_line",
    "heads",
    "inside",
    "is_american",
    "items_once",
    "joined",
    "needed",
    "table",
    "with_items",
    "without",
]

_US_TIME = (
    r"^(?<month>\d{1,2})/(?<day>\d{1,2})/(?<year>\d{4}) (?<hour>\d{1,2}):(?<minute>\d{2})(?::(?<second>\d{2}))?"
    r"(?: ?(?<half>[AaPp])[Mm])?$"
)


def inside(folder: Path, *names: str) -> Path | None:
    """The first of some files that a folder holds, plain or packed."""
    return companion(folder, *names)


def beside(path: Path, *names: str) -> Path | None:
    """The first of some files that lie in a folder, or in the folder of a file; plain or packed."""
    return inside(path if path.is_dir() else path.parent, *names)


def files(folder: Path, *endings: str) -> list[Path]:
    """The plain files of a folder with some endings, plain or packed, in the order of their names."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file()
        and not path.name.startswith((".", "_"))
        and unpacked_name(path).lower().endswith(endings)
    )


def first_line(path: Path) -> str:
    """The first line of a file without its byte order mark and end; "" if it has none that is text."""
    if not path.is_file():
        return ""
    try:
        start = content.head(path)
    except DataError:
        return ""
    if b"\0" in start:
        return ""
    return (
        start.removeprefix(b"\xef\xbb\xbf")
        .lstrip(b"\r\n")
        .split(b"\n")[0]
        .decode(errors="replace")
        .strip("\r")
    )


def heads(path: Path, delimiter: str) -> list[str]:
    """The fields of a first line as a header: trimmed, without quotes."""
    return [field.strip().strip('"') for field in first_line(path).split(delimiter)]


def table(path: Path, options: Options, delimiter: str, names: Sequence[str] | None = None) -> RawTable:
    """The rows of a delimited file, all columns text.

    Args:
        path: the file.
        options: quoting.
        delimiter: between fields.
        names: names of the columns of a file without a header.
    """
    how = Options(delimiter=delimiter, quoting=options.quoting)
    if names is None:
        return delimited.split(path, how, lambda first: (delimited.header(first), False))
    return delimited.split(path, how, lambda first: (list(names), True))


def needed(read: RawTable, names: Sequence[str], layout: str) -> None:
    """Raises ColumnError if a table lacks a column of its layout."""
    lacking = [name for name in names if name not in read.frame.columns]
    if lacking:
        raise ColumnError(
            f"{read.file} lacks {', '.join(lacking)}, which {layout} has; found: "
            f"{', '.join(read.frame.columns)[:80]}. Read it as a plain table: format='delimited' (--format delimited)."
        )


def without(read: RawTable, bad: pl.Expr, reason: str | pl.Expr, value: pl.Expr) -> RawTable:
    """The table with some rows set aside, for a reason that is a text or a column of texts."""
    mask = read.frame.select(bad.fill_null(False).alias("bad")).to_series()
    if not mask.any():
        return read
    odd = read.frame.filter(mask).select(
        reason=pl.lit(reason) if isinstance(reason, str) else reason,
        value=value.cast(pl.String).fill_null(""),
    )
    aside = rejected(read.lines.filter(mask), "", odd["value"]).with_columns(odd["reason"])
    return dataclasses.replace(
        read,
        frame=read.frame.filter(~mask),
        lines=read.lines.filter(~mask),
        rejected=pl.concat([read.rejected, aside]),
    )


def joined(tables: Sequence[RawTable], file: str) -> RawTable:
    """Several tables as one, in their order; lines count on from file to file, and `parts` knows whose they are."""
    if len(tables) == 1:
        return tables[0]
    lines, aside, notes = [], [], list[str]()
    parts: list[tuple[str, int]] = []
    before = 0
    for read in tables:
        parts.append((read.file, before))
        lines.append(read.lines + before)
        aside.append(read.rejected.with_columns(pl.col("line") + before))
        last = (read.lines.max(), read.rejected["line"].max())
        before += max((int(line) for line in last if isinstance(line, int)), default=0)
        notes += [note for note in read.notes if note not in notes]
    named = ", ".join(read.file for read in tables[:3]) + (", ..." if len(tables) > 3 else "")
    return RawTable(
        file=file,
        frame=pl.concat([read.frame for read in tables], how="diagonal_relaxed"),
        lines=pl.concat(lines),
        rejected=pl.concat(aside),
        rows=sum(read.rows for read in tables),
        columns=tables[0].columns,
        notes=(*notes, f"{len(tables)} files are read as one ({named})"),
        parts=tuple(parts),
    )


def items_once(found: pl.DataFrame, file: str) -> Items:
    """A side table with each item once, the first time it comes, without rows that name no item."""
    named = found.filter((pl.col("item") != "").fill_null(False))
    once = named.filter(pl.col("item").is_first_distinct())
    odd = found.height - once.height
    notes = (f"rows of {file} that repeat an item or name none and are left out: {odd:,}",) if odd else ()
    return once, notes


def described(path: Path | None, delimiter: str, named: dict[str, str], quoting: bool = True) -> Items | None:
    """What a file tells of items; None if there is no such file or it has other columns.

    Args:
        path: the file, if there is one.
        delimiter: between its fields.
        named: column of the side table -> name in the file; `item` is one of them.
        quoting: whether double quotes protect.
    """
    if path is None or not {named["item"]} <= set(heads(path, delimiter)):
        return None
    read = table(path, Options(quoting=quoting), delimiter)
    there = {name: source for name, source in named.items() if source in read.frame.columns}
    items, notes = items_once(read.frame.select(pl.col(s).alias(n) for n, s in there.items()), path.name)
    if read.rejected.height:
        notes += (
            f"lines of {path.name} that cannot be read and are left out: {read.rejected.height:,} "
            f"(line {read.rejected['line'][0]})",
        )
    return items, (*read.notes, *notes)


def with_items(read: RawTable, items: Items | None, none: str) -> RawTable:
    """The table with its side table of items, or with the note that there is none."""
    if items is None:
        return dataclasses.replace(read, notes=(*read.notes, none))
    return dataclasses.replace(read, items=items[0], notes=(*read.notes, *items[1]))


def american(name: str) -> pl.Expr:
    """A column of times as the United States write them, 11/12/2019 2:14:46 PM or 12/1/2010 8:26, as ISO text.

    What is written otherwise stays as it is.
    """
    text = pl.col(name).str.strip_chars()
    part = text.str.extract_groups(_US_TIME).struct
    hour = part.field("hour").cast(pl.Int64)
    half = part.field("half").str.to_uppercase()
    hour = (
        pl.when(half.is_null())
        .then(hour)
        .when(~hour.is_between(1, 12))
        .then(None)
        .otherwise(hour % 12 + pl.when(half == "P").then(12).otherwise(0))
    )
    day = pl.concat_str(
        part.field("year"),
        part.field("month").str.zfill(2),
        part.field("day").str.zfill(2),
        separator="-",
    )
    clock = pl.concat_str(
        hour.cast(pl.String).str.zfill(2),
        part.field("minute"),
        part.field("second").fill_null("00"),
        separator=":",
    )
    return pl.coalesce(pl.concat_str(day, clock, separator=" "), pl.col(name)).alias(name)


def is_american(column: pl.Series) -> bool:
    """Whether the first value of a column is a time as the United States write them."""
    return bool(column.head(1).str.strip_chars().str.contains(_US_TIME).fill_null(False).any())
