"""RetailRocket: events.csv, with the categories and availability of items.

References:
    Zykov, Noskov and Alexander (2022), Retailrocket recommender system dataset, doi:10.34740/kaggle/dsv/4471234.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import layout
from ensue.events.readers.table import Options, RawTable, Reader

HEADER = ("timestamp", "visitorid", "event", "itemid", "transactionid")
PROPERTIES = ("timestamp", "itemid", "property", "value")
_PARTS = ("item_properties_part1.csv", "item_properties_part2.csv")
_KEPT = {"categoryid": "category", "available": "available"}

COLUMNS = {
    "user": "visitorid",
    "item": "itemid",
    "time": "timestamp",
    "event": "event",
    "basket": "transactionid",
    **dict.fromkeys(("rating", "session", "quantity", "order"), ""),
}

_DEEPEST = 50
"""Most levels of the tree of categories that are climbed."""


def read(path: Path, options: Options) -> RawTable:
    """Views, additions to the cart and transactions; an item bears its last known category and availability.

    Raises:
        DataError: no events.csv.
    """
    file = layout.inside(path, "events.csv") if path.is_dir() else path
    if file is None:
        raise DataError(f"{path} has no events.csv, which RetailRocket needs: check the folder.")
    raw = layout.table(file, options, ",")
    layout.needed(raw, HEADER, "RetailRocket")
    raw = dataclasses.replace(raw, columns=COLUMNS)
    return layout.with_items(
        raw, _items(path), f"no {_PARTS[0]} lies beside {file.name}: nothing is known of items"
    )


def _items(path: Path) -> layout.Items | None:
    """The last category and availability of each item, and the category with all those above it.

    The files of properties are read as a stream: only the rows of two properties are ever held.
    """
    parts = [file for name in _PARTS if (file := layout.beside(path, name)) is not None]
    parts = [file for file in parts if tuple(layout.heads(file, ",")) == PROPERTIES]
    if not parts:
        return None
    try:
        rows = pl.concat(
            pl.scan_csv(file, schema=dict.fromkeys(PROPERTIES, pl.String()), quote_char=None)
            for file in parts
        )
        found = (
            rows.filter(pl.col("property").is_in(list(_KEPT)))
            .with_columns(pl.col("timestamp").cast(pl.Int64, strict=False))
            .drop_nulls()
            .group_by("itemid", "property")
            .agg(pl.col("value").get(pl.col("timestamp").arg_max()))
            .collect(engine="streaming")
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"The item properties beside {parts[0]} cannot be read ({first[:80]}): take them out."
        ) from None
    wide = found.select(item="itemid").unique()
    for name, ours in _KEPT.items():
        one = found.filter(pl.col("property") == name).select(pl.col("value").alias(ours), item="itemid")
        wide = wide.join(one, on="item", how="left")
    notes: tuple[str, ...] = (
        "of the properties of items, category and available are read, as they were last: later than some events",
    )
    tree = layout.described(
        layout.beside(path, "category_tree.csv"), ",", {"item": "categoryid", "parent": "parentid"}
    )
    if tree is not None and "parent" in tree[0].columns:
        wide = wide.join(_lines_of(tree[0]), on="category", how="left").with_columns(
            categories=pl.coalesce("categories", "category")
        )
        notes += tree[1]
    return wide.sort("item"), notes


def _lines_of(tree: pl.DataFrame) -> pl.DataFrame:
    """Each category with itself and all categories above it, parted by "|", the nearest first."""
    parents = tree.filter(pl.col("parent") != "").select(above="item", next="parent")
    lines = tree.select(category="item", above="item", all=pl.concat_list("item"))
    for _ in range(_DEEPEST):
        step = lines.join(parents, on="above", how="left", maintain_order="left")
        fresh = ~pl.col("all").list.contains(pl.col("next"))  # a ring of categories ends where it began
        step = step.with_columns(next=pl.when(fresh).then("next"))
        if step["next"].null_count() == step.height:
            break
        lines = step.select(
            "category",
            above="next",
            all=pl.when(pl.col("next").is_null()).then("all").otherwise(pl.concat_list("all", "next")),
        )
    return lines.select("category", categories=pl.col("all").list.join("|"))


def _recognises(path: Path) -> bool:
    file = layout.inside(path, "events.csv") if path.is_dir() else path
    return file is not None and tuple(layout.heads(file, ",")) == HEADER


READERS = (
    Reader(
        "retailrocket",
        "RetailRocket: events.csv, item_properties_part1.csv and 2, category_tree.csv",
        rank=0,
        recognises=_recognises,
        read=read,
        folders=True,
    ),
)
