"""Every way in which a file cannot be read has one plain message with a remedy."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from ensue.errors import ConfigError, DataError
from ensue.events.readers import all_readers, reader_named
from ensue.events.source import read


def test_a_missing_file_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user,item\nu,i\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"There is no file or folder '.*event\.csv'\. Did you mean 'events\.csv'\?"
    ):
        read(tmp_path / "event.csv")


def test_an_address_is_not_a_file() -> None:
    with pytest.raises(DataError, match="Download it first: only local files are read"):
        read("https://example.org/log.csv")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "log.csv is empty: there is nothing to read"),
        (b"\xef\xbb\xbf", "log.csv is empty: there is nothing to read"),
        (b" \n\n", "log.csv is empty: there is nothing to read"),
        (b"user,item\nu,i\nv,\0\n", r"log.csv is not a text file \(a zero byte in line 3\)"),
        (bytes(range(128, 256)) + bytes(range(1, 32)), r"log.csv is not a text file \(control characters\)"),
        (b"\xff\xfeu", "log.csv starts as UTF-16 but is not: save it as UTF-8"),
        (b"PK\x03\x04rest", r"log.csv is a zip archive \(or a spreadsheet\): unpack it first"),
        (b"BZh9rest", "log.csv is packed with bzip2: unpack it first"),
        (b"\x28\xb5\x2f\xfdrest", "log.csv is packed with zstd: unpack it first"),
    ],
)
def test_files_that_hold_no_table(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(data)
    with pytest.raises(DataError, match=said):
        read(path)


@pytest.mark.parametrize("name", ["log.csv.gz", "log.jsonl.gz"])
def test_a_broken_gzip_file_is_said_to_be_broken(tmp_path: Path, name: str) -> None:
    rows = (
        [f"user{n},item{n}" for n in range(5_000)]
        if "csv" in name
        else ['{"user": "u", "item": "i"}'] * 5_000
    )
    whole = gzip.compress(("user,item\n" * ("csv" in name) + "\n".join(rows)).encode())
    path = tmp_path / name
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for data in (whole[:-30], whole[:11], bytes(flipped)):
        path.write_bytes(data)
        with pytest.raises(DataError, match=rf"{name} is a broken gzip file.*Fetch or pack it again"):
            read(path)
    path.write_bytes(whole)
    assert read(path).n_events == 5_000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="is not a plain file: give a file or a folder of files"):
        read(tmp_path / "pipe.csv")


def test_readers_are_found_by_themselves_the_most_particular_first() -> None:
    names = [reader.name for reader in all_readers()]
    assert names == [
        *("movielens-100k", "movielens-csv", "movielens-dat"),
        *("parquet", "jsonlines", "sequences", "delimited"),
    ]
    assert all(reader_named(name).name == name for name in names)


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,item\nu,i\n", encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"Unknown format 'jsonline': known are .*Did you mean 'jsonlines'\?"
    ):
        read(tmp_path / "log.csv", format="jsonline")
