"""Check-ins and friendships of Foursquare in the MATLAB files of LBSN2Vec.

References:
    Yang, Qu, Yang and Cudré-Mauroux (2019), Revisiting User Mobility and Social Relationships in LBSNs: A Hypergraph
    Embedding Approach, doi:10.1145/3308558.3313635.
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from ensue.errors import DataError
from ensue.events.readers import content, layout
from ensue.events.readers.friendships import both_ways
from ensue.events.readers.table import REJECTED, Options, RawTable, Reader

VISITS, USERS, VENUES = "selected_checkins", "selected_users_IDs", "selected_venue_IDs"
_FRIENDS = {"before": "friendship_old", "after": "friendship_new"}
_NEEDED = (VISITS, USERS, VENUES, *_FRIENDS.values())
_MAGIC = b"MATLAB 5.0 MAT-file"

_NONE = dict.fromkeys(("time", "event", "rating", "session", "basket", "quantity", "order"), "")


def read(path: Path, options: Options) -> RawTable:
    """The check-ins in the order of the file, which is that of time; the hour of the week is context.

    The category of a venue is a feature of it, too. Users and venues bear their original ids: a user is a place in the
    file's list of users, and the venues of the list belong to the numbers of venues in rising order.
    """
    path = _file(path)
    found = _content(path)
    visits = _whole(found[VISITS], 4, VISITS, path)
    users = _names(visits[:, 0], found[USERS], path)
    numbers, at = np.unique(visits[:, 2], return_inverse=True)
    venues = _texts(found[VENUES])
    if len(venues) != len(numbers):
        raise DataError(f"{path.name} has {len(venues):,} ids for {len(numbers):,} venues: fetch it again.")
    frame = pl.DataFrame(
        {
            "user": users,
            "item": pl.Series(venues, dtype=pl.String).gather(at),
            "hour of week": visits[:, 1],
            "category": pl.Series(visits[:, 3]).cast(pl.String),
        }
    )
    note = (
        "check-ins are in the order of the file; of their times only the hour of the week (1 to 168) is known"
    )
    places = frame.select("item", "category").unique("item", keep="first", maintain_order=True)
    return dataclasses.replace(_table(path, frame), items=places, notes=(note,))


def read_friends(path: Path, when: str) -> RawTable:
    """Who was whose friend before, or after, the time of the check-ins, in both directions: the friend is the item.

    The venues of a user's check-ins, as often as they were visited, are a feature of the person.

    Raises:
        DataError: as for `read`.
    """
    path = _file(path)
    found = _content(path)
    frame = _pairs(found, when, path)
    note = f"friendships {when} the check-ins have no times and no order"
    return _friends(frame, found, path, note)


def read_new_friends(path: Path, options: Options) -> RawTable:
    """The friendships before the check-ins, then those that were new after them; the column `when` tells which.

    What was ended in between is read like any other of before.

    Raises:
        DataError: as for `read`.
    """
    path = _file(path)
    found = _content(path)
    before, after = (
        _pairs(found, when, path).with_columns(
            when=pl.lit(when),
            one=pl.min_horizontal("user", "item"),
            other=pl.max_horizontal("user", "item"),
        )
        for when in _FRIENDS
    )
    new = after.join(before, on=["one", "other"], how="anti", maintain_order="left")
    note = f"{after.height - new.height:,} friendships were there before and after, and count as of before"
    return _friends(pl.concat([before, new]).drop("one", "other"), found, path, note)


def _pairs(found: dict[str, Any], when: str, path: Path) -> pl.DataFrame:
    pairs = _whole(found[_FRIENDS[when]], 2, _FRIENDS[when], path)
    return pl.DataFrame(
        {"user": _names(pairs[:, 0], found[USERS], path), "item": _names(pairs[:, 1], found[USERS], path)}
    )


def _friends(frame: pl.DataFrame, found: dict[str, Any], path: Path, note: str) -> RawTable:
    """A table of friendships with what is known of the users."""
    visits = _whole(found[VISITS], 4, VISITS, path)
    users = pl.DataFrame({"item": _names(visits[:, 0], found[USERS], path), "venues": visits[:, 2]})
    told = users.group_by("item", maintain_order=True).agg(pl.col("venues").cast(pl.String))
    raw = dataclasses.replace(_table(path, frame), notes=(note,), items=told)
    return both_ways(raw, "user", "item")


def _file(path: Path) -> Path:
    """The file itself, or the one of a folder.

    Raises:
        DataError: the folder has none or several.
    """
    if not path.is_dir():
        return path
    found = [file for file in layout.files(path, ".mat") if _is_city(file)]
    if len(found) != 1:
        named = ", ".join(file.name for file in found) or "none"
        raise DataError(
            f"{path} must hold one city of LBSN2Vec's MATLAB files, and holds {named}: give one file."
        )
    return found[0]


def _table(path: Path, frame: pl.DataFrame) -> RawTable:
    if not frame.height:
        raise DataError(f"{path.name} holds no rows: there is nothing to read.")
    return RawTable(
        file=path.name,
        frame=frame,
        lines=pl.int_range(1, frame.height + 1, dtype=pl.Int64, eager=True).alias("line"),
        rejected=pl.DataFrame(schema=REJECTED),
        rows=frame.height,
        columns={"user": "user", "item": "item", **_NONE},
    )


def _content(path: Path) -> dict[str, Any]:
    """The arrays of the file."""
    from scipy.io import loadmat  # only this format needs it

    data = content.content(path)
    try:
        found: dict[str, Any] = loadmat(cast(Any, io.BytesIO(data)), variable_names=list(_NEEDED))
    except Exception as error:  # noqa: BLE001 - a broken file makes the parser fail in any way
        raise DataError(
            f"{path.name} is a broken MATLAB file ({type(error).__name__}): fetch it again."
        ) from None
    lacking = [name for name in _NEEDED if name not in found]
    if lacking:
        raise DataError(
            f"{path.name} lacks {', '.join(lacking)}, which LBSN2Vec's files have: give another file."
        )
    return found


def _whole(array: Any, width: int, name: str, path: Path) -> npt.NDArray[np.int64]:
    """An array of whole numbers, `[E, width]`."""
    found = np.asarray(array)
    if found.ndim != 2 or found.shape[1] != width or found.dtype.kind not in "iuf":
        raise DataError(f"{path.name} has {name} in another shape than [rows, {width}]: fetch it again.")
    whole = found.astype(np.int64)
    if not np.array_equal(whole, found):
        raise DataError(f"{path.name} has numbers in {name} that are not whole: fetch it again.")
    return whole


def _names(places: npt.NDArray[np.int64], ids: Any, path: Path) -> pl.Series:
    """The original ids of users, whose numbers are places in the list of ids, counting from 1."""
    known = _whole(ids, 1, USERS, path)[:, 0]
    if len(places) and not (places.min() >= 1 and places.max() <= len(known)):
        raise DataError(f"{path.name} names users beyond its list of {len(known):,}: fetch it again.")
    return pl.Series(known).cast(pl.String).gather(places - 1)


def _texts(cells: Any) -> list[str]:
    """The texts of a column of cells."""
    return [
        str(np.asarray(cell).ravel()[0]) if np.asarray(cell).size else ""
        for cell in np.asarray(cells).ravel()
    ]


def _recognises(path: Path) -> bool:
    return any(_is_city(file) for file in layout.files(path, ".mat")) if path.is_dir() else _is_city(path)


def _is_city(path: Path) -> bool:
    from scipy.io import whosmat

    try:
        if content.head(path, len(_MAGIC)) != _MAGIC:
            return False
        return {VISITS, USERS} <= {
            name for name, _, _ in whosmat(cast(Any, io.BytesIO(content.content(path))))
        }
    except Exception:  # noqa: BLE001 - a broken file makes the parser fail in any way
        return False


READERS = (
    Reader(
        "foursquare",
        "Foursquare check-ins of LBSN2Vec (.mat)",
        rank=0,
        recognises=_recognises,
        read=read,
        folders=True,
    ),
    Reader(
        "foursquare-friends",
        "Foursquare friendships, those of before the check-ins and new ones (.mat)",
        rank=0,
        recognises=lambda path: False,
        read=read_new_friends,
        folders=True,
    ),
    *(
        Reader(
            f"foursquare-friends-{when}",
            f"Foursquare friendships {when} the check-ins (.mat)",
            rank=0,
            recognises=lambda path: False,
            read=lambda path, options, when=when: read_friends(path, when),  # type: ignore[misc]
            folders=True,
        )
        for when in _FRIENDS
    ),
)
