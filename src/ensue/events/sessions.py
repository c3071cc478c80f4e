"""Sessions: cut by an inactivity gap, or given by the source; session ids are unique per user either way."""

from __future__ import annotations

import math

import polars as pl

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


def per_user(frame: pl.DataFrame) -> pl.Series:
    """The session `[E]` of each event, made unique per user: the same text under two users is two sessions.

    Ids stay as written unless two users share one; then all become "<user>#<session>", with a backslash before any
    backslash or "#" of the user's own, so that two different pairs never give one id.
    """
    owners = frame.lazy().select("user", "session").unique().select(pl.col("session").is_duplicated().any())
    if not owners.collect().item():
        return frame["session"]
    user = (
        pl.col("user").str.replace_all("\\", "\\\\", literal=True).str.replace_all("#", "\\#", literal=True)
    )
    return frame.select(pl.concat_str(user, pl.lit("#"), pl.col("session")).alias("session"))["session"]
