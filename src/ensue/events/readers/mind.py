"""MIND, the news log of Microsoft: behaviors.tsv and news.tsv.

References:
    Wu et al. (2020), MIND: A Large-scale Dataset for News Recommendation, doi:10.18653/v1/2020.acl-main.331.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import layout
from ensue.events.readers.table import Options, RawTable, Reader, rejected

BEHAVIORS = ("impression", "user", "time", "history", "shown")
NEWS = ("item", "category", "subcategory", "title", "abstract", "url", "title entities", "abstract entities")

FIRST_SEEN = "first_seen"
"""A feature of items, which rules of freshness read."""

LISTS_AT_ONCE = 100_000
"""How many lists are taken apart at a time."""

BAD_LIST = "shown list that cannot be read"
NO_CLICK = "impression without a click"
BAD_TIME = "time that cannot be read"

_PLAIN = Options(quoting=False)
_NONE = dict.fromkeys(("rating", "session", "basket", "quantity"), "")
_LINE = re.compile(r"[^\t]*\t[^\t]*\t\d+/\d+/\d+ \d+:\d+:\d+ [AP]M\t[^\t]*\t\S+(?: \S+)*\s*")


def read(path: Path, options: Options) -> RawTable:
    """The clicks, each at the time of its impression; several of one impression in the order of their places.

    The list that was shown is the context column `shown`, its items parted by "|", and the time of the first list that
    an item was shown in is its feature `first_seen`. The earlier clicks that a line
    names in its history have no times and are left out: `format='mind-history'` reads them before the clicks.

    Raises:
        DataError: no behaviors.tsv, or one whose lists do not say what was clicked, as in the test set.
    """
    lines = _behaviors(path)
    raw = _clicks(lines)
    earlier = int((raw.frame["history"] != "").sum())
    columns = {"user": "user", "item": "item", "time": "time", "event": "event", "order": "", **_NONE}
    notes = (
        "times are written month/day/year",
        "the clicks are events; what was shown without a click is only in the column shown",
        f"histories, which {earlier:,} clicks have, bear no times and are left out: format='mind-history' reads them",
    )
    frame = raw.frame.drop("history")
    raw = _with_news(dataclasses.replace(raw, frame=frame, columns=columns, notes=(*raw.notes, *notes)), path)
    seen = _first_seen(lines.frame)
    told = seen if raw.items is None else raw.items.join(seen, on="item", how="left", maintain_order="left")
    return dataclasses.replace(raw, items=told)


def read_history(path: Path, options: Options) -> RawTable:
    """The history of each user as first given, then the user's clicks in the order of their times: order, no times."""
    lines = _behaviors(path)
    raw = _clicks(lines)
    first = (
        lines.frame.select("user", "history", line=lines.lines)
        .filter(pl.col("history") != "")
        .filter(pl.col("user").is_first_distinct())
        .with_columns(item=pl.col("history").str.extract_all(r"\S+"))
        .explode("item", empty_as_null=True)
        .filter(pl.col("item").is_not_null())
        .select("user", "item", "line", event=pl.lit("history"), stamp=pl.lit(None, dtype=pl.Datetime("us")))
    )
    clicks = raw.frame.select(
        "user",
        "item",
        "event",
        "impression",
        "shown",
        line=raw.lines,
        stamp=pl.col("time").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us"),
    )
    unread = clicks["stamp"].is_null()
    aside = rejected(clicks["line"].filter(unread), BAD_TIME, raw.frame["time"].filter(unread))
    both = pl.concat([first, clicks.filter(~unread)], how="diagonal")
    placed = (
        both.with_row_index("at")
        .sort("stamp", "at", nulls_last=False)
        .with_columns(order=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("user"))
        .sort("at")
    )
    columns = {"user": "user", "item": "item", "event": "event", "order": "order", "time": "", **_NONE}
    table = dataclasses.replace(
        raw,
        frame=placed.drop("at", "stamp", "line"),
        lines=placed["line"],
        rejected=pl.concat([raw.rejected, aside]),
        rows=placed.height + raw.rejected.height + aside.height,
        columns=columns,
        notes=(
            *raw.notes,
            "each user's history, as the user's first line has it, goes before the clicks, which are in the order of "
            "their times",
        ),
    )
    return _with_news(table, path)


