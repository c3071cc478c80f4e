"""Databases as sources: one table, or one query, of SQLite or PostgreSQL; only ever read, and batch by batch.

A source is named by an address, the path of an SQLite database counted from here with three slashes, from the root with
four:

    sqlite:///shop.db?table=events
    sqlite:////data/shop.db?query=SELECT user, item, at AS time FROM events ORDER BY at
    postgresql://reader:secret@host/shop?table=public.events

No password is ever shown: `Address.shown` is what messages and notes may say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import polars as pl

from ensue.errors import ColumnError, ConfigError, DataError, nearest
from ensue.events import columns as naming
from ensue.events.readers.joined import joined
from ensue.events.readers.table import REJECTED, Options, RawTable, Reader

ROWS = 200_000
"""Rows of a batch where nothing is said."""

_ADDRESS = re.compile(r"(sqlite|postgres|postgresql)(\+\w+)?://", re.IGNORECASE)
_IDS = ("user", "item", "session", "basket", "event")
_ORDER = (
    "rows are in the order in which the database gives them, which counts where times tie; "
    "query=SELECT ... ORDER BY ... fixes it"
)


@dataclass(frozen=True)
class Address:
    """Where rows are asked for.

    Attributes:
        kind: "sqlite" or "postgresql".
        place: path of a database file, or the address that the server's client understands.
        shown: the place without password, user and options, for people.
        table: the table to read; None with a query, or if the database has but one.
        query: the query to read.
        secrets: what must not be shown.
    """

    kind: str
    place: str = field(repr=False)
    shown: str
    table: str | None = None
    query: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def file(self) -> str:
        """The source in a few words."""
        what = "the query on" if self.query is not None else f"table {self.table} of" if self.table else ""
        return f"{what} {self.shown}".strip()

    def masked(self, text: str) -> str:
        """A text without the secrets."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def failed(self, error: BaseException) -> DataError:
        """What is to be said of an error of the database; its first line, without secrets."""
        first = self.masked(str(error)).strip().split("\n")[0].rstrip(".") or type(error).__name__
        return DataError(f"{self.file[:1].upper()}{self.file[1:]} cannot be read: {first}.")


def is_address(source: object) -> bool:
    """Whether a source is the address of a database."""
    return isinstance(source, str) and _ADDRESS.match(source) is not None


def without_secrets(source: str) -> str:
    """A source as it may be kept and shown: the password in the address of a database becomes three stars."""
    return address_of(source).masked(source) if is_address(source) else source


def name_of(source: str) -> str:
    """A short name of a source: of a file without its endings, of a database with its table."""
    if not is_address(source):
        return Path(source).name.split(".")[0]
    address = address_of(source)
    return "-".join(part for part in (Path(address.shown).name.split(".")[0], address.table) if part)


def address_of(source: str) -> Address:
    """The parts of an address.

    Raises:
        ConfigError: it names no database, or both a table and a query, or something that is not understood.
    """
    found = _ADDRESS.match(source)
    if found is None:
        raise ConfigError(
            "A database is named like sqlite:///shop.db?table=events or postgresql://host/shop?table=events."
        )
    kind = "sqlite" if found[1].lower() == "sqlite" else "postgresql"
    try:
        parts = urlsplit(kind + source[found.end() - 3 :])
        secrets = {parts.password or "", unquote(parts.password or "")}
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        raise ConfigError(
            "The address of the database cannot be understood: write % signs and slashes in names and "
            "passwords as %25 and %2F, and the port as a number."
        ) from None
    given = parse_qsl(parts.query, keep_blank_values=True)
    asked = {name: value for name, value in given if name in ("table", "query")}
    rest = [(name, value) for name, value in given if name not in asked]
    secrets |= {value for name, value in rest if "password" in name.lower()}
    if {"table", "query"} <= set(asked):
        raise ConfigError("The address of the database has a table and a query: give one of them.")
    empty = [name for name, value in asked.items() if not value.strip()]
    if empty:
        raise ConfigError(f"The address of the database has an empty {empty[0]}: write {empty[0]}=...")
    if kind == "sqlite":
        path = unquote(parts.path[1:])
        if parts.netloc or not path:
            raise ConfigError(
                "An SQLite database is named with three slashes, sqlite:///shop.db, and four from the root."
            )
        if rest:
            raise ConfigError(
                f"'{rest[0][0]}' is not understood in the address of an SQLite database: give table or query."
            )
        return Address(kind, path, Path(path).name, asked.get("table"), asked.get("query"))
    place = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(rest, quote_via=quote), ""))
    shown = f"postgresql://{host}{port}{parts.path}"
    hidden = tuple(secret for secret in secrets if secret)
    return Address(kind, place, shown, asked.get("table"), asked.get("query"), hidden)


# ---------------------------------------------------------------------------------------------- what all share


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def select(what: str, source: str) -> str:
    """A selection. Both parts are made of quoted names, constants and the caller's own query, and of nothing read."""
    return " ".join(("SELECT", what, "FROM", source))


