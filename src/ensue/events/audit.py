"""What a log is like, before anything is learnt from it, and what follows from that by stated rules."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from ensue.errors import ColumnError, DataError
from ensue.events import duplicates, sessions
from ensue.events.log import EventLog, tied_events
from ensue.events.times import suspicious

REPEATS_FEW = 0.05
"""Below this share of repeats, items that a user had already are left out of recommendations."""

GAP_S = 1800.0
"""The inactivity gap, in seconds, that is tried when the log has no sessions: half an hour, as web analytics has it."""

LATE_LEAST, LATE_MOST = 0.01, 0.5
"""A temporal split cuts at the 0.9 quantile of the times; the share of events after it must lie between these."""

TIES_MANY = 0.2

_QUANTILES = {"min": 0.0, "10 %": 0.1, "median": 0.5, "90 %": 0.9, "99 %": 0.99, "max": 1.0}


@dataclass(frozen=True)
class Advice:
    """A default that follows from the data.

    Attributes:
        option: what it sets: "exclude_seen", "split", "sessions", "order".
        value: what it should be.
        reason: why, with the number that decides.
    """

    option: str
    value: str | bool
    reason: str


@dataclass(frozen=True)
class Audit:
    """The measures of a log; a share lies between 0 and 1.

    Attributes:
        by: what a sequence belongs to, "user" or "session".
        events: number of events.
        users: number of users.
        items: number of items.
        sequences: number of sequences.
        density: share of the user-item pairs that occur.
        first: time of the first event, UTC; None without times.
        last: time of the last event.
        span_days: from the first to the last, in days.
        lengths: quantiles of the sequence lengths, in events.
        mean_length: events per sequence.
        single: users with one event, who can be neither trained on nor tested.
        repeat_share: share of events whose item the user had before.
        duplicates: events that come again in all that ensue reads, see `ensue.events.duplicates`.
        tied_share: share of events that share their time with another of the same sequence.
        top_1_share: share of the events that the most popular 1 % of the items have (at least one item).
        top_10_share: the same for 10 %.
        gini: inequality of the item counts: 0 all equal, near 1 nearly all events on few items.
        suspicious: times that are 0, before 1970 or after 2100.
        ratings: smallest and largest rating and the number of different ones; None without ratings.
        event_types: number of events of each type, most frequent first; None without types.
        sessions: number of sessions of the source; None without.
        advice: what follows.
    """

    by: str
    events: int
    users: int
    items: int
    sequences: int
    density: float
    first: datetime | None
    last: datetime | None
    span_days: float | None
    lengths: dict[str, float]
    mean_length: float
    single: int
    repeat_share: float
    duplicates: int
    tied_share: float
    top_1_share: float
    top_10_share: float
    gini: float
    suspicious: int
    ratings: tuple[float, float, int] | None
    event_types: dict[str, int] | None
    sessions: int | None
    advice: tuple[Advice, ...]

    def lines(self) -> list[str]:
        """The audit in plain lines for the terminal."""
        quantiles = ", ".join(f"{name} {value:g}" for name, value in self.lengths.items())
        lines = [
            f"{self.events:,} events of {self.users:,} users on {self.items:,} items (density {self.density:.2%})",
            f"sequences by {self.by}: {self.sequences:,}, length {quantiles}, mean {self.mean_length:.1f}",
        ]
        if self.first is not None and self.last is not None and self.span_days is not None:
            lines.append(
                f"time: {self.first:%Y-%m-%d %H:%M} to {self.last:%Y-%m-%d %H:%M} UTC, {self.span_days:,.1f} days"
            )
            lines.append(
                f"ties: {self.tied_share:.1%} of events share their time with another of the {self.by}"
            )
        else:
            lines.append("time: none, the order of the events is given")
        lines.append(f"repeats: {self.repeat_share:.1%} of events are on an item the user had before")
        if self.duplicates and self.first is not None:
            lines.append(f"duplicates: {self.duplicates:,} events come again in all that ensue reads")
        lines.append(
            f"popularity: 1 % of the items have {self.top_1_share:.1%} of the events, 10 % have "
            f"{self.top_10_share:.1%} (Gini {self.gini:.2f})"
        )
        if self.single:
            lines.append(f"users with one event: {self.single:,} ({self.single / self.users:.1%})")
        if self.suspicious:
            lines.append(f"suspicious times (0, before 1970, after 2100): {self.suspicious:,}")
        if self.ratings:
            lines.append(
                f"ratings: {self.ratings[0]:g} to {self.ratings[1]:g}, {self.ratings[2]:,} different values"
            )
        if self.event_types:
            shown = [f"{name} {count:,}" for name, count in list(self.event_types.items())[:8]]
            lines.append("event types: " + ", ".join(shown))
        if self.sessions is not None:
            lines.append(f"sessions: {self.sessions:,}")
        return lines + [f"advice: {a.option} = {_plain(a.value)}, since {a.reason}" for a in self.advice]

    def to_json(self) -> dict[str, object]:
        """The audit as plain values for `json.dumps`; times are ISO text."""
        plain = dataclasses.asdict(self)
        for name in ("first", "last"):
            moment = plain[name]
            plain[name] = None if moment is None else moment.isoformat()
        plain["advice"] = [dataclasses.asdict(advice) for advice in self.advice]
        return plain

    def advised(self, option: str) -> str | bool | None:
        """The value advised for an option, or None if there is no advice on it."""
        return next((advice.value for advice in self.advice if advice.option == option), None)


def audit(log: EventLog, by: str = "user") -> Audit:
    """The measures of a log and the defaults that follow from them.

    Args:
        log: the events.
        by: what a sequence belongs to, "user" or "session".

    Raises:
        DataError: the log is empty.
        ColumnError: the log has no such column.

    Example:
        >>> import polars as pl
        >>> log = EventLog.of(pl.DataFrame({"user": ["u", "u", "v"], "item": ["a", "a", "b"]}))
        >>> found = audit(log)
        >>> found.events, round(found.repeat_share, 2), found.advised("exclude_seen")
        (3, 0.33, False)
    """
    if by not in log.columns:
        raise ColumnError(
            f"Column '{by}' is missing; the log has: {', '.join(log.source_columns)}. Sessions can be cut by a gap: "
            "log.with_sessions(gap_seconds=1800), or --session-gap 1800."
        )
    frame = log.frame
    if not frame.height:
        raise DataError("The log has no events: there is nothing to audit.")
    lengths = frame.group_by(by).len()["len"].to_numpy()
    pairs = frame.select("user", "item").unique().height
    counts = np.sort(frame.group_by("item").len()["len"].to_numpy().astype(np.float64))[::-1]
    first, last = _ends(log)
    repeats = (frame.height - pairs) / frame.height
    tied = tied_events(log, by) / frame.height
    return Audit(
        by=by,
        events=frame.height,
        users=log.n_users,
        items=log.n_items,
        sequences=len(lengths),
        density=pairs / (log.n_users * log.n_items),
        first=first,
        last=last,
        span_days=None if first is None or last is None else (last - first).total_seconds() / 86_400,
        lengths={name: float(np.quantile(lengths, q)) for name, q in _QUANTILES.items()},
        mean_length=float(lengths.mean()),
        single=int((frame.group_by("user").len()["len"] == 1).sum()),
        repeat_share=repeats,
        duplicates=int(duplicates.again(frame).sum()) if log.has_time else 0,
        tied_share=tied,
        top_1_share=_top_share(counts, 0.01),
        top_10_share=_top_share(counts, 0.1),
        gini=_gini(counts),
        suspicious=int(suspicious(frame["time"]).sum()),
        ratings=_ratings(frame),
        event_types=_event_types(frame),
        sessions=frame["session"].n_unique() if "session" in frame.columns else None,
        advice=(_exclusion(repeats), _split(log), _sessions(log), *_ties(log, tied)),
    )


def _ends(log: EventLog) -> tuple[datetime | None, datetime | None]:
    if not log.has_time:
        return None, None
    ends = log.frame.select(first=pl.col("time").min(), last=pl.col("time").max()).row(0)
    return ends[0], ends[1]


def _top_share(counts: np.ndarray[tuple[int], np.dtype[np.float64]], share: float) -> float:
    """Share of all events on the most popular items, `counts` being in falling order."""
    return float(counts[: math.ceil(share * len(counts))].sum() / counts.sum())


def _gini(counts: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Gini coefficient of counts in falling order: half the mean difference of two items, over the mean."""
    n = len(counts)
    rank = np.arange(n, 0, -1)
    return float(2 * (rank * counts).sum() / (n * counts.sum()) - (n + 1) / n)


