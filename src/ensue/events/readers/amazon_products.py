"""The metadata of Amazon products, of 2014, 2018 and 2023, as one table of items."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ensue.events.readers import beside
from ensue.events.readers.amazon_objects import objects

META = "meta_"
"""What the name of a file of metadata begins with."""

SCHEMA = {
    "item": pl.String(),
    "title": pl.String(),
    "categories": pl.String(),
    "main_category": pl.String(),
    "brand": pl.String(),
    "price": pl.Float64(),
}
"""What is kept of a product. Several categories stand in one text, parted by `|`, as item features read them."""

_ROWS = 50_000
_SEPARATOR = "|"


def products(paths: Sequence[Path], key: str) -> beside.Items | None:
    """The products of some files of metadata, each once.

    Args:
        paths: the files.
        key: the key that is the item: "asin", or "parent_asin" of 2023.
    """
    frames: list[pl.DataFrame] = []
    notes: tuple[str, ...] = ()
    for path in paths:
        items, found = _products(path, key)
        frames.append(items)
        notes += found
    if not frames:
        return None
    both = pl.concat(frames).unique("item", keep="first", maintain_order=True)
    filled = [name for name in both.columns if name == "item" or both[name].null_count() < both.height]
    return both.select(filled), notes


def _products(path: Path, key: str) -> beside.Items:
    odd = Odd()
    parts: list[pl.DataFrame] = []
    bad: list[int] = []
    for some in objects(path, _ROWS):
        bad += [line for line, _, _ in some.bad]
        rows = [_product(row, key, odd) for row in some.rows]
        frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
        parts.append(frame.with_columns(line=pl.Series(some.lines, dtype=pl.Int64)))
    every = pl.concat([pl.DataFrame(schema={**SCHEMA, "line": pl.Int64()}), *parts])
    notes: tuple[str, ...] = (
        f"products are from {path.name}: title, categories, brand and price, nothing else of it",
    )
    if bad:
        shown = ", ".join(str(line) for line in bad[:5])
        notes += (f"lines of {path.name} that are no object and are left out: {len(bad):,} (line {shown})",)
    items, notes = beside.each_once(every, (pl.col("item") != ""), path, notes, "a product")
    return items, notes + odd.notes(path.name)


class Odd:
    """Counts of values that could not be kept as they are."""

    def __init__(self) -> None:
        self.prices = self.separators = self.stores = 0

    def notes(self, file: str) -> tuple[str, ...]:
        """What is to be said of them."""
        said = (
            (
                self.prices,
                f"prices in {file} that are no single number and are taken as missing: {self.prices:,}",
            ),
            (
                self.separators,
                f"categories in {file} that hold '{_SEPARATOR}', which is written '/': {self.separators:,}",
            ),
            (
                self.stores,
                f"brands in {file} that are the name of the store, since no other is given: {self.stores:,}",
            ),
        )
        return tuple(text for count, text in said if count)


def _product(row: dict[str, Any], key: str, odd: Odd) -> tuple[str | float | None, ...]:
    """What is kept of one product, in the order of `SCHEMA`."""
    brand = _word(row.get("brand")) or _word(_inside(row.get("details"), "Brand"))
    store = _word(row.get("store"))
    if store and not brand:
        brand = store
        odd.stores += 1
    names = list(dict.fromkeys(_flat(row.get("categories", row.get("category")))))
    if any(_SEPARATOR in name for name in names):
        odd.separators += sum(_SEPARATOR in name for name in names)
        names = list(dict.fromkeys(name.replace(_SEPARATOR, "/") for name in names))
    return (
        _word(row.get(key)),
        _word(row.get("title")),
        _SEPARATOR.join(names) or None,
        _word(row.get("main_category", row.get("main_cat"))),
        brand,
        _price(row.get("price"), odd),
    )


def _word(value: object) -> str | None:
    """A text without the entities of HTML, or None for anything that is no text or an empty one."""
    return (html.unescape(value).strip() or None) if isinstance(value, str) else None


def _inside(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _flat(value: object) -> Iterator[str]:
    """The texts of a list, or of lists in a list."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part)
    elif (word := _word(value)) is not None:
        yield word


def _price(value: object, odd: Odd) -> float | None:
    """A price as a number; None where there is none, or a range."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        text = str(value).strip().removeprefix("$").strip().replace(",", "")
        number = float(text) if text.replace(".", "", 1).isdecimal() and text.isascii() else float("nan")
    if not 0 <= number < float("inf"):
        odd.prices += 1
        return None
    return number
