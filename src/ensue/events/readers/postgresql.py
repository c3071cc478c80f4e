"""PostgreSQL, through psycopg and a cursor on the server, in a session that can only read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import polars as pl

from ensue.errors import ColumnError, DataError, MissingExtraError
from ensue.events.readers import sql
from ensue.events.readers.table import Options, RawTable

_SESSION = "-c default_transaction_read_only=on -c datestyle=ISO -c timezone=UTC -c client_encoding=UTF8"
_WAIT = 15
"""Seconds until a server that does not answer is given up, unless the address says otherwise."""

_INTEGERS, _FLOATS, _TRUTH, _BYTES = (20, 21, 23, 26), (700, 701), 16, 17
"""Type numbers of int8, int2, int4, oid; float4, float8; bool; bytea."""

_TABLES = """
SELECT n.nspname || '.' || c.relname, n.nspname, c.relname
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY 1
"""


def batches(address: sql.Address, options: Options, rows: int) -> Iterator[RawTable]:
    """The rows of a table or query, at most so many at a time, held by the server until they are fetched.

    Integers, floats and Booleans keep their types. All else is the text that the server writes: times in ISO form and
    UTC, decimals with all their digits.

    Raises:
        DataError: the server cannot be reached or refuses; there is no such table; the query cannot be run.
        ColumnError: columns are missing, two have one name, or ids are floats or bytes.
        MissingExtraError: psycopg is not installed.
    """
    try:
        import psycopg
    except ImportError:
        raise MissingExtraError(
            "PostgreSQL is read through psycopg, which is missing: pip install 'ensue[postgres]'."
        ) from None
    waiting: dict[str, Any] = {} if "connect_timeout=" in address.place else {"connect_timeout": _WAIT}
    try:
        with psycopg.connect(address.place, options=_SESSION, **waiting) as database:
            database.read_only = True
            address, asked = _asked(database, address)
            types = _types(database, asked)
            sql.refuse_inexact({name: _held(number) for name, number in types.items()}, options, address.file)
            wanted = ", ".join(
                sql.quoted(name) if number in (*_INTEGERS, *_FLOATS, _TRUTH) else f"{sql.quoted(name)}::text"
                for name, number in types.items()
            )
            with database.cursor(name="ensue") as cursor:
                cursor.execute(sql.select(wanted, f"{sql.within(asked)} AS asked").encode())
                before = 0
                while found := cursor.fetchmany(rows):
                    columns = zip(types.items(), zip(*found, strict=True), strict=True)
                    series = {name: pl.Series(name, v, dtype=_dtype(number)) for (name, number), v in columns}
                    yield sql.batch(series, before, address, ())
                    before += len(found)
    except (psycopg.Error, UnicodeError) as error:
        raise address.failed(error) from None


def _asked(database: Any, address: sql.Address) -> tuple[sql.Address, str]:
    """The address with its table, and the selection of all columns."""
    if address.query is not None:
        query = address.query.strip().rstrip(";")
        if ";" in query:
            raise DataError(
                "The query on the database holds a semicolon: give one SELECT, and text without it."
            )
        return address, query
    names = {full: (schema, table) for full, schema, table in database.execute(_TABLES).fetchall()}
    full = sql.table_of(address, list(names))
    schema, table = names[full]
    return replace(address, table=full), sql.select("*", f"{sql.quoted(schema)}.{sql.quoted(table)}")


def _types(database: Any, asked: str) -> dict[str, int]:
    """Column -> number of its type."""
    described = database.execute(
        sql.select("*", f"{sql.within(asked)} AS asked LIMIT 0").encode()
    ).description
    found: dict[str, int] = {}
    for column in described or ():
        if column.name in found:
            raise ColumnError(f"The query gives two columns '{column.name}': name one with AS.")
        found[column.name] = column.type_code
    return found


def _held(number: int) -> set[str]:
    """What a column of a type holds, in the words of `sql.refuse_inexact`."""
    if number in _FLOATS:
        return {"real"}
    return {"integer"} if number in _INTEGERS else {"blob"} if number == _BYTES else {"text"}


def _dtype(number: int) -> pl.DataType:
    if number in _INTEGERS:
        return pl.Int64()
    if number in _FLOATS:
        return pl.Float64()
    return pl.Boolean() if number == _TRUTH else pl.String()
