"""`read`: any source to the canonical event log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ensue.errors import ConfigError, DataError, MissingExtraError
from ensue.events import columns as naming
from ensue.events import times
from ensue.events.log import EventLog
from ensue.events.readers import Options, RawTable, reader_for, reader_named, reader_of_folder
from ensue.events.readers.table import REJECTED
from ensue.events.reading import EXAMPLES_KEPT, Reading, SetAside
from ensue.events.rows import BAD_NUMBER, BAD_ORDER, BAD_TIME, Events, Rules, events

BAD_SHARE = 0.5
"""More than this share of bad rows means that the file was misunderstood, and stops the reading."""

_DATA_NAMES = (
    ".csv",
    ".tsv",
    ".txt",
    ".dat",
    ".data",
    ".inter",
    ".jsonl",
    ".ndjson",
    ".json",
    ".parquet",
    ".pq",
)

_REMEDIES = {
    BAD_TIME: "force the unit with time_unit (--time-unit), e.g. 's', 'iso' or a pattern like '%d/%m/%Y'",
    BAD_NUMBER[
        "rating"
    ]: "give the decimal mark (decimal=',', --decimal ,) or leave ratings out: columns={'rating': ''}",
    BAD_NUMBER[
        "quantity"
    ]: "give the decimal mark (decimal=',') or leave quantities out: columns={'quantity': ''}",
    BAD_ORDER: "leave the column out: columns={'order': ''} (--columns order=)",
}


def read(
    source: str | Path | pl.DataFrame | Any,
    *,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    quoting: bool = True,
    decimal: str = ".",
    time_unit: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> EventLog:
    """The event log of a file, a folder of files, or a table in memory.

    Ids stay text exactly as written. Rows that cannot be events are set aside, counted and listed in `log.reading`.

    Args:
        source: a file (CSV, TSV, other delimited text, JSON lines, Parquet; plain or gzip), a folder (a MovieLens
            layout, or files of one format, read in the order of their names), a polars or pandas DataFrame.
        format: name of a reader, to skip recognition.
        columns: canonical column -> name in the source, for names that are not recognised; "" means there is none. For
            text without a header, places: {"user": "1", "item": "2"}.
        delimiter: of delimited text; found from the first line otherwise.
        quoting: False takes double quotes as plain characters.
        decimal: mark before the fraction in ratings and quantities, "." or ",".
        time_unit: "s", "ms", "us", "ns", "iso", "date" or a strftime pattern; recognised otherwise.
        since: ISO date or time; earlier events are set aside.
        until: ISO date or time; later events are set aside.

    Raises:
        ColumnError: columns are missing, ambiguous or of a type that cannot serve.
        DataError: the source is missing, broken or empty, or more than half of its rows are bad.
        ConfigError: an option has an impossible value.

    Example:
        >>> import polars as pl
        >>> log = read(pl.DataFrame({"uid": ["007", "007"], "sku": ["b", "a"], "ts": [20, 10]}))
        >>> log.frame["item"].to_list(), log.reading.columns["user"]
        (['a', 'b'], 'uid')
    """
    mapping = naming.check_mapping(columns)
    times.check_unit(time_unit)
    if decimal not in (".", ","):
        raise ConfigError(f"The decimal mark '{decimal}' is not possible: give '.' or ','.")
    rules = Rules(
        decimal=decimal,
        time_unit=time_unit,
        since=None if since is None else times.moment(since, "since"),
        until=None if until is None else times.moment(until, "until"),
    )
    options = Options(mapping, delimiter, quoting)
    if isinstance(source, str | Path):
        tables, name, notes = _tables(Path(source).expanduser(), format, options)
    else:
        tables, name, notes = [_in_memory(source)], "frame", ()
    return _log(tables, name, notes, mapping, rules)


def _tables(path: Path, format: str | None, options: Options) -> tuple[list[RawTable], str, tuple[str, ...]]:
    """The tables of a file or folder, the name of their format, and notes."""
    reader = reader_named(format) if format is not None else None
    if not path.is_dir():
        reader = reader or reader_for(path)
        return [reader.read(path, options)], reader.name, ()
    whole = reader_of_folder(path) if reader is None else reader if reader.folders else None
    if whole is not None:
        return [whole.read(path, options)], whole.name, ()
    files, others = _files(path)
    by_reader: dict[str, list[Path]] = {}
    for file in files:
        by_reader.setdefault((reader or reader_for(file)).name, []).append(file)
    if len(by_reader) > 1:
        kinds = "; ".join(
            f"{kind}: {', '.join(file.name for file in some[:3])}" for kind, some in by_reader.items()
        )
        raise DataError(
            f"{path} holds files of several formats ({kinds}): give one file, or name the format."
        )
    reader = reader or reader_for(files[0])
    notes = (f"files of the folder that were not read: {', '.join(others[:5])}",) if others else ()
    return [reader.read(file, options) for file in files], reader.name, notes


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    """The data files of a folder in the order of their names, and the names of the others."""
    inside = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith((".", "_")))
    about = ("readme", "license", "licence")
    files = [p for p in inside if set(p.suffixes) & set(_DATA_NAMES) and not p.name.lower().startswith(about)]
    if not files:
        held = ", ".join(p.name for p in sorted(folder.iterdir())[:5]) or "nothing"
        raise DataError(
            f"{folder} holds nothing readable ({held}): give a folder with {', '.join(_DATA_NAMES[:3])}, .jsonl or "
            ".parquet files, or a MovieLens folder."
        )
    return files, [p.name for p in inside if p not in files]


def _in_memory(source: Any) -> RawTable:
    """A polars or pandas DataFrame as a table."""
    if isinstance(source, pl.LazyFrame):
        source = source.collect()
    if type(source).__module__.split(".")[0] == "pandas" and hasattr(source, "columns"):
        try:
            source = pl.from_pandas(source.rename(columns=str))
        except ImportError:
            raise MissingExtraError(
                "A pandas DataFrame is converted with pyarrow, which is missing: pip install pyarrow, or give a file."
            ) from None
        except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(
                f"The pandas DataFrame has a column of mixed kinds ({first}): make ids text, df[...].astype('string')."
            ) from None
    if not isinstance(source, pl.DataFrame):
        raise DataError(
            f"A {type(source).__name__} is no source: give a path, a polars DataFrame or a pandas DataFrame."
        )
    if not source.height:
        raise DataError(
            f"The table has columns ({', '.join(source.columns)[:80]}) and no rows: nothing to read."
        )
    count = pl.int_range(1, source.height + 1, dtype=pl.Int64, eager=True).alias("line")
    return RawTable("the table", source, count, pl.DataFrame(schema=REJECTED), source.height)


def _log(
    tables: Sequence[RawTable], name: str, notes: tuple[str, ...], mapping: dict[str, str], rules: Rules
) -> EventLog:
    """The log of all tables together, in their order."""
    parts: list[Events] = []
    all_chosen: list[dict[str, str]] = []
    for table in tables:
        chosen = naming.choose(table.frame.columns, {**(table.columns or {}), **mapping}, table.file)
        part = events(table, chosen.columns, rules)
        parts.append(part)
        all_chosen.append(chosen.columns)
        notes += tuple(note for note in (*table.notes, *chosen.notes, *part.notes) if note not in notes)
    _refuse_unlike(tables, all_chosen, parts)
    read_rows = sum(table.rows for table in tables)
    examples: list[SetAside] = []
    counts: dict[str, int] = {}
    for table, part in zip(tables, parts, strict=True):
        for reason, count in part.rejected.group_by("reason", maintain_order=True).len().iter_rows():
            counts[reason] = counts.get(reason, 0) + count
        wanted = part.rejected.sort("line", maintain_order=True).head(EXAMPLES_KEPT - len(examples))
        examples += [SetAside(table.file, line, reason, value) for line, reason, value in wanted.iter_rows()]
    bad = sum(counts.values())
    if bad > BAD_SHARE * read_rows:
        _stop(bad, read_rows, counts, examples)
    frame = _together([part.frame for part in parts])
    reading = Reading(
        files=tuple(table.file for table in tables) if name != "frame" else (),
        format=name,
        columns=all_chosen[0],
        time_unit=parts[0].time_unit,
        rows_read=read_rows,
        rows_kept=frame.height,
        set_aside=counts,
        examples=tuple(examples),
        notes=notes,
    )
    items = next((table.items for table in tables if table.items is not None), None)
    return EventLog.of(frame, items, reading)


def _refuse_unlike(tables: Sequence[RawTable], chosen: list[dict[str, str]], parts: list[Events]) -> None:
    """Raises DataError if the files of a folder disagree on the columns or on the unit of the times."""
    for table, found, part in zip(tables, chosen, parts, strict=True):
        if ("time" in found) != ("time" in chosen[0]) or part.time_unit != parts[0].time_unit:
            what = (
                f"'{part.time_unit or 'none'}', not '{parts[0].time_unit or 'none'}' as in {tables[0].file}"
            )
            raise DataError(
                f"The times of {table.file} are read as {what}: force one with time_unit (--time-unit)."
            )


def _stop(bad: int, rows: int, counts: dict[str, int], examples: list[SetAside]) -> None:
    """Raises DataError: most rows are bad, so it is the reading that is wrong."""
    worst = max(counts, key=lambda reason: counts[reason])
    example = next((e for e in examples if e.reason == worst), examples[0])
    remedy = _REMEDIES.get(
        worst, "check that the columns and the delimiter are the right ones (columns, delimiter)"
    )
    raise DataError(f"{bad:,} of {rows:,} rows cannot be used. First: {example.text()}. Remedy: {remedy}.")


def _together(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """The events of all files as one table, `row` counting on from file to file."""
    if len(frames) == 1:
        return frames[0]
    before = 0
    shifted = []
    for frame in frames:
        shifted.append(frame.with_columns(pl.col("row") + before))
        before += frame["row"].item(-1) + 1 if frame.height else 0
    kinds: dict[str, set[pl.DataType]] = {}
    for frame in shifted:
        for name, kind in frame.schema.items():
            kinds.setdefault(name, set()).add(kind)
    unlike = [name for name, found in kinds.items() if len(found) > 1 and name != "time"]
    shifted = [f.with_columns(pl.col(n).cast(pl.String) for n in unlike if n in f.columns) for f in shifted]
    return pl.concat(shifted, how="diagonal")
