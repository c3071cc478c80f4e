"""Instacart: orders.csv, order_products__prior.csv and __train.csv, with products, aisles and departments.

References:
    Instacart (2017), The Instacart Online Grocery Shopping Dataset 2017.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import layout
from ensue.events.readers.table import Options, RawTable, Reader

ORDERS = ("order_id", "user_id", "eval_set", "order_number", "order_dow", "order_hour_of_day")
LINES = ("order_id", "product_id", "add_to_cart_order", "reordered")
PARTS = ("order_products__prior.csv", "order_products__train.csv")

COLUMNS = {
    "user": "user_id",
    "item": "product_id",
    "basket": "order_id",
    "order": "place",
    **dict.fromkeys(("time", "event", "rating", "session", "quantity"), ""),
}
NO_ORDER = "order that is not in orders.csv, or twice"
BAD_PLACE = "place in the orders that is not a whole number"


def read(path: Path, options: Options) -> RawTable:
    """One event per order line; a basket is an order, and `place` counts a user's lines through all orders.

    There are no times: what is known of them (weekday, hour, days since the order before) stays as context.

    Raises:
        DataError: orders.csv or the order lines are missing.
    """
    folder = path if path.is_dir() else path.parent
    orders = layout.inside(folder, "orders.csv")
    alone = path.is_file() and tuple(layout.heads(path, ",")) == LINES
    parts = [path] if alone else [file for name in PARTS if (file := layout.inside(folder, name)) is not None]
    if orders is None or not parts:
        raise DataError(
            f"Instacart needs orders.csv and order_products__prior.csv (or __train.csv) in {folder}."
        )
    raw = layout.joined(
        [layout.table(part, options, ",") for part in parts], folder.name if not alone else path.name
    )
    layout.needed(raw, LINES, "Instacart's order lines")
    known = layout.table(orders, options, ",")
    layout.needed(known, ORDERS, "Instacart's orders.csv")
    raw = _placed(raw, known)
    bought = known.frame.join(raw.frame.select("order_id").unique(), on="order_id", how="anti").height
    notes: tuple[str, ...] = (
        "there are no times: orders are in the order of their numbers, lines in that in which they were added",
    )
    if bought:
        notes += (f"orders without a line in these files, as those of the test set: {bought:,}",)
    if known.rejected.height:
        notes += (f"lines of {orders.name} that cannot be read and are left out: {known.rejected.height:,}",)
    raw = dataclasses.replace(raw, columns=COLUMNS, notes=(*raw.notes, *notes))
    return layout.with_items(
        raw, _items(folder), "no products.csv lies beside the orders: products have no titles"
    )


def _placed(raw: RawTable, known: RawTable) -> RawTable:
    """The lines with their order's user and a `place` that counts all lines of a user in their order."""
    once = known.frame.filter(~pl.col("order_id").is_duplicated())
    frame = raw.frame.join(once, on="order_id", how="left", maintain_order="left").with_columns(
        _number=pl.col("order_number").str.strip_chars().cast(pl.Int64, strict=False),
        _added=pl.col("add_to_cart_order").str.strip_chars().cast(pl.Int64, strict=False),
    )
    raw = layout.without(
        dataclasses.replace(raw, frame=frame), pl.col("user_id").is_null(), NO_ORDER, pl.col("order_id")
    )
    raw = layout.without(
        raw, pl.col("_number").is_null() | pl.col("_added").is_null(), BAD_PLACE, pl.col("add_to_cart_order")
    )
    counted = (
        raw.frame.select("user_id", "_number", "_added")
        .with_row_index("_row")
        .sort("user_id", "_number", "_added", "_row")
        .with_columns(place=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("user_id"))
        .sort("_row")
    )
    return dataclasses.replace(raw, frame=raw.frame.drop("_number", "_added").with_columns(counted["place"]))


def _items(folder: Path) -> layout.Items | None:
    """Products with their names, aisles and departments."""
    named = {
        "item": "product_id",
        "title": "product_name",
        "aisle_id": "aisle_id",
        "department_id": "department_id",
    }
    found = layout.described(layout.inside(folder, "products.csv"), ",", named)
    if found is None:
        return None
    items, notes = found
    for name in ("aisle", "department"):
        words = layout.described(
            layout.inside(folder, f"{name}s.csv"), ",", {"item": f"{name}_id", name: name}
        )
        if words is not None and f"{name}_id" in items.columns:
            items = items.join(
                words[0].rename({"item": f"{name}_id"}), on=f"{name}_id", how="left", maintain_order="left"
            ).drop(f"{name}_id")
            notes += words[1]
    return items, notes


def _recognises(path: Path) -> bool:
    if path.is_dir():
        orders = layout.inside(path, "orders.csv")
        return (
            orders is not None
            and tuple(layout.heads(orders, ","))[: len(ORDERS)] == ORDERS
            and any(layout.inside(path, part) is not None for part in PARTS)
        )
    found = tuple(layout.heads(path, ","))
    return found == LINES or found[: len(ORDERS)] == ORDERS


READERS = (
    Reader(
        "instacart",
        "Instacart: orders.csv, order_products__*.csv, products.csv, aisles.csv, departments.csv",
        rank=0,
        recognises=_recognises,
        read=read,
        folders=True,
    ),
)
