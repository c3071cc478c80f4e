"""`read`: any source to the canonical event log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ensue.errors import ConfigError, DataError, MissingExtraError
from ensue.events import columns as naming
from ensue.events import times
from ensue.events.gathering import Gathering
from ensue.events.item_table import read_items, told_of
from ensue.events.log import EventLog
from ensue.events.readers import (
    Options,
    RawTable,
    Reader,
    content,
    reader_for,
    reader_named,
    reader_of_folder,
    sql,
)
from ensue.events.readers.table import REJECTED
from ensue.events.reading import Reading
from ensue.events.rows import Rules

_ROW = 30
"""About how many bytes a row takes that is not text."""

ROWS = 1_000_000
"""About how many rows make a piece where nothing is said."""

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
    items: str | Path | pl.DataFrame | None = None,
) -> EventLog:
    """The event log of a file, a folder of files, or a table in memory.

    Ids stay text exactly as written. Rows that cannot be events are set aside, counted and listed in `log.reading`.

    Args:
        source: a file (CSV, TSV, other delimited text, JSON lines, Parquet; plain, gzip or zstd), a folder (a published
            layout, or files of one format, read in the order of their names), a database ("sqlite:///shop.db?table=events",
            "postgresql://host/shop?query=SELECT ..."), a polars or pandas DataFrame.
        format: name of a reader, to skip recognition.
        columns: canonical column -> name in the source, for names that are not recognised; "" means there is none. For
            text without a header, places: {"user": "1", "item": "2"}.
        delimiter: of delimited text; found from the first line otherwise.
        quoting: False takes double quotes as plain characters.
        decimal: mark before the fraction in ratings and quantities, "." or ",".
        time_unit: "s", "ms", "us", "ns", "iso", "date" or a strftime pattern; recognised otherwise.
        since: ISO date or time; earlier events are set aside.
        until: ISO date or time; later events are set aside.
        items: what is known of the items, as `read_items` takes it; in place of what the source tells of them.

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
    asked = _asked(columns, delimiter, quoting, decimal, time_unit, since, until)
    known = None if items is None else _known(items, asked)
    gathering = Gathering(asked.options.columns, asked.rules)
    found = _found(source, format)
    frames = [gathering.add(reader.read(path, asked.options)) for reader, path in found.sources]
    if found.table is not None:
        frames.append(gathering.add(found.table))
    table, notes = (gathering.items, ()) if known is None else known
    whole = _together(frames)
    if known is not None:
        notes = (*notes, *told_of(whole["item"], known[0]))
    return EventLog.of(whole, table, gathering.account(found.name, (*found.notes, *notes)))


class Stream:
    """The events of a source piece by piece, in canonical columns and in the order of the source.

    Go through `frames` once, then ask for `account` and `items`. Each piece is understood by itself: pieces whose times
    seem to be of different units are refused, where `read` judges all of them at once; `time_unit` settles it.

    Args:
        source: as for `read`.
        rows: about how many rows make a piece; a format that can only be read whole comes in one.
        format: as for `read`, and all that follows.
    """

    def __init__(
        self,
        source: str | Path | pl.DataFrame | Any,
        *,
        rows: int = ROWS,
        format: str | None = None,
        columns: Mapping[str, str] | None = None,
        delimiter: str | None = None,
        quoting: bool = True,
        decimal: str = ".",
        time_unit: str | None = None,
        since: str | None = None,
        until: str | None = None,
        items: str | Path | pl.DataFrame | None = None,
    ) -> None:
        self._asked = _asked(columns, delimiter, quoting, decimal, time_unit, since, until)
        self._known = None if items is None else _known(items, self._asked)
        self._found = _found(source, format)
        self._gathering = Gathering(self._asked.options.columns, self._asked.rules)
        self._rows = rows
        self._ids = pl.Series(dtype=pl.String)

    def frames(self) -> Iterator[pl.DataFrame]:
        """The events of each piece, `row` counting on; raises what `read` does, when it comes to it."""
        options = self._asked.options
        for reader, path in self._found.sources:
            whole = reader.pieces is None
            pieces = [reader.read(path, options)] if whole else reader.pieces(path, options, self._rows)  # type: ignore[misc]
            for piece in pieces:
                yield self._added(piece)
        if self._found.table is not None:
            yield self._added(self._found.table)

    def _added(self, table: RawTable) -> pl.DataFrame:
        """The events of a piece; of a log with a table of items its ids are kept, to be looked for there."""
        found = self._gathering.add(table)
        if self._known is not None:
            self._ids = pl.concat([self._ids, found["item"].unique(maintain_order=True)])
            self._ids = self._ids.unique(maintain_order=True)
        return found

    @property
    def rows(self) -> int:
        """How many rows have been read, good and bad."""
        return self._gathering.rows

    def about(self) -> int:
        """About how many rows there are, judged by the sizes of files and their first lines: for a bar, no result."""
        if self._found.table is not None:
            return self._found.table.rows
        rows = 1
        for _, path in self._found.sources:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    start = content.head(file)
                    lines = start.count(b"\n")
                    rows += file.stat().st_size * (lines or 1) // max(len(start) if lines else _ROW, 1)
        return rows

    @property
    def items(self) -> pl.DataFrame | None:
        """What is known of items, or what the pieces so far told of them."""
        return self._gathering.items if self._known is None else self._known[0]

    def account(self) -> Reading:
        """The account of all pieces.

        Raises:
            DataError: most rows are bad, so it is the reading that is wrong.
        """
        told = () if self._known is None else (*self._known[1], *told_of(self._ids, self._known[0]))
        return self._gathering.account(self._found.name, (*self._found.notes, *told))


