"""JSON lines: one object a line; numbers keep the very digits in which they are written."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import content, in_pieces
from ensue.events.readers.beside import unpacked_name
from ensue.events.readers.table import REJECTED, Options, RawTable, Reader

_CHUNK = 65_536
_LATIN = "{} is read as Latin-1, since it is not UTF-8"

Bad = tuple[int, str, str]
"""Line, reason and value of a row that was set aside."""

Chunk = tuple[list[pl.DataFrame], list[int], list[Bad]]

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
"""Numbers stay text: a 30-digit integer, 1.0 and 1e3 are ids of their own, and no float rounds them."""

_PLAIN = json.JSONDecoder()


def read(path: Path, options: Options) -> RawTable:
    """The rows of a JSON lines file, all columns text.

    A key that appears late is a column like any other; where a key is absent or null the value is missing. `true` and
    `false` become that word, a list or an object its JSON text. A number and a text of the same characters are the
    same id, since ids are text.

    Raises:
        DataError: no text, or one JSON array instead of lines.
    """
    try:
        frames, lines, bad = _together(_chunks(path, "utf-8", _CHUNK))
        notes: tuple[str, ...] = ()
    except UnicodeDecodeError:
        frames, lines, bad = _together(_chunks(path, "latin-1", _CHUNK))
        notes = (_LATIN.format(path.name),)
    if not frames:
        raise _no_lines(path.name, bad)
    return _table(path.name, pl.concat(frames, how="diagonal"), lines, bad, notes)


def pieces(path: Path, options: Options, rows: int) -> Iterator[RawTable]:
    """The rows of a JSON lines file piece by piece: together they are what `read` gives.

    Every piece has the keys of the pieces before it, too.

    Args:
        path: the file.
        options: as for `read`.
        rows: about how many rows make a piece.
    """
    writing = in_pieces.writing_of(path)
    if not writing.plain:
        yield read(path, options)
        return
    notes = (_LATIN.format(path.name),) if writing.encoding == "latin-1" else ()
    keys: dict[str, None] = {}
    waiting: list[Bad] = []
    for frames, lines, bad in _chunks(path, writing.encoding, rows):
        waiting += bad
        if not frames and not keys:
            continue
        frame = frames[0] if frames else pl.DataFrame(schema={key: pl.String() for key in keys})
        frame = frame.with_columns(
            pl.lit(None, dtype=pl.String).alias(key) for key in keys if key not in frame.columns
        )
        keys |= dict.fromkeys(frame.columns)
        yield _table(path.name, frame, lines, waiting, notes)
        waiting = []
    if not keys:
        raise _no_lines(path.name, waiting)


def _no_lines(file: str, bad: list[Bad]) -> DataError:
    if not bad:
        return DataError(f"{file} is empty: there is nothing to read.")
    line, reason, value = bad[0]
    return DataError(
        f"{file} has no JSON lines: line {line} is {reason} ({value!r}). Write one object per line."
    )


def _table(
    file: str, frame: pl.DataFrame, lines: list[int], bad: list[Bad], notes: tuple[str, ...]
) -> RawTable:
    return RawTable(
        file=file,
        frame=frame,
        lines=pl.Series("line", lines, dtype=pl.Int64),
        rejected=pl.DataFrame(bad, schema=REJECTED, orient="row"),
        rows=frame.height + len(bad),
        notes=notes,
    )


def _together(chunks: Iterable[Chunk]) -> Chunk:
    frames: list[pl.DataFrame] = []
    lines: list[int] = []
    bad: list[Bad] = []
    for some, numbers, odd in chunks:
        frames += some
        lines += numbers
        bad += odd
    return frames, lines, bad


def _chunks(path: Path, encoding: str, size: int) -> Iterator[Chunk]:
    """The rows of so many lines at a time: at most one frame, the lines of its rows, and what is no row."""
    numbered = enumerate(_lines(path), start=1)
    while chunk := list(itertools.islice(numbered, size)):
        rows: list[dict[str, Any]] = []
        lines: list[int] = []
        bad: list[Bad] = []
        for number, line in chunk:
            text = line.decode(encoding).strip(" \t\r\n")
            if not text:
                continue
            row, reason = _row(text)
            if row is None:
                bad.append((number, reason, text[:80]))
            else:
                rows.append(row)
                lines.append(number)
        frames = []
        if rows:
            keys = dict.fromkeys(itertools.chain.from_iterable(rows))
            frames = [pl.DataFrame(rows, schema={key: pl.String() for key in keys}, orient="row")]
        yield frames, lines, bad


def _row(text: str) -> tuple[dict[str, Any] | None, str]:
    """One object with text for every value, or None and the reason."""
    try:
        row = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None, "not valid JSON"
    if not isinstance(row, dict) or not row:
        return None, "not a JSON object with keys"
    nested = False
    for key, value in row.items():
        if value is True or value is False:
            row[key] = "true" if value else "false"
        elif type(value) is not str and value is not None:
            nested = True
    if nested:
        plain = _PLAIN.decode(text)
        for key, value in row.items():
            if type(value) is not str and value is not None:
                row[key] = json.dumps(plain[key], ensure_ascii=False)
    if "\\ud" in text or "\\uD" in text:
        try:
            "".join(part for pair in row.items() for part in pair if part is not None).encode()
        except UnicodeEncodeError:
            return None, "half of a character pair (a lone surrogate) in the text"
    return row, ""


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file without its byte order mark; a line ends at a newline and nowhere else."""
    rest = b""
    first = True
    for block in content.blocks(path):
        if first:
            block, first = block.removeprefix(b"\xef\xbb\xbf"), False
            if block.lstrip()[:1] == b"[":
                raise DataError(
                    f"{path.name} is one JSON array: write one object per line (JSON lines), or a table."
                )
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _recognises(path: Path) -> bool:
    """Text that begins with a brace, or a .jsonl, .ndjson or .json file."""
    start = content.head(path).removeprefix(b"\xef\xbb\xbf").lstrip()
    named = unpacked_name(path).lower().endswith((".jsonl", ".ndjson", ".json"))
    return start[:1] == b"{" or (named and b"\0" not in start)


READERS = (
    Reader(
        "jsonlines",
        "JSON lines, one object a line",
        rank=2,
        recognises=_recognises,
        read=read,
        pieces=pieces,
    ),
)
