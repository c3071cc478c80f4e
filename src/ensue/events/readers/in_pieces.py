"""Long text piece by piece: looked over once to know how it is written, then cut where records end."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ensue.events.readers import content
from ensue.events.readers.writing import Writing, writing_of_blocks

_NEWLINE, _QUOTE = 10, 34
LONGEST = 1 << 28
"""Bytes of a piece in which no record ends after which it is given up as it is: a quote that nobody closed."""


def writing_of(path: Path) -> Writing:
    """How a file of text is written, found by a look at all of it that takes no memory of its size.

    Raises:
        DataError: the bytes are no text, or none.
    """
    return writing_of_blocks(lambda: content.blocks(path), path.name)


def utf8(path: Path, writing: Writing) -> Iterator[bytes]:
    """The text of a file block by block as UTF-8, without a byte order mark; a character may be cut by two blocks."""
    first = True
    for block in content.blocks(path):
        if writing.encoding == "latin-1":
            yield block.decode("latin-1").encode()
        else:
            yield block.removeprefix(codecs.BOM_UTF8) if first else block
        first = False


def cut(blocks: Iterable[bytes], size: int, *, quoting: bool) -> Iterator[bytes]:
    """The same bytes in pieces of at least so many bytes, each but the last ending where a record does.

    A record ends at a newline before which an even number of quotes stands in its piece, or at any newline if quotes
    do not protect.

    Args:
        blocks: UTF-8 text.
        size: least bytes of a piece.
        quoting: whether double quotes protect newlines.
    """
    held: list[bytes] = []
    waiting = 0
    least = size
    for block in blocks:
        held.append(block)
        waiting += len(block)
        if waiting < least:
            continue
        piece = b"".join(held)
        end = _end(piece, quoting=quoting)
        if not end and waiting < LONGEST:
            held, least = [piece], min(2 * waiting, LONGEST)
            continue
        end = end or len(piece)
        yield piece[:end]
        held, waiting, least = [piece[end:]], len(piece) - end, size
    if rest := b"".join(held):
        yield rest


def _end(piece: bytes, *, quoting: bool) -> int:
    """The offset after the last record that ends in a piece, or 0 for none."""
    if not quoting or b'"' not in piece:
        return piece.rfind(b"\n") + 1
    bytes_ = np.frombuffer(piece, dtype=np.uint8)
    quotes = np.flatnonzero(bytes_ == _QUOTE)
    newlines = np.flatnonzero(bytes_ == _NEWLINE)
    outside = newlines[np.searchsorted(quotes, newlines) % 2 == 0]
    return int(outside[-1]) + 1 if len(outside) else 0


class Blocks(io.RawIOBase):
    """Blocks of bytes as a file that is read from its beginning to its end.

    Args:
        blocks: the bytes.
    """

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._held = b""

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fills a buffer as far as the present block goes; 0 at the end."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._held:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._held = block
        count = min(len(view), len(self._held))
        view[:count], self._held = self._held[:count], self._held[count:]
        return count
