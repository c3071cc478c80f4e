"""Open Bandit (ZOZOTOWN): logged recommendations with the chance that each had of being shown.

References:
    Saito, Aihara, Matsutani and Narita (2021), Open Bandit Dataset and Pipeline, arXiv:2008.07146.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import layout
from ensue.events.readers.table import Options, RawTable, Reader

NEEDED = ("timestamp", "item_id", "position", "click", "propensity_score", "user_feature_0")

COLUMNS = {
    "user": "user",
    "item": "item_id",
    "time": "timestamp",
    "event": "event",
    **dict.fromkeys(("rating", "session", "basket", "quantity", "order"), ""),
}
BAD_CLICK = "click that is neither 0 nor 1"


def read(path: Path, options: Options) -> RawTable:
    """One event per recommendation, of type "click" or "impression"; nobody is known, so each is a user of its own.

    The log is for judging policies by their propensities, not for learning sequences. Position, propensity, features
    of the user and affinities stay as context.

    Raises:
        DataError: no file of the layout.
    """
    file = _log(path) if path.is_dir() else path
    if file is None:
        raise DataError(f"{path} has no CSV file with {', '.join(NEEDED[:5])}: check the folder.")
    raw = layout.table(file, options, ",")
    layout.needed(raw, NEEDED, "Open Bandit")
    clicked = pl.col("click").str.strip_chars()
    raw = layout.without(raw, ~clicked.is_in(("0", "1")), BAD_CLICK, pl.col("click"))
    unnamed = [name for name in raw.frame.columns if name == "column 1"]  # the row numbers that pandas writes
    frame = raw.frame.drop(unnamed).with_columns(
        user=pl.lit("line ") + raw.lines.cast(pl.String),
        event=pl.when(pl.col("click").str.strip_chars() == "1")
        .then(pl.lit("click"))
        .otherwise(pl.lit("impression")),
    )
    note = (
        "nobody is known: each recommendation is taken as a user of its own ('line N'), with a sequence of one event; "
        "the log serves to judge policies by propensity_score, not to learn what comes next"
    )
    raw = dataclasses.replace(raw, frame=frame.drop("click"), columns=COLUMNS, notes=(*raw.notes, note))
    return layout.with_items(raw, _items(path), f"no item_context.csv lies beside {file.name}")


def _items(path: Path) -> layout.Items | None:
    """Items with their features: the first is a number, the others are categories."""
    file = layout.beside(path, "item_context.csv")
    names = (
        [] if file is None else [name for name in layout.heads(file, ",") if name.startswith("item_feature")]
    )
    found = layout.described(file, ",", {"item": "item_id"} | {name: name for name in names})
    if found is None:
        return None
    number = pl.col("^item_feature_0$").str.strip_chars().cast(pl.Float64, strict=False)
    return found[0].with_columns(number), found[1]


def _is_log(path: Path) -> bool:
    return set(NEEDED) <= set(layout.heads(path, ","))


def _log(folder: Path) -> Path | None:
    """The one log of a folder."""
    found = [file for file in layout.files(folder, ".csv") if _is_log(file)]
    return found[0] if len(found) == 1 else None


def _recognises(path: Path) -> bool:
    return _log(path) is not None if path.is_dir() else _is_log(path)


READERS = (
    Reader(
        "open-bandit",
        "Open Bandit: all.csv, men.csv or women.csv, item_context.csv",
        rank=0,
        recognises=_recognises,
        read=read,
        folders=True,
    ),
)
