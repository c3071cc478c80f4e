"""How a log is cut into sessions: one description, and what it makes of a log."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from ensue.errors import ColumnError, ConfigError, DataError, nearest
from ensue.events.accounts import told
from ensue.events.log import CANONICAL, TIME, EventLog
from ensue.events.sessions.cuts import Flags, Grouped, Places, limited

CALENDAR = {"day": "1d", "week": "1w", "month": "1mo"}
MOST_US = 2**62
"""The longest that a gap or a session can be, in microseconds."""


@dataclass(frozen=True)
class Sessions:
    """How a log is cut into sessions. A session begins wherever one of the cuts says so; no session has two users.

    Without any cut a log keeps the sessions of its source, and a log that has none has one session for each user.
    Limits come on top: a session that is too long is cut, and what is left of it goes on as a new one.

    Attributes:
        given: keep the sessions of the source, and cut within them only.
        gap: cut where more than this many seconds pass between two events; exactly as many do not cut.
        calendar: cut where a new "day", "week" (from Monday) or "month" begins.
        zone: whose days they are, such as "Europe/Helsinki".
        closing: event types that end a session, and belong to it.
        starts: column -> values with which a session begins; or, in Python, any polars expression that is true there.
            The expression is taken user by user (session by session where given), so that it sees no other's events.
        changes: columns at whose change a session begins.
        max_events: most events of a session.
        max_seconds: longest time from the first event of a session to its last.
        min_events: sessions with fewer events are set aside and counted, never put together with others.

    Example:
        >>> log = EventLog.of(pl.DataFrame({"user": ["u"] * 5, "item": list("abcde")}))
        >>> Sessions(max_events=2).apply(log).frame["session"].to_list()
        ['u#1', 'u#1', 'u#2', 'u#2', 'u#3']
    """

    given: bool = False
    gap: float = 0.0
    calendar: Literal["", "day", "week", "month"] = ""
    zone: str = "UTC"
    closing: tuple[str, ...] = ()
    starts: Mapping[str, tuple[str, ...]] | pl.Expr = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    max_events: int = 0
    max_seconds: float = 0.0
    min_events: int = 0

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "strict": True,
        "arbitrary_types_allowed": True,
    }

    @classmethod
    def learnt(cls, sequences: Mapping[str, Any]) -> Sessions:
        """The rule by which a saved model's sessions were cut.

        Args:
            sequences: what the model says a sequence is, see `said`.
        """
        told = dict(sequences.get("sessions") or {})
        for name in ("closing", "changes"):
            told[name] = tuple(told.get(name, ()))
        told["starts"] = {column: tuple(values) for column, values in told.get("starts", {}).items()}
        known = {entry.name for entry in fields(cls)}
        strange = sorted(set(told) - known)
        if strange:
            raise ConfigError(
                f"The sessions of this model follow a rule that this version does not know ({', '.join(strange)})."
            )
        return dataclasses.replace(cls(gap=sequences.get("session_gap", 0.0)), **told)

    def said(self, by: str) -> dict[str, Any]:
        """What a saved model says of its sequences; `learnt` makes the same rule of it.

        A rule that is a gap and nothing else is said as `session_gap` alone, any other under `sessions`.

        Args:
            by: what a sequence is, "user" or "session".

        Raises:
            ConfigError: the rule is an expression, which no file can hold.
        """
        if isinstance(self.starts, pl.Expr):
            raise ConfigError(
                "Sessions that begin where a polars expression says so cannot be kept with a model: cut the log with "
                "them first, or say starts = {column = [values]}."
            )
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        default = json.loads(json.dumps(dataclasses.asdict(Sessions())))
        told = {name: value for name, value in plain.items() if value != default[name]}
        if set(told) <= {"gap"}:
            return {"by": by, "session_gap": float(self.gap)}
        return {"by": by, "session_gap": 0.0, "sessions": told}

    @property
    def cuts(self) -> bool:
        """Whether anything but the limits parts events."""
        starts = isinstance(self.starts, pl.Expr) or bool(self.starts)
        return bool(self.gap or self.calendar or self.closing or starts or self.changes)

    @property
    def nothing(self) -> bool:
        """Whether a log stays as it is."""
        return not (self.given or self.cuts or self.max_events or self.max_seconds or self.min_events)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it goes by, beside times and the sessions of the source."""
        starts = () if isinstance(self.starts, pl.Expr) else tuple(self.starts)
        return tuple(dict.fromkeys([*(["event"] if self.closing else []), *self.changes, *starts]))

    def faults(self) -> list[str]:
        """What cannot be, one sentence each."""
        found = []
        for name in ("gap", "max_seconds"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                found.append(f"{name} = {value:g}: must be a finite number of seconds from 0 up.")
            elif 0 < value < 5e-7:
                found.append(f"{name} = {value:g}: times are told apart to the microsecond.")
        found += [
            f"{name} = {getattr(self, name)}: must be a whole number from 0 up."
            for name in ("max_events", "min_events")
            if getattr(self, name) < 0
        ]
        if 0 < self.max_events < self.min_events:
            found.append(
                f"min_events = {self.min_events} is more than max_events = {self.max_events}: no session could stay."
            )
        if self.calendar and self.calendar not in CALENDAR:
            known = f"take one of {', '.join(CALENDAR)}"
            found.append(f"calendar = '{self.calendar}': {known}.{nearest(self.calendar, CALENDAR)}")
        if not _is_zone(self.zone):
            found.append(
                f"zone = '{self.zone}': there is no such time zone; give one such as 'Europe/Helsinki'."
            )
        return found

    def words(self) -> str:
        """The rule, for people."""
        parts = ["of the source"] if self.given else []
        if self.gap:
            parts.append(f"cut after more than {self.gap:g} seconds without an event of the user")
        if self.calendar:
            parts.append(f"cut at each new {self.calendar} ({self.zone})")
        if self.closing:
            parts.append(f"ended by {' or '.join(self.closing)}")
        if isinstance(self.starts, pl.Expr):
            parts.append("begun where an expression says so")
        elif self.starts:
            where = (f"{column} is {' or '.join(values)}" for column, values in self.starts.items())
            parts.append(f"begun where {' or '.join(where)}")
        if self.changes:
            parts.append(f"begun where {' or '.join(self.changes)} changes")
        if self.max_events:
            parts.append(f"of at most {self.max_events:,} events")
        if self.max_seconds:
            parts.append(f"no longer than {self.max_seconds:g} seconds")
        return ", ".join(parts)

    def apply(self, log: EventLog) -> EventLog:
        """The log with these sessions; its reading says what was done, and how many events were set aside.

        Args:
            log: the events; sessions are cut in its order.

        Raises:
            ConfigError: the rule cannot be; all its faults are listed.
            ColumnError: it needs a column that the log does not have.
            DataError: it needs times and there are none, the expression is at fault, or no session is long enough.
        """
        faults = self.faults()
        if faults:
            raise ConfigError(
                "The sessions cannot be cut so:\n" + "\n".join(f"  {fault}" for fault in faults)
            )
        if self.nothing:
            return log
        self.check_columns(log)
        kept = "session" in log.columns and (self.given or not self.cuts)
        frame, base = log.frame, "session" if kept else "user"
        grouped = Grouped.by(frame[base])
        begins = grouped.first | self.begins(frame, base)[grouped.order]
        times = frame["time"].dt.epoch("us").to_numpy()[grouped.order] if log.has_time else None
        longest = min(round(self.max_seconds * 1_000_000), MOST_US)
        cut = limited(begins, self.max_events, times, longest) if frame.height else begins
        pieces = int((cut & ~begins).sum())
        frame = in_order(frame.with_columns(session=_ids(frame, base, grouped, cut)))
        what = self.words() or ("of the source" if kept else "one for each user")
        if "session" in log.columns and not kept:
            what += ", in place of the sessions of the source"
        sizes = frame.group_by("session").len()["len"]
        single = int((sizes == 1).sum())
        note = f"sessions {what}: {len(sizes):,}, {single:,} of them with one event"
        if pieces:
            note += f"; {pieces:,} begin where one had grown too long"
        unseen = [kind for kind in self.closing if not (frame["event"] == kind).any()]
        if unseen:
            note += f"; no event is of type {', '.join(unseen)}"
        return self._without_short(dataclasses.replace(log, frame=frame), sizes, note)

    def begin_of_last(self, times: Places, table: Callable[[], pl.DataFrame]) -> int:
        """At which of one user's events, in their order, the last session begins by the cuts and the limits.

        Args:
            times: `[E]` microseconds, rising; at least one.
            table: gives the events, with "user" the same for all, where a cut goes by more than a gap; a column that is
                asked for and is not there says nothing, and neither does a time that is missing.
        """
        if replace(self, gap=0.0).cuts:
            begins = self.begins(self._with_columns(table()), "user")
        else:
            gap = min(round(self.gap * 1_000_000), MOST_US)
            begins = (
                np.append(True, np.diff(times) > gap) if self.gap else np.zeros(len(times), dtype=np.bool_)
            )
        begins[0] = True
        longest = min(round(self.max_seconds * 1_000_000), MOST_US)
        return int(np.flatnonzero(limited(begins, self.max_events, times, longest))[-1])

    def _with_columns(self, frame: pl.DataFrame) -> pl.DataFrame:
        """A table with all columns that the cuts go by, empty where it has none."""
        asked = ["time", "event", *self.changes]
        asked += [] if isinstance(self.starts, pl.Expr) else list(self.starts)
        kind = {"time": pl.Datetime("us", "UTC")}
        lacking = [name for name in dict.fromkeys(asked) if name not in frame.columns]
        return frame.with_columns(pl.lit(None, kind.get(name, pl.String)).alias(name) for name in lacking)

    def check_columns(self, log: EventLog) -> None:
        """Raises an error if a log lacks what the rule goes by.

        Args:
            log: whose events are to be cut.
        """
        wanted = [*(["session"] if self.given else []), *self.columns]
        lacking = [name for name in wanted if name not in log.columns]
        if lacking:
            raise ColumnError(
                f"Sessions {self.words()} need the column '{lacking[0]}', and the log has: "
                f"{', '.join(log.source_columns)}.{nearest(lacking[0], log.source_columns)}"
            )
        if (self.gap or self.calendar or self.max_seconds) and not log.has_time and log.n_events:
            raise DataError(
                f"Sessions {self.words()} need times, and this log has none: map the time column."
            )

    def begins(self, frame: pl.DataFrame, base: str) -> Flags:
        """`[E]` whether a session begins at an event, by any of the cuts.

        Args:
            frame: events, those of one `base` in their order.
            base: the column of what is cut, such as "user".
        """
        cuts: list[pl.Expr] = []
        stamp = pl.col("time").dt.epoch("us")
        if self.gap:
            cuts.append(stamp - stamp.shift(1) > min(round(self.gap * 1_000_000), MOST_US))
        if self.calendar:
            day = (
                pl.col("time").dt.convert_time_zone(self.zone).dt.date().dt.truncate(CALENDAR[self.calendar])
            )
            cuts.append(day != day.shift(1))
        if self.closing:
            cuts.append(pl.col("event").is_in(list(self.closing)).shift(1))
        if isinstance(self.starts, pl.Expr):
            cuts.append(_checked(frame, self.starts, base))
        else:
            cuts += [pl.col(name).cast(pl.String).is_in(list(values)) for name, values in self.starts.items()]
        cuts += [pl.col(name).ne_missing(pl.col(name).shift(1)) for name in self.changes]
        if not cuts:
            return np.zeros(frame.height, dtype=np.bool_)
        begins = frame.select(pl.any_horizontal(cut.fill_null(False).over(base) for cut in cuts)).to_series()
        found: Flags = begins.to_numpy()
        return found

    def _without_short(self, log: EventLog, sizes: pl.Series, note: str) -> EventLog:
        """The log without its short sessions, and the account of all that was done."""
        frame, aside = log.frame, {}
        if self.min_events > 1 and frame.height:
            short = frame.select(pl.len().over("session") < self.min_events).to_series()
            events, many = int(short.sum()), int((sizes < self.min_events).sum())
            if events == frame.height:
                raise DataError(
                    f"Sessions of at least {self.min_events:,} events (min_events) leave nothing: {events:,} events "
                    f"before, 0 after. The largest value that keeps data is {int(sizes.to_numpy().max()):,}."
                )
            note += f"; {many:,} of fewer than {self.min_events:,} events are set aside ({events:,} events)"
            frame = frame.filter(~short)
            aside = {f"in a session of fewer than {self.min_events:,} events": events}
        return told(log, frame, note, aside)


def _ids(frame: pl.DataFrame, base: str, grouped: Grouped, begins: Flags) -> pl.Series:
    """`[E]` ids "<user>#<number>"; those of the source stay as they are if none of its sessions is cut.

    Where some are, all get a number, with a backslash before any backslash or "#" of their own, so that no two become
    one.
    """
    if base == "session" and bool((begins == grouped.first).all()):
        return frame["session"]
    name = pl.col(base)
    if base == "session":
        name = escaped(name)
    number = pl.Series("number", grouped.numbers(begins)).cast(pl.String)
    return frame.select(pl.concat_str(name, pl.lit("#"), number).alias("session")).to_series()


def escaped(name: pl.Expr) -> pl.Expr:
    """Names with a backslash before any backslash or "#" of their own, so that no two become one with a number."""
    return name.str.replace_all("\\", "\\\\", literal=True).str.replace_all("#", "\\#", literal=True)


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """The table with its canonical columns in their order."""
    names = [name for name in CANONICAL if name in frame.columns]
    return frame.select(*names, *(name for name in frame.columns if name not in CANONICAL))


def _checked(frame: pl.DataFrame, starts: pl.Expr, base: str) -> pl.Expr:
    """The expression, once it is known to say yes or no of every event.

    Raises:
        DataError: it cannot be computed, or says something else.
    """
    try:
        found = frame.select(starts.over(base)).to_series()
    except (pl.exceptions.PolarsError, TypeError) as fault:
        first = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise DataError(
            f"The expression at which sessions start cannot be computed ({first}): write it as for the events of one "
            "user, without over()."
        ) from None
    if found.dtype != pl.Boolean or len(found) != frame.height:
        raise DataError(
            f"The expression at which sessions start gives {found.dtype}: it must be true or false for every event."
        )
    return starts


def _is_zone(name: str) -> bool:
    try:
        pl.Series([0]).cast(TIME).dt.convert_time_zone(name)
    except pl.exceptions.PolarsError:
        return False
    return True
