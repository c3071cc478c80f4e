"""The SQLite file of a store: its tables, its connections, and what its faults mean."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ensue.errors import StateError
from ensue.serving.state.names import new_key

APPLICATION = 0x656E7375
"""The bytes "ensu" in the header of the file."""

VERSION = 1
_JOURNAL = 16 * 2**20
"""Bytes that the journal keeps of its size after it has been long."""

_LONG = 4_000
"""Pages of the journal, of 4 kB, from which on it is begun anew, for which writers have to wait a moment."""

TABLES = """
CREATE TABLE state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    key BLOB NOT NULL,
    changes INTEGER NOT NULL,    -- the last number given
    histories INTEGER NOT NULL,  -- with live events
    events INTEGER NOT NULL,     -- live ones
    generation INTEGER NOT NULL, -- of the kept events that count
    coming INTEGER NOT NULL,     -- of those being written, 0 for none
    claimed INTEGER NOT NULL,    -- when the writer of those was last heard of
    flipped INTEGER NOT NULL,    -- the number at which the generation changed
    kept INTEGER NOT NULL,       -- events in it
    source TEXT NOT NULL,        -- of what they are
    unclean INTEGER NOT NULL     -- whether erased bytes may be left in the journal
);
CREATE TABLE histories (
    number INTEGER PRIMARY KEY,
    name BLOB NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    settled INTEGER NOT NULL,
    events INTEGER NOT NULL,     -- live ones
    seen INTEGER                 -- when the last live event came; NULL without any
);
CREATE INDEX seen ON histories (seen) WHERE seen IS NOT NULL;
CREATE TABLE events (
    history INTEGER NOT NULL, time INTEGER NOT NULL, number INTEGER NOT NULL,
    item TEXT NOT NULL, type TEXT, rating REAL, session INTEGER, more TEXT, id BLOB,
    PRIMARY KEY (history, time, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX ids ON events (history, id) WHERE id IS NOT NULL;
CREATE TABLE kept (
    history INTEGER NOT NULL, generation INTEGER NOT NULL, time INTEGER NOT NULL, number INTEGER NOT NULL,
    item TEXT NOT NULL, type TEXT, rating REAL, session INTEGER, more TEXT,
    PRIMARY KEY (history, generation, time, number)
) WITHOUT ROWID;
CREATE TABLE links (user BLOB NOT NULL, session BLOB NOT NULL, PRIMARY KEY (user, session)) WITHOUT ROWID;
CREATE INDEX linked ON links (session);
CREATE TABLE erased (name BLOB PRIMARY KEY, time INTEGER NOT NULL) WITHOUT ROWID;
"""

_REMEDIES = {
    "SQLITE_FULL": "is full: free space on its disk or raise its limit; nothing of this was written",
    "SQLITE_BUSY": "is locked by another process: try again; nothing of this was written",
    "SQLITE_READONLY": "may not be written: give this user the right to write it and its folder",
    "SQLITE_CANTOPEN": "cannot be opened: see that its folder exists and may be written",
    "SQLITE_IOERR": "cannot be read or written: see to its disk",
    "SQLITE_CORRUPT": "is damaged: move it away, with its -wal and -shm, and begin anew or from a backup",
    "SQLITE_NOTADB": "is no SQLite database: give another path",
}


class Connections:
    """Connections to one file, as many as threads use it at a time, made and checked when they are needed.

    Args:
        path: the file; it is made, readable by this user alone, if it is not there.
        wait: seconds to wait for another writer.
        power_safe: whether what is written survives the loss of power too, at the price of a sync for each write.
        most_bytes: of the file; None is no limit but the disk.

    Raises:
        StateError: the file is not a store of ours, or cannot be opened.
    """

    def __init__(self, path: Path, wait: float, power_safe: bool, most_bytes: int | None) -> None:
        self.path, self._wait, self._power_safe, self._most_bytes = path, wait, power_safe, most_bytes
        self._idle: deque[sqlite3.Connection] = deque()
        self._writer = threading.Lock()
        self._swift: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as fault:
            raise StateError(f"The store {path} cannot be opened: {fault.strerror}.") from fault
        try:
            self._recognise()
            connection = self._connect()
            self._prepare(connection)
        except sqlite3.Error as fault:
            raise self.fault(fault) from fault
        self._idle.append(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees the file as it is at its first question, whatever others write meanwhile."""
        with self._lent("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection that alone writes; all that is written counts when this ends, nothing if it fails."""
        if not self._writer.acquire(timeout=self._wait):
            raise self._meaning("SQLITE_BUSY")
        try:
            with self._lent("BEGIN IMMEDIATE") as connection:
                yield connection
        finally:
            self._writer.release()

    @contextmanager
    def writing_at_once(self) -> Iterator[sqlite3.Connection | None]:
        """Like `writing`, and None where another is writing just now: nothing is waited for."""
        if not self._writer.acquire(blocking=False):
            yield None
            return
        connection, kept = self._swift, False
        try:
            if connection is None:
                connection = self._connect(wait=0.0)
                # the journal is moved into the file by `move_journal`, which waits for the disk
                connection.execute("PRAGMA wal_autocheckpoint = 0")
            if not _begun(connection):
                kept = True
                yield None
                return
            yield connection
            connection.execute("COMMIT")
            kept = True
        except sqlite3.Error as fault:
            raise self.fault(fault) from fault
        finally:
            self._swift = connection if kept else None
            if connection is not None and not kept:  # after a fault it is not used again
                with suppress(sqlite3.Error):
                    connection.close()
            self._writer.release()

    def move_journal(self) -> None:
        """Moves the journal into the file while others read and write; begins it anew where it has become long."""
        try:
            connection = self._take()
            _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages > _LONG:
                connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            self._idle.append(connection)
        except sqlite3.Error as fault:
            raise self.fault(fault) from fault

    @contextmanager
    def _lent(self, begin: str) -> Iterator[sqlite3.Connection]:
        connection = None
        try:
            connection = self._take()
            connection.execute(begin)
            yield connection
            connection.execute("COMMIT")
            self._idle.append(connection)
            connection = None
        except sqlite3.Error as fault:
            raise self.fault(fault) from fault
        finally:
            if connection is not None:  # after a fault it is not used again
                with suppress(sqlite3.Error):
                    connection.close()

    def checkpoint(self) -> bool:
        """Moves the whole journal into the file and empties it; whether nobody's reading was in the way."""
        with self._writer:
            try:
                connection = self._take()
                busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                self._idle.append(connection)
            except sqlite3.Error as fault:
                raise self.fault(fault) from fault
        return not busy

    def bytes(self) -> int:
        """Of the file and its journal."""
        files = (self.path.with_name(self.path.name + end) for end in ("", "-wal", "-shm"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        with self._writer:
            swift, self._swift = self._swift, None
        if swift is not None:
            self._idle.append(swift)
        while self._idle:
            with suppress(sqlite3.Error):
                self._idle.pop().close()

    def fault(self, fault: sqlite3.Error) -> StateError:
        """What a fault of SQLite means, and what to do about it."""
        name = getattr(fault, "sqlite_errorname", None) or ""
        return self._meaning("_".join(name.split("_")[:2]), str(fault))

    def _meaning(self, name: str, said: str = "") -> StateError:
        return StateError(f"The store {self.path} {_REMEDIES.get(name, f'cannot be used: {said}')}.")

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def _connect(self, wait: float | None = None) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=self._wait if wait is None else wait,
            isolation_level=None,
            check_same_thread=False,  # one thread at a time has it
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._power_safe else 'NORMAL'}")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL}")
        if self._most_bytes is not None:
            size = connection.execute("PRAGMA page_size").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {max(1, self._most_bytes // size)}")
        return connection

    def _recognise(self) -> None:
        """Sees that a file is empty or ours and of this version, before anything in it is changed."""
        with closing(sqlite3.connect(self.path, timeout=self._wait, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # another process may be making it just now
            connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
            marked, version = _marks(connection)
            empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
        if (marked, version) != (APPLICATION, VERSION) and not (empty and marked == 0):
            what = f"of version {version}, not {VERSION}" if marked == APPLICATION else "another program's"
            raise StateError(f"The store {self.path} is {what}: give another path.")

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Makes the tables of a new file."""
        connection.execute("BEGIN IMMEDIATE")
        if _marks(connection) != (APPLICATION, VERSION):
            for statement in TABLES.split(";\n"):
                connection.execute(statement)
            connection.execute(
                # A file that replaces a lost one must not give numbers that were given before.
                "INSERT INTO state VALUES (1, ?, ?, 0, 0, 0, 0, 0, 0, 0, '', 0)",
                (new_key(), time.time_ns() // 1000),
            )
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")


def _begun(connection: sqlite3.Connection) -> bool:
    """Begins a write; whether nobody else is at it."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as fault:
        if fault.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            return False
        raise
    return True


def _marks(connection: sqlite3.Connection) -> tuple[int, int]:
    """Whose a file is, and of which version."""
    marked: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return marked, version
