"""Single filters: conditions on an event alone, and filters that count events."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.errors import ColumnError, DataError, nearest
from ensue.events import times
from ensue.events.log import EventLog

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class TimeWindow:
    """A condition: the events from one time to another, both included.

    Attributes:
        since: ISO date or time, "" for none.
        until: ISO date or time, "" for none.
    """

    since: str = ""
    until: str = ""
    name: ClassVar[str] = "time window"

    def words(self) -> str:
        """The filter, for people."""
        ends = (f"{end} = {value}" for end, value in (("since", self.since), ("until", self.until)) if value)
        return ", ".join(ends)

    def holds(self, log: EventLog) -> pl.Series:
        """`[E]` which events lie in the window.

        Raises:
            DataError: the log has no times.
        """
        if not log.has_time:
            raise DataError(
                f"The filter {self.words()} needs times, and this log has none: map the time column."
            )
        stamp = pl.col("time").dt.epoch("us")
        since = times.moment(self.since, "since") if self.since else None
        until = times.moment(self.until, "until") if self.until else None
        low = pl.lit(True) if since is None else stamp >= since
        high = pl.lit(True) if until is None else stamp <= until
        return log.frame.select((low & high & pl.col("time").is_not_null()).alias("holds")).to_series()

    def remedy(self, log: EventLog) -> str:
        """What would keep data."""
        ends = log.frame.select(first=pl.col("time").min(), last=pl.col("time").max()).row(0)
        return f"The log goes from {ends[0]:%Y-%m-%d %H:%M:%S} to {ends[1]:%Y-%m-%d %H:%M:%S} UTC."


@dataclass(frozen=True)
class EventTypes:
    """A condition: events of some types.

    Attributes:
        keep: the types.
    """

    keep: tuple[str, ...] = ()
    name: ClassVar[str] = "event types"

    def words(self) -> str:
        """The filter, for people."""
        return f"keep_events = {', '.join(self.keep)}"

    def holds(self, log: EventLog) -> pl.Series:
        """`[E]` which events are of one of the types.

        Raises:
            ColumnError: the log has no event types.
        """
        _need(log, "event", self.words())
        return log.frame["event"].is_in(list(self.keep)).fill_null(False)

    def remedy(self, log: EventLog) -> str:
        """What would keep data."""
        known = log.frame["event"].drop_nulls().unique().sort().to_list()
        return f"The log has the types {', '.join(known[:8]) or '(none)'}.{nearest(self.keep[0], known)}"


@dataclass(frozen=True)
class LeastRating:
    """A condition: events with a rating of at least so much; those without a rating do not meet it.

    Attributes:
        least: the smallest rating that counts.
    """

    least: float = 0.0
    name: ClassVar[str] = "rating threshold"

    def words(self) -> str:
        """The filter, for people."""
        return f"min_rating = {self.least:g}"

    def holds(self, log: EventLog) -> pl.Series:
        """`[E]` which events have such a rating.

        Raises:
            ColumnError: the log has no ratings.
        """
        _need(log, "rating", self.words())
        return (log.frame["rating"] >= self.least).fill_null(False)

    def remedy(self, log: EventLog) -> str:
        """What would keep data."""
        if log.frame["rating"].null_count() == log.n_events:
            return "No event has a rating."
        return f"The largest value that keeps data is {float(log.frame['rating'].drop_nulls().to_numpy().max()):g}."


@dataclass(frozen=True)
class Counted:
    """Events in codes, so that counting them is quick.

    Attributes:
        users: `[E]` a number for each event's user.
        items: `[E]` a number for each event's item.
    """

    users: Codes
    items: Codes

    def __len__(self) -> int:
        return len(self.users)

    def where(self, kept: NDArray[np.bool_]) -> Counted:
        """The events that are kept."""
        return Counted(self.users[kept], self.items[kept])


@dataclass(frozen=True)
class Window:
    """A fitted filter: users (or items) whose number of events lies in a window; counted once.

    Attributes:
        of: "user" (activity) or "item" (popularity).
        least: fewest events.
        most: most events; 0 is no limit.
    """

    of: Literal["user", "item"] = "user"
    least: int = 0
    most: int = 0
    name: ClassVar[str] = "number of events"

    def words(self) -> str:
        """The filter, for people."""
        ends = [f"min_{self.of}_events = {self.least}"] if self.least else []
        return ", ".join([*ends, *([f"max_{self.of}_events = {self.most}"] if self.most else [])])

    def holds(self, events: Counted) -> tuple[NDArray[np.bool_], int]:
        """`[E]` which events are kept, and in how many rounds that was found."""
        codes = events.users if self.of == "user" else events.items
        counts = np.bincount(codes)[codes]
        return (counts >= self.least) & ((counts <= self.most) if self.most else True), 1

    def remedy(self, events: Counted) -> str:
        """What would keep data."""
        codes = events.users if self.of == "user" else events.items
        counts = np.unique(codes, return_counts=True)[1]
        if self.most and counts.min() > self.most:
            return f"The smallest max_{self.of}_events that keeps data is {counts.min():,}."
        highest = counts[counts <= self.most].max() if self.most else counts.max()
        return f"The largest min_{self.of}_events that keeps data is {highest:,}."


@dataclass(frozen=True)
class Core:
    """A fitted filter: events of users with enough of them, on items with enough of them, once nothing more falls out.

    Events are counted, not different items. What is left does not depend on what is taken out first.

    Attributes:
        users: fewest events of a user that are left.
        items: fewest events of an item that are left.

    References:
        Seidman, "Network structure and minimum degree", Social Networks 5 (1983): the k-core, here of a graph with two
        sides.
    """

    users: int = 0
    items: int = 0
    name: ClassVar[str] = "core"

    def words(self) -> str:
        """The filter, for people."""
        ends = [f"min_user_events = {self.users}"] if self.users else []
        return ", ".join([*ends, *([f"min_item_events = {self.items}"] if self.items else [])])

    def holds(self, events: Counted) -> tuple[NDArray[np.bool_], int]:
        """`[E]` which events are kept, and after how many rounds nothing more fell out."""
        found = np.zeros(len(events), dtype=np.bool_)
        places, rounds = np.arange(len(events)), 0
        while len(events):
            rounds += 1
            users, items = np.bincount(events.users), np.bincount(events.items)
            kept = (users[events.users] >= self.users) & (items[events.items] >= self.items)
            if kept.all():
                break
            events, places = events.where(kept), places[kept]
            if 4 * len(events) < len(users) + len(items):  # few are left: their numbers begin anew
                events = Counted(_numbered(events.users), _numbered(events.items))
        found[places] = True
        return found, rounds

    def remedy(self, events: Counted) -> str:
        """What would keep data: the largest number for items, else for users, the other one staying."""
        for own, other in (("items", "users"), ("users", "items")):
            highest = getattr(self, own) - 1
            most = _largest(highest, lambda value, own=own: self._keeps_some(events, own, value))  # type: ignore[misc]
            if most:
                beside = getattr(self, other)
                where = f" beside min_{other[:-1]}_events = {beside}" if beside else ""
                return f"The largest min_{own[:-1]}_events that keeps data{where} is {most:,}."
        return "Take both smaller."

    def _keeps_some(self, events: Counted, name: str, value: int) -> bool:
        return bool(dataclasses.replace(self, **{name: value}).holds(events)[0].any())


Condition = TimeWindow | EventTypes | LeastRating
FittedFilter = Window | Core

FILTERS: tuple[type[Condition | FittedFilter], ...] = (TimeWindow, EventTypes, LeastRating, Window, Core)
"""Every filter, in the order in which they are applied: conditions first."""


def _need(log: EventLog, name: str, words: str) -> None:
    """Raises ColumnError if the log has no such column."""
    if name not in log.columns:
        raise ColumnError(
            f"The filter {words} needs the column '{name}', and the log has: {', '.join(log.source_columns)}."
        )


def _numbered(codes: Codes) -> Codes:
    """The codes without gaps."""
    found: Codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    return found


def _largest(highest: int, keeps: Callable[[int], bool]) -> int:
    """The largest number from 1 to `highest` that keeps data; 0 if none does. What keeps data, less keeps too."""
    low, high = 0, max(highest, 0)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if keeps(middle) else (low, middle - 1)
    return low
