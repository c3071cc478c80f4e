"""The session log of trivago (RecSys Challenge 2019), as CSV or Parquet.

References:
    Knees, Deldjoo, Bakhshandegan Moghaddam, Adamczak, Leyson and Monreal (2019), RecSys Challenge 2019: Session-based
    Hotel Recommendations, doi:10.1145/3298689.3346974.
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import content, layout, parquet
from ensue.events.readers.table import Options, RawTable, Reader

HEADER = (
    *("user_id", "session_id", "timestamp", "step", "action_type", "reference", "platform", "city", "device"),
    *("current_filters", "impressions", "prices"),
)

COLUMNS = {
    "user": "user_id",
    "item": "reference",
    "time": "timestamp",
    "event": "action_type",
    "session": "session_id",
    "order": "step",
    "rating": "",
    "basket": "",
    "quantity": "",
}

NO_ITEM = ("search for destination", "search for poi", "filter selection", "change of sort order")
"""Actions whose reference is a place, a filter or an order of the list, and no item."""

BAD_REFERENCE = "reference that is no item"


def read(path: Path, options: Options) -> RawTable:
    """The actions that concern an item, each an event of its type; all others are set aside and counted by type.

    The list that was shown at a click-out, and its prices, stay as the context columns `impressions` and `prices`,
    in the order in which they were shown, parted by "|".
    """
    raw = actions(path, options)
    raw = layout.without(
        raw,
        pl.col("action_type").is_in(NO_ITEM),
        pl.format("'{}' concerns no item", "action_type"),
        pl.col("reference"),
    )
    reference = pl.col("reference").cast(pl.String)
    raw = layout.without(raw, ~reference.str.contains(r"^\d+$").fill_null(False), BAD_REFERENCE, reference)
    items = layout.described(
        layout.beside(path, "item_metadata.csv"), ",", {"item": "item_id", "properties": "properties"}
    )
    rule = (
        "only actions that concern an item are events: searches for places, filters and sort orders are set aside",
        "the shown list and its prices are the columns impressions and prices of a click-out",
    )
    raw = dataclasses.replace(raw, columns=COLUMNS, notes=(*raw.notes, *rule))
    return layout.with_items(
        raw, items, f"no item_metadata.csv lies beside {raw.file}: nothing is known of items"
    )


def actions(path: Path, options: Options) -> RawTable:
    """All actions as the file has them, those that concern no item too: what a list was shown after.

    Raises:
        DataError: the folder has no train.csv.
        ColumnError: a column of the layout is missing.
    """
    file = layout.inside(path, "train.csv") if path.is_dir() else path
    if file is None:
        raise DataError(f"{path} has no train.csv, which the trivago layout needs: check the folder.")
    raw = parquet.read(file, options) if _is_parquet(file) else layout.table(file, options, ",")
    layout.needed(raw, HEADER, "the trivago layout")
    return raw


def _is_parquet(path: Path) -> bool:
    return content.head(path, 4) == b"PAR1"


def _recognises(path: Path) -> bool:
    file = layout.inside(path, "train.csv") if path.is_dir() else path
    if file is None:
        return False
    if tuple(layout.heads(file, ",")) == HEADER:
        return True
    try:
        return (
            _is_parquet(file) and tuple(pl.read_parquet_schema(io.BytesIO(content.content(file)))) == HEADER
        )
    except (DataError, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return False


READERS = (
    Reader(
        "trivago",
        "trivago session log: train.csv or Parquet, item_metadata.csv",
        rank=0,
        recognises=_recognises,
        read=read,
        folders=True,
    ),
)
