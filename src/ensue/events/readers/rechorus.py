"""The form of ReChorus: train.csv, dev.csv and test.csv parted by tabs, with item_meta.csv beside them.

References:
    Wang, Zhang, Ma, Liu and Ma (2020), Make It a Chorus: Knowledge- and Time-aware Item Modeling for Sequential
    Recommendation, doi:10.1145/3397271.3401131.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import layout
from ensue.events.readers.table import Options, RawTable, Reader

NEEDED = ("user_id", "item_id", "time")
META = "item_meta.csv"
_PARTS = ("train.csv", "dev.csv", "test.csv")

COLUMNS = {
    "user": "user_id",
    "item": "item_id",
    "time": "time",
    **dict.fromkeys(("event", "rating", "session", "basket", "quantity", "order"), ""),
}


def read(path: Path, options: Options) -> RawTable:
    """The events of a file, or of a folder's three parts as one; lists of items are text parted by "|".

    Raises:
        DataError: no file of the layout.
    """
    files = _files(path) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path} has no {' or '.join(_PARTS)} with {', '.join(NEEDED)}: check the folder.")
    raw = layout.joined([layout.table(file, options, "\t") for file in files], path.name)
    layout.needed(raw, NEEDED, "ReChorus' form")
    frame = raw.frame.drop([name for name in raw.frame.columns if name == "neg_items"])
    notes: tuple[str, ...] = ()
    if frame.width < raw.frame.width:
        notes = ("the items drawn for sampled figures (neg_items) are left out",)
    gone = [name for name in _PARTS[1:] if path.is_dir() and layout.inside(path, name) is None]
    if gone:
        notes += (f"not in the folder, so the last events of the users are missing: {', '.join(gone)}",)
    raw = dataclasses.replace(raw, frame=frame, columns=COLUMNS, notes=(*raw.notes, *notes))
    return layout.with_items(raw, _items(path), f"no {META} lies beside {files[0].name}")


def _items(path: Path) -> layout.Items | None:
    """What item_meta.csv tells: categories (i_category), and lists of related items (r_complement, r_substitute)."""
    file = layout.beside(path, META)
    names = [] if file is None else [name for name in layout.heads(file, "\t") if name != "item_id"]
    found = layout.described(file, "\t", {"item": "item_id"} | {name: name for name in names})
    if found is None:
        return None
    listed = pl.col([name for name in found[0].columns if name.startswith("r_")])
    flat = listed.str.strip_chars("[] ").str.replace_all(r"\s*,\s*", "|")
    return found[0].with_columns(flat), found[1]


def _is_part(path: Path) -> bool:
    return tuple(layout.heads(path, "\t"))[: len(NEEDED)] == NEEDED


def _is_meta(path: Path) -> bool:
    found = layout.beside(path, META)
    return found is not None and layout.heads(found, "\t")[0] == "item_id"


def _files(folder: Path) -> list[Path]:
    found = [layout.inside(folder, name) for name in _PARTS]
    return [file for file in found if file is not None and _is_part(file)]


def _recognises(path: Path) -> bool:
    """A part, or a folder with one, beside what is told of items; without that it is a table like any other."""
    return _is_meta(path) and (bool(_files(path)) if path.is_dir() else _is_part(path))


READERS = (
    Reader(
        "rechorus",
        "ReChorus: train.csv, dev.csv, test.csv, item_meta.csv",
        rank=0,
        recognises=_recognises,
        read=read,
        folders=True,
    ),
)
