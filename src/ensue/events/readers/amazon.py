"""Amazon reviews of 2014, 2018 and 2023: one object a line, or the table of 2023; and products beside.

The oldest files hold Python literals ({'asin': ...}) in place of JSON. What is long, or names a person, stays out of
the log, and a note says what.

References:
    McAuley, Targett, Shi, van den Hengel (2015), Image-based Recommendations on Styles and Substitutes, SIGIR.
    Ni, Li, McAuley (2019), Justifying Recommendations using Distantly-Labeled Reviews, EMNLP.
    Hou, Li, He, Yan, Chen, McAuley (2024), Bridging Language and Items for Retrieval and Recommendation.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import beside, content, delimited
from ensue.events.readers.amazon_objects import Objects, objects
from ensue.events.readers.amazon_products import META, products
from ensue.events.readers.joined import joined
from ensue.events.readers.table import REJECTED, Options, RawTable, Reader

ROWS = 200_000
"""Rows of a piece where nothing is said."""


@dataclass(frozen=True)
class _Edition:
    """How the reviews of some years are written.

    Attributes:
        columns: canonical column -> key.
        context: keys that are kept besides.
        items: which id is the item.
        notes: what else is to be known of them.
    """

    columns: Mapping[str, str]
    context: tuple[str, ...]
    items: str
    notes: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[str, ...]:
        """The keys that become columns."""
        return (*self.columns.values(), *self.context)


_OLD = _Edition(
    {"user": "reviewerID", "item": "asin", "rating": "overall", "time": "unixReviewTime"},
    ("verified", "vote", "helpful", "style", "summary"),
    "items are products by 'asin'",
    ("times are days: reviews of one day keep the order of the rows",),
)
_NEW = _Edition(
    {"user": "user_id", "item": "parent_asin", "rating": "rating", "time": "timestamp"},
    ("asin", "verified_purchase", "helpful_vote", "title"),
    "items are products by 'parent_asin', which all variants of a product share; columns={'item': 'asin'} "
    "(--columns item=asin) takes each variant as an item",
)
_TRUTHS = {"verified", "verified_purchase"}
_TRUE = {True: True, False: False, "true": True, "false": False, "True": True, "False": False}
_TABLE = tuple(_NEW.columns[name] for name in ("user", "item", "rating", "time"))
_HISTORY = "history"
_ENDINGS = (".json", ".jsonl", ".csv")


def _edition(path: Path) -> _Edition | None:
    """How the reviews of a file are written, by the keys of its first line; None if they are none."""
    line = content.head(path).removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n")[0]
    if not line.startswith(b"{"):
        return None
    keys = {key for _, key in re.findall(rb"""(["'])(\w+)\1\s*:""", line)}
    if {b"reviewerID", b"asin"} <= keys:
        return _OLD
    return _NEW if {b"user_id", b"parent_asin", b"rating"} <= keys else None


def _is_lines(path: Path) -> bool:
    return _edition(path) is not None


def _is_table(path: Path) -> bool:
    line = content.head(path, 4096).removeprefix(b"\xef\xbb\xbf").split(b"\n")[0].strip()
    return line.split(b",")[:4] == [name.encode() for name in _TABLE]


def _inside(folder: Path) -> list[Path]:
    """The files of a folder that could hold reviews or products, in the order of their names."""
    return [
        path
        for path in sorted(folder.iterdir())
        if beside.unpacked_name(path).endswith(_ENDINGS)
        and not path.name.startswith((".", "_"))
        and path.is_file()
        and path.stat().st_size
    ]


def _files(path: Path, recognises: Callable[[Path], bool]) -> list[Path]:
    """The files of reviews: the path itself, or those of a folder, in the order of their names.

    Raises:
        DataError: the folder has none.
    """
    if not path.is_dir():
        return [path]
    found = [p for p in _inside(path) if not p.name.startswith(META) and recognises(p)]
    if not found:
        raise DataError(f"{path} has no file of Amazon reviews: give the file itself, or check the folder.")
    return found


def _recognises(path: Path, one: Callable[[Path], bool]) -> bool:
    """Whether a file holds reviews, or one of the first files of a folder does."""
    if not path.is_dir():
        return one(path)
    return any(one(p) for p in _inside(path)[:8] if not p.name.startswith(META))


def _metadata(files: list[Path]) -> list[Path]:
    """The files of metadata beside some files of reviews."""
    found: dict[Path, None] = {}
    for file in files:
        name = re.sub(r"\.(json|jsonl|csv)$", "", beside.unpacked_name(file))
        name = re.sub(r"(^reviews_)|(_\d+$)|(\.(train|valid|test)$)", "", name)
        meta = beside.companion(file.parent, f"{META}{name}.jsonl", f"{META}{name}.json")
        if meta is not None:
            found[meta] = None
    return list(found)


