"""Logs of advertisements without users, Criteo and Avazu: recognised, so that what they lack can be said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ensue.errors import DataError
from ensue.events.readers import layout
from ensue.events.readers.table import Options, Reader

_CRITEO = tuple(f"I{n}" for n in range(1, 14)) + tuple(f"C{n}" for n in range(1, 27))
_AVAZU = ("hour", "C1", "banner_pos", "site_id", "site_domain")


def _refusal(name: str) -> Callable[[Path, Options], NoReturn]:
    def read(path: Path, options: Options) -> NoReturn:
        raise DataError(
            f"{path.name} is the {name} log of advertisements, which names neither users nor items: "
            "nothing comes next in it. ensue needs a log in which somebody does something with items; to read the file "
            "as a plain table all the same, name its format and columns: format='delimited', columns={'user': ..., "
            "'item': ...}."
        )

    return read


def _is_criteo(path: Path) -> bool:
    """The header of the Kaggle form, or a line of the original form: a label, 13 numbers and 26 words of 8 digits."""
    found = layout.heads(path, ",")
    if set(_CRITEO) <= set(found):
        return True
    found = layout.heads(path, "\t")
    words = found[14:]
    return (
        len(found) == 40
        and found[0] in ("0", "1")
        and any(words)
        and all(len(word) in (0, 8) and not set(word) - set("0123456789abcdef") for word in words)
    )


def _is_avazu(path: Path) -> bool:
    return set(_AVAZU) <= set(layout.heads(path, ","))


def _any(path: Path, known: Callable[[Path], bool]) -> bool:
    return any(known(file) for file in layout.files(path, ".csv", ".txt")) if path.is_dir() else known(path)


READERS = (
    Reader(
        "criteo",
        "Criteo click logs (no users: refused)",
        rank=0,
        recognises=lambda path: _any(path, _is_criteo),
        read=_refusal("Criteo"),
        folders=True,
    ),
    Reader(
        "avazu",
        "Avazu click logs (no users: refused)",
        rank=0,
        recognises=lambda path: _any(path, _is_avazu),
        read=_refusal("Avazu"),
        folders=True,
    ),
)
