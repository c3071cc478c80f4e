"""SQLite databases, opened so that nothing can be written to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import content, sql
from ensue.events.readers.table import Options, RawTable

_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
_TABLES = """
SELECT name, type FROM sqlite_master
WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name
"""
_KINDS = ("integer", "real", "text", "blob")


class _Texts:
    """Text of the database as it is: UTF-8, else Latin-1, in which every byte is a character."""

    def __init__(self) -> None:
        self.latin = False

    def __call__(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.latin = True
            return data.decode("latin-1")


def batches(address: sql.Address, options: Options, rows: int) -> Iterator[RawTable]:
    """The rows of a table or query, at most so many at a time.

    The types in a column may differ from row to row; all rows are looked at first, so that every batch has the same.

    Raises:
        DataError: the file is missing, no database, or broken; or the query cannot be run.
        ColumnError: columns are missing, or ids are floats or bytes.
    """
    path = Path(address.place).expanduser()
    if content.head(path, 16) != b"SQLite format 3\0":
        raise DataError(f"{path.name} is no SQLite database.")
    texts = _Texts()
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as database:
            database.text_factory = texts
            database.set_authorizer(
                lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY
            )
            address, asked, ordered = _asked(database, address)
            kinds = _kinds(database, asked)
            sql.refuse_inexact(kinds, options, address.file)
            bytes_ = [name for name, held in kinds.items() if "blob" in held]
            notes: tuple[str, ...] = (
                (f"bytes are shown in hexadecimal: {', '.join(bytes_)}",) if bytes_ else ()
            )
            cursor = database.execute(asked + ordered)
            before = 0
            while found := cursor.fetchmany(rows):
                columns = zip(kinds.items(), zip(*found, strict=True), strict=True)
                series = {name: _series(name, held, values) for (name, held), values in columns}
                if texts.latin:
                    notes += (f"texts of {address.shown} that are not UTF-8 are read as Latin-1",)
                    texts.latin = False
                yield sql.batch(series, before, address, notes)
                before += len(found)
                notes = ()
    except sqlite3.Error as error:
        raise address.failed(error) from None
    except UnicodeDecodeError:  # raised by Python for a name, which is no text of a row
        raise DataError(
            f"{path.name} has a column whose name is not UTF-8: the database is damaged, or was written by another "
            "encoding; rename the column."
        ) from None


def _asked(database: sqlite3.Connection, address: sql.Address) -> tuple[sql.Address, str, str]:
    """The address with its table, the selection of all columns, and the order of the rows."""
    if address.query is not None:
        query = address.query.strip().rstrip(";")
        return address, sql.select("*", sql.within(query)), ""
    kinds = dict(database.execute(_TABLES).fetchall())
    table = sql.table_of(address, list(kinds))
    selection = sql.select("*", sql.quoted(table))
    ordered = ""
    if kinds[table] == "table":
        ordered = " ORDER BY rowid"
        try:
            database.execute(sql.select("rowid", f"{sql.quoted(table)} LIMIT 0"))
        except sqlite3.OperationalError:  # a table without one is in the order of its key
            ordered = ""
    return sql.Address(address.kind, address.place, address.shown, table), selection, ordered


def _kinds(database: sqlite3.Connection, asked: str) -> dict[str, set[str]]:
    """What each column holds in any of its rows."""
    names = [
        column[0] for column in database.execute(sql.select("*", f"{sql.within(asked)} LIMIT 0")).description
    ]
    looks = ", ".join(f"max(typeof({sql.quoted(name)}) = '{kind}')" for name in names for kind in _KINDS)
    found = database.execute(sql.select(looks, sql.within(asked))).fetchone()
    marks = [found[start : start + len(_KINDS)] for start in range(0, len(found), len(_KINDS))]
    return {
        name: {kind for kind, mark in zip(_KINDS, some, strict=True) if mark}
        for name, some in zip(names, marks, strict=True)
    }


def _series(name: str, held: set[str], values: tuple[object, ...]) -> pl.Series:
    """A column in the one type that holds all its values exactly, but for integers among floats."""
    if held == {"integer"}:
        return pl.Series(name, values, dtype=pl.Int64)
    if held and held <= {"integer", "real"}:
        return pl.Series(name, [v if v is None else float(v) for v in values], dtype=pl.Float64)  # type: ignore[arg-type]
    return pl.Series(name, [_written(value) for value in values], dtype=pl.String)


def _written(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.hex() if isinstance(value, bytes) else repr(value)
