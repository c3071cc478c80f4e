"""Lines of Amazon files as objects: JSON, or the Python literals of the oldest files, of which nothing is run."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensue.errors import DataError
from ensue.events.readers import content

LONGEST = 1 << 20
"""Bytes of a line beyond which it is no object of these files."""


@dataclass(frozen=True)
class Objects:
    """Some lines of a file.

    Attributes:
        rows: one object each.
        lines: their numbers.
        bad: lines that hold none: number, reason, their beginning.
        keys: of all rows, in the order in which they first came.
        literals: number of rows that were Python literals.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    bad: list[tuple[int, str, str]] = field(default_factory=list)
    keys: dict[str, None] = field(default_factory=dict)
    literals: int = 0


def objects(path: Path, rows: int) -> Iterator[Objects]:
    """The objects of a file, at most so many at a time.

    Raises:
        DataError: the file is empty, broken, or no text.
    """
    some = Objects()
    for number, line in enumerate(_lines(path), start=1):
        text = _text(line).strip(" \t\r\n")
        if not text:
            continue
        if "\0" in text:
            raise DataError(
                f"{path.name} is not a text file (a zero byte in line {number}): give JSON lines."
            )
        row, reason, literal = _object(text)
        if row is None:
            some.bad.append((number, reason, text[:80]))
        else:
            some.rows.append(row)
            some.lines.append(number)
            some.keys.update(dict.fromkeys(row))
            some = Objects(some.rows, some.lines, some.bad, some.keys, some.literals + 1) if literal else some
        if len(some.rows) + len(some.bad) >= rows:
            yield some
            some = Objects()
    if some.rows or some.bad:
        yield some


def _object(text: str) -> tuple[dict[str, Any] | None, str, bool]:
    """One object with keys of text (or None and the reason), and whether it was a Python literal."""
    if len(text) > LONGEST:
        return None, f"a line of more than {LONGEST:,} characters", False
    literal = False
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        if not text.startswith("{"):
            return None, "neither JSON nor a Python literal", False
        literal = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an odd escape in a text is no fault of the log
                row = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return None, "neither JSON nor a Python literal", False
    if not isinstance(row, dict) or not row or not all(isinstance(key, str) for key in row):
        return None, "not an object with keys", False
    if "\\u" in text and not _encodes(row):
        return None, "half of a character pair (a lone surrogate) in the text", False
    return row, "", literal


def _encodes(row: dict[str, Any]) -> bool:
    """Whether all texts of an object are characters."""
    try:
        repr_ = json.dumps(row, ensure_ascii=False, default=str)
        repr_.encode()
    except (UnicodeEncodeError, ValueError, RecursionError):
        return False
    return True


def _text(line: bytes) -> str:
    """A line as UTF-8, else as Latin-1, in which every byte is a character."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file without its byte order mark; a line ends at a newline and nowhere else."""
    rest: list[bytes] = []
    held = 0
    first = True
    for block in content.blocks(path):
        block, first = (block.removeprefix(b"\xef\xbb\xbf") if first else block), False
        *whole, last = block.split(b"\n")
        if whole:
            yield b"".join([*rest, whole[0]])
            yield from whole[1:]
            rest, held = [], 0
        rest.append(last)
        held += len(last)
        if held > 64 * LONGEST:
            raise DataError(f"{path.name} has a line of more than {64 * LONGEST:,} bytes: give JSON lines.")
    if any(rest):
        yield b"".join(rest)
