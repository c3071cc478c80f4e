"""Yoochoose (RecSys Challenge 2015): clicks and purchases as published, and the slices that session-rec prepares.

References:
    Ben-Shimon et al. (2015), RecSys Challenge 2015 and the YOOCHOOSE Dataset, doi:10.1145/2792838.2798723.
    Ludewig and Jannach (2018), Evaluation of session-based recommendation algorithms, doi:10.1007/s11257-018-9209-6.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import layout
from ensue.events.readers.table import Options, RawTable, Reader

CLICKS = ("session", "time", "item", "category")
BUYS = ("session", "time", "item", "price", "quantity")

_START = r"[^,\s]+,\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z,[^,\s]+"
_LINES = {
    "click": re.compile(_START + r",[^,\s]+"),
    "purchase": re.compile(_START + r",[\d.]+,\d+"),
}
_FILES = {"click": "yoochoose-clicks.dat", "purchase": "yoochoose-buys.dat"}

PREPARED = ("SessionId", "ItemId", "Time")
_NONE = dict.fromkeys(("rating", "basket", "order"), "")


def read(path: Path, options: Options) -> RawTable:
    """Clicks and purchases, in a folder together; each session is a user.

    Raises:
        DataError: no file of the layout.
    """
    if path.is_dir():
        files = [
            (kind, file) for kind, name in _FILES.items() if (file := layout.inside(path, name)) is not None
        ]
    else:
        files = [(_kind(path) or "click", path)]
    if not files:
        raise DataError(
            f"{path} has no {' or '.join(_FILES.values())}, which Yoochoose needs: check the folder."
        )
    tables = []
    for kind, file in files:
        raw = layout.table(file, Options(quoting=False), ",", CLICKS if kind == "click" else BUYS)
        tables.append(dataclasses.replace(raw, frame=raw.frame.with_columns(event=pl.lit(kind))))
    raw = layout.joined(tables, path.name)
    columns = {"item": "item", "time": "time", "event": "event", "session": "session", **_NONE}
    columns["quantity"] = "quantity" if "quantity" in raw.frame.columns else ""
    notes: tuple[str, ...] = ()
    if path.is_dir() and (test := layout.inside(path, "yoochoose-test.dat")) is not None:
        notes = (f"{test.name}, the clicks of the test, is not read: give it as a file",)
    return dataclasses.replace(raw, columns=columns, notes=(*raw.notes, *notes))


def read_prepared(path: Path, options: Options) -> RawTable:
    """Sessions that session-rec has prepared; in a folder, the training and test parts as one, none read twice.

    Raises:
        DataError: no such file.
    """
    files, left = _prepared(path) if path.is_dir() else ([path], [])
    if not files:
        raise DataError(f"{path} has no text with the header {' '.join(PREPARED)}: check the folder.")
    raw = layout.joined([layout.table(file, Options(quoting=False), "\t") for file in files], path.name)
    layout.needed(raw, PREPARED, "session-rec's form")
    names = raw.frame.columns
    columns = {"item": "ItemId", "time": "Time", "session": "SessionId", **_NONE}
    columns["user"] = "UserId" if "UserId" in names else "SessionId"
    notes: tuple[str, ...] = () if "UserId" in names else ("each session is taken as a user",)
    if left:
        notes += (f"parts of the training file, which are not read twice: {', '.join(left)}",)
    return dataclasses.replace(raw, columns=columns, notes=(*raw.notes, *notes))


def _prepared(folder: Path) -> tuple[list[Path], list[str]]:
    """The files to read, training before test, and the names of those whose rows another file holds."""
    found = [file for file in layout.files(folder, ".txt") if _is_prepared(file)]
    full = any("_train_full" in file.name for file in found)
    parts = [file for file in found if full and re.search(r"_train_(tr|valid)\b", file.name.split(".")[0])]
    files = [file for file in found if file not in parts]
    files.sort(key=lambda file: ("_test" in file.name, "_valid" in file.name, file.name))
    return files, [file.name for file in parts]


def _is_prepared(path: Path) -> bool:
    return set(PREPARED) <= set(layout.heads(path, "\t"))


def _kind(path: Path) -> str | None:
    line = layout.first_line(path)
    return next((kind for kind, form in _LINES.items() if form.fullmatch(line)), None)


def _recognises(path: Path) -> bool:
    if path.is_dir():
        return any(
            (file := layout.inside(path, name)) is not None and _kind(file) == kind
            for kind, name in _FILES.items()
        )
    return _kind(path) is not None


READERS = (
    Reader(
        "yoochoose",
        "Yoochoose: yoochoose-clicks.dat, yoochoose-buys.dat",
        rank=0,
        recognises=_recognises,
        read=read,
        folders=True,
    ),
    Reader(
        "session-rec",
        "sessions prepared by session-rec: SessionId, ItemId, Time",
        rank=0,
        recognises=lambda path: bool(_prepared(path)[0]) if path.is_dir() else _is_prepared(path),
        read=read_prepared,
        folders=True,
    ),
)
