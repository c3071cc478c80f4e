"""What is wrong with settings that somebody has written down, in words: where, what, and the nearest right key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from ensue.errors import nearest


def told(error: Mapping[str, Any], known: Sequence[str], within: str = "", shown: bool = True) -> str:
    """A fault in words.

    Args:
        error: of the errors of a ValidationError, one.
        known: the keys of the table that it is in.
        within: place of what was checked, such as "models.lstm"; "" for the whole of a file.
        shown: whether the value is told, which a secret must not be.

    Example:
        >>> told({"type": "unexpected_keyword_argument", "loc": ("seeed",)}, ["seed", "out"])
        "seeed: there is no such key; known are seed, out. Did you mean 'seed'?"
    """
    steps = [
        step for step in map(str, error["loc"]) if "[" not in step
    ]  # those name a kind that a value may be of
    place = ".".join([within, *steps] if within else steps)
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        key = str(error["loc"][-1])
        return f"{place}: there is no such key; known are {', '.join(known) or 'none'}.{nearest(key, known)}"
    if error["type"] in ("missing", "missing_argument"):
        return f"{place} is missing."
    value = f" = {error['input']!r}" if shown else ""
    return f"{place}{value}: {error['msg'][:1].lower()}{error['msg'][1:]}."


def fault_in(error: Mapping[str, Any], usual: Any, shown: bool = True) -> str:
    """A fault of a file whose tables are fields of one dataclass, in words.

    Args:
        error: as for `told`.
        usual: the dataclass with what it is where nothing is written, by which the tables are known.
        shown: whether the value is told.
    """
    table = getattr(usual, str(error["loc"][0])) if len(error["loc"]) > 1 else usual
    return told(error, [entry.name for entry in fields(table)] if is_dataclass(table) else [], shown=shown)
