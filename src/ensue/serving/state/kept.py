"""The histories that a run has kept, in pieces that a store can write at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from ensue.errors import DataError
from ensue.sequences import MISSING_TIME

OWN = ("user", "item", "time", "event", "rating", "session")
PIECE = 20_000
"""Events of a piece, about: enough to be quick, few enough that nobody waits long while they are written."""


@dataclass(frozen=True)
class Piece:
    """Whole histories of some users, as columns with one value an event.

    Attributes:
        users: ids.
        counts: events of each user, of which the columns hold one after the other.
        times: microseconds, `MISSING_TIME` where there is none.
        sessions: negative, so that none is taken for a live one.
        more: other columns as JSON.
    """

    users: list[str]
    counts: list[int]
    times: list[int]
    items: list[str]
    types: list[str | None]
    ratings: list[float | None]
    sessions: list[int | None]
    more: list[str | None]


def pieces(histories: pl.DataFrame, most: int) -> Iterator[Piece]:
    """The last events of all users, in pieces.

    Args:
        histories: columns user and item, oldest first, and others if there are.
        most: events of one user.

    Raises:
        DataError: there is no user or no item.
    """
    for name in ("user", "item"):
        if name not in histories.columns:
            raise DataError(f"These histories have no column '{name}': take those that a run has kept.")
    frame = (
        histories.select(
            pl.col("user", "item").cast(pl.String),
            _column(histories, "time", pl.col("time").dt.epoch("us"), pl.Int64).fill_null(MISSING_TIME),
            _column(histories, "event", pl.col("event"), pl.String),
            _column(histories, "rating", pl.col("rating"), pl.Float64).fill_nan(None),
            _column(histories, "session", -pl.col("session").rank("dense").cast(pl.Int64), pl.Int64),
            _more(histories).alias("more"),
        )
        .drop_nulls(["user", "item"])
        .sort("user", maintain_order=True)
        .group_by("user", maintain_order=True)
        .tail(most)
    )
    sizes = frame.group_by("user", maintain_order=True).len()
    ends = sizes["len"].cum_sum()
    piece = (ends - sizes["len"]) // PIECE
    start = 0
    for _, group in sizes.group_by(piece.alias("piece"), maintain_order=True):
        part = frame.slice(start, int(group["len"].sum()))
        start += part.height
        yield Piece(
            group["user"].to_list(),
            group["len"].to_list(),
            *(part[name].to_list() for name in ("time", "item", "event", "rating", "session", "more")),
        )


def _column(frame: pl.DataFrame, name: str, value: pl.Expr, kind: type[pl.DataType]) -> pl.Expr:
    if name not in frame.columns or frame[name].dtype == pl.Null:
        return pl.lit(None, dtype=kind).alias(name)
    return value.cast(kind).alias(name)


def _more(frame: pl.DataFrame) -> pl.Expr:
    """The other columns as one of JSON objects."""
    others = [name for name in frame.columns if name not in OWN]
    if not others:
        return pl.lit(None, dtype=pl.String)
    values = []
    for name in others:
        kind = frame[name].dtype
        value = pl.col(name).fill_nan(None) if kind.is_float() else pl.col(name)
        values.append(value if kind.is_numeric() or kind == pl.Boolean else value.cast(pl.String))
    return pl.struct(values).struct.json_encode()
