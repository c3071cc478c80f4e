"""A history as a store hands it out: live events after and among those that a run has kept."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from ensue.encodings import CALENDAR
from ensue.inputs import GAP, RATING, TIME, WAIT
from ensue.moments import moment
from ensue.questions import Question
from ensue.sequences import MISSING_TIME

TIMES = frozenset((TIME, GAP, WAIT, *CALENDAR))
"""What a model reads of when events happened."""
TYPE = "event"
"""The column of a log that holds the type of an event."""


class Row(NamedTuple):
    """One event of a history, as every store writes it; rows order by time and number.

    Attributes:
        time: microseconds since 1970 UTC, `MISSING_TIME` of an order-only log.
        number: of the change that brought it; no two events of a store share one.
        session: the same for the events of one session.
        more: other columns as JSON.
    """

    time: int
    number: int
    item: str
    type: str | None
    rating: float | None
    session: int | None
    more: str | None


@dataclass(frozen=True)
class History:
    """What one user did, or what was done in one session, oldest first.

    Attributes:
        rows: the events.
        revision: a number that grows with every change of the history and never comes again.
        settled: the revision at which it last changed otherwise than by an event at its end.
    """

    rows: tuple[Row, ...] = ()
    revision: int = 0
    settled: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def items(self) -> list[str]:
        """Ids of the items."""
        return [row.item for row in self.rows]

    @property
    def times(self) -> list[datetime | None]:
        """When each event happened, None for what an order-only log has kept."""
        return [None if row.time == MISSING_TIME else moment(row.time) for row in self.rows]

    @property
    def last_session(self) -> History:
        """The events that share the session of the last one; where it has none, those since the last that has one."""
        if not self.rows or self.rows[-1].session is not None:
            last = self.rows[-1].session if self.rows else None
            return self.of(tuple(row for row in self.rows if row.session == last))
        told = [place for place, row in enumerate(self.rows) if row.session is not None]
        return self.of(self.rows[told[-1] + 1 :]) if told else self

    def of(self, rows: tuple[Row, ...]) -> History:
        """Some of its events, as a history of the same revision."""
        return History(rows, self.revision, self.settled)

    def context(self, columns: Collection[str] | None = None) -> dict[str, list[Any]]:
        """Types and other columns of the events by name, None where an event has none.

        Args:
            columns: the names that are wanted; None is all there are.
        """
        found: dict[str, list[Any]] = {}
        if any(row.type is not None for row in self.rows):
            found[TYPE] = [row.type for row in self.rows]
        for place, row in enumerate(self.rows):
            if row.more is not None:
                for name, value in json.loads(row.more).items():
                    found.setdefault(name, [None] * len(self.rows))[place] = value
        return {name: values for name, values in found.items() if columns is None or name in columns}

    def question(
        self, user: str | None = None, at: datetime | None = None, columns: Collection[str] | None = None
    ) -> Question:
        """What comes next after these events.

        Args:
            user: who asks.
            at: when.
            columns: what the model reads beside the items; None is all there is. Nothing else is made ready: for most
                models that is half the work of an answer.
        """
        timed = columns is None or not TIMES.isdisjoint(columns)
        rated = columns is None or RATING in columns
        ratings = [row.rating for row in self.rows] if rated else []
        return Question(
            self.items,
            user,
            self.times if timed and any(row.time != MISSING_TIME for row in self.rows) else None,
            ratings if any(rating is not None for rating in ratings) else None,
            self.context(columns),
            at,
        )

    def since(self, revision: int) -> int | None:
        """From which event on a state of this history at an earlier revision has to be advanced.

        Returns:
            The place of the first event that is newer, `len(self)` for none; None where something else than events at
            the end has changed, or nothing of the state is left: then it is made anew.
        """
        if revision < self.settled:
            return None
        place = len(self.rows)
        while place and self.rows[place - 1].number > revision:
            place -= 1
        known = all(row.number <= revision for row in self.rows[:place])
        return place if place and known else None


def merged(live: Sequence[Row], kept: Sequence[Row], most: int) -> tuple[Row, ...]:
    """The last events of both, each once.

    Args:
        live: rows, oldest first, at least the last `most`.
        kept: rows that a run has kept, likewise; one without a type is the same as a live one of any type.
        most: how many at most.
    """
    if live and kept and kept[-1].time >= live[0].time:
        types: dict[tuple[int, str], set[str | None]] = {}
        for row in live:
            types.setdefault((row.time, row.item), set()).add(row.type)
        other = [row for row in kept if not _among(row, types.get((row.time, row.item)))]
        return tuple(sorted([*other, *live])[-most:])
    return tuple([*kept, *live][-most:])


def _among(row: Row, types: set[str | None] | None) -> bool:
    return types is not None and (row.type is None or row.type in types)
