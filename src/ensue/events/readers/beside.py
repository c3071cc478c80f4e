"""Tables of items that lie beside a log: each item once, and a note on every line that was left out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from ensue.events.readers import content

PACKED = ("", ".gz", ".zst")
"""What may follow the name of a file."""

Items = tuple[pl.DataFrame, tuple[str, ...]]
"""What is known of items, one row each, and notes."""


def companion(folder: Path, *names: str) -> Path | None:
    """The first of these files in a folder, plain or packed; None if there is none."""
    return next((p for name in names for end in PACKED if (p := folder / f"{name}{end}").is_file()), None)


def unpacked_name(path: Path) -> str:
    """The name of a file without what says how it is packed."""
    return next((path.name.removesuffix(end) for end in PACKED[1:] if path.name.endswith(end)), path.name)


def others(folder: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Those of some names that are files in a folder, plain or packed."""
    return tuple(found.name for name in names if (found := companion(folder, name)) is not None)


def text_lines(path: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The lines of a file as a column `text`, ends and empty lines removed, with their number in `line`."""
    data, notes = content.text(content.content(path), path.name)
    texts = pl.Series("text", data.decode().split("\n")).str.strip_chars_end("\r")
    frame = pl.DataFrame({"text": texts, "line": pl.int_range(1, len(texts) + 1, eager=True)})
    return frame.filter(pl.col("text") != ""), notes


def each_once(
    frame: pl.DataFrame, good: pl.Expr, path: Path, notes: tuple[str, ...], what: str = "a film"
) -> Items:
    """The items that were read, each id once, and a note on every line that was not.

    Args:
        frame: columns `item`, `line`, and what is known.
        good: which lines could be read.
        path: their file.
        notes: to be added to.
        what: an item, for the note.
    """
    fine = good.fill_null(False)
    bad = frame.filter(~fine)
    frame = frame.filter(fine)
    twice = frame.filter(~pl.col("item").is_first_distinct())
    for odd, why in ((bad, "cannot be read"), (twice, f"repeat {what}")):
        if odd.height:
            numbers = ", ".join(str(n) for n in odd["line"].head(5))
            notes += (f"lines of {path.name} that {why} and are left out: {odd.height:,} (line {numbers})",)
    return frame.filter(pl.col("item").is_first_distinct()).drop("line"), notes
