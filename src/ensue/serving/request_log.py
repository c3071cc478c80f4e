"""What was answered, for later evaluation: one line of JSON for each answer, its asker under a pseudonym."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from ensue.errors import ConfigError

told = logging.getLogger("ensue.serving")


class RequestLog:
    """A file that grows by a line for each answer, and is cut to its newer half when it is full.

    All processes of a machine may share it. A pseudonym is a keyed hash of the id: the same in all lines, and it says
    nothing to who has the log alone. Once somebody is erased, no line under their own pseudonym is left; what a session
    was answered that asked by its own id goes with the erasure of that session.

    Args:
        path: the file; it is made if it is not there, readable by this user alone.
        key: of the pseudonyms.
        most: bytes of it.

    Raises:
        ConfigError: it cannot be written.
    """

    def __init__(self, path: str | Path, key: bytes, most: int) -> None:
        self.path, self._key, self._most = Path(path), key, most
        self._lock = self.path.with_name(f".{self.path.name}.lock")
        self.lost = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for one in (self.path, self._lock):
                os.close(os.open(one, os.O_WRONLY | os.O_CREAT, 0o600))
        except OSError as fault:
            raise ConfigError(f"The request log {self.path} cannot be written: {fault.strerror}.") from fault

    def pseudonym(self, user: str | None = None, session: str | None = None) -> str | None:
        """What stands for a user or a session in the log; None for nobody."""
        if user is None and session is None:
            return None
        kind, who = (b"user", user) if user is not None else (b"session", session)
        return hashlib.blake2b(str(who).encode(), key=self._key, digest_size=12, person=kind).hexdigest()

    def add(self, entry: dict[str, Any]) -> None:
        """Writes a line; an answer never fails since it could not be written down."""
        line = orjson.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **entry}) + b"\n"
        try:
            with self._held(fcntl.LOCK_SH):
                size = _appended(self.path, line)
            if size > self._most:
                self._rewrite(halved=True)
        except OSError as fault:
            self.lost += 1
            if self.lost == 1:
                told.warning("answers cannot be written down: %s", fault.strerror)

    def erase(self, user: str | None = None, session: str | None = None) -> int:
        """Takes out all lines of a user or of a session; how many there were.

        Raises:
            OSError: the file cannot be written anew; nothing is changed then.
        """
        who = self.pseudonym(user, session)
        return 0 if who is None else self._rewrite(without=who)

    def _rewrite(self, *, without: str = "", halved: bool = False) -> int:
        """Writes the file anew, less some lines, and puts it in place at once; how many lines of somebody went."""
        mark = f'"who":"{without}"'.encode()
        fresh = self.path.with_name(f".{self.path.name}.new")
        gone = 0
        with self._held(fcntl.LOCK_EX):
            size = self.path.stat().st_size
            if halved and size <= self._most:  # another process has done it
                return 0
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with self.path.open("rb") as old, os.fdopen(descriptor, "wb") as new:
                if halved:
                    old.seek(size - self._most // 2)
                    old.readline()
                for line in old:
                    if without and mark in line:
                        gone += 1
                    else:
                        new.write(line)
            fresh.replace(self.path)
        return gone

    @contextmanager
    def _held(self, how: int) -> Iterator[None]:
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)


def _appended(path: Path, line: bytes) -> int:
    """The size of a file after a line was added to it, whole or not at all."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, line) < len(line):
            os.ftruncate(descriptor, before)
            raise OSError(28, "No space left on device")
        return before + len(line)
    finally:
        os.close(descriptor)
