"""Lists of any table: one row for each candidate, joined with an event log by session or user."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from ensue.errors import ColumnError, DataError, nearest
from ensue.events import times
from ensue.events.log import EventLog
from ensue.reranking.joining import CONTEXT, Counted, assembled
from ensue.reranking.shown import Shown

COLUMNS = ("list", "item", "position", "score", "price", "chosen", "session", "user", "time")
NEEDED = ("list", "item", "chosen")

TRUE = ("1", "true", "yes", "t", "y", "1.0")
MOST_CONTEXT = 32
"""The most columns of context that are taken."""


def shown(
    table: pl.DataFrame, name: str, log: EventLog | None, columns: Mapping[str, str], time_unit: str | None
) -> Shown:
    """The lists of a table in long form.

    Args:
        table: one row for each candidate.
        name: of the file, for messages.
        log: what was done; None where nothing is known of it.
        columns: column of `COLUMNS` -> name in the table.
        time_unit: of the times, or None.

    Raises:
        ColumnError: a column is missing, or two are meant to be one.
        DataError: no list is left, or no list has events.
    """
    frame, extra = _named(table, name, columns)
    counted = Counted()
    for column in ("score", "price"):
        frame = frame.with_columns(_numbers(frame, column, counted))
    place = _numbers(frame, "position", counted)
    frame = frame.with_columns(place.fill_null(float("inf")).alias("position")).with_row_index("row")
    frame = frame.with_columns(chosen=_truths(frame["chosen"]), at=_moments(frame, name, time_unit, counted))
    frame = counted.without(frame, _empty(frame["list"]), "candidates without a list")
    frame = frame.with_columns(list_number=pl.col("list").cast(pl.String).rank("dense"))
    frame = frame.with_columns(first=pl.col("row").min().over("list_number"))
    frame = frame.sort("first", "position", "row").with_columns(list=pl.col("first").rle_id())
    key = _key(frame, log)  # without one, each list stands alone
    own = frame[key or "list"]
    frame = frame.with_columns(key=own.cast(pl.String).set(_empty(own), None))
    keys = pl.col("key").drop_nulls().n_unique().over("list")
    frame = counted.without(frame, keys == 0, f"candidates of lists without a {key or 'session'}")
    keys = pl.col("key").drop_nulls().n_unique().over("list")
    frame = counted.without(frame, keys > 1, f"candidates of lists with more than one {key or 'session'}")
    varied = frame.group_by("list").agg(pl.col(extra).n_unique()).select(pl.col(extra).max())
    kept = [column for column in extra if varied.height and varied[column][0] == 1][:MOST_CONTEXT]
    about = frame.group_by("list", maintain_order=True).agg(
        pl.col("key", "at").drop_nulls().first(), *(pl.col(column).first() for column in kept)
    )
    events, groups = _events(log, key, about["key"])
    about = about.with_columns(group=pl.Series(groups))
    starts, ends = _before(about, events)
    early = pl.concat([about.select("group", time="at"), events.select("group", "time")])
    begins = early.group_by("group").agg(begins=pl.col("time").min())
    about = about.with_columns(starts=pl.Series(starts), ends=pl.Series(ends))
    about = about.join(begins, on="group", how="left", maintain_order="left").drop("key")
    rows = frame.select("list", pl.col("item").cast(pl.String), "score", "price", "chosen")
    notes: tuple[str, ...] = (
        () if log is not None else ("no events were named: what was done before is not known",)
    )
    dropped = [column.removeprefix(CONTEXT) for column in extra if column not in kept]
    if dropped:
        notes += (f"columns that vary within a list are no context: {', '.join(dropped[:10])}",)
    return assembled(rows, about, events, counted, notes)


def _named(table: pl.DataFrame, name: str, columns: Mapping[str, str]) -> tuple[pl.DataFrame, list[str]]:
    """The table with its columns called as they are here, and what its other ones are called: those of context."""
    for column, source in columns.items():
        if column not in COLUMNS:
            raise ColumnError(
                f"There is no column '{column}' of lists; they have {', '.join(COLUMNS)}.{nearest(column, COLUMNS)}"
            )
        if source not in table.columns:
            raise ColumnError(
                f"{name} has no column '{source}'; it has {', '.join(table.columns)[:200]}."
                f"{nearest(source, table.columns)}"
            )
    taken = {column: columns.get(column, column) for column in COLUMNS}
    extra = [
        column
        for column, kind in table.schema.items()
        if column not in (*columns.values(), *COLUMNS) and not kind.is_nested()
    ]
    found = table.select(
        *(pl.col(source).alias(column) for column, source in taken.items() if source in table.columns),
        *(pl.col(column).alias(CONTEXT + column) for column in extra),
    )
    for column in NEEDED:
        if column not in found.columns:
            raise ColumnError(
                f"{name} lacks the column '{column}' of lists in long form; it has {', '.join(table.columns)[:200]}. "
                f"Name it: columns={{'{column}': ...}} (--columns {column}=NAME)."
            )
    return found, [CONTEXT + column for column in extra]


def _numbers(frame: pl.DataFrame, column: str, counted: Counted) -> pl.Series:
    """A column as numbers; null, counted, where it holds something else, and all null where there is none."""
    if column not in frame.columns:
        return pl.Series(column, [None] * frame.height, dtype=pl.Float64)
    given = frame[column]
    found = given.cast(pl.Float64, strict=False)
    counted.note(
        pl.DataFrame({"odd": found.is_null() & ~_empty(given)}),
        pl.col("odd"),
        f"{column}s that are no number (unknown)",
    )
    return found.alias(column)


def _empty(column: pl.Series) -> pl.Series:
    """`[C]` whether there is no value."""
    if column.dtype != pl.String:
        return column.is_null()
    return column.is_null() | (column.str.strip_chars() == "").fill_null(True)


def _truths(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Boolean:
        return column.fill_null(False)
    if column.dtype.is_numeric():
        return (column.cast(pl.Float64) == 1).fill_null(False)
    return column.cast(pl.String).str.strip_chars().str.to_lowercase().is_in(TRUE).fill_null(False)


def _moments(frame: pl.DataFrame, name: str, unit: str | None, counted: Counted) -> pl.Series:
    """`[C]` microseconds since 1970 UTC; null where a time is missing, or, counted, cannot be read."""
    if "time" not in frame.columns:
        return pl.Series("at", [None] * frame.height, dtype=pl.Int64)
    parsed = times.parse(frame["time"], unit, pl.int_range(1, frame.height + 1, eager=True), name)
    odd = parsed.values.is_null() & ~_empty(frame["time"])
    counted.note(pl.DataFrame({"odd": odd}), pl.col("odd"), "times that cannot be read (unknown)")
    return parsed.values.dt.epoch("us")


def _key(frame: pl.DataFrame, log: EventLog | None) -> str | None:
    """By which column lists and events are joined."""
    for column in ("session", "user"):
        if column in frame.columns and (log is None or column in log.columns):
            return column
    if log is None:
        return None
    raise ColumnError(
        "The lists have neither a session nor a user that the events have too: name a column "
        "(--columns session=NAME), or leave the events out."
    )


def _events(log: EventLog | None, key: str | None, keys: pl.Series) -> tuple[pl.DataFrame, np.ndarray]:
    """The events of the sessions, session by session, and `[Q]` the number of each list's session."""
    own = keys.cast(pl.String)
    theirs = pl.Series([], dtype=pl.String) if log is None or key is None else log.frame[key]
    names = pl.concat([own.rename("key"), theirs.rename("key")]).unique().sort()
    numbers = (
        pl.DataFrame({"key": names}).with_row_index("group").with_columns(pl.col("group").cast(pl.Int64))
    )
    groups = own.rename("key").to_frame().join(numbers, on="key", how="left", maintain_order="left")["group"]
    if log is None or key is None:
        empty = {"group": pl.Int64, "item": pl.String, "kind": pl.String, "time": pl.Int64}
        return pl.DataFrame(schema=empty), groups.to_numpy()
    if not log.has_time:
        raise DataError("The events have no times: what came before a list cannot be told.")
    found = log.frame.select(
        key=theirs,
        item="item",
        kind=pl.col("event") if "event" in log.columns else pl.lit(None, dtype=pl.String),
        time=pl.col("time").dt.epoch("us"),
    ).join(numbers, on="key", how="left", maintain_order="left")
    if not own.is_in(theirs.unique().implode()).any():
        raise DataError(
            f"No list has a {key} that the events have: the two name them differently (the first list's is of "
            f"{len(own[0] or '')} letters); check which columns are meant."
        )
    return found.drop("key").sort("group", "time", maintain_order=True), groups.to_numpy()


def _before(about: pl.DataFrame, events: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """`[Q]` where the events of each list's session begin, and which of them came before the list."""
    group, done = about["group"].to_numpy(), events["group"].to_numpy()
    starts = np.searchsorted(done, group, side="left")
    if not events.height:
        return starts, starts
    if about["at"].has_nulls():
        raise DataError(
            f"{about['at'].null_count():,} lists have no time: what came before them cannot be told; give each one."
        )
    at, time = about["at"].to_numpy(), events["time"].to_numpy()
    moments = np.unique(np.concatenate([at, time]))
    wide = np.int64(len(moments) + 1)
    keys = done * wide + np.searchsorted(moments, time)
    return starts, np.searchsorted(keys, group * wide + np.searchsorted(moments, at), side="left")
