"""Parquet: types are respected, ids that cannot be exact are refused, broken files are said to be broken."""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path

import polars as pl
import pytest

from ensue.errors import ColumnError, DataError
from ensue.events.source import read


def write(folder: Path, columns: dict[str, object], name: str = "log.parquet") -> Path:
    path = folder / name
    pl.DataFrame(columns).write_parquet(path)
    return path


def test_integers_text_and_categories_are_ids(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "user": pl.Series([2**64 - 1, 0], dtype=pl.UInt64),
            "item": pl.Series(["a", "b"], dtype=pl.Categorical),
            "time": [dt.datetime(2024, 1, 2, tzinfo=dt.UTC), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)],
            "rating": pl.Series([3, 5], dtype=pl.Int8),
            "shown": [["a", "b"], []],
        },
    )
    log = read(path)
    assert log.frame["user"].to_list() == ["0", "18446744073709551615"]
    assert log.frame["item"].to_list() == ["b", "a"]
    assert log.frame["rating"].to_list() == [5.0, 3.0]
    assert log.frame["shown"].to_list() == [[], ["a", "b"]]
    assert log.reading.time_unit == "datetime"


def test_a_file_inside_gzip(tmp_path: Path) -> None:
    plain = write(tmp_path, {"user": ["u"], "item": ["i"]})
    packed = tmp_path / "log.parquet.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read(packed).fingerprint() == read(plain).fingerprint()


def test_missing_values_are_bad_rows_by_number(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "user": ["u", None, "u", "u", "u", "u", "u"],
            "item": ["a", "b", None, "d", "e", "f", "g"],
            "time": [1, 2, 3, None, 5, 6, 7],
            "rating": [1.0, 1.0, 1.0, 1.0, float("inf"), None, 1.0],
        },
    )
    columns = {"user": "user"}
    with pytest.raises(
        DataError, match=r"4 of 7 rows cannot be used. First: log.parquet, line 2: empty user"
    ):
        read(path, columns=columns)
    log = read(path, columns={"time": ""})
    assert [(e.line, e.reason) for e in log.reading.examples] == [
        (2, "empty user"),
        (3, "empty item"),
        (5, "rating that is not a finite number"),
    ]
    assert log.frame["rating"].to_list() == [1.0, 1.0, None, 1.0]
    assert any("events without rating: 1" in note for note in log.reading.notes)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ([7.0], r"Column 'user_id' \(user\) of log.parquet is Float64: as floats, ids lose digits"),
        ([True], r"Column 'user_id' \(user\) of log.parquet is Boolean: store it as text or integer"),
        ([[1]], r"Column 'user_id' \(user\) of log.parquet is List\(Int64\)"),
    ],
)
def test_types_that_cannot_be_ids(tmp_path: Path, column: list[object], said: str) -> None:
    with pytest.raises(ColumnError, match=said):
        read(write(tmp_path, {"user_id": column, "item_id": ["a"]}))


def test_types_that_cannot_be_ratings(tmp_path: Path) -> None:
    with pytest.raises(
        ColumnError, match=r"Column 'rating' \(rating\) of log.parquet is Date: store it as a number"
    ):
        read(write(tmp_path, {"user": ["u"], "item": ["a"], "rating": [dt.date(2024, 1, 1)]}))


def test_broken_and_empty_files(tmp_path: Path) -> None:
    path = write(tmp_path, {"user": ["u"] * 1000, "item": ["i"] * 1000})
    whole = path.read_bytes()
    for damaged in (whole[:-20], whole[: len(whole) // 2] + b"PAR1", b"PAR1" + b"x" * 50 + b"\x05\0\0\0PAR1"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"log.parquet is a broken Parquet file"):
            read(path)
    with pytest.raises(DataError, match=r"log.parquet has columns \(user, item\) and no rows"):
        read(write(tmp_path, {"user": [], "item": []}))
