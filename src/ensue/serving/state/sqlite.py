"""Live histories in one SQLite file: nothing to set up, shared by the processes of one machine."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import compress, repeat
from pathlib import Path

import numpy as np
import polars as pl

from ensue.errors import StateError
from ensue.serving.events import LiveEvent
from ensue.serving.state.clock import Clock
from ensue.serving.state.filing import filings
from ensue.serving.state.history import History, Row, merged
from ensue.serving.state.kept import Piece, pieces
from ensue.serving.state.names import Names
from ensue.serving.state.sqlite_file import Connections
from ensue.serving.state.sqlite_writing import Writing
from ensue.serving.state.store import (
    Appended,
    Counts,
    Erased,
    Expired,
    Kept,
    Limits,
    Pace,
    most_of,
    named,
)

_LIVE = """
SELECT time, number, item, type, rating, session, more FROM events
WHERE history = ? ORDER BY time DESC, number DESC LIMIT ?
"""
_KEPT = """
SELECT time, number, item, type, rating, session, more FROM kept
WHERE history = ? AND generation = ? ORDER BY time DESC, number DESC LIMIT ?
"""
_FOUND = (
    "SELECT histories.number, max(revision, flipped), max(settled, flipped), generation "
    "FROM histories, state WHERE name = ?"
)
_AT_ONCE = 500
"""Histories that expire, or are cleaned, in one write: others wait for no longer than that takes."""

_SILENT = 60_000_000
"""Microseconds after which a process that takes over kept histories, and is no longer heard of, counts as gone."""


class SqliteStore:
    """A `Store` in a file.

    What `append` has acknowledged survives the end of the process at any moment, kill -9 included; with `power_safe`
    also the loss of power. A copy of the file while it is in use needs SQLite's own backup.

    Args:
        path: the file; it is made if it is not there, readable by this user alone.
        limits: how much it may hold.
        power_safe: syncs the disk for each write.
        wait: seconds to wait for another process that writes.
        most_bytes: of the file; None is no limit but the disk.
        clock: makes the clock of the server from the last time that the store has seen.

    Raises:
        StateError: the file is not a store of this version, or cannot be opened.
    """

    notes: tuple[str, ...] = ()
    pace: Pace = "at once"

    def __init__(
        self,
        path: str | Path,
        limits: Limits | None = None,
        *,
        power_safe: bool = False,
        wait: float = 5.0,
        most_bytes: int | None = None,
        clock: Callable[[int], Clock] = Clock,
    ) -> None:
        self._limits = limits or Limits()
        if power_safe:  # the disk is waited for
            self.pace = "together"
        self._connections = Connections(Path(path), wait, power_safe, most_bytes)
        with self._connections.reading() as connection:
            key, latest = connection.execute(
                "SELECT key, (SELECT max(seen) FROM histories WHERE seen IS NOT NULL) FROM state"
            ).fetchone()
        self._names = Names(key)
        self._clock = clock(latest or 0)

    def append(self, events: Sequence[LiveEvent]) -> Appended:
        """See `Store.append`."""
        if not events:
            return Appended()
        now = self._clock.later()
        filed = filings(events, self._names, now)
        with self._connections.writing() as connection:
            writing = Writing(connection, self._limits, now)
            appended = writing.append(filed)
            writing.close()
        return appended

    def append_each(self, told: Sequence[Sequence[LiveEvent]], *, wait: bool = True) -> list[Appended] | None:
        """See `Store.append_each`."""
        now = self._clock.later()
        filed = [filings(events, self._names, now) for events in told]
        connections = self._connections
        with connections.writing() if wait else connections.writing_at_once() as connection:
            if connection is None:
                return None
            writing = Writing(connection, self._limits, now)
            appended = [writing.append(one) for one in filed]
            writing.close()
        return appended

    def tidy(self) -> None:
        """See `Store.tidy`: moves the journal into the file."""
        self._connections.move_journal()

    def history(
        self, *, user: str | None = None, session: str | None = None, most: int | None = None
    ) -> History:
        """See `Store.history`."""
        name, wanted = named(self._names, user, session), most_of(most, self._limits)
        with self._connections.reading() as connection:
            found = connection.execute(_FOUND, (name,)).fetchone()
            if found is None:
                flipped = connection.execute("SELECT flipped FROM state").fetchone()[0]
                return History((), flipped, flipped)
            number, revision, settled, generation = found
            live = connection.execute(_LIVE, (number, wanted)).fetchall()
            kept = connection.execute(_KEPT, (number, generation, wanted)).fetchall()
        rows = merged(
            [Row._make(row) for row in reversed(live)], [Row._make(row) for row in reversed(kept)], wanted
        )
        return History(rows, revision, settled)

    def revision(self, *, user: str | None = None, session: str | None = None) -> int:
        """See `Store.revision`."""
        name = named(self._names, user, session)
        with self._connections.reading() as connection:
            found = connection.execute(_FOUND, (name,)).fetchone()
            return int(found[1] if found else connection.execute("SELECT flipped FROM state").fetchone()[0])

    def changes(self) -> int:
        """See `Store.changes`."""
        with self._connections.reading() as connection:
            return int(connection.execute("SELECT changes FROM state").fetchone()[0])

    def erase(self, *, user: str | None = None, session: str | None = None) -> Erased:
        """See `Store.erase`."""
        name = named(self._names, user, session)
        with self._connections.writing() as connection:
            writing = Writing(connection, self._limits, self._clock.later())
            linked = (
                []
                if user is None
                else connection.execute("SELECT session FROM links WHERE user = ?", (name,)).fetchall()
            )
            live, kept = writing.erase(name)
            for (other,) in linked:
                writing.erase(other)
            connection.execute("UPDATE state SET unclean = 1")
            writing.close()
        return Erased(live, kept, len(linked), self._clean())

    def erased(self, users: Sequence[str]) -> dict[str, int]:
        """See `Store.erased`."""
        with self._connections.reading() as connection:
            until = dict(connection.execute("SELECT name, time FROM erased").fetchall())
        names = ((user, self._names.user(user)) for user in users)
        return {user: until[name] for user, name in names if name in until}

    def erasures(self) -> int:
        """See `Store.erasures`."""
        with self._connections.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM erased").fetchone()[0])

    def expire(self) -> Expired:
        """See `Store.expire`."""
        histories = events = 0
        before = self._clock.earlier() - int(self._limits.idle * 1_000_000)
        while True:
            with self._connections.writing() as connection:
                writing = Writing(connection, self._limits, self._clock.later())
                rows = connection.execute(
                    "SELECT number FROM histories WHERE seen < ? ORDER BY seen LIMIT ?", (before, _AT_ONCE)
                ).fetchall()
                events += sum(writing.drop(number) for (number,) in rows)
                writing.close()
            histories += len(rows)
            if len(rows) < _AT_ONCE:
                break
        with self._connections.reading() as connection:
            unclean = connection.execute("SELECT unclean FROM state").fetchone()[0]
        if unclean:
            self._clean()
        return Expired(histories, events)

    def counts(self) -> Counts:
        """See `Store.counts`."""
        with self._connections.reading() as connection:
            histories, events, kept, erased = connection.execute(
                "SELECT histories, events, kept, (SELECT count(*) FROM erased) FROM state"
            ).fetchone()
        return Counts(histories, events, kept, erased, self._connections.bytes())

    def close(self) -> None:
        """See `Store.close`."""
        self._connections.close()

    def keep(self, histories: pl.DataFrame, source: str) -> Kept:
        """See `Store.keep`."""
        generation = self._claimed(source)
        if generation is None:
            return Kept(already=True)
        users = events = erased = 0
        try:
            for piece in pieces(histories, self._limits.events):
                more = self._take_over(piece, generation)
                users, events, erased = users + more.users, events + more.events, erased + more.erased
            with self._connections.writing() as connection:
                writing = self._coming(connection, generation)
                connection.execute(
                    "UPDATE state SET generation = coming, coming = 0, claimed = 0, flipped = ?, kept = ?, source = ?",
                    (writing.next(), events, source),
                )
                writing.close()
        except BaseException:
            self._give_up(generation)
            raise
        self._sweep()
        return Kept(users, events, erased)

    def _clean(self) -> bool:
        """Takes erased bytes out of the journal; whether they are gone."""
        try:
            if not self._connections.checkpoint():
                return False
            with self._connections.writing() as connection:
                connection.execute("UPDATE state SET unclean = 0")
        except StateError:  # what was erased is erased; this much is for `expire` to try again
            return False
        return True

    def _claimed(self, source: str) -> int | None:
        """The number of a new generation of kept histories, once no other process writes one; None if it is there."""
        while True:
            with self._connections.writing() as connection:
                there, claimed = connection.execute("SELECT source, claimed FROM state").fetchone()
                if there == source:
                    return None
                now = self._clock.later()
                if claimed + _SILENT < now:
                    writing = Writing(connection, self._limits, now)
                    number = writing.next()
                    connection.execute("UPDATE state SET coming = ?, claimed = ?", (number, now))
                    writing.close()
                    return number
            time.sleep(0.1)

    def _give_up(self, generation: int) -> None:
        """Lets others write kept histories, as far as the store still answers."""
        with suppress(StateError), self._connections.writing() as connection:
            connection.execute("UPDATE state SET coming = 0, claimed = 0 WHERE coming = ?", (generation,))

    def _take_over(self, piece: Piece, generation: int) -> Kept:
        """Writes some of the coming generation, less what has been erased."""
        with self._connections.writing() as connection:
            writing = self._coming(connection, generation)
            names = [self._names.user(user) for user in piece.users]
            wanted = np.ones(len(piece.items), dtype=np.bool_)
            numbers, erased, start = [], 0, 0
            for name, count in zip(names, piece.counts, strict=True):
                number, until = writing.known(name)
                numbers.append(number)
                if until is not None:
                    erased += 1
                    wanted[start : start + count] = np.array(piece.times[start : start + count]) > until
                start += count
            first = writing.changes + 1
            writing.changes += len(wanted)
            connection.executemany(
                "INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                compress(
                    zip(
                        np.repeat(numbers, piece.counts).tolist(),
                        repeat(generation),
                        piece.times,
                        range(first, first + len(wanted)),
                        piece.items,
                        piece.types,
                        piece.ratings,
                        piece.sessions,
                        piece.more,
                        strict=False,
                    ),
                    wanted.tolist(),
                ),
            )
            connection.execute("UPDATE state SET claimed = ?", (self._clock.later(),))
            writing.close()
        return Kept(len(names), int(wanted.sum()), erased)

    def _coming(self, connection: sqlite3.Connection, generation: int) -> Writing:
        """A write to the coming generation, as long as it is ours."""
        if connection.execute("SELECT coming FROM state").fetchone()[0] != generation:
            raise StateError(
                "Another process has begun to take over kept histories meanwhile: nothing was changed by this one."
            )
        return Writing(connection, self._limits, self._clock.later())

    def _sweep(self) -> None:
        """Takes away what is left of other generations, and the names that no event is filed under any more."""
        last = -1
        while True:
            with self._connections.writing() as connection:
                (end,) = connection.execute(
                    "SELECT max(number) FROM (SELECT number FROM histories WHERE number > ? ORDER BY number LIMIT ?)",
                    (last, _AT_ONCE),
                ).fetchone()
                if end is None:
                    break
                bounds = (last, end)
                connection.execute(
                    "DELETE FROM kept WHERE history > ? AND history <= ? "
                    "AND generation NOT IN (SELECT generation FROM state UNION SELECT coming FROM state)",
                    bounds,
                )
                connection.execute(
                    "DELETE FROM histories WHERE number > ? AND number <= ? AND seen IS NULL "
                    "AND NOT EXISTS (SELECT 1 FROM kept WHERE history = histories.number)",
                    bounds,
                )
            last = end
