"""Ways to break the bytes of a file."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from random import Random

import zstandard

TOKENS: tuple[bytes, ...] = (
    *(
        b"",
        b"\0",
        b'"',
        b"'",
        b'""',
        b"\n",
        b"\r",
        b"\r\n",
        b"\t",
        b",",
        b";",
        b"|",
        b"::",
        b":",
        b" ",
        b"\\",
    ),
    *(b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\x80", b"\xed\xa0\x80", "é\u2028\u0085".encode()),
    *(
        b"NaN",
        b"Infinity",
        b"-inf",
        b"1e999",
        b"-1",
        b"0",
        b"9" * 25,
        b"9" * 5_000,
        b"0.5",
        b"1e3",
        b"null",
        b"true",
    ),
    *(b"2020-02-30", b"0000-00-00", b"99999-01-01", b"13/13/2013 25:61:61 PM", b"9223372036854775807"),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b"[" * 3_000,
        b'{"a":' * 3_000,
        b"(" * 3_000,
        b'"\\ud800"',
        b'"\\u0000"',
        b"{}",
        b"[]",
    ),
    *(b"x" * 70_000, b"__import__('os')", b"-" * 3_000 + b"1", b"user_id", b"item_id", b"timestamp"),
)
"""What has broken one reader or another."""


def packed(kind: str, data: bytes) -> bytes:
    """Bytes in an archive or packed."""
    if kind == ".gz":
        return gzip.compress(data, mtime=0)
    if kind == ".zst":
        return zstandard.ZstdCompressor().compress(data)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        opened.writestr("a.csv", data)
    return out.getvalue()


def broken(chance: Random, data: bytes) -> bytes:
    """The bytes with one thing wrong."""
    place = chance.randrange(max(len(data), 1))
    token = chance.choice(TOKENS)
    match chance.randrange(8):
        case 0:
            return data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
        case 1:
            return data[:place]
        case 2:
            return data[:place] + data[place + chance.randrange(1, 40) :]
        case 3:
            return data[:place] + data[place : place + 30] * chance.choice((2, 50)) + data[place:]
        case 4:
            return data[:place] + token + data[place:]
    rows = data.split(b"\n")
    at = chance.randrange(len(rows))
    match chance.randrange(6):
        case 0:
            del rows[at]
        case 1:
            rows.insert(chance.randrange(len(rows) + 1), rows[at])
        case 2:
            rows[at] = token
        case other:
            mark = next((mark for mark in (b"\t", b"::", b";", b",", b"|", b" ") if mark in rows[at]), b",")
            fields = rows[at].split(mark)
            which = chance.randrange(len(fields))
            fields[which : which + 1] = [] if other == 3 else [token]
            rows[at] = mark.join(fields)
    return b"\n".join(rows)


def damage(chance: Random, folder: Path) -> None:
    """Breaks one file of a sample: its bytes, those of its packed form, or all of it."""
    found = sorted(path for path in folder.iterdir() if path.is_file())
    path = chance.choice(found)
    data = path.read_bytes()
    how = chance.choice(
        ("as it is",) * 6 + ("packed after", ".gz", ".zst", ".gz", ".zip", "empty", "gone", "folder")
    )
    if how == "gone" and len(found) > 1:
        path.unlink()
        return
    if how == "folder":
        path.unlink()
        path.mkdir()
        return
    if how == "packed after":
        data = packed(chance.choice((".gz", ".zst")), broken(chance, data))
    elif how == "empty":
        data = b""
    else:
        data = packed(how, data) if how.startswith(".") else data
        for _ in range(chance.randrange(1, 4)):
            data = broken(chance, data)
    path.write_bytes(data)
