"""One write to the SQLite file of a store: what is filed, what falls off, and the numbers that go with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from ensue.serving.state.filing import Filing
from ensue.serving.state.store import Appended, Limits

_GRAIN = 60_000_000
"""Microseconds by which the time of a history's last event may be wrong, so that it is not written each time."""

_LAST = "SELECT time FROM {} WHERE history = ? {} ORDER BY time DESC, number DESC LIMIT 1"

_INSERT = """
INSERT INTO events (history, time, number, item, type, rating, session, more, id)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
WHERE NOT EXISTS (SELECT 1 FROM events WHERE history = ?1 AND id = ?11)
AND (?9 IS NOT NULL OR NOT (
    EXISTS (SELECT 1 FROM events WHERE history = ?1 AND time = ?2 AND item = ?4 AND type IS ?5)
    OR EXISTS (SELECT 1 FROM kept WHERE history = ?1 AND generation = ?10 AND time = ?2 AND item = ?4
               AND (type IS NULL OR type IS ?5))
))
"""
"""An event with an id is known by it, one without by its item, time and type."""


@dataclass(slots=True)
class _Open:
    """A history while it is written to."""

    number: int
    name: bytes
    events: int
    seen: int | None
    last: int | None
    erased: int | None
    late: bool = False
    filed: int = 0


