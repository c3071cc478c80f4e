"""What all processes of a service share beside histories: which model answers, and what is withdrawn.

Each process looks for changes several times a second; the one that makes a change has it at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

from ensue.errors import StateError
from ensue.serving.settings import is_remote

EVERY = 0.2
"""Seconds between two looks."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of every process.

    Attributes:
        revision: grows with every change.
        model: folder of the model that answers; "" is the one of the settings.
        version: of that model, since a folder may come to hold another.
        previous: folder of the one before it, for going back.
        previous_version: of that one.
        shadow: folder of a model that is asked beside it, and never answers.
        split: folder of a model that answers some of those who ask.
        share: how many of them, from 0 to 1.
        withdrawn: items that are in no answer.
        erasures: how often somebody was erased, after which no process keeps what networks carry.
    """

    revision: int = 0
    model: str = ""
    version: str = ""
    previous: str = ""
    previous_version: str = ""
    shadow: str = ""
    split: str = ""
    share: float = 0.0
    withdrawn: tuple[str, ...] = field(default_factory=tuple)
    erasures: int = 0


Change = Callable[[Wanted], Wanted]


class Control(Protocol):
    """Where `Wanted` is kept; changes are made one after another, whoever makes them."""

    def read(self) -> Wanted:
        """What is wanted now."""

    def revision(self) -> int:
        """Its revision, cheaper than the whole."""

    def change(self, change: Change) -> Wanted:
        """Makes a change, and gives what is wanted then."""

    def secret(self) -> bytes:
        """A key that all processes share, made when it is first asked for."""


class FileControl:
    """Kept in a SQLite file beside the histories, readable by this user alone.

    Args:
        path: the file; it is made if it is not there.

    Raises:
        StateError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as fault:
            raise StateError(f"{path} cannot be opened: {fault.strerror}.") from fault
        with self._open() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS wanted "
                "(one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER, content TEXT)"
            )
            connection.execute(
                "CREATE TABLE IF NOT EXISTS secret (one INTEGER PRIMARY KEY CHECK (one = 1), key BLOB)"
            )

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
            try:
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as fault:
            raise StateError(
                f"{self._path} cannot be used ({fault}): look for space and rights of the folder."
            ) from fault

    def read(self) -> Wanted:
        """What is wanted now."""
        with self._open() as connection:
            return _read(connection)

    def revision(self) -> int:
        """Its revision."""
        with self._open() as connection:
            row = connection.execute("SELECT revision FROM wanted").fetchone()
        return int(row[0]) if row else 0

    def change(self, change: Change) -> Wanted:
        """Makes a change, and gives what is wanted then."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            before = _read(connection)
            after = replace(change(before), revision=before.revision + 1)
            connection.execute(
                "INSERT OR REPLACE INTO wanted VALUES (1, ?, ?)", (after.revision, json.dumps(asdict(after)))
            )
            connection.execute("COMMIT")
        return after

    def secret(self) -> bytes:
        """A key that all processes share."""
        with self._open() as connection:
            connection.execute("INSERT OR IGNORE INTO secret VALUES (1, ?)", (secrets.token_bytes(32),))
            return bytes(connection.execute("SELECT key FROM secret").fetchone()[0])


class RedisControl:
    """Kept in Redis beside the histories, so that several machines share it.

    Args:
        address: of the server, as the store of histories takes it.

    Raises:
        StateError: it cannot be reached.
    """

    def __init__(self, address: str) -> None:
        from redis import WatchError

        from ensue.serving.state.redis import client_at, parted

        plain, prefix, self._place = parted(address)
        self._client, self._faults = client_at(plain, self._place, 2.0)
        self._watch = WatchError
        self._key, self._secret = f"{prefix}wanted", f"{prefix}secret"

    @contextlib.contextmanager
    def _reached(self) -> Iterator[Any]:
        try:
            yield self._client
        except self._faults as fault:
            raise StateError(
                f"{self._place} cannot be reached ({type(fault).__name__}): is Redis running?"
            ) from fault

    def read(self) -> Wanted:
        """What is wanted now."""
        with self._reached() as client:
            return _wanted(client.get(self._key))

    def revision(self) -> int:
        """Its revision."""
        return self.read().revision

    def change(self, change: Change) -> Wanted:
        """Makes a change, and gives what is wanted then."""
        with self._reached() as client:
            while True:
                with client.pipeline() as pipe, contextlib.suppress(self._watch):
                    pipe.watch(self._key)
                    before = _wanted(pipe.get(self._key))
                    after = replace(change(before), revision=before.revision + 1)
                    pipe.multi()
                    pipe.set(self._key, json.dumps(asdict(after)))
                    pipe.execute()
                    return after

    def secret(self) -> bytes:
        """A key that all processes share."""
        with self._reached() as client:
            client.set(self._secret, secrets.token_bytes(32), nx=True)
            return bytes(client.get(self._secret))


def control_at(address: str) -> Control:
    """What is shared beside the store of an address.

    Raises:
        StateError: it cannot be reached or opened.
    """
    if is_remote(address):
        return RedisControl(address)
    path = Path(address)
    return FileControl(path.with_name(path.name + ".control"))


def _read(connection: sqlite3.Connection) -> Wanted:
    row = connection.execute("SELECT content FROM wanted").fetchone()
    return _wanted(row[0] if row else None)


def _wanted(content: str | bytes | None) -> Wanted:
    if content is None:
        return Wanted()
    known = {one.name for one in fields(Wanted)}
    plain = {name: value for name, value in json.loads(content).items() if name in known}
    return Wanted(**{**plain, "withdrawn": tuple(plain.get("withdrawn", ()))})
