"""Every way in which a file cannot be read has one plain message with a remedy."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from ensue.errors import ConfigError, DataError
from ensue.events.readers import all_readers, content, reader_named
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
        (b"\x28\xb5\x2f\xfdrest", "log.csv is a broken zstd file: it ends within a frame"),
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


@pytest.mark.parametrize("name", ["log.csv.zst", "log.jsonl.zst"])
def test_a_zstd_file_is_unpacked_frame_after_frame_or_said_to_be_broken(tmp_path: Path, name: str) -> None:
    rows = (
        ["user,item", *(f"user{n},item{n * n % 977}" for n in range(5_000))]
        if "csv" in name
        else [f'{{"user": "u{n}", "item": "i{n * n % 977}"}}' for n in range(5_000)]
    )
    text = ("\n".join(rows) + "\n").encode()
    half = text.find(b"\n", len(text) // 2) - 3
    pack = zstandard.ZstdCompressor(write_checksum=True).compress
    whole = pack(text[:half]) + pack(b"") + pack(text[half:])
    path = tmp_path / name
    path.write_bytes(whole)
    assert b"".join(content.blocks(path)) == text
    assert read(path).n_events == 5_000
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 0xFF
    cut = len(pack(text[:half])) + 7
    for data in (
        whole[:-30],
        whole[:11],
        whole[:cut],
        bytes(flipped),
        whole + b"rest",
        whole + b"(\xb5/\xfd",
    ):
        path.write_bytes(data)
        with pytest.raises(DataError, match=rf"{name} is a broken zstd file.*Fetch or pack it again"):
            read(path)


def test_a_small_zstd_file_that_unpacks_to_much_is_not_held_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(b"u,i\n" * 10_000_000))
    assert path.stat().st_size < 10_000
    tracemalloc.start()
    try:
        total = sum(len(block) for block in content.blocks(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 40_000_000
    assert peak < 20_000_000  # a block of 4 MB, twice, and what 256 packed bytes hold


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="is not a plain file: give a file or a folder of files"):
        read(tmp_path / "pipe.csv")


def test_readers_are_found_by_themselves_the_most_particular_first() -> None:
    readers = all_readers()
    names = [reader.name for reader in readers]
    assert len(set(names)) == len(names)
    assert [reader.rank for reader in readers] == sorted(reader.rank for reader in readers)
    assert names[-1] == "delimited"  # which takes everything
    for particular, general in (
        *(("movielens-csv", "delimited"), ("movielens-tags", "delimited"), ("netflix", "sequences")),
        *(("netflix-probe", "sequences"), ("amazon", "jsonlines"), ("amazon-csv", "delimited")),
        *(("parquet", "jsonlines"), ("sqlite", "jsonlines"), ("jsonlines", "sequences")),
    ):
        assert names.index(particular) < names.index(general)
    assert all(reader_named(name).name == name for name in names)


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,item\nu,i\n", encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"Unknown format 'jsonline': known are .*Did you mean 'jsonlines'\?"
    ):
        read(tmp_path / "log.csv", format="jsonline")
