"""Friendships as a log whose items are users: each in both directions, so that it is in the history of both friends."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl

from ensue.errors import ColumnError
from ensue.events.readers import delimited, layout
from ensue.events.readers.table import Options, RawTable, Reader

OWNER = "owner"
"""Of an item: the user whose it is, who is never shown it. A person is their own."""

SELF = "friendship of a user with themselves"

_NONE = dict.fromkeys(("time", "event", "rating", "session", "basket", "quantity", "order"), "")


def both_ways(raw: RawTable, user: str, item: str) -> RawTable:
    """The table with each friendship once in each direction; the first row of a direction stands for later ones.

    Rows that the source has keep their order, and directions that it lacks come after them. A friendship of a user with
    themselves is set aside. The side table of items gets the column `owner`.

    Args:
        raw: a row for each friendship, or for each direction of one.
        user: column of the one friend.
        item: column of the other.
    """
    raw = layout.without(raw, pl.col(user) == pl.col(item), SELF, pl.col(user).str.head(0))
    rows = raw.frame.with_columns(line=raw.lines)
    turned = rows.with_columns(pl.col(item).alias(user), pl.col(user).alias(item))
    once = rows.unique([user, item], keep="first", maintain_order=True)
    both = pl.concat([once, turned]).unique([user, item], keep="first", maintain_order=True)
    notes = [f"{both.height // 2:,} friendships stand in both directions: each is in the history of both"]
    if added := both.height - once.height:
        notes.append(f"the source has {added:,} of them in one direction only")
    if again := rows.height - once.height:
        notes.append(f"{again:,} rows say a friendship again, and are left out")
    return dataclasses.replace(
        raw,
        frame=both.drop("line"),
        lines=both["line"],
        rows=both.height + raw.rejected.height,
        items=people(both[item].unique(maintain_order=True), raw.items),
        notes=(*raw.notes, *notes),
    )


def people(ids: pl.Series, known: pl.DataFrame | None = None) -> pl.DataFrame:
    """A side table of items that are users: each is its own owner.

    Args:
        ids: of the users.
        known: what else is known of them, by the column `item`.
    """
    named = ids.filter(ids != "").rename("item")
    table = pl.DataFrame({"item": named, OWNER: named})
    return table if known is None else table.join(known, on="item", how="left", maintain_order="left")


def read(path: Path, options: Options) -> RawTable:
    """Any delimited table of friendships with a header: the first two columns are the friends, unless `columns` says.

    Raises:
        ColumnError: the table has a single column.
    """
    raw = delimited.split(path, options, lambda first: (delimited.header(first), False))
    names = raw.frame.columns
    if len(names) < 2:
        raise ColumnError(
            f"{raw.file} has one column, '{names[0]}', and a friendship needs two: see --delimiter."
        )
    user, item = (options.columns.get(name) or names[at] for at, name in enumerate(("user", "item")))
    absent = [name for name in (user, item) if name not in names]
    if absent:
        raise ColumnError(f"{raw.file} has no column '{absent[0]}', but: {', '.join(names)[:80]}.")
    own = {"user": user, "item": item, **_NONE} | {k: v for k, v in options.columns.items() if k in _NONE}
    return dataclasses.replace(both_ways(raw, user, item), columns=own)


READERS = (
    Reader(
        "friends",
        "any table of friendships, one or two rows for each",
        rank=8,
        recognises=lambda path: False,
        read=read,
    ),
)