class Writing:
    """The state of a store during one write, which `close` puts back.

    Args:
        connection: in the middle of the write.
        limits: of the store.
        now: microseconds since 1970 UTC, to write down.
    """

    def __init__(self, connection: sqlite3.Connection, limits: Limits, now: int) -> None:
        self._run = connection.execute
        self._many = connection.executemany
        self._limits, self._now = limits, now
        self._grain = min(_GRAIN, int(limits.idle * 10_000))
        self._open: dict[bytes, _Open] = {}
        counts: tuple[int, ...] = self._run(
            "SELECT changes, histories, events, generation, coming FROM state"
        ).fetchone()
        self.changes, self.histories, self.events, self.generation, self.coming = counts

    def close(self) -> None:
        """Writes the counts."""
        self._run(
            "UPDATE state SET changes = ?, histories = ?, events = ?",
            (self.changes, self.histories, self.events),
        )

    def next(self) -> int:
        """A number that no change of the store had before."""
        self.changes += 1
        return self.changes

    def append(self, filed: Iterable[Filing]) -> Appended:
        """Files events, and takes away what is too much then."""
        self._open.clear()  # of a batch before, whose histories may be gone
        tally = {"new": 0, "repeated": 0, "late": 0, "erased": 0}
        primary: dict[int, bool] = {}  # number of an event -> whether it came late
        ahead, became = 0, ""
        for one in filed:
            if not one.primary and became == "erased":
                continue
            outcome, number = self._file(one)
            if one.primary:
                became = outcome
                ahead += one.ahead
                tally[outcome] += 1
                if number:
                    primary[number] = outcome == "late"
        fallen = [primary[number] for number in self._settle() if number in primary]
        late = tally["late"]
        return Appended(
            new=tally["new"] + late - len(fallen),
            repeated=tally["repeated"],
            late=late - sum(fallen),
            outdated=len(fallen),
            erased=tally["erased"],
            ahead=ahead,
            evicted=self._evict(),
        )

    def _file(self, one: Filing) -> tuple[str, int]:
        history = self._opened(one.name)
        if history.erased is not None and one.time <= history.erased:
            return "erased", 0
        if history.number == 0:
            self._begin(history)
        number = self.changes + 1
        values = (one.item, one.type, one.rating, one.session, one.more, one.id, self.generation, one.known)
        if self._run(_INSERT, (history.number, one.time, number, *values)).rowcount == 0:
            return "repeated", 0
        self.changes = number
        history.filed = number
        history.events += 1
        self.events += 1
        if one.user is not None:
            self._run("INSERT OR IGNORE INTO links VALUES (?, ?)", (one.user, one.name))
        if history.last is not None and one.time < history.last:
            history.late = True
            return "late", number
        history.last = one.time
        return "new", number

    def _opened(self, name: bytes) -> _Open:
        """A history by its name, number 0 for one that is not there."""
        if name in self._open:
            return self._open[name]
        erased = self._run("SELECT time FROM erased WHERE name = ?", (name,)).fetchone()
        found = self._run("SELECT number, events, seen FROM histories WHERE name = ?", (name,)).fetchone()
        history = _Open(0, name, 0, None, None, erased[0] if erased else None)
        if found:
            history.number, history.events, history.seen = found
            live = self._run(_LAST.format("events", ""), (history.number,)).fetchone()
            kept = self._run(
                _LAST.format("kept", "AND generation = ?"), (history.number, self.generation)
            ).fetchone()
            history.last = max((row[0] for row in (live, kept) if row), default=None)
        self._open[name] = history
        return history

    def _begin(self, history: _Open) -> None:
        history.number = number = self.next()
        self._run(
            "INSERT INTO histories VALUES (?, ?, ?, ?, 0, NULL)", (number, history.name, number, number)
        )

    def known(self, name: bytes) -> tuple[int, int | None]:
        """The number of a history, made if it is not there; and until when its events have been erased, or None."""
        history = self._opened(name)
        if history.number == 0:
            self._begin(history)
        return history.number, history.erased

    def _settle(self) -> list[int]:
        """Brings the histories up to date that events were filed in; the numbers of events that fell off."""
        fallen: list[int] = []
        for history in self._open.values():
            if not history.filed:
                continue
            too_many = history.events - self._limits.events
            if too_many > 0:
                places = self._run(
                    "SELECT history, time, number FROM events WHERE history = ? ORDER BY time, number LIMIT ?",
                    (history.number, too_many),
                ).fetchall()
                self._many("DELETE FROM events WHERE history = ? AND time = ? AND number = ?", places)
                fallen += [place[2] for place in places]
                history.events -= len(places)
                self.events -= len(places)
            self._run(
                "UPDATE histories SET revision = ?1, events = ?2, settled = CASE WHEN ?3 THEN ?1 ELSE settled END"
                " WHERE number = ?4",
                (history.filed, history.events, history.late, history.number),
            )
            if history.seen is None or self._now > history.seen + self._grain:
                self.histories += history.seen is None
                self._run("UPDATE histories SET seen = ? WHERE number = ?", (self._now, history.number))
        return fallen

    def _evict(self) -> int:
        """Takes away the live events of histories beyond the limit; how many there were."""
        if self.histories <= self._limits.histories:
            return 0
        rows = self._run(
            "SELECT number FROM histories WHERE seen IS NOT NULL ORDER BY seen, revision LIMIT ?",
            (self.histories - self._limits.histories,),
        ).fetchall()
        for (number,) in rows:
            self.drop(number)
        return len(rows)

    def drop(self, number: int) -> int:
        """Takes away the live events of a history, and the history unless a run has kept some of it; how many."""
        name, seen = self._run("SELECT name, seen FROM histories WHERE number = ?", (number,)).fetchone()
        gone = self._run("DELETE FROM events WHERE history = ?", (number,)).rowcount
        self._run("DELETE FROM links WHERE user = ?1 OR session = ?1", (name,))
        self.events -= gone
        self.histories -= seen is not None
        if self._run(
            "SELECT 1 FROM kept WHERE history = ? AND generation IN (?, ?) LIMIT 1",
            (number, self.generation, self.coming),
        ).fetchone():
            change = self.next()
            self._run(
                "UPDATE histories SET events = 0, seen = NULL, revision = ?1, settled = ?1 WHERE number = ?2",
                (change, number),
            )
        else:
            self._run("DELETE FROM histories WHERE number = ?", (number,))
        return gone

    def erase(self, name: bytes) -> tuple[int, int]:
        """Takes away a history and remembers its name as erased; the numbers of its live and its kept events."""
        live, kept, until = 0, 0, self._now
        found = self._run("SELECT number FROM histories WHERE name = ?", (name,)).fetchone()
        if found:
            kept = self._run(
                "SELECT count(*) FROM kept WHERE history = ? AND generation = ?", (found[0], self.generation)
            ).fetchone()[0]
            self._run("DELETE FROM kept WHERE history = ?", found)
            self._run("UPDATE state SET kept = kept - ?", (kept,))
            last = self._run(_LAST.format("events", ""), found).fetchone()
            until = max(until, last[0] if last else until)  # by a clock that is a little ahead
            live = self.drop(found[0])
        self._run("INSERT OR REPLACE INTO erased VALUES (?, ?)", (name, until))
        self.next()
        return live, kept
