"""Baskets as one JSON document, {user: [[item, ...], ...]}: the form of next-basket benchmarks, such as Ta-Feng.

References:
    Li, Jullien, Ariannezhad and de Rijke (2023), A Next Basket Recommendation Reality Check, doi:10.1145/3587153.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import content, layout
from ensue.events.readers.table import REJECTED, Options, RawTable, Reader

LARGEST = 1 << 30
"""Most bytes of a document, which is held in memory as a whole."""

EMPTY_BASKET = "empty basket"
NO_BASKET = "no list of items"
NO_ITEM = "item that is neither a text nor a number"
MARK = ["-1"]
"""A basket that holds nothing but -1 marks the start or the end of a user's baskets."""

COLUMNS = {
    "user": "user",
    "item": "item",
    "basket": "basket",
    "order": "order",
    **dict.fromkeys(("time", "event", "rating", "session", "quantity"), ""),
}

_START = re.compile(rb'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\[\s*(?:\[\s*(?:-?\d|"|\])|\]\s*[,}])')

Users = dict[str, list[Any]]


def read(path: Path, options: Options) -> RawTable:
    """One event per item of a basket; baskets are numbered per user in their order, and there are no times.

    Marks of a start or an end, [-1], are no baskets and are counted in a note; an empty basket is set aside. In a
    folder, a history goes before its future, and a future that a merged file holds already is not read again.

    Raises:
        DataError: no such document, a broken one, or a folder of several that do not belong together.
    """
    file, users, notes = _together(path) if path.is_dir() else (path.name, _users(path), ())
    return _table(file, users, notes)


def _table(file: str, users: Users, notes: tuple[str, ...]) -> RawTable:
    of_user: list[str] = []
    of_basket: list[int] = []
    items: list[str] = []
    lines: list[int] = []
    bad: list[tuple[int, str, str]] = []
    line = marks = 0
    for user, baskets in users.items():
        number = 0
        for basket in baskets:
            if basket == MARK:
                marks += 1
                continue
            if not isinstance(basket, list) or not basket:
                line += 1
                bad.append(
                    (
                        line,
                        EMPTY_BASKET if basket == [] else NO_BASKET,
                        "" if basket == [] else str(basket)[:80],
                    )
                )
                continue
            number += 1
            for item in basket:
                line += 1
                if type(item) is str:
                    of_user.append(user)
                    of_basket.append(number)
                    items.append(item)
                    lines.append(line)
                else:
                    bad.append((line, NO_ITEM, str(item)[:80]))
    if not line:
        raise DataError(f"{file} holds no basket: there is nothing to read.")
    frame = pl.DataFrame(
        {"user": of_user, "item": items, "order": pl.Series(of_basket, dtype=pl.Int64)}
    ).select(
        pl.col("user", "item").cast(pl.String),
        basket=pl.concat_str(pl.col("user").cast(pl.String), pl.lit("#"), pl.col("order").cast(pl.String)),
        order="order",
    )
    if marks:
        notes += (f"marks of a start or an end ([-1]), which are no baskets: {marks:,}",)
    lonely = sum(not any(type(b) is list and b and b != MARK for b in baskets) for baskets in users.values())
    if lonely:
        notes += (f"users without a basket, who are not in the log: {lonely:,}",)
    return RawTable(
        file=file,
        frame=frame,
        lines=pl.Series("line", lines, dtype=pl.Int64),
        rejected=pl.DataFrame(bad, schema=REJECTED, orient="row"),
        rows=frame.height + len(bad),
        columns=COLUMNS,
        notes=(
            *notes,
            "baskets are in their order, without times; items of one basket keep the order in which they are written",
        ),
    )


def _users(path: Path) -> Users:
    """User -> baskets, every id as text with the very digits that are written."""
    data = bytearray()
    for block in content.blocks(path):
        data += block
        if len(data) > LARGEST:
            raise DataError(
                f"{path.name} is larger than {LARGEST >> 30} GiB as one JSON document: write JSON lines."
            )
    text, _ = content.text(bytes(data), path.name)
    try:
        pairs = json.loads(text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name} is broken JSON ({str(error)[:80]}): fetch or write it again.") from None
    if not isinstance(pairs, tuple) or not all(isinstance(baskets, list) for _, baskets in pairs):
        raise DataError(
            f"{path.name} is not of the form {{user: [[item, ...], ...]}}: give JSON lines, or a table."
        )
    users = dict(pairs)
    if len(users) < len(pairs):
        raise DataError(
            f"{path.name} names {len(pairs) - len(users):,} users more than once: keep one list of baskets for each."
        )
    try:
        "".join(users).encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{path.name} holds half of a character pair (a lone surrogate): write it again."
        ) from None
    return users


def _together(folder: Path) -> tuple[str, Users, tuple[str, ...]]:
    """The documents of a folder as one."""
    found = _documents(folder)
    if len(found) == 1:
        return found[0].name, _users(found[0]), ()
    merged, history, future = (_only(found, word) for word in ("merged", "history", "future"))
    if len(found) == 2 and future is not None:
        later = _users(future)
        if merged is not None:
            users = _users(merged)
            if _ends_with(users, later):
                return (
                    merged.name,
                    users,
                    (f"{future.name} repeats the last baskets of {merged.name}: not read again",),
                )
        if history is not None:
            users = _users(history)
            both = {user: [*users.get(user, []), *later.get(user, [])] for user in {**users, **later}}
            return (
                f"{history.name} + {future.name}",
                both,
                (
                    f"{history.name} and {future.name} are read as one: a user's history goes before the future",
                ),
            )
    raise DataError(
        f"{folder} holds several documents of baskets that do not belong together "
        f"({', '.join(path.name for path in found[:4])}): give one of them."
    )


def _ends_with(users: Users, later: Users) -> bool:
    """Whether the baskets of every user end with those of another document."""
    for user, baskets in later.items():
        plain = [basket for basket in baskets if basket != MARK]
        known = [basket for basket in users.get(user, []) if basket != MARK]
        if plain and known[-len(plain) :] != plain:
            return False
    return True


def _only(found: list[Path], word: str) -> Path | None:
    named = [path for path in found if word in path.name.lower()]
    return named[0] if len(named) == 1 else None


def _documents(folder: Path) -> list[Path]:
    return [path for path in layout.files(folder, ".json") if _is_document(path)]


def _is_document(path: Path) -> bool:
    try:
        start = content.head(path)
    except DataError:
        return False
    return bool(_START.match(start.removeprefix(b"\xef\xbb\xbf").lstrip()))


def _recognises(path: Path) -> bool:
    return bool(_documents(path)) if path.is_dir() else _is_document(path)


READERS = (
    Reader(
        "baskets-json",
        "baskets as one JSON document {user: [[item, ...], ...]}, as of Ta-Feng",
        rank=0,
        recognises=_recognises,
        read=read,
        folders=True,
    ),
)
