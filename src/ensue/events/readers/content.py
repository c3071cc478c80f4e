"""The bytes of a file, unpacked and decoded: every way in which that can fail has its own plain message."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from ensue.errors import DataError, nearest
from ensue.events.readers.writing import writing_of_blocks

_BLOCK = 1 << 22
_HEAD = 1 << 16
_PACKED = 1 << 8
"""Packed bytes that are unpacked at once: a hostile file makes at most some tens of megabytes of so many."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BROKEN = (EOFError, zlib.error, gzip.BadGzipFile)

_ARCHIVES = {
    b"PK\x03\x04": "a zip archive (or a spreadsheet)",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"7z\xbc\xaf": "a 7z archive",
}


def head(path: Path, size: int = _HEAD) -> bytes:
    """The first bytes of a file, unpacked if it is gzip or zstd."""
    with opened(path) as file:
        return file.read(size)


def content(path: Path) -> bytes:
    """All bytes of a file, unpacked if it is gzip or zstd.

    Raises:
        DataError: the file is missing, empty, broken, or packed in another way.
    """
    return b"".join(blocks(path))


def blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file block by block, unpacked if it is gzip or zstd.

    Raises:
        DataError: as for `content`.
    """
    done = 0
    with opened(path) as file:
        try:
            while block := file.read(_BLOCK):
                done += len(block)
                yield block
        except _BROKEN as error:
            raise DataError(
                f"{path.name} is a broken {_kind(error)} file: after {done:,} bytes unpacked, "
                f"{str(error).lower().rstrip('.')}. Fetch or pack it again."
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
                    raise DataError(
                        f"{path.name} is {what}: unpack it first (gzip and zstd are unpacked here)."
                    )
            if magic.startswith(_GZIP):
                with gzip.open(plain) as unpacked:
                    yield cast(BinaryIO, unpacked)
            elif magic.startswith(_ZSTD):
                yield cast(BinaryIO, io.BufferedReader(_Zstd(plain), _HEAD))
            else:
                yield plain
    except _BROKEN as error:
        raise DataError(
            f"{path.name} is a broken {_kind(error)} file: {error}. Fetch or pack it again."
        ) from None
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror or error}.") from None


class _BrokenZstdError(EOFError):
    """What is wrong with a zstd file."""


def _kind(error: Exception) -> str:
    return "zstd" if isinstance(error, _BrokenZstdError) else "gzip"


class _Zstd(io.RawIOBase):
    """The unpacked bytes of a zstd file, frame after frame, from its beginning to its end.

    Args:
        packed: open at its beginning.
    """

    def __init__(self, packed: BinaryIO) -> None:
        import zstandard

        self._packed, self._unpacker = packed, zstandard.ZstdDecompressor()
        self._error = zstandard.ZstdError
        self._frame = self._unpacker.decompressobj()
        self._begun, self._unread, self._held = False, b"", memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fills a buffer as far as it can be told; 0 at the end.

        Raises:
            _BrokenZstdError: the bytes are no zstd, or end within a frame.
        """
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._held:
            if self._frame.eof:
                self._unread, self._begun = self._frame.unused_data, False
                self._frame = self._unpacker.decompressobj()
            packed = self._unread or self._packed.read(_PACKED)
            self._unread = b""
            if not packed:
                if self._begun:
                    raise _BrokenZstdError("it ends within a frame")
                return 0
            self._begun = True
            try:
                self._held = memoryview(self._frame.decompress(packed))
            except self._error as error:
                raise _BrokenZstdError(str(error).removeprefix("zstd decompressor error: ")) from None
        count = min(len(view), len(self._held))
        view[:count], self._held = self._held[:count], self._held[count:]
        return count


def text(data: bytes, file: str) -> tuple[bytes, tuple[str, ...]]:
    """The file as UTF-8 bytes, a newline after every line, and notes on how it was decoded.

    UTF-8 with or without a byte order mark, UTF-16 with one, else Latin-1, in which every byte is a character.

    Raises:
        DataError: the bytes are no text.
    """
    writing = writing_of_blocks(lambda: [data], file)
    if writing.encoding == "utf-16":
        try:
            data = data.decode("utf-16").encode()
        except UnicodeError:
            raise DataError(f"{file} starts as UTF-16 but is not: save it as UTF-8.") from None
        if not data.strip():
            raise DataError(f"{file} is empty: there is nothing to read.")
    elif writing.encoding == "latin-1":
        data = data.removeprefix(codecs.BOM_UTF8).decode("latin-1").encode()
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\n" not in data and b"\r" in data:
        data = data.replace(b"\r", b"\n")
    return data, writing.notes