def _about(
    path: Path, files: list[Path], edition: _Edition, options: Options
) -> tuple[pl.DataFrame | None, tuple[str, ...]]:
    """The products beside some files of reviews, and what is to be said of all of them."""
    key = options.columns.get("item", edition.columns["item"])
    metadata = _metadata(files)
    notes = edition.notes
    items: beside.Items | None = None
    if key == edition.columns["item"]:
        notes = (edition.items, *notes)
        items = products(metadata, key)
        notes += (
            items[1]
            if items
            else (f"no titles: there is no file {META}... of products beside {files[0].name}",)
        )
    else:
        notes = (f"items are by '{key}', at the caller's wish", *notes)
        if metadata:
            notes += (f"products of {metadata[0].name} were not read: they are told apart by another id",)
    if len(files) > 1:
        notes += (f"{len(files):,} files: {', '.join(f.name for f in files[:5])}; lines are counted in each",)
    if path.is_dir():
        left = [p.name for p in _inside(path) if p not in files and p not in metadata]
        notes += (f"files of the folder that were not read: {', '.join(left[:5])}",) if left else ()
    return items[0] if items else None, notes


# ---------------------------------------------------------------------------------------------- one object a line


def pieces(path: Path, options: Options, rows: int) -> Iterator[RawTable]:
    """The reviews of a file or folder piece by piece; the first piece brings the products.

    Raises:
        DataError: there are none, or files of several editions.
    """
    files = _files(path, _is_lines)
    edition = _edition(files[0]) or _OLD
    unlike = [file.name for file in files if _edition(file) not in (edition, None)]
    if unlike:
        raise DataError(
            f"{path} holds reviews of two editions ({files[0].name}; {unlike[0]}): read them one by one."
        )
    items, notes = _about(path, files, edition, options)
    left: dict[str, None] = {}
    found = 0
    for file in files:
        for some in objects(file, max(rows, 1)):
            fresh = [key for key in some.keys if key not in edition.kept and key not in left]
            left |= dict.fromkeys(fresh)
            notes += (
                (f"left out, being long, personal or said elsewhere: {', '.join(fresh)}",) if fresh else ()
            )
            if some.literals:
                notes += (f"{file.name} holds Python literals, not JSON; they are read as such",)
            table = _table(some, edition, f"{file.name}: " if len(files) > 1 else "")
            found += table.frame.height
            columns = {**edition.columns, **options.columns}
            name = path.name if len(files) > 1 else file.name
            yield dataclasses.replace(table, file=name, columns=columns, items=items, notes=notes)
            items, notes = None, ()
    if not found:
        raise DataError(f"{path.name} holds no review, on no line: give one object a line.")


def _table(some: Objects, edition: _Edition, lead: str) -> RawTable:
    """The reviews of some lines."""
    always = set(edition.columns.values())
    present = [key for key in edition.kept if key in some.keys or key in always]
    values: dict[str, pl.Series] = {}
    for key in present:
        if key in _TRUTHS:
            truths = [
                _TRUE.get(v) if isinstance(v := row.get(key), bool | str) else None for row in some.rows
            ]
            values[key] = pl.Series(key, truths, dtype=pl.Boolean)
        else:
            values[key] = pl.Series(key, [_written(row.get(key)) for row in some.rows], dtype=pl.String)
    frame = pl.DataFrame(list(values.values()))
    bad = [(line, reason, f"{lead}{value}") for line, reason, value in some.bad]
    return RawTable(
        file="",
        frame=frame,
        lines=pl.Series("line", some.lines, dtype=pl.Int64),
        rejected=pl.DataFrame(bad, schema=REJECTED, orient="row"),
        rows=len(some.rows) + len(bad),
    )


def _written(value: Any) -> str | None:
    """A value as text: words as they are, numbers in digits, what holds several as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False, default=str)


# ---------------------------------------------------------------------------------------------- the table of 2023


def table_pieces(path: Path, options: Options, rows: int) -> Iterator[RawTable]:
    """The rows of user_id,parent_asin,rating,timestamp piece by piece; the first piece brings the products.

    Raises:
        DataError: there are none.
    """
    files = _files(path, _is_table)
    items, notes = _about(path, files, _NEW, options)
    how = Options(delimiter=",", columns=dict(_NEW.columns))
    for file in files:
        for table in delimited.pieces(file, how, max(rows, 1)):
            frame = table.frame
            if _HISTORY in frame.columns:
                frame = frame.drop(_HISTORY)
                notes += (f"left out, since the log holds it: {_HISTORY}",)
            bad = table.rejected
            if len(files) > 1:
                bad = bad.with_columns(value=f"{file.name}: " + pl.col("value"))
            yield dataclasses.replace(
                table,
                file=path.name if len(files) > 1 else table.file,
                frame=frame,
                rejected=bad,
                columns={**_NEW.columns, **options.columns},
                items=items,
                notes=(*table.notes, *notes),
            )
            items, notes = None, ()


READERS = (
    Reader(
        "amazon",
        "Amazon reviews of 2014, 2018 and 2023: an object a line, meta_... of products",
        rank=1,
        recognises=lambda path: _recognises(path, _is_lines),
        read=lambda path, options: joined(pieces(path, options, ROWS)),
        folders=True,
        pieces=pieces,
    ),
    Reader(
        "amazon-csv",
        "Amazon reviews of 2023 as a table: user_id,parent_asin,rating,timestamp",
        rank=1,
        recognises=lambda path: _recognises(path, _is_table),
        read=lambda path, options: joined(table_pieces(path, options, ROWS)),
        folders=True,
        pieces=table_pieces,
    ),
)