def _ratings(frame: pl.DataFrame) -> tuple[float, float, int] | None:
    given = frame["rating"].drop_nulls() if "rating" in frame.columns else pl.Series(dtype=pl.Float64)
    if not len(given):
        return None
    ordered = given.unique().sort()
    return float(ordered[0]), float(ordered[-1]), len(ordered)


def _event_types(frame: pl.DataFrame) -> dict[str, int] | None:
    if "event" not in frame.columns:
        return None
    counted = (
        frame["event"].fill_null("(none)").value_counts().sort(["count", "event"], descending=[True, False])
    )
    return dict(counted.iter_rows())


def _exclusion(repeats: float) -> Advice:
    few = repeats < REPEATS_FEW
    rule = (
        f"{repeats:.1%} of events repeat an item, {'less than' if few else 'not less than'} {REPEATS_FEW:.0%}"
    )
    return Advice("exclude_seen", few, rule)


def _split(log: EventLog) -> Advice:
    if not log.has_time:
        return Advice("split", "last", "the log has no times, only an order")
    stamp = log.frame["time"].dt.epoch("us")
    cut = stamp.quantile(0.9, "lower")
    late = float((stamp > cut).mean() or 0.0)  # type: ignore[arg-type]
    what = f"{late:.1%} of events lie after the 0.9 quantile of the times"
    if LATE_LEAST <= late <= LATE_MOST:
        return Advice(
            "split", "temporal", f"{what}: training before it sees nothing later than what it is tested on"
        )
    return Advice("split", "last", f"only {what}: too few to test on")


def _sessions(log: EventLog) -> Advice:
    if "session" in log.columns:
        return Advice("sessions", "given", "the log has a session column")
    if not log.has_time:
        return Advice("sessions", "none", "there are no times to cut by")
    cut = sessions.by_gap(log.frame, GAP_S)
    number = cut.n_unique()
    per_user, length = number / log.n_users, log.n_events / number
    what = f"a gap of {GAP_S:g} s gives {per_user:.1f} sessions a user of {length:.1f} events each"
    useful = per_user >= 2 and length >= 2
    return Advice("sessions", f"{GAP_S:g}" if useful else "none", what)


def _ties(log: EventLog, tied: float) -> tuple[Advice, ...]:
    if tied < TIES_MANY or "order" in log.columns:
        return ()
    return (
        Advice("order", "row", f"{tied:.1%} of events are tied in time: their order is that of the rows"),
    )


def _plain(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value
