"""What a reader is and what it gives: a table as the source has it, before any column has a meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

REJECTED = pl.Schema({"line": pl.Int64, "reason": pl.String, "value": pl.String})
"""Columns of a table of rows that were set aside."""


@dataclass(frozen=True)
class Options:
    """How a source is to be read; every field has a meaning for some readers and none for the others.

    Attributes:
        columns: canonical column -> name in the source.
        delimiter: of delimited text; None means: found from the first line.
        quoting: whether a double quote protects a field, as RFC 4180 has it; False takes it as a plain character.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    quoting: bool = True


@dataclass(frozen=True)
class RawTable:
    """The rows of one file.

    Attributes:
        file: name of the file, for messages.
        frame: `[E]` rows with the source's column names; all columns are text if the format has no types.
        lines: `[E]` physical line of each row, counting from 1 and the header; the row number where there are no lines.
        rejected: rows that do not fit the format (`REJECTED`).
        rows: rows in the file, good and bad.
        columns: canonical column -> name in the source, if the format fixes them.
        items: what the files beside it tell of items.
        notes: what was decided on the caller's behalf.
        parts: where several files are one table, each with the number of lines before it: `lines` count on.
    """

    file: str
    frame: pl.DataFrame
    lines: pl.Series
    rejected: pl.DataFrame
    rows: int
    columns: dict[str, str] | None = None
    items: pl.DataFrame | None = None
    notes: tuple[str, ...] = ()
    parts: tuple[tuple[str, int], ...] = ()

    def place(self, line: int) -> tuple[str, int]:
        """The file of a line of the table, and the line there."""
        name, before = next(
            ((name, before) for name, before in reversed(self.parts) if before < line), (self.file, 0)
        )
        return name, line - before


@dataclass(frozen=True)
class Reader:
    """One source format. A module of this folder offers its readers in a tuple `READERS`.

    Attributes:
        name: what `format` is called by.
        reads: the files it reads, in a few words.
        rank: readers of lower rank are asked first; the most particular come first.
        recognises: whether a file (or folder, if it reads a whole folder) is of this format; never raises for one
            that can be opened.
        read: the rows of a file or folder; raises DataError for one that is broken.
        folders: whether it reads a folder as a whole.
        pieces: the rows of a file or folder piece by piece, about so many in each, for what is larger than memory; the
            pieces together are what `read` gives. None: it can only be read whole.
    """

    name: str
    reads: str
    rank: int
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Options], RawTable]
    folders: bool = False
    pieces: Callable[[Path, Options, int], Iterator[RawTable]] | None = None


def rejected(lines: list[int] | pl.Series, reason: str, values: list[str] | pl.Series) -> pl.DataFrame:
    """A table of rows that were set aside for one reason; values are shortened."""
    short = pl.Series("value", values, dtype=pl.String).str.slice(0, 80)
    return pl.DataFrame({"line": lines, "reason": [reason] * len(short), "value": short}, schema=REJECTED)
