"""Which events come again in all that is known of them: the one place that says what a duplicate is."""

from __future__ import annotations

import polars as pl

TELLING = ("user", "item", "time", "event", "session", "basket", "quantity", "rating")
"""What two events must share to be the same: a return, or another order of the same day, is an event of its own. No
other column counts, such as an id that each line has; nor does `order`, which says where an event stood among equals.
"""


def keys_of(frame: pl.DataFrame) -> list[str]:
    """Those of these columns that a table has."""
    return [name for name in TELLING if name in frame.columns]


def again(frame: pl.DataFrame) -> pl.Series:
    """`[E]` which events share all of these columns with an earlier one.

    Args:
        frame: events, in the order of the log.
    """
    return frame.select(~pl.struct(keys_of(frame)).is_first_distinct()).to_series()
