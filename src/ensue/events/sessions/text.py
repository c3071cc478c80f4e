"""Sessions in one short text, as the command line takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ensue.errors import ConfigError

_NUMBERS: dict[str, tuple[str, Callable[[str], float]]] = {
    "gap": ("gap", float),
    "longest": ("max_seconds", float),
    "max": ("max_events", int),
}


def sessions_of(text: str) -> dict[str, Any]:
    """What a text such as "gap:1800,closing:purchase" or "given,max:50" says, as a table of an experiment file.

    Raises:
        ConfigError: a piece says nothing that is known.
    """
    found: dict[str, Any] = {}
    for piece in (part for part in (part.strip() for part in text.split(",")) if part):
        name, _, value = piece.partition(":")
        column, equal, wanted = value.partition("=")
        if piece in ("day", "week", "month"):
            found["calendar"] = piece
        elif piece == "given":
            found["given"] = True
        elif name in _NUMBERS:
            own, kind = _NUMBERS[name]
            try:
                found[own] = kind(value)
            except ValueError:
                raise _unknown(piece) from None
        elif name == "zone" and value:
            found["zone"] = value
        elif name in ("closing", "changes") and value:
            found[name] = [*found.get(name, []), value]
        elif name == "starts" and column and equal:
            starts = found.setdefault("starts", {})
            starts[column] = [*starts.get(column, []), wanted]
        else:
            raise _unknown(piece)
    return found


def _unknown(piece: str) -> ConfigError:
    return ConfigError(
        f"--sessions: '{piece}' is none of given, day, week, month, gap:SECONDS, closing:TYPE, starts:COLUMN=VALUE, "
        "changes:COLUMN, max:EVENTS, longest:SECONDS, zone:NAME. Several are joined by commas, as in gap:1800,max:50."
    )
