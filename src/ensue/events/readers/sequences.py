"""One sequence a line, "user item item item ...", in the order of the events: the form of S3-Rec and its followers.

Beside `Beauty.txt` may lie `Beauty_item2attributes.json`, an object with a list of attributes (categories, brand) for
each item.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import content
from ensue.events.readers.beside import companion, unpacked_name
from ensue.events.readers.table import Options, RawTable, Reader, rejected

_GAP = r"[^ \t\r]+"

ATTRIBUTES = "_item2attributes.json"
"""Ends the name of the file that tells the attributes of the items."""


def read(path: Path, options: Options) -> RawTable:
    """One row per event, with the line of its sequence; a line with a user and no item is set aside.

    Raises:
        DataError: no text.
    """
    data, notes = content.text(content.content(path), path.name)
    lines = pl.DataFrame({"text": data.decode().split("\n")}, schema={"text": pl.String})
    parts = (
        lines.with_columns(line=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
        .select("line", "text", fields=pl.col("text").str.extract_all(_GAP))
        .filter(pl.col("fields").list.len() > 0)
    )
    alone = parts.filter(pl.col("fields").list.len() < 2)
    events = (
        parts.filter(pl.col("fields").list.len() > 1)
        .select("line", user=pl.col("fields").list.first(), item=pl.col("fields").list.slice(1))
        .explode("item")
    )
    return RawTable(
        file=path.name,
        frame=events.select("user", "item"),
        lines=events["line"],
        rejected=rejected(alone["line"], "a user and no items", alone["text"]),
        rows=events.height + alone.height,
        columns={"user": "user", "item": "item"},
        items=_attributes(path),
        notes=(
            *notes,
            f"each line of {path.name} is a user and the user's items in their order; there are no times",
        ),
    )


def _attributes(path: Path) -> pl.DataFrame | None:
    """What is known of items beside a log: `item` and `attributes`, lists of text; None without such a file.

    Raises:
        DataError: it is no object of lists.
    """
    file = companion(path.parent, unpacked_name(path).removesuffix(".txt") + ATTRIBUTES)
    if file is None:
        return None
    try:
        told = json.loads(content.content(file), parse_int=str, parse_float=str, object_pairs_hook=_once)
        plain = [_listed(values) for values in told.values()]
    except (ValueError, AttributeError, TypeError, RecursionError) as fault:
        raise DataError(
            f"{file.name} is no object with a list of attributes for each item ({fault}): "
            "mend it, or move it out of the folder."
        ) from None
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "item": pl.String,
        "attributes": pl.List(pl.String),
    }
    return pl.DataFrame({"item": list(told), "attributes": plain}, schema=schema)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose keys each stand once."""
    told = dict(pairs)
    if len(told) < len(pairs):
        raise ValueError("an item stands in it twice")
    return told


def _listed(values: object) -> list[str]:
    """A list of text, numbers as they are written."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{values!r:.40} is no list of words or numbers")
    return values


def _recognises(path: Path) -> bool:
    """A .txt file whose first lines are spaced words in varying number, without any other delimiter."""
    if not unpacked_name(path).lower().endswith(".txt"):
        return False
    lines = [line.split() for line in content.head(path).split(b"\n")[:200] if line.strip()]
    head = content.head(path)
    if any(mark in head for mark in (b",", b";", b"\t", b"|", b"\0", b"::", b'"')) or len(lines) < 2:
        return False
    counts = {len(fields) for fields in lines[:-1]}
    return min(counts) >= 2 and len(counts) > 1


READERS = (
    Reader("sequences", "text with 'user item item ...' a line", rank=3, recognises=_recognises, read=read),
)
