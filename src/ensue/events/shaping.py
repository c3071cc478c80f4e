"""What becomes of a log between reading and splitting: it is cleaned, filtered by conditions, and cut into sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ensue.errors import ConfigError
from ensue.events.cleaning import Cleaning
from ensue.events.filtering import Filters
from ensue.events.log import EventLog
from ensue.events.sessions.rule import Sessions


@dataclass(frozen=True)
class Shape:
    """What is done with a log, in this order. A saved model keeps it, so that later events are treated alike.

    Attributes:
        events: what is done about duplicates, returns, repeats and ties.
        filters: which events count, and what is learnt from.
        sessions: how it is cut into sessions.
    """

    events: Cleaning = field(default_factory=Cleaning)
    filters: Filters = field(default_factory=Filters)
    sessions: Sessions = field(default_factory=Sessions)

    @classmethod
    def learnt(cls, sequences: Mapping[str, Any]) -> Shape:
        """What was done with the log that a saved model has learnt from.

        Args:
            sequences: what the model says a sequence is, see `said`; one of an older version knows a gap only.

        Raises:
            ConfigError: it says something that this version does not know.
        """
        try:
            return cls(
                Cleaning(**_tuples(sequences.get("events", {}))),
                Filters(**_tuples(sequences.get("filters", {}))),
                Sessions.learnt(sequences),
            )
        except TypeError as fault:
            raise ConfigError(
                f"The model's log was treated as this version does not know: {fault}."
            ) from None

    def said(self, by: str) -> dict[str, Any]:
        """What a saved model says of its sequences: what differs from the default, as plain values.

        Args:
            by: what a sequence is, "user" or "session".

        Raises:
            ConfigError: sessions begin where an expression says so, which no file can hold.
        """
        own = {"events": _changed(self.events, Cleaning()), "filters": _changed(self.filters, Filters())}
        return {**self.sessions.said(by), **{name: values for name, values in own.items() if values}}

    def faults(self) -> list[str]:
        """What cannot be, each with the table it stands in."""
        parts = (("events", self.events), ("filters", self.filters), ("sessions", self.sessions))
        found = [f"{table}: {fault}" for table, part in parts for fault in part.faults()]
        counted = self.filters.keep_events
        lost = [kind for kind in self.sessions.closing if counted and kind not in counted]
        if lost:
            found.append(
                f"sessions: closing = {lost[0]}, and filters.keep_events leaves such events out before any are cut."
            )
        return found

    def apply(self, log: EventLog, say: Callable[[str], None] | None = None) -> EventLog:
        """The log, cleaned, with the events that count, in sessions.

        Fitted filters are not applied: they come after the split, see `Filters.fit`.

        Args:
            log: as it was read.
            say: is told what was done, one sentence for each note that this adds to the reading.

        Raises:
            EnsueError: something cannot be, or leaves nothing.
        """
        shaped = self.sessions.apply(self.filters.apply(self.events.apply(log)))
        for note in shaped.reading.notes[len(log.reading.notes) :] if say else ():
            say(note)  # type: ignore[misc]
        return shaped


def with_gap(sessions: Sessions, gap: float) -> Sessions:
    """The sessions, cut by a gap as well, as an option of its own says.

    Raises:
        ConfigError: both say a gap, and not the same.
    """
    if gap and sessions.gap not in (0, gap):
        raise ConfigError(f"A session gap of {gap:g} seconds and one of {sessions.gap:g}: give one of them.")
    return replace(sessions, gap=gap) if gap else sessions


def _changed(part: Cleaning | Filters, default: Cleaning | Filters) -> dict[str, Any]:
    """What differs from the default, lists in place of tuples."""
    known = asdict(default)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(part).items()
        if value != known[name]
    }


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
