"""How a text is written: its encoding and the ends of its lines, or why it is no text."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ensue.errors import DataError

_CONTROL = bytes(code for code in range(32) if code not in (9, 10, 12, 13))
_FOREIGN = "give CSV, TSV, JSON lines or Parquet"
_SLICE = 1 << 22


@dataclass(frozen=True)
class Writing:
    """How a text is written.

    Attributes:
        encoding: "utf-8", "latin-1" or "utf-16".
        returns: whether its lines end in a carriage return alone, as they did on old machines.
        notes: how it is decoded.
    """

    encoding: str
    returns: bool = False
    notes: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether it can be read piece by piece: UTF-16 and old ends of lines need all of it at once."""
        return self.encoding != "utf-16" and not self.returns


def writing_of_blocks(blocks: Callable[[], Iterable[bytes]], file: str) -> Writing:
    """How a text is written: UTF-8 with or without a byte order mark, UTF-16 with one, else Latin-1.

    In Latin-1 every byte is a character.

    Args:
        blocks: gives the text from its beginning, each time it is called.
        file: its name for messages.

    Raises:
        DataError: the bytes are no text, or none.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    utf8 = plain = True
    returned = filled = False
    lines, first = 0, True
    for block in blocks():
        if first and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return Writing("utf-16", notes=(f"{file} is read as UTF-16",))
        zero = block.find(b"\0")
        if zero >= 0:
            line = lines + block.count(b"\n", 0, zero) + 1
            raise DataError(f"{file} is not a text file (a zero byte in line {line}): {_FOREIGN}.")
        rest = block.removeprefix(codecs.BOM_UTF8) if first else block
        first = False
        lines += rest.count(b"\n")
        returned = returned or b"\r" in rest
        filled = filled or bool(rest.strip())
        if utf8 and not (plain and rest.isascii()):
            plain = False
            utf8 = _decodes(decoder, rest)
    if not filled:
        raise DataError(f"{file} is empty: there is nothing to read.")
    returns = returned and not lines
    if utf8 and (plain or _decodes(decoder, b"", final=True)):
        return Writing("utf-8", returns, () if plain else (f"{file} is read as UTF-8",))
    sizes = ((len(block), len(block.translate(None, _CONTROL))) for block in blocks())
    size, other = map(sum, zip(*sizes, strict=True))
    if size - other > size // 50:
        raise DataError(f"{file} is not a text file (control characters): {_FOREIGN}.")
    return Writing("latin-1", returns, (f"{file} is read as Latin-1, since it is not UTF-8",))


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    """Whether a block goes on with valid text; takes no memory of its size."""
    view = memoryview(block)
    try:
        for start in range(0, len(block), _SLICE):
            decoder.decode(view[start : start + _SLICE])
        decoder.decode(b"", final)
    except UnicodeDecodeError:
        return False
    return True
