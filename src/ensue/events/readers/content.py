"""The bytes of a file, unpacked and decoded: every way in which that can fail has its own plain message."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from ensue.errors import DataError, nearest

_BLOCK = 1 << 22
_HEAD = 1 << 16

_ARCHIVES = {
    b"PK\x03\x04": "a zip archive (or a spreadsheet)",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"7z\xbc\xaf": "a 7z archive",
}


def head(path: Path, size: int = _HEAD) -> bytes:
    """The first bytes of a file, unpacked if it is gzip."""
    with opened(path) as file:
        return file.read(size)


def content(path: Path) -> bytes:
    """All bytes of a file, unpacked if it is gzip.

    Raises:
        DataError: the file is missing, empty, broken, or packed in another way.
    """
    return b"".join(blocks(path))


def blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file block by block, unpacked if it is gzip.

    Raises:
        DataError: as for `content`.
    """
    done = 0
    with opened(path) as file:
        try:
            while block := file.read(_BLOCK):
                done += len(block)
                yield block
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{path.name} is a broken gzip file: after {done:,} bytes unpacked, {str(error).lower().rstrip('.')}. "
                "Fetch or pack it again."
            ) from None
    if not done:
        raise DataError(f"{path.name} is empty: there is nothing to read.")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file, open for reading its unpacked bytes.

    Raises:
        DataError: it is missing, no plain file, not readable, or an archive.
    """
    if not path.exists():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        web = (
            " Download it first: only local files are read."
            if "://" in str(path) or ":/" in str(path)
            else ""
        )
        raise DataError(f"There is no file or folder '{path}'.{web or nearest(path.name, beside)}")
    if not path.is_file():
        raise DataError(f"'{path}' is not a plain file: give a file or a folder of files.")
    try:
        with path.open("rb") as plain:
            magic = plain.read(6)
            plain.seek(0)
            for start, what in _ARCHIVES.items():
                if magic.startswith(start):
                    raise DataError(f"{path.name} is {what}: unpack it first (gzip is unpacked here).")
            if magic.startswith(b"\x1f\x8b"):
                with gzip.open(plain) as unpacked:
                    yield cast(BinaryIO, unpacked)
            else:
                yield plain
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path.name} is a broken gzip file: {error}. Fetch or pack it again.") from None
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror or error}.") from None


def text(data: bytes, file: str) -> tuple[bytes, tuple[str, ...]]:
    """The file as UTF-8 bytes, a newline after every line, and notes on how it was decoded.

    UTF-8 with or without a byte order mark, UTF-16 with one, else Latin-1, in which every byte is a character.

    Raises:
        DataError: the bytes are no text.
    """
    notes: list[str] = []
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if data.startswith(mark):
            try:
                return _lines(data.decode("utf-16").encode(), file, [f"{file} is read as UTF-16"])
            except UnicodeError:
                raise DataError(f"{file} starts as UTF-16 but is not: save it as UTF-8.") from None
    data = data.removeprefix(codecs.BOM_UTF8)
    zero = data.find(b"\0")
    if zero >= 0:
        line = data.count(b"\n", 0, zero) + 1
        raise DataError(
            f"{file} is not a text file (a zero byte in line {line}): give CSV, TSV, JSON lines or Parquet."
        )
    if not is_utf8(data):
        control = sum(data.count(bytes([code])) for code in range(32) if code not in (9, 10, 12, 13))
        if control > len(data) // 50:
            raise DataError(
                f"{file} is not a text file (control characters): give CSV, TSV, JSON lines or Parquet."
            )
        data = data.decode("latin-1").encode()
        notes.append(f"{file} is read as Latin-1, since it is not UTF-8")
    elif not data.isascii():
        notes.append(f"{file} is read as UTF-8")
    return _lines(data, file, notes)


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are valid UTF-8; takes no memory of the size of the data."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(data)
    try:
        for start in range(0, len(data), _BLOCK):
            decoder.decode(view[start : start + _BLOCK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _lines(data: bytes, file: str, notes: list[str]) -> tuple[bytes, tuple[str, ...]]:
    if b"\n" not in data and b"\r" in data:
        data = data.replace(b"\r", b"\n")
    if not data.strip():
        raise DataError(f"{file} is empty: there is nothing to read.")
    return data, tuple(notes)
