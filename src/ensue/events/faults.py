"""What is wrong with a log, counted, with example rows that show nothing of a user."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.events import duplicates
from ensue.events.findings import EXAMPLES, Finding, rows_of
from ensue.events.log import CANONICAL, EventLog
from ensue.events.times import suspicious

RATE_MOST = 60
"""More events than this within one minute of the clock are no work of a hand."""

TIE_MOST = 50
"""A tie of more events than this is a batch that was written at once."""

MOMENT_SHARE = 0.01
"""A single time that has more than this share of all events, of several users, is the time of an import."""

UNIQUE_SHARE, UNIQUE_LEAST = 0.95, 100

DAY_US = 86_400_000_000

Ints = NDArray[np.int64]


def faults(log: EventLog) -> tuple[Finding, ...]:
    """Everything that was looked for, found or not; none of it says whose events they are.

    Args:
        log: the events, at least one.

    Example:
        >>> import polars as pl
        >>> log = EventLog.of(pl.DataFrame({"user": ["u", "v", "v"], "item": ["a", "a ", "A"]}))
        >>> {found.name: found.count for found in faults(log) if found.count}
        {'item ids with spaces around': 1, 'item ids that differ in case alone': 1, 'one-event users': 1, ...}
    """
    return (
        *_times(log),
        *_ids(log.frame["user"], "user", example=False),
        *_ids(log.frame["item"], "item", example=True),
        *_rare(log),
        *_quantities(log.frame),
        *_columns(log),
        *_unknown_items(log),
    )


def day_only(log: EventLog) -> bool:
    """Whether all times are midnight: the source knows days."""
    return log.has_time and bool((log.frame["time"].dt.epoch("us") % DAY_US == 0).all())


def starts(frame: pl.DataFrame, *more: str) -> NDArray[np.bool_]:
    """`[E]` whether an event begins a run of equal users (and other columns), in the order of the log."""
    changed = np.zeros(frame.height, dtype=np.bool_)
    for name in ("user", *more):
        changed |= frame[name].ne_missing(frame[name].shift(1)).to_numpy()
    changed[:1] = True
    return changed


def _times(log: EventLog) -> Iterator[Finding]:
    frame, number = log.frame, log.n_events
    if not log.has_time:
        return
    twice, keys = duplicates.again(frame), ", ".join(duplicates.keys_of(frame))
    yield Finding(
        "duplicates", int(twice.sum()), number, "events", f"same {keys} as an earlier event",
        "--duplicates first keeps one of each", rows_of(frame, twice),
    )  # fmt: skip
    odd = suspicious(frame["time"])
    yield Finding(
        "suspicious times", int(odd.sum()), number, "events", "0, before 1970 or after 2100",
        "a wrong unit, a wrong clock or a default: look at the time column", rows_of(frame, odd),
    )  # fmt: skip
    first = starts(frame)
    whole = day_only(log)
    if not whole:
        yield _rates(log, first)
    yield from _moments(log, first, whole)


def _rates(log: EventLog, first: NDArray[np.bool_]) -> Finding:
    minute = log.frame["time"].dt.epoch("us").to_numpy() // 60_000_000
    begins = np.flatnonzero(first | np.append(True, minute[1:] != minute[:-1]))
    sizes = np.diff(np.append(begins, log.n_events))
    users = np.cumsum(first)[begins] - 1
    busiest = np.zeros(int(first.sum()), dtype=np.int64)
    np.maximum.at(busiest, users, sizes)
    fast = busiest > RATE_MOST
    most = int(busiest.max(initial=0))
    return Finding(
        "inhuman rates", int(fast.sum()), len(busiest), "users",
        f"more than {RATE_MOST} events within one minute; the most is {most:,}",
        "bots, imports or baskets: leave such users out, or keep one event of each batch",
    )  # fmt: skip


def _moments(log: EventLog, first: NDArray[np.bool_], whole: bool) -> Iterator[Finding]:
    frame, number = log.frame, log.n_events
    stamp = frame["time"].dt.epoch("us").to_numpy()
    begins = np.flatnonzero(first)
    ends = np.append(begins[1:], number)
    if not whole:
        second = stamp // 1_000_000
        at_once = (ends - begins > 1) & (second[begins] == second[ends - 1])
        yield Finding(
            "users at one second", int(at_once.sum()), len(begins), "users",
            "all their events (two or more) have one and the same second",
            "their order is that of the rows: it says nothing unless the source writes in order",
        )  # fmt: skip
    tie = np.flatnonzero(first | np.append(True, stamp[1:] != stamp[:-1]))
    sizes = np.diff(np.append(tie, number))
    huge = sizes > TIE_MOST
    mask = np.zeros(number, dtype=np.bool_)
    mask[tie[huge]] = True
    yield Finding(
        "huge ties", int(sizes[huge].sum()), number, "events",
        f"of a user with more than {TIE_MOST} events at one time; the largest has {int(sizes.max()):,}",
        "a batch or an import: nothing can be learnt from the order within", rows_of(frame, pl.Series(mask)),
    )  # fmt: skip
    common = frame["time"].value_counts().sort(["count", "time"], descending=[True, False]).row(0)
    at = frame["time"] == common[0]
    several = frame["user"].filter(at).n_unique() > 1
    shared = several and not whole and common[1] > max(MOMENT_SHARE * number, 10)
    yield Finding(
        "one time for many", common[1] if shared else 0, number, "events",
        "of several users have one and the same time",
        "a default or an import in place of the time it happened",
        rows_of(frame, at)[:1] if shared else (),
    )  # fmt: skip


def _ids(ids: pl.Series, kind: str, *, example: bool) -> Iterator[Finding]:
    known = ids.unique(maintain_order=True)
    bare = known.str.strip_chars()
    spaced = known != bare
    shown = tuple({kind: value} for value in known.filter(spaced).head(EXAMPLES)) if example else ()
    remedy = "ids are kept as written: clean them in the source if they mean the same"
    yield Finding(
        f"{kind} ids with spaces around", int(spaced.sum()), len(known), f"{kind}s",
        "the id begins or ends with white space", remedy, shown,
    )  # fmt: skip
    spellings = pl.DataFrame({"id": known, "bare": bare, "folded": bare.str.to_lowercase()}).unique(
        "bare", maintain_order=True
    )
    # those that differ in spaces alone have been counted above
    alike = spellings.filter(pl.col("folded").is_duplicated())
    shown = tuple({kind: value} for value in alike.sort("folded")["id"].head(2)) if example else ()
    twins = alike.height - alike["folded"].n_unique()
    yield Finding(
        f"{kind} ids that differ in case alone", twins, len(known), f"{kind}s",
        "another id is the same but for capital letters", remedy, shown,
    )  # fmt: skip


def _rare(log: EventLog) -> Iterator[Finding]:
    users = log.frame.group_by("user").len()["len"]
    items = log.frame.group_by("item").len()["len"]
    yield Finding(
        "one-event users", int((users == 1).sum()), len(users), "users",
        "they can be neither trained on nor tested", "--min-user-events 2 leaves them out of training",
    )  # fmt: skip
    yield Finding(
        "one-event items", int((items == 1).sum()), len(items), "items",
        "in one event only: nothing can be learnt of them", "--min-item-events 2 leaves them out of training",
    )  # fmt: skip


def _quantities(frame: pl.DataFrame) -> Iterator[Finding]:
    mask = pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
    if "quantity" in frame.columns:
        mask = mask | (frame["quantity"] <= 0).fill_null(False)
    if "event" in frame.columns:
        mask = mask | (frame["event"].str.to_lowercase() == "return").fill_null(False)
    if "quantity" in frame.columns or "event" in frame.columns:
        yield Finding(
            "returns", int(mask.sum()), frame.height, "events",
            "a quantity of 0 or below, or the type 'return'",
            "--returns drop leaves them out, --returns cancel what they take back as well",
            rows_of(frame, mask),
        )  # fmt: skip


def _columns(log: EventLog) -> Iterator[Finding]:
    """Missing values, constant columns and columns that are an id of the event; values are never shown."""
    frame = log.frame
    checked = [name for name in frame.columns if name not in ("user", "item", "time", "row", "session")]
    for name in checked:
        missing = int(_missing(frame[name]).sum())
        if missing:
            yield Finding(
                f"missing {name}", missing, frame.height, "events", f"no value in column '{name}'",
                "" if name in CANONICAL else "a model that reads the column takes it as missing",
            )  # fmt: skip
    context = [name for name in checked if name not in ("rating", "basket", "order")]
    sizes = {name: frame[name].drop_nulls().n_unique() for name in context}
    constant = [name for name in context if sizes[name] <= 1 and frame.height > 1]
    yield Finding(
        "constant columns", len(constant), len(context), "columns",
        f"one value or none: {_listed(constant)}", "they say nothing: leave them out",
    )  # fmt: skip
    unique = [
        name
        for name in context
        if name not in CANONICAL
        and not frame[name].dtype.is_float()
        and sizes[name] >= max(UNIQUE_LEAST, UNIQUE_SHARE * (frame.height - frame[name].null_count()))
    ]
    yield Finding(
        "nearly unique columns", len(unique), len(context), "columns",
        f"a value of its own for nearly every event: {_listed(unique)}",
        "an id of the event, not a property of it: leave them out",
    )  # fmt: skip


def _unknown_items(log: EventLog) -> Iterator[Finding]:
    if log.items is None:
        return
    absent = ~log.frame["item"].is_in(log.items["item"].implode())
    yield Finding(
        "items without a row", log.frame["item"].filter(absent).n_unique(), log.n_items, "items",
        "in events and not in the table of items", "they have no title and no features",
        rows_of(log.frame, absent),
    )  # fmt: skip


def _missing(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        return column.is_null() | (column.str.strip_chars() == "")
    return (
        column.is_null() | column.is_nan().fill_null(False) if column.dtype.is_float() else column.is_null()
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
