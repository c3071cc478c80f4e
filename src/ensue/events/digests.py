"""What a log is, in 64 letters: the same for the same users, items, times and ratings, whole or part by part."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import numpy as np
import polars as pl

SLICE = 1 << 20
"""How many texts are looked at together."""

Parts = Callable[[], Iterable[pl.Series]]
"""Gives the same columns, part by part, every time it is called."""


class Digest:
    """SHA-256 of canonical columns, which are added one after the other.

    Args:
        events: number of events of the log.
    """

    def __init__(self, events: int) -> None:
        self._whole = hashlib.sha256(f"ensue event log 1, {events} events".encode())

    def add_texts(self, parts: Parts) -> None:
        """Adds a column of texts: the lengths of all of them in bytes, and then all of them end to end."""
        for part in parts():
            self._whole.update(part.str.len_bytes().to_numpy().astype("<i8").tobytes())
        for part in parts():
            for start in range(0, len(part), SLICE):
                self._whole.update(str(part.slice(start, SLICE).str.join("").item()).encode())

    def add_numbers(self, parts: Parts | None, kind: str) -> None:
        """Adds a column of numbers: which of them are missing, one bit each, and then all of them; None for no column.

        Args:
            parts: the column.
            kind: in which numpy type, with its byte order, a number is taken.
        """
        if parts is None:
            self._whole.update(b"-")
            return
        self._whole.update(b"+")
        rest = np.zeros(0, dtype=np.bool_)
        for part in parts():
            bits = np.concatenate([rest, part.is_null().to_numpy()])
            whole = len(bits) // 8 * 8
            self._whole.update(np.packbits(bits[:whole]).tobytes())
            rest = bits[whole:]
        self._whole.update(np.packbits(rest).tobytes())
        for part in parts():
            values = (
                part.fill_null(0).to_numpy().astype(kind) + 0
            )  # -0.0 becomes 0.0 (polars leaves x + 0 undone)
            self._whole.update(values.tobytes())

    def text(self) -> str:
        """The digest of what was added, in hexadecimal."""
        return self._whole.hexdigest()


def digest(frame: pl.DataFrame) -> str:
    """SHA-256 of users, items, times and ratings of canonical columns, in the order of the rows."""
    found = Digest(frame.height)
    for name in ("user", "item"):
        found.add_texts(lambda name=name: [frame[name]])  # type: ignore[misc]
    found.add_numbers(None if frame["time"].has_nulls() else lambda: [frame["time"].dt.epoch("us")], "<i8")
    found.add_numbers((lambda: [frame["rating"]]) if "rating" in frame.columns else None, "<f8")
    return found.text()
