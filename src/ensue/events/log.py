"""The canonical event log: one immutable table with known columns, in the one order that everything relies on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from ensue.errors import ColumnError, DataError
from ensue.events import sessions
from ensue.events.digests import digest
from ensue.events.reading import Reading, SetAside

__all__ = ["CANONICAL", "TIME", "EventLog", "Reading", "SetAside", "digest", "ordered", "tied_events"]

TIME = pl.Datetime("us", "UTC")

CANONICAL: dict[str, pl.DataType] = {
    "user": pl.String(),
    "item": pl.String(),
    "time": TIME,
    "row": pl.Int64(),
    "event": pl.String(),
    "rating": pl.Float64(),
    "session": pl.String(),
    "basket": pl.String(),
    "quantity": pl.Float64(),
    "order": pl.Int64(),
}
"""Columns that mean something to ensue, in their order in the table; any other column is context and kept as read."""

_IDS = ("user", "item", "session")


def ordered(frame: pl.DataFrame) -> pl.DataFrame:
    """The events in the one order of ensue: by user, then time, then `order` if there is one, then row in the source.

    `row` is unique, so the order is total and no sort can differ from another; equal times keep the source's order.
    """
    key = _key(frame)
    if key is not None:
        if (key[1:] >= key[:-1]).all():
            return frame
        places = pl.Series(np.argsort(key, kind="stable").astype(np.uint32))
        return pl.DataFrame([column.gather(places) for column in frame.get_columns()])
    keys = ["user", "time", *(["order"] if "order" in frame.columns else []), "row"]
    return frame.sort(keys, nulls_last=True)


def _key(frame: pl.DataFrame) -> npt.NDArray[np.int64] | None:
    """One number for the user and the time of each event, which sorts nine times as fast; None where that fails.

    It needs times, no `order`, rows that rise, and that both numbers fit into 63 bits.
    """
    if not frame.height or "order" in frame.columns or frame["time"].has_nulls():
        return None
    if not (frame["row"].diff().drop_nulls() > 0).all():
        return None
    user = frame["user"]
    if user.dtype == pl.String:
        user = user.cast(pl.Enum(user.unique().sort())).to_physical()
    users, times = user.to_numpy().astype(np.int64), frame["time"].dt.epoch("us").to_numpy()
    users, times = users - users.min(), times - times.min()
    unit = int(np.gcd.reduce(times)) or 1
    bits = int(times.max() // unit).bit_length()
    if bits + int(users.max()).bit_length() > 63:
        return None
    key: npt.NDArray[np.int64] = (users << bits) | (times // unit)
    return key


@dataclass(frozen=True, eq=False)
class EventLog:
    """Who did what when: an immutable polars table in the order of `ordered`, made by `EventLog.of` or `read`.

    Attributes:
        frame: `[E]` rows. `user`, `item` text as written; `time` UTC to the microsecond, null for all rows when the
            source knows the order only; `row` place in the source. Optional: `event`, `rating`, `session`, `basket`,
            `quantity`, `order`; other columns are context.
        items: what is known of items: `item`, perhaps `title`, other features; None if nothing is.
        reading: what was read, understood and set aside.
    """

    frame: pl.DataFrame
    items: pl.DataFrame | None
    reading: Reading

    @classmethod
    def of(
        cls, frame: pl.DataFrame, items: pl.DataFrame | None = None, reading: Reading | None = None
    ) -> EventLog:
        """The log of a table that has canonical column names already; `read` maps other names and parses text.

        Args:
            frame: `user` and `item` as text (integers become their digits), `time` as Datetime or Date (no zone means
                UTC) or absent; `row` is added from the present order when absent.
            items: one row per item, with a column `item`.
            reading: the account of how the table came about.

        Raises:
            ColumnError: a column is missing, has a type that would change ids or times, or has gaps.

        Example:
            >>> import polars as pl
            >>> log = EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["b", "a"]}))
            >>> log.n_events, log.has_time, log.frame["item"].to_list()
            (2, False, ['b', 'a'])
        """
        for name in ("user", "item"):
            if name not in frame.columns:
                raise ColumnError(
                    f"Column '{name}' is missing; the table has: {', '.join(frame.columns) or 'none'}."
                )
        if "time" not in frame.columns:
            frame = frame.with_columns(time=pl.lit(None, dtype=TIME))
        if "row" not in frame.columns:
            frame = frame.with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
        known = [name for name in CANONICAL if name in frame.columns]
        frame = frame.select(
            *(_typed(frame[name], kind) for name, kind in CANONICAL.items() if name in known),
            *(name for name in frame.columns if name not in CANONICAL),
        )
        _refuse_gaps(frame)
        if "session" in known:
            frame = frame.with_columns(session=sessions.per_user(frame))
        if reading is None:
            reading = Reading(
                columns={name: name for name in known if name != "row"},
                time_unit="" if frame["time"].has_nulls() else "datetime",
                rows_read=frame.height,
                rows_kept=frame.height,
            )
        return cls(ordered(frame), known_items(items), reading)

    @property
    def n_events(self) -> int:
        """Number of events `E`."""
        return self.frame.height

    @cached_property
    def n_users(self) -> int:
        """Number of different users."""
        return self.frame["user"].n_unique()

    @cached_property
    def n_items(self) -> int:
        """Number of different items in the events."""
        return self.frame["item"].n_unique()

    @property
    def has_time(self) -> bool:
        """Whether events carry times; without, the log knows their order only."""
        return not self.frame["time"].has_nulls()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of `frame`."""
        return tuple(self.frame.columns)

    @property
    def source_columns(self) -> tuple[str, ...]:
        """Names of its columns as messages list them: the place of an event in its source, `row`, is ours."""
        return tuple(name for name in self.frame.columns if name != "row")

    def where(self, mask: pl.Expr | pl.Series | npt.NDArray[np.bool_]) -> EventLog:
        """The events for which the mask `[E]` is true, in the same order, with the same items and reading."""
        chosen = pl.Series(mask) if isinstance(mask, np.ndarray) else mask
        return dataclasses.replace(self, frame=self.frame.filter(chosen))

    def with_sessions(self, gap_seconds: float) -> EventLog:
        """The log with sessions that end when the next event of the user is MORE than the gap away.

        Args:
            gap_seconds: longest silence inside a session, in seconds.

        Raises:
            DataError: the gap is not a positive number, or the log has no times.
        """
        note = f"sessions are cut after more than {gap_seconds:g} seconds without an event of the user"
        if "session" in self.columns:
            note += ", in place of the sessions of the source"
        cut = self.frame.with_columns(session=sessions.by_gap(self.frame, gap_seconds))
        names = [name for name in CANONICAL if name in cut.columns]
        cut = cut.select(*names, *(name for name in cut.columns if name not in CANONICAL))
        reading = dataclasses.replace(self.reading, notes=(*self.reading.notes, note))
        return dataclasses.replace(self, frame=cut, reading=reading)

    def fingerprint(self) -> str:
        """SHA-256 of users, items, times and ratings in order: the same on every platform and for every file format.

        Two logs with one fingerprint give the same sequences; a change of tie order changes it.
        """
        return digest(self.frame)