@dataclass(frozen=True)
class _Asked:
    """The options of a reading, checked."""

    options: Options
    rules: Rules


def _asked(
    columns: Mapping[str, str] | None,
    delimiter: str | None,
    quoting: bool,
    decimal: str,
    time_unit: str | None,
    since: str | None,
    until: str | None,
) -> _Asked:
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
    return _Asked(Options(mapping, delimiter, quoting), rules)


def _known(items: str | Path | pl.DataFrame, asked: _Asked) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The caller's table of items, and the note that it was read."""
    options = asked.options
    table, note = read_items(
        items, columns=options.columns, quoting=options.quoting, decimal=asked.rules.decimal
    )
    return table, (note,)


@dataclass(frozen=True)
class _Found:
    """What a source is: places with their readers, or a table in memory; the name of its format, and notes."""

    name: str
    sources: tuple[tuple[Reader, Path], ...] = ()
    table: RawTable | None = None
    notes: tuple[str, ...] = ()


def _found(source: Any, format: str | None) -> _Found:
    database = sql.reader_at(source)
    if database is not None:
        return _Found(database.name, ((database, Path()),))
    if not isinstance(source, str | Path):
        return _Found("frame", table=_in_memory(source))
    path = Path(source).expanduser()
    reader = reader_named(format) if format is not None else None
    if not path.is_dir():
        reader = reader or reader_for(path)
        return _Found(reader.name, ((reader, path),))
    whole = reader_of_folder(path) if reader is None else reader if reader.folders else None
    if whole is not None:
        return _Found(whole.name, ((whole, path),))
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
    return _Found(reader.name, tuple((reader, file) for file in files), notes=notes)


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    """The data files of a folder in the order of their names, and the names of the others."""
    inside = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith((".", "_")))
    about = ("readme", "license", "licence")
    files = [p for p in inside if set(p.suffixes) & set(_DATA_NAMES) and not p.name.lower().startswith(about)]
    if not files:
        held = ", ".join(p.name for p in sorted(folder.iterdir())[:5]) or "nothing"
        raise DataError(
            f"{folder} holds nothing readable ({held}): give a folder with {', '.join(_DATA_NAMES[:3])}, .jsonl or "
            ".parquet files, or the folder of a published data set."
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


def _together(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """The events of all files as one table; a column of unlike types becomes text."""
    if len(frames) == 1:
        return frames[0]
    kinds: dict[str, set[pl.DataType]] = {}
    for frame in frames:
        for name, kind in frame.schema.items():
            kinds.setdefault(name, set()).add(kind)
    unlike = [name for name, found in kinds.items() if len(found) > 1 and name != "time"]
    alike = [f.with_columns(pl.col(n).cast(pl.String) for n in unlike if n in f.columns) for f in frames]
    return pl.concat(alike, how="diagonal")
