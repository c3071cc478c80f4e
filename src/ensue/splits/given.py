"""A split that comes with the data: events marked as learnt from or asked for, whatever their times."""

from __future__ import annotations

import numpy as np
import polars as pl

from ensue.errors import ColumnError, DataError
from ensue.events.log import EventLog
from ensue.splits.parts import PARTS, TEST, TRAIN, VALIDATION, Split
from ensue.splits.shares import checked_share

LEAKS = "what is learnt from may be later than what is asked for, and stands in its history: the parts came as they are"

OWN = ("time", "row")
"""Columns that say when an event was, and where: the log of the split has its own order."""


PART = "part"
"""The column that says the part, where none is named."""


def given(log: EventLog, *, column: str = "", validation: float = 0.1, seed: int = 0) -> Split:
    """A split by a column of the log that says "train", "validation" or "test" of each event.

    An event is asked for after all of its user's events of earlier parts, and none of its own part. Since some of them
    may be later than it is, times are set aside: the log of the split has an order only, training first, and does not
    hold the column.

    Args:
        log: all events, those to be tested too.
        column: which says the part; "" is "part".
        validation: share of the training events that models are chosen on, drawn evenly; 0 draws none, and where the
            column names some, none is drawn.
        seed: of that draw.

    Raises:
        ColumnError: there is no such column, or it says something else.
        DataError: nothing is left to learn from, or nothing is asked for.
    """
    checked_share(validation, "validation")
    column = column or PART
    if column not in log.frame.columns:
        raise ColumnError(
            f"There is no column '{column}' that says which part an event is in; the log has: "
            f"{', '.join(log.source_columns)}. Add one of {', '.join(PARTS)}."
        )
    said = log.frame[column].cast(pl.String)
    part = said.replace_strict(PARTS, default=None, return_dtype=pl.UInt8)
    if part.null_count():
        strange = said.filter(part.is_null())[0]
        raise ColumnError(
            f"Column '{column}' says {strange!r} of an event, and must say one of {', '.join(PARTS)}."
        )
    codes = part.to_numpy().copy()
    if not (codes == VALIDATION).any():
        drawn = np.random.default_rng(seed).random(len(codes)) < validation
        codes[drawn & (codes == TRAIN)] = VALIDATION
    for code, what in ((TRAIN, "learnt from"), (TEST, "asked for")):
        if not (codes == code).any():
            raise DataError(
                f"No event can be {what}: check the column '{column}' and validation={validation:g}."
            )
    kept = [name for name in log.frame.columns if name not in OWN]
    ordered = EventLog.of(
        log.frame.select(kept).with_columns(pl.Series(column, codes)).sort(column, maintain_order=True),
        log.items,
    )
    first = ordered.frame.with_row_index("place").select(pl.col("place").min().over("user", column))
    plain = EventLog(ordered.frame.drop(column), ordered.items, log.reading)
    return Split(
        plain,
        ordered.frame[column].to_numpy().astype(np.uint8),
        f"as given by the column {column}",
        leaks=LEAKS,
        until=first.to_series().to_numpy().astype(np.int64),
    )


def together(base: EventLog, test: EventLog, column: str = PART) -> EventLog:
    """Two logs as one, with a column that says of each event from which it came: "train" or "test".

    Args:
        base: what may be learnt from whole.
        test: what is asked for.
        column: its name, of no other column.

    Raises:
        ColumnError: the two have not the same columns.
    """
    columns = [name for name in base.frame.columns if name != "row"]
    other = set(columns) ^ {name for name in test.frame.columns if name != "row"}
    if other:
        raise ColumnError(f"The two logs differ in their columns: {', '.join(sorted(other))}.")
    parts = [
        log.frame.select(columns).with_columns(pl.lit(name).alias(column))
        for log, name in ((base, "train"), (test, "test"))
    ]
    return EventLog.of(pl.concat(parts, how="vertical_relaxed"), base.items)