def _first_seen(lines: pl.DataFrame) -> pl.DataFrame:
    """Columns `item` and `first_seen`: the time of the first list with an item, clicked or not, as ISO text."""
    found = pl.DataFrame(schema={"item": pl.String, FIRST_SEEN: pl.String})
    for part in lines.select(layout.american("time"), "shown").iter_slices(LISTS_AT_ONCE):
        when = pl.col("time").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
        held = part.select(when, item=pl.col("shown").str.extract_all(r"\S+")).drop_nulls("time")
        items = held.explode("item", empty_as_null=True).drop_nulls("item")
        named = items.select(
            pl.col("item").str.replace(r"-[01]$", ""),
            pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%S").alias(FIRST_SEEN),
        )
        found = pl.concat([found, named]).group_by("item", maintain_order=True).agg(pl.col(FIRST_SEEN).min())
    return found


def _behaviors(path: Path) -> RawTable:
    file = layout.inside(path, "behaviors.tsv") if path.is_dir() else path
    if file is None:
        raise DataError(f"{path} has no behaviors.tsv, which MIND needs: check the folder.")
    return layout.table(file, _PLAIN, "\t", BEHAVIORS)


def _clicks(raw: RawTable) -> RawTable:
    """One row per click, with the columns of its line; lines without one are set aside."""
    if not raw.frame["shown"].str.contains(r"-[01](?: |$)").any():
        raise DataError(
            f"{raw.file} does not say what was clicked (lists of N1-1 N2-0): it is a test set, give the training set."
        )
    raw = dataclasses.replace(raw, frame=raw.frame.with_columns(pl.col("shown").str.strip_chars()))
    raw = layout.without(
        raw, ~pl.col("shown").str.contains(r"^\S+-[01](?: +\S+-[01])*$"), BAD_LIST, pl.col("shown")
    )
    clicked = pl.col("shown").str.extract_all(r"\S+-1(?: |$)")
    raw = layout.without(raw, clicked.list.len() == 0, NO_CLICK, pl.col("impression"))
    frame = (
        raw.frame.with_columns(line=raw.lines, item=clicked)
        .explode("item", empty_as_null=True)
        .with_columns(
            layout.american("time"),
            item=pl.col("item").str.strip_chars_end(" ").str.strip_suffix("-1"),
            shown=pl.col("shown").str.replace_all(r"-[01]( +|$)", "|").str.strip_suffix("|"),
            event=pl.lit("click"),
        )
    )
    return dataclasses.replace(
        raw, frame=frame.drop("line"), lines=frame["line"], rows=frame.height + raw.rejected.height
    )


def _with_news(raw: RawTable, path: Path) -> RawTable:
    news = layout.beside(path, "news.tsv")
    if news is None:
        return layout.with_items(raw, None, f"no news.tsv lies beside {raw.file}: news have no titles")
    told = layout.table(news, _PLAIN, "\t", NEWS)
    items, notes = layout.items_once(
        told.frame.select("item", "title", "category", "subcategory", "abstract"), news.name
    )
    if told.rejected.height:
        notes += (
            f"lines of {news.name} that cannot be read and are left out: {told.rejected.height:,} "
            f"(line {told.rejected['line'][0]})",
        )
    return dataclasses.replace(raw, items=items, notes=(*raw.notes, *told.notes, *notes))


def _recognises(path: Path) -> bool:
    file = layout.inside(path, "behaviors.tsv") if path.is_dir() else path
    return file is not None and _LINE.fullmatch(layout.first_line(file)) is not None


READERS = (
    Reader("mind", "MIND: behaviors.tsv, news.tsv", rank=0, recognises=_recognises, read=read, folders=True),
    Reader(
        "mind-history",
        "MIND with the histories before the clicks, as order without times",
        rank=0,
        recognises=lambda path: False,
        read=read_history,
        folders=True,
    ),
)
