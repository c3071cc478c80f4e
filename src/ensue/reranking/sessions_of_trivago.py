"""The lists of trivago's session log: each click-out shows the list, its prices and the choice."""

from __future__ import annotations

from typing import Literal

import polars as pl

from ensue.errors import DataError
from ensue.events.readers.trivago import NO_ITEM
from ensue.reranking.joining import CONTEXT, Counted, assembled
from ensue.reranking.shown import Shown

CHOICE = "clickout item"
LISTING = r"^(?i)(sort by|focus on|best value|our recommendations)"
"""What is an order of the list, among the filters in force."""

USUAL = "as recommended"


def shown(actions: pl.DataFrame, known: Literal["choice", "display"]) -> Shown:
    """The lists of the click-outs, and all actions as their events.

    Args:
        actions: `[E]` rows in the columns of the layout.
        known: what counts as before a list, see `read_shown`.

    Raises:
        DataError: no click-out has a list.
    """
    kinds = {"timestamp": pl.Int64, "step": pl.Int64}
    frame = (
        actions.with_columns(pl.col(name).cast(kind, strict=False) for name, kind in kinds.items())
        .with_row_index("row")
        .sort("user_id", "session_id", "timestamp", "step", "row")
        .with_columns(group=pl.struct("user_id", "session_id").rle_id().cast(pl.Int64))
    )
    counted = Counted()
    frame = counted.without(frame, pl.col("timestamp").is_null(), "actions without a time")
    frame = frame.drop("row").with_row_index("place")
    no_item = pl.col("action_type").is_in(NO_ITEM)
    named = pl.col("reference").str.contains(r"^\d+$").fill_null(False) & ~no_item
    events = frame.select(
        "group",
        kind="action_type",
        item=pl.when(named).then("reference"),
        time=pl.col("timestamp") * 1_000_000,
    )
    # where the list may first have been shown: after the last action that changes lists
    changed = pl.when(no_item).then(pl.col("place") + 1).forward_fill().over("group")
    first = pl.col("place").min().over("group")
    frame = frame.with_columns(
        starts=first, ends=pl.col("place") if known == "choice" else pl.coalesce(changed, first)
    )
    lists = frame.filter(pl.col("action_type") == CHOICE)
    if lists.is_empty():
        raise DataError(f"No action is a '{CHOICE}': such alone show their list.")
    begins = pl.col("timestamp").min().over("group")
    lists = frame.with_columns(begins=begins).filter(pl.col("action_type") == CHOICE)
    lists = counted.without(lists, pl.col("impressions").fill_null("") == "", "click-outs without a list")
    shown_items, prices = pl.col("impressions").str.split("|"), pl.col("prices").fill_null("").str.split("|")
    lists = lists.with_columns(item=shown_items, price=prices)
    uneven = pl.col("item").list.len() != pl.col("price").list.len()
    counted.note(lists, uneven, "lists whose prices are not as many as their items (taken as unknown)")
    unpriced = pl.lit("").repeat_by(pl.col("item").list.len())
    lists = lists.with_columns(price=pl.when(uneven).then(unpriced).otherwise("price"))
    lists = lists.with_row_index("list")
    filters = pl.col("current_filters").fill_null("").str.split("|")
    order = filters.list.eval(pl.element().filter(pl.element().str.contains(LISTING))).list.sort()
    plain = filters.list.eval(pl.element().filter((pl.element() != "") & ~pl.element().str.contains(LISTING)))
    about = lists.select(
        "list",
        "group",
        "starts",
        "ends",
        at=pl.col("timestamp") * 1_000_000,
        begins=pl.col("begins") * 1_000_000,
        **{
            f"{CONTEXT}device": pl.col("device"),
            f"{CONTEXT}order": pl.when(order.list.len() > 0)
            .then(order.list.join(", "))
            .otherwise(pl.lit(USUAL)),
            f"{CONTEXT}filters": pl.when(plain.list.len() > 0).then(pl.lit("some")).otherwise(pl.lit("none")),
        },
    )
    rows = lists.select("list", "item", "price", wanted="reference").explode("item", "price")
    rows = rows.with_columns(
        chosen=pl.col("item") == pl.col("wanted"),
        price=pl.col("price").cast(pl.Float64, strict=False),
        score=pl.lit(None, dtype=pl.Float64),
    )
    said = {
        "choice": "before a list counts all that was done before its choice, on the list itself too",
        "display": "before a list counts what was done before the last search, filter or change of order",
    }
    return assembled(rows, about, events, counted, (said[known],))
