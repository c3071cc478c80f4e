"""Where sessions begin, and their ids; ids are unique per user, whatever the rule."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.errors import DataError


def by_gap(frame: pl.DataFrame, gap_seconds: float) -> pl.Series:
    """The session `[E]` of each event: a user's session ends when the next event is MORE than the gap away.

    Ids are "<user>#1", "<user>#2", ... in the order of time, so no two users share one.

    Args:
        frame: events in the order of the log, with times.
        gap_seconds: longest silence inside a session, in seconds; exact to the microsecond.

    Raises:
        DataError: the gap is not a positive number, or the events have no time.
    """
    if not (math.isfinite(gap_seconds) and gap_seconds > 0):
        raise DataError(
            f"A session gap of {gap_seconds} seconds is not possible: give a positive number, e.g. 1800."
        )
    if frame["time"].has_nulls():
        raise DataError(
            "Sessions by an inactivity gap need times, and this log has none: map the time column."
        )
    limit = round(gap_seconds * 1_000_000)
    stamp = pl.col("time").dt.epoch("us")
    cut = ((stamp - stamp.shift(1)).over("user") > limit).fill_null(False)
    number = cut.cast(pl.Int64).cum_sum().over("user") + 1
    return frame.select(pl.concat_str(pl.col("user"), pl.lit("#"), number.cast(pl.String)).alias("session"))[
        "session"
    ]


def per_user(frame: pl.DataFrame, *, shared: bool | None = None) -> pl.Series:
    """The session `[E]` of each event, made unique per user: the same text under two users is two sessions.

    Ids stay as written unless two users share one; then all become "<user>#<session>", with a backslash before any
    backslash or "#" of the user's own, so that two different pairs never give one id.

    Args:
        frame: events of all users, or of some.
        shared: whether two users share a session's name, if that is known already.
    """
    if shared is None:
        owners = frame.lazy().select("user", "session").unique()
        shared = bool(owners.select(pl.col("session").is_duplicated().any()).collect().item())
    if not shared:
        return frame["session"]
    user = (
        pl.col("user").str.replace_all("\\", "\\\\", literal=True).str.replace_all("#", "\\#", literal=True)
    )
    return frame.select(pl.concat_str(user, pl.lit("#"), pl.col("session")).alias("session"))["session"]


Flags = NDArray[np.bool_]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Grouped:
    """Events brought together by what is cut: all events of a user, or of a session of the source.

    Attributes:
        order: `[E]` places in the log, group by group, in the order of the log within each.
        first: `[E]` whether an event is the first of its group, in that order.
    """

    order: Places
    first: Flags

    @classmethod
    def by(cls, keys: pl.Series) -> Grouped:
        """The groups of equal keys, in the order of their first events.

        Args:
            keys: `[E]` what each event belongs to, in the order of the log.
        """
        begin = pl.DataFrame({"key": keys}).with_row_index("at").select(pl.col("at").min().over("key"))
        begins = begin.to_series().to_numpy()
        order = np.argsort(begins, kind="stable").astype(np.int64)
        sorted_ = begins[order]
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = sorted_[1:] != sorted_[:-1]
        return cls(order, first)

    def numbers(self, begins: Flags) -> Places:
        """`[E]` which stretch of its group each event lies in, from 1, in the order of the log.

        Args:
            begins: `[E]` in grouped order, true where a stretch begins; true wherever `first` is.
        """
        running = np.cumsum(begins)
        groups = np.cumsum(self.first) - 1
        numbers = np.empty(len(running), dtype=np.int64)
        numbers[self.order] = running - running[self.first][groups] + 1
        return numbers


def limited(begins: Flags, max_events: int, times: Places | None, max_us: int) -> Flags:
    """Where stretches begin once each is cut that is too long; what is left of it goes on as a new one.

    A stretch ends before the event that would be its (max_events + 1)-th, or that comes more than `max_us` after its
    first event. All stretches are gone through together: as many rounds as the longest has pieces.

    Args:
        begins: `[E]` where stretches begin, `begins[0]` among them.
        max_events: most events of one; 0 is no limit.
        times: `[E]` microseconds, rising within each stretch; needed for `max_us` only.
        max_us: longest time from the first event to the last; 0 is no limit.
    """
    found = begins.copy()
    start = np.flatnonzero(begins)
    end = np.append(start[1:], len(begins))
    while len(start):
        following = end if not max_events else np.minimum(start + max_events, end)
        if max_us and times is not None:
            following = _first_later(times, start, following, max_us)
        more = following < end
        start, end = following[more], end[more]
        found[start] = True
    return found


def _first_later(times: Places, start: Places, end: Places, max_us: int) -> Places:
    """The first place from `start` on, at most `end`, whose time is more than `max_us` after that of `start`."""
    low, high = start + 1, end.copy()
    while (low < high).any():
        middle = (low + high) // 2
        open_ = low < high
        late = times[np.minimum(middle, len(times) - 1)] - times[start] > max_us
        high = np.where(open_ & late, middle, high)
        low = np.where(open_ & ~late, middle + 1, low)
    return low
