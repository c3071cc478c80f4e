"""A log after something was done to it, whose reading says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import polars as pl

from ensue.events.log import EventLog


def told(log: EventLog, frame: pl.DataFrame, note: str, set_aside: Mapping[str, int]) -> EventLog:
    """The log with other events, and what became of the rest in its reading: kept and set aside still add up.

    Args:
        log: as it was.
        frame: its events now, in the order of the log.
        note: what was done, in one sentence; "" adds none.
        set_aside: reason -> number of events that are left out for it.
    """
    reading = log.reading
    counts = dict(reading.set_aside)
    for reason, number in set_aside.items():
        if number:
            counts[reason] = counts.get(reason, 0) + number
    reading = dataclasses.replace(
        reading,
        rows_kept=reading.rows_kept - sum(set_aside.values()),
        set_aside=counts,
        notes=(*reading.notes, *([note] if note else [])),
    )
    return dataclasses.replace(log, frame=frame, reading=reading)
