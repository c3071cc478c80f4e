"""`read_shown`: the lists of a file, joined with what was done in the session before each of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import polars as pl

from ensue.errors import DataError
from ensue.events.log import EventLog
from ensue.events.readers import (
    Options,
    RawTable,
    Reader,
    delimited,
    layout,
    reader_for,
    reader_of_folder,
    trivago,
)
from ensue.events.source import read
from ensue.reranking import long_form, sessions_of_trivago
from ensue.reranking.shown import Shown

TRIVAGO, TYPED = "trivago", ("parquet", "jsonlines")
ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".snappy", ".jsonl", ".ndjson")

Known = Literal["choice", "display"]


def read_shown(
    lists: str | Path | pl.DataFrame,
    events: str | Path | pl.DataFrame | EventLog | None = None,
    *,
    known: Known = "choice",
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
) -> Shown:
    """Lists as they were shown, with what was done in the session before each of them.

    Args:
        lists: a session log of trivago (which holds both), or any table with one row for each candidate: `list` (which
            list), `item`, and where they are known `position`, `score` and `price` of the engine, `chosen` (1 or true
            for the choice), `session` or `user`, and `time`, when the list was shown; any other column that has one
            value in each list is its context.
        events: what was done, a log for `ensue.read` or one that is read; it is joined by session where both have
            sessions, else by user, and what happened before the time of a list comes before it.
        known: of trivago, what counts as before a list: all before the choice ("choice"), which takes in what was done
            on the list itself; or only what lies before the last search, filter or change of order ("display"), since
            no list can have been shown earlier.
        columns: column of the lists -> name in the file, for those that are called otherwise.
        time_unit: of the times of the lists, as for `ensue.read`; recognised where it is None.

    Raises:
        DataError: the file is missing, broken, or has no list that can be used.
        ColumnError: a column is missing.

    Example:
        >>> import polars as pl
        >>> shown = read_shown(pl.DataFrame({"list": [1, 1], "item": ["b", "a"], "chosen": [0, 1]}))
        >>> len(shown), shown.ids.to_list(), shown.chosen.tolist()
        (1, ['a', 'b'], [1])
    """
    if isinstance(lists, pl.DataFrame):
        return long_form.shown(lists, "a table in memory", _log(events), columns or {}, time_unit)
    path = Path(lists).expanduser()
    if not path.exists():
        raise DataError(f"There is no file or folder {path}: check its name.")
    files = _files(path)
    tables = [_table(file, reader) for file, reader in files if reader.name != TRIVAGO]
    sessions = [trivago.actions(file, Options()) for file, reader in files if reader.name == TRIVAGO]
    if sessions and tables:
        raise DataError(f"{path} holds session logs of trivago and other tables: name one of its files.")
    if sessions:
        if events is not None or columns:
            raise DataError(f"{path} is a session log of trivago, which holds its events: name no others.")
        return sessions_of_trivago.shown(_together(sessions), known)
    if known != "choice":
        raise DataError(
            "known='display' is for trivago alone: elsewhere a list has a time, when it was shown."
        )
    return long_form.shown(_together(tables), path.name, _log(events), columns or {}, time_unit)


def _files(path: Path) -> list[tuple[Path, Reader]]:
    whole = reader_of_folder(path) if path.is_dir() else None
    if whole is not None:
        return [(path, whole)]
    names = layout.files(path, *ENDINGS) if path.is_dir() else [path]
    if not names:
        raise DataError(f"{path} holds no table ({', '.join(ENDINGS)}): name a file.")
    return [(name, reader_for(name)) for name in names]


def _table(file: Path, reader: Reader) -> RawTable:
    """All columns of a table as they are called; text has a header, since its columns are known by their names."""
    if reader.name in TYPED:
        return reader.read(file, Options())
    return delimited.split(file, Options(), lambda first: (delimited.header(first), False))


def _together(tables: list[RawTable]) -> pl.DataFrame:
    bad = sum(table.rejected.height for table in tables)
    if bad:
        first = next(table for table in tables if table.rejected.height)
        raise DataError(
            f"{bad:,} rows of {first.file} cannot be read, the first in line {first.rejected['line'][0]} "
            f"({first.rejected['reason'][0]}): a list without one of its rows is another list; mend the file."
        )
    return pl.concat([table.frame for table in tables], how="diagonal_relaxed")


def _log(events: str | Path | pl.DataFrame | EventLog | None) -> EventLog | None:
    return events if events is None or isinstance(events, EventLog) else read(events)
