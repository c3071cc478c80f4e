"""Diginetica (CIKM Cup 2016): views and purchases of anonymous sessions, with categories and prices of products.

References:
    CIKM Cup 2016 Track 2: Personalized E-Commerce Search Challenge, DIGINETICA.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import layout
from ensue.events.readers.table import Options, RawTable, Reader

_VIEWS, _BUYS = "train-item-views.csv", "train-purchases.csv"

_OWN = {
    "view": {
        "session": "session_id",
        "user": "user_id",
        "item": "item_id",
        "timeframe": "timeframe",
        "eventdate": "eventdate",
    },
    "purchase": {
        "session": "sessionId",
        "user": "userId",
        "item": "itemId",
        "timeframe": "timeframe",
        "eventdate": "eventdate",
        "ordernumber": "ordernumber",
    },
}
"""Type of event -> our name of a column -> its name in the file."""

_OTHER = {"view": {**_OWN["purchase"]}, "purchase": {}}
del _OTHER["view"]["ordernumber"]

COLUMNS = {
    "user": "user",
    "item": "item",
    "time": "time",
    "event": "event",
    "session": "session",
    **dict.fromkeys(("rating", "quantity", "order"), ""),
}
BAD_TIME = "date or timeframe that cannot be read"
NO_USER = ("NA", "")

_LONGEST = 366 * 86_400_000
"""Most milliseconds of a timeframe: a year."""


def read(path: Path, options: Options) -> RawTable:
    """Views and purchases, in a folder together; a session without a user id is a user of its own.

    The time is the day plus the milliseconds since the session's first query: right within a session, while the order
    of two sessions of one day is not known.

    Raises:
        DataError: no file of the layout.
    """
    files = _files(path) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path} has no {_VIEWS} or {_BUYS}, which Diginetica needs: check the folder.")
    raw = layout.joined([_events(file, options) for file in files], path.name)
    frame, own = _with_users(raw.frame)
    columns = COLUMNS | {"basket": "ordernumber" if "ordernumber" in frame.columns else ""}
    notes: tuple[str, ...] = (
        "the time is the day plus the milliseconds since the session began: sessions of one day have no known order",
    )
    if own:
        notes += (f"sessions without a user id, each taken as a user of its own ('session N'): {own:,}",)
    raw = dataclasses.replace(raw, frame=frame, columns=columns, notes=(*raw.notes, *notes))
    return layout.with_items(raw, _items(path), f"no product-categories.csv lies beside {files[0].name}")


def _events(file: Path, options: Options) -> RawTable:
    """The events of one file, with our names of the columns and a `time`."""
    raw = layout.table(file, options, ";")
    kind = _kind(raw.frame.columns)
    if kind is None:
        layout.needed(raw, list(_OWN["view"].values()), "Diginetica")
        raise DataError(f"{file.name} is no file of views or purchases of Diginetica.")
    named = _named(kind, raw.frame.columns)
    frame = raw.frame.rename({source: name for name, source in named.items()}).with_columns(
        event=pl.lit(kind)
    )
    offset = pl.col("timeframe").str.strip_chars().cast(pl.Int64, strict=False)
    day = pl.col("eventdate").str.strip_chars().str.to_datetime("%Y-%m-%d", strict=False, time_unit="us")
    frame = frame.with_columns(
        time=pl.when(offset.is_between(0, _LONGEST)).then(
            day.dt.replace_time_zone("UTC") + pl.duration(milliseconds=offset, time_unit="us")
        )
    )
    return layout.without(
        dataclasses.replace(raw, frame=frame),
        pl.col("time").is_null(),
        BAD_TIME,
        pl.concat_str("eventdate", "timeframe", separator=" + "),
    )


def _with_users(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The events with a user for each: the one that the session names elsewhere, else the session itself.

    Returns:
        The events, and the number of sessions that are users of their own.
    """
    known = (
        frame.filter(~pl.col("user").is_in(NO_USER))
        .group_by("session")
        .agg(pl.col("user").unique().alias("found"))
        .filter(pl.col("found").list.len() == 1)
        .select("session", found=pl.col("found").list.first())
    )
    joined = frame.join(known, on="session", how="left", maintain_order="left")
    unknown = pl.col("user").is_in(NO_USER)
    own = joined.filter(unknown & pl.col("found").is_null() & (pl.col("session") != ""))["session"].n_unique()
    alone = pl.when(pl.col("session") != "").then(pl.lit("session ") + pl.col("session"))
    user = pl.when(unknown).then(pl.coalesce("found", alone)).otherwise("user")
    return joined.with_columns(user=user).drop("found"), own


def _items(path: Path) -> layout.Items | None:
    """Products with their category, logarithm of the price, and the numbers of the words of their names."""
    named = {"item": "itemId", "category": "categoryId"}
    categories = layout.described(layout.beside(path, "product-categories.csv"), ";", named)
    named = {"item": "itemId", "log2 price": "pricelog2", "name words": "product.name.tokens"}
    products = layout.described(layout.beside(path, "products.csv"), ";", named)
    if products is None:
        return categories
    frame = products[0].with_columns(
        pl.col("^log2 price$").str.strip_chars().cast(pl.Float64, strict=False),
        pl.col("^name words$").str.replace_all(",", "|", literal=True),
    )
    if categories is None:
        return frame, products[1]
    both = categories[0].join(frame, on="item", how="full", coalesce=True, maintain_order="left_right")
    return both, (*categories[1], *products[1])


def _kind(names: list[str]) -> str | None:
    """The type of the events of a file, by its columns."""
    if set(_OWN["purchase"].values()) <= set(names):
        return "purchase"
    return "view" if any(set(own.values()) <= set(names) for own in (_OWN["view"], _OTHER["view"])) else None


def _named(kind: str, names: list[str]) -> dict[str, str]:
    return _OWN[kind] if set(_OWN[kind].values()) <= set(names) else _OTHER[kind]


def _files(folder: Path) -> list[Path]:
    """The file of views and that of purchases, as far as a folder has them."""
    views = layout.inside(folder, _VIEWS, f"sample_{_VIEWS}")
    buys = layout.inside(folder, _BUYS)
    return [file for file in (views, buys) if file is not None and _kind(layout.heads(file, ";")) is not None]


def _recognises(path: Path) -> bool:
    return bool(_files(path)) if path.is_dir() else _kind(layout.heads(path, ";")) is not None


READERS = (
    Reader(
        "diginetica",
        "Diginetica: train-item-views.csv, train-purchases.csv, product-categories.csv, products.csv",
        rank=0,
        recognises=_recognises,
        read=read,
        folders=True,
    ),
)