def within(query: str) -> str:
    """A query as the source of another; what it ends with, such as a comment, ends there."""
    return f"(\n{query}\n)"


def table_of(address: Address, tables: Sequence[str]) -> str:
    """The table that an address means, as the database itself names it.

    Args:
        address: what is asked.
        tables: those there are; of a server with their schema, as schema.table.

    Raises:
        DataError: there is no such table, or none is named and there are several.
    """
    listed = ", ".join(tables[:20]) + (f" and {len(tables) - 20} more" if len(tables) > 20 else "")
    if address.table is None:
        if len(tables) == 1:
            return tables[0]
        if not tables:
            raise DataError(f"{address.shown} has no tables that can be read.")
        raise DataError(
            f"{address.shown} has several tables ({listed}): say which, with ?table={tables[0]} after its address "
            f"({address.kind}://...), or ?query=SELECT ..."
        )
    if address.table in tables:
        return address.table
    found = [name for name in tables if name.partition(".")[2] == address.table]
    if address.kind == "sqlite" or not found:
        raise DataError(
            f"{address.shown} has no table '{address.table}', but {listed or 'none'}.{nearest(address.table, tables)}"
        )
    if len(found) > 1:
        raise DataError(
            f"{address.shown} has several tables '{address.table}' ({', '.join(found)}): say which."
        )
    return found[0]


def refuse_inexact(kinds: dict[str, set[str]], options: Options, file: str) -> None:
    """Nothing, if the columns serve, and those of ids hold text and integers only.

    Args:
        kinds: column -> what it holds: "integer", "real", "text", "blob".
        options: the caller's mapping.
        file: for messages.

    Raises:
        ColumnError: columns are missing, or ids are floats or bytes.
    """
    chosen = naming.choose(list(kinds), options.columns, file).columns
    for canonical in _IDS:
        held = kinds.get(chosen.get(canonical, ""), set())
        if held & {"real", "blob"}:
            what = (
                "floating point numbers: as such, ids lose digits and 7 turns into 7.0"
                if "real" in held
                else "bytes"
            )
            raise ColumnError(
                f"Column '{chosen[canonical]}' ({canonical}) of {file} holds {what}. Cast it in a query, "
                f"?query=SELECT CAST({chosen[canonical]} AS TEXT) ..."
            )


def batch(columns: dict[str, pl.Series], before: int, address: Address, notes: tuple[str, ...]) -> RawTable:
    """Some rows as a table, counted on from those before."""
    frame = pl.DataFrame(list(columns.values()))
    return RawTable(
        file=address.file,
        frame=frame,
        lines=pl.int_range(before + 1, before + frame.height + 1, dtype=pl.Int64, eager=True).alias("line"),
        rejected=pl.DataFrame(schema=REJECTED),
        rows=frame.height,
        notes=notes,
    )


def pieces(address: Address, options: Options, rows: int) -> Iterator[RawTable]:
    """The rows of a table or query batch by batch, with the types that the database gives them.

    Raises:
        DataError: the database, or what is asked of it, is not there, is broken, or has no rows.
        ColumnError: columns are missing, or ids are floats or bytes.
        MissingExtraError: PostgreSQL is asked, and psycopg is not installed.
    """
    if address.kind == "sqlite":
        from ensue.events.readers.sqlite import batches
    else:
        from ensue.events.readers.postgresql import batches
    found = 0
    for table in batches(address, options, max(rows, 1)):
        notes = table.notes if found or address.query is not None else (*table.notes, _ORDER)
        found += table.rows
        yield RawTable(table.file, table.frame, table.lines, table.rejected, table.rows, notes=notes)
    if not found:
        raise DataError(
            f"{address.file[:1].upper()}{address.file[1:]} has no rows: there is nothing to read."
        )


def reader_at(source: object) -> Reader | None:
    """The reader of the database that a source names, whatever path it is given; None if it names none.

    Raises:
        ConfigError: it names one in a way that is not understood.
    """
    if not (isinstance(source, str) and is_address(source)):
        return None
    address = address_of(source)
    return _reader(address.kind, lambda _: address)


def _reader(name: str, where: Callable[[Path], Address]) -> Reader:
    return Reader(
        name,
        "SQLite: a file with one table, or sqlite:///shop.db?table=events"
        if name == "sqlite"
        else "PostgreSQL: postgresql://host/shop?table=events",
        rank=1,
        recognises=lambda path: name == "sqlite" and is_sqlite(path),
        read=lambda path, options: joined(pieces(where(path), options, ROWS)),
        pieces=lambda path, options, rows: pieces(where(path), options, rows),
    )


def is_sqlite(path: Path) -> bool:
    """Whether a file is an SQLite database."""
    from ensue.events.readers import content

    return path.is_file() and content.head(path, 16) == b"SQLite format 3\0"


READERS = (_reader("sqlite", lambda path: Address("sqlite", str(path), path.name)),)
