"""HetRec 2011 Last.fm: listening counts, taggings with their dates, and friendships.

References:
    Cantador, Brusilovsky and Kuflik (2011), Second workshop on information heterogeneity and fusion in recommender
    systems, doi:10.1145/2043932.2044016.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import layout
from ensue.events.readers.friendships import both_ways
from ensue.events.readers.table import Options, RawTable, Reader

COUNTS, TAGS, FRIENDS = "user_artists.dat", "user_taggedartists.dat", "user_friends.dat"
_STAMPED = "user_taggedartists-timestamps.dat"

_HEADERS = {
    "lastfm": (("userID", "artistID", "weight"),),
    "lastfm-tags": (
        ("userID", "artistID", "tagID", "day", "month", "year"),
        ("userID", "artistID", "tagID", "timestamp"),
    ),
    "lastfm-friends": (("userID", "friendID"),),
}
_NONE = dict.fromkeys(("rating", "session", "basket", "order"), "")


def _file(path: Path, layout_name: str, *names: str) -> Path:
    """The file itself, or the one of the folder.

    Raises:
        DataError: the folder has none.
    """
    found = layout.inside(path, *names) if path.is_dir() else path
    if found is None:
        raise DataError(f"{path} has no {names[0]}, which {layout_name} needs: check the folder.")
    return found


def _table(path: Path, name: str, *names: str) -> RawTable:
    file = _file(path, name, *names)
    raw = layout.table(file, Options(quoting=False), "\t")
    headers = _HEADERS[name]
    if tuple(raw.frame.columns) not in headers:
        layout.needed(raw, headers[0], f"the layout {name}")
    return raw


def _artists(path: Path) -> layout.Items | None:
    """Names of artists: a line ends at a newline and nowhere else, since names hold other line separators."""
    named = {"item": "id", "title": "name"}
    return layout.described(layout.beside(path, "artists.dat"), "\t", named, quoting=False)


def _with_artists(raw: RawTable, path: Path) -> RawTable:
    return layout.with_items(
        raw, _artists(path), f"no artists.dat lies beside {raw.file}: artists have no titles"
    )


def read_counts(path: Path, options: Options) -> RawTable:
    """Who listened to whom how often: the count is the quantity; there are no times and no order."""
    raw = _table(path, "lastfm", COUNTS)
    columns = {"user": "userID", "item": "artistID", "quantity": "weight", "time": "", "event": "", **_NONE}
    notes = (
        "counts of listening have no times: the order of the rows says nothing about what came first; the dates of "
        "taggings are read with format='lastfm-tags', friendships with format='lastfm-friends'",
    )
    return _with_artists(dataclasses.replace(raw, columns=columns, notes=(*raw.notes, *notes)), path)


def read_tags(path: Path, options: Options) -> RawTable:
    """Who gave an artist a tag on which day, one event for each tag; the tag is the context column `tag`."""
    raw = _table(path, "lastfm-tags", TAGS, _STAMPED)
    frame, time = raw.frame, "timestamp"
    if "day" in frame.columns:
        time = "date"
        day = pl.concat_str("year", pl.col("month").str.zfill(2), pl.col("day").str.zfill(2), separator="-")
        frame = frame.select(pl.exclude("day", "month", "year"), date=day)
    notes: tuple[str, ...] = ()
    words = layout.described(
        layout.beside(path, "tags.dat"), "\t", {"item": "tagID", "tag": "tagValue"}, quoting=False
    )
    if words is not None and "tag" in words[0].columns:
        frame = frame.join(words[0].rename({"item": "tagID"}), on="tagID", how="left", maintain_order="left")
        notes = words[1]
    columns = {"user": "userID", "item": "artistID", "time": time, "event": "", "quantity": "", **_NONE}
    return _with_artists(
        dataclasses.replace(raw, frame=frame, columns=columns, notes=(*raw.notes, *notes)), path
    )


def read_friends(path: Path, options: Options) -> RawTable:
    """Who is whose friend, each friendship in both directions as the file has it: the friend is the item.

    The artists that a user has listened to, and the tags that the user has given, are features of the person, where
    their files lie beside.
    """
    raw = _table(path, "lastfm-friends", FRIENDS)
    columns = {
        "user": "userID",
        "item": "friendID",
        **dict.fromkeys(("time", "event", "quantity"), ""),
        **_NONE,
    }
    told = _taken(path, "artists", COUNTS, "artistID")
    tags = _taken(path, "tags", TAGS, "tagID")
    if told is not None and tags is not None:
        told = told.join(tags, on="item", how="full", coalesce=True, maintain_order="left_right")
    raw = dataclasses.replace(raw, items=told if told is not None else tags)
    raw = both_ways(raw, "userID", "friendID")
    return dataclasses.replace(
        raw, columns=columns, notes=(*raw.notes, "friendships have no times and no order")
    )


def _taken(path: Path, name: str, file: str, column: str) -> pl.DataFrame | None:
    """What each user has taken by a file beside, each thing once, in a column of lists; None without the file."""
    beside = layout.beside(path, file)
    if beside is None or not {"userID", column} <= set(layout.heads(beside, "\t")):
        return None
    frame = layout.table(beside, Options(quoting=False), "\t").frame
    return frame.group_by(pl.col("userID").alias("item"), maintain_order=True).agg(
        pl.col(column).unique(maintain_order=True).alias(name)
    )


def _is(name: str, path: Path) -> bool:
    return tuple(layout.heads(path, "\t")) in _HEADERS[name]


def _is_counts(path: Path) -> bool:
    file = layout.inside(path, COUNTS) if path.is_dir() else path
    return file is not None and _is("lastfm", file)


READERS = (
    Reader(
        "lastfm",
        "HetRec Last.fm: user_artists.dat, artists.dat",
        rank=0,
        recognises=_is_counts,
        read=read_counts,
        folders=True,
    ),
    Reader(
        "lastfm-tags",
        "HetRec Last.fm: user_taggedartists.dat, tags.dat",
        rank=0,
        recognises=lambda path: path.is_file() and _is("lastfm-tags", path),
        read=read_tags,
        folders=True,
    ),
    Reader(
        "lastfm-friends",
        "HetRec Last.fm: user_friends.dat, who is whose friend",
        rank=0,
        recognises=lambda path: path.is_file() and _is("lastfm-friends", path),
        read=read_friends,
        folders=True,
    ),
)
