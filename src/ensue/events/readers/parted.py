"""Delimited text as it is written: which bytes part its fields, and how one record falls into them."""

from __future__ import annotations

import contextlib
import csv
import io
from dataclasses import dataclass

from ensue.errors import ConfigError, DataError
from ensue.events import columns

_DELIMITERS = ("\t", ",", ";", "::", "|", "\x01", "^", "~", " ")
_SPELT = {"\\t": "\t", "tab": "\t", "space": " ", "comma": ","}
_STAND_INS = (b"\x1f", b"\x1e", b"\x1d", b"\x1c", b"\x02")


@dataclass(frozen=True)
class Text:
    """One file of delimited text, with one byte as delimiter."""

    file: str
    data: bytes
    delimiter: bytes
    written: str
    quoting: bool

    def fields(self, line: bytes) -> list[str]:
        """The fields of one record."""
        found = fields_of(line.decode(), self.delimiter.decode(), quoting=self.quoting)
        return [self.restored(field) for field in found]

    def alike(self, data: bytes) -> bytes:
        """More of the same file, its delimiter written the same way.

        Raises:
            DataError: it holds the byte that stands for the delimiter.
        """
        if len(self.written) == 1:
            return data
        if self.delimiter in data:
            raise _too_long_a_delimiter(self)
        return data.replace(self.written.encode(), self.delimiter)

    def restored(self, field: str) -> str:
        """The field with a longer delimiter put back where quotes protected it."""
        return field.replace(self.delimiter.decode(), self.written) if len(self.written) > 1 else field


def delimiter_of(given: str | None, data: bytes, file: str, *, quoting: bool = True) -> str:
    """The delimiter: as given, else the one that makes the most of the first line that is not empty.

    Most usual column names first, then the same number of fields in the first lines, then most fields; a space only
    where there is no other.

    Raises:
        ConfigError: a delimiter that cannot be one.
        DataError: no delimiter in the first line.
    """
    if given is not None:
        given = _SPELT.get(given, given)
        if not given or any(c in given for c in '"\r\n'):
            raise ConfigError(
                f"The delimiter {given!r} cannot part fields: give for example ',', ';', '\\t' or '::'."
            )
        return given
    lines = [line.decode(errors="replace") for line in data[: 1 << 16].split(b"\n") if line.strip()][:10]
    line = lines[0] if lines else ""

    def worth(delimiter: str) -> tuple[int, bool, bool, int]:
        fields = fields_of(line, delimiter, quoting=quoting)
        known = sum(columns.usual(field.strip()) is not None for field in fields)
        even = all(other.count(delimiter) == line.count(delimiter) for other in lines)
        return known, delimiter != " ", even, len(fields)

    usable = [d for d in _DELIMITERS if d in line]
    if not usable:
        raise DataError(
            f"{file} is not a table: its first line {line.strip()[:60]!r} holds no delimiter. Give CSV, TSV, "
            "JSON lines or Parquet, or name the delimiter with delimiter='...' (--delimiter)."
        )
    return max(usable, key=worth)


def fields_of(line: str, delimiter: str, *, quoting: bool) -> list[str]:
    """The fields of one record; those of a longer delimiter know no quotes."""
    if quoting and '"' in line and len(delimiter) == 1:
        with contextlib.suppress(csv.Error):
            return next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter), [])
    return line.split(delimiter)


def single(text: Text) -> Text:
    """The same text with a delimiter of one byte."""
    if len(text.delimiter) == 1:
        return text
    stand_in = next((byte for byte in _STAND_INS if byte not in text.data), None)
    if stand_in is None:
        raise _too_long_a_delimiter(text)
    return Text(text.file, text.data.replace(text.delimiter, stand_in), stand_in, text.written, text.quoting)


def _too_long_a_delimiter(text: Text) -> DataError:
    return DataError(
        f"{text.file} holds control characters and a delimiter '{text.written}': use a shorter one."
    )
