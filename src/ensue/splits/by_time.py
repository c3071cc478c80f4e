"""Splits that one time cuts for everybody: by events, and by sessions. Nothing fitted sees an event after the cut."""

from __future__ import annotations

import numpy as np

from ensue.batching import Ints
from ensue.errors import ColumnError, ConfigError, DataError, nearest
from ensue.events.log import EventLog
from ensue.sequences import times_of, units
from ensue.splits.parts import TEST, TRAIN, UNUSED, VALIDATION, Split
from ensue.splits.shares import checked_share, stamp

DAY = 86_400_000_000
"""Microseconds."""

STRADDLING = ("start", "end")


def times(log: EventLog) -> Ints:
    """`[E]` microseconds since 1970 UTC.

    Raises:
        ColumnError: the log has no times.
    """
    time = times_of(log)
    if time is None:
        raise ColumnError("This log has no times, so it cannot be split by time: take split='last' instead.")
    return time


def temporal(log: EventLog, *, test: float = 0.1, validation: float = 0.1, by: str = "user") -> Split:
    """A global temporal split: train before one time, validate before a second, test from there on.

    The test begins at the (1 - test) quantile of all times, the validation at the (1 - validation) quantile of what
    lies before that. An event exactly at a cut is in the later part.

    Raises:
        ColumnError: the log has no times.
        DataError: a part would be empty.

    References:
        Ji et al., "A critical study on data leakage in recommender system offline evaluation", TOIS 2023;
        "Time to Split", RecSys 2025, arXiv:2507.16289.
    """
    checked_share(test, "test")
    checked_share(validation, "validation")
    time = times(log)
    test_from = float(np.quantile(time, 1 - test))
    earlier = time[time < test_from]
    if len(earlier) == 0:
        raise DataError(
            "All events lie at the end of the time span, nothing is left to train on: take split='last'."
        )
    validation_from = float(np.quantile(earlier, 1 - validation)) if validation else test_from
    return at_times(log, test_from, validation_from, by=by)


def at_times(
    log: EventLog,
    test_from: float,
    validation_from: float | None = None,
    *,
    by: str = "user",
    train_from: float | None = None,
    test_until: float | None = None,
) -> Split:
    """A global temporal split at given times, in microseconds since 1970 UTC.

    Args:
        log: the events.
        test_from: where the test begins.
        validation_from: where the validation begins; None has none.
        by: what a sequence is.
        train_from: earlier events are not learnt from, though histories hold them; None learns from all.
        test_until: events from here on are not asked for; None asks to the end.
    """
    time = times(log)
    cut = test_from if validation_from is None else validation_from
    part = np.where(time >= test_from, TEST, np.where(time >= cut, VALIDATION, TRAIN)).astype(np.uint8)
    if train_from is not None:
        part[time < train_from] = UNUSED
    if test_until is not None:
        part[time >= test_until] = UNUSED
    if not (part == TRAIN).any():
        raise DataError(
            f"No event lies before {stamp(cut)}, nothing is left to train on: take an earlier cut."
        )
    if not (part == TEST).any():
        raise DataError(
            f"No event lies at or after {stamp(test_from)}, so nothing can be tested: take a later cut."
            if test_until is None
            else f"No event lies between {stamp(test_from)} and {stamp(test_until)}, so nothing can be tested: take a "
            "longer time."
        )
    return Split(log, part, temporal_name(test_from, validation_from, train_from, test_until), by)


def temporal_name(
    test_from: float,
    validation_from: float | None = None,
    train_from: float | None = None,
    test_until: float | None = None,
) -> str:
    """A global temporal split in words, its times in microseconds since 1970 UTC."""
    name = f"global temporal, test from {stamp(test_from)}"
    if test_until is not None:
        name += f" until {stamp(test_until)}"
    if validation_from is not None and validation_from < test_from:
        name += f", validation from {stamp(validation_from)}"
    if train_from is not None:
        name += f", training from {stamp(train_from)}"
    return name


def last_days(
    log: EventLog,
    *,
    days: float = 1.0,
    straddling: str = "start",
    validation: bool = True,
    by: str = "session",
) -> Split:
    """The sessions of the last days are the test, those of as many days before them the validation.

    The cut lies so many days before the last event. No session is in two parts; what happens to one that straddles the
    cut is a choice:

    - "start": it goes by its first event. What it holds from the cut on is unused, so nothing is learnt from what is
      later than a question: free of leaks.
    - "end": it goes by its last event, as in the preparation that GRU4Rec came with. It is asked for events before
      the cut too, and training holds later ones of others: the leak is said, where a session straddles.

    Args:
        log: the events, with sessions.
        days: how many; parts of one are fine.
        straddling: "start" or "end".
        validation: whether there is one.
        by: what a sequence is: sessions only.

    Raises:
        ColumnError: the log has no times, or no sessions.
        ConfigError: sequences are not sessions, or an option cannot be.
        DataError: a part would be empty.

    References:
        Hidasi et al., "Session-based recommendations with recurrent neural networks", ICLR 2016, section 4.
    """
    if by != "session":
        raise ConfigError(
            f"The split 'days' takes sessions of the last days, and sequences are made by {by}: take by='session' "
            "(sequences.by, --by session)."
        )
    if straddling not in STRADDLING:
        raise ConfigError(
            f"straddling='{straddling}': take one of {', '.join(STRADDLING)}.{nearest(straddling, STRADDLING)}"
        )
    if not 0 < days < float("inf"):
        raise ConfigError(f"days={days:g}: take a number of days above 0, such as 1.")
    time, unit = times(log), units(log, by)
    ordered = time[unit.order]
    mark = ordered[unit.offsets[:-1] if straddling == "start" else unit.offsets[1:] - 1]
    test_from = float(time.max()) - round(days * DAY)
    validation_from = test_from - round(days * DAY) if validation else test_from
    codes = np.where(mark >= test_from, TEST, np.where(mark >= validation_from, VALIDATION, TRAIN))
    part = np.empty(log.n_events, dtype=np.uint8)
    part[unit.order] = np.repeat(codes, np.diff(unit.offsets))
    begins = np.array([-np.inf, validation_from, test_from, np.inf])
    leaks = ""
    notes: tuple[str, ...] = ()
    if straddling == "start":
        late = time >= begins[part + 1]
        part[late] = UNUSED
        if late.any():
            notes = (
                f"{int(late.sum()):,} events of sessions that straddle a cut are later than it, and unused",
            )
    else:
        early = int((time < begins[part]).sum())
        if early:
            leaks = f"{early:,} events of sessions that straddle a cut are asked for and earlier than training events"
    if not (part == TRAIN).any():
        raise DataError(
            f"No session lies before the last {2 * days if validation else days:g} days, nothing is left to train on: "
            "take fewer days."
        )
    name = f"sessions by their {straddling}, last {days:g} days: {temporal_name(test_from, validation_from)}"
    return Split(log, part, name.replace("global temporal, ", ""), by, leaks, notes)