def tied_events(log: EventLog, by: str = "user") -> int:
    """How many events share their time with another event of the same user (or session): only row order parts them.

    A log without times has no ties: its order is given.

    Raises:
        ColumnError: the log has no such column.
    """
    if by not in log.columns:
        raise ColumnError(
            f"Column '{by}' is missing; the log has: {', '.join(log.source_columns)}. Sessions can be cut by a gap: "
            "log.with_sessions(gap_seconds=1800), or --session-gap 1800."
        )
    if not log.has_time or not log.n_events:
        return 0
    return int(log.frame.select(pl.struct(by, "time").is_duplicated().sum()).item())


def _typed(series: pl.Series, kind: pl.DataType) -> pl.Series:
    """The column in its canonical type, if that loses nothing."""
    found, name = series.dtype, series.name
    if found == kind:
        return series
    if found == pl.Null:
        return series.cast(kind)
    if kind == pl.String and (found.is_integer() or found in (pl.Categorical, pl.Enum)):
        return series.cast(pl.String)
    if kind == TIME and found == pl.Date:
        return series.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if kind == TIME and isinstance(found, pl.Datetime):
        zoned = (
            series.dt.replace_time_zone("UTC")
            if found.time_zone is None
            else series.dt.convert_time_zone("UTC")
        )
        return zoned.cast(TIME)
    if kind == pl.Float64 and found.is_numeric():
        return series.cast(pl.Float64)
    if kind == pl.Int64 and found.is_integer():
        return series.cast(pl.Int64)
    remedy = "parse it with ensue.read" if found in (pl.String, pl.Int64) else "cast it first"
    raise ColumnError(f"Column '{name}' is {found}, and {kind} is needed: {remedy}.")


def _refuse_gaps(frame: pl.DataFrame) -> None:
    for name in _IDS:
        if name in frame.columns:
            gap = frame[name].is_null() | (frame[name] == "")
            if gap.any():
                raise ColumnError(
                    f"Column '{name}' has no value in row {_first(gap)}: remove such rows first."
                )
    missing = frame["time"].is_null()
    if missing.any() and not missing.all():
        raise ColumnError(
            f"Column 'time' has no value in row {_first(missing)}: either all events have a time or none has."
        )
    if "rating" in frame.columns:
        odd = ~frame["rating"].is_finite().fill_null(True)
        if odd.any():
            raise ColumnError(
                f"Column 'rating' is not a finite number in row {_first(odd)}: remove such rows first."
            )
    if frame["row"].has_nulls() or not _all_different(frame["row"]):
        raise ColumnError(
            "Column 'row' must give each event a place of its own: leave it out to have it counted."
        )


def _all_different(numbers: pl.Series) -> bool:
    rising = bool((numbers.diff().drop_nulls() > 0).all())  # the usual case, and quick to see
    return rising or numbers.n_unique() == len(numbers)


def _first(gap: pl.Series) -> int:
    position = gap.arg_max()
    return 0 if position is None else position + 1


def known_items(items: pl.DataFrame | None) -> pl.DataFrame | None:
    """The side table of items with ids as text; None stays None.

    Raises:
        ColumnError: it has no column `item`.
        DataError: an item has more than one row.
    """
    if items is None:
        return None
    if "item" not in items.columns:
        raise ColumnError(
            f"Column 'item' is missing from the item table, which has: {', '.join(items.columns)}."
        )
    items = items.with_columns(_typed(items["item"], pl.String()))
    twice = items["item"].is_duplicated()
    if twice.any():
        name = items["item"].filter(twice)[0]
        raise DataError(f"Item '{name}' has more than one row in the item table: keep one row per item.")
    return items
