"""Baskets as one JSON document: no basket is lost, and no mark is taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ensue.errors import DataError
from ensue.events.log import EventLog
from ensue.events.source import read

MERGED = {"7": [[1, 2], [2]], "007": [[3], [1, 1, 4]]}
HISTORY = {"7": [[-1], [1, 2], [-1]], "007": [[-1], [3], [-1]]}
FUTURE = {"7": [[-1], [2], [-1]], "007": [[-1], [1, 1, 4], [-1]]}
EVENTS = [
    *(("007", "3", "007#1", 1), ("007", "1", "007#2", 2), ("007", "1", "007#2", 2), ("007", "4", "007#2", 2)),
    *(("7", "1", "7#1", 1), ("7", "2", "7#1", 1), ("7", "2", "7#2", 2)),
]


def write(folder: Path, content: object, name: str = "x_merged.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def rows(log: EventLog) -> list[tuple[object, ...]]:
    return log.frame.select("user", "item", "basket", "order").rows()


def test_baskets_are_numbered_in_their_order(tmp_path: Path) -> None:
    log = read(write(tmp_path, MERGED))
    assert log.reading.format == "baskets-json"
    assert rows(log) == EVENTS
    assert not log.has_time


def test_a_future_that_the_merged_file_holds_is_not_read_again(tmp_path: Path) -> None:
    write(tmp_path, MERGED)
    write(tmp_path, FUTURE, "x_future.json")
    log = read(tmp_path)
    assert rows(log) == EVENTS
    assert any(
        "x_future.json repeats the last baskets of x_merged.json" in note for note in log.reading.notes
    )
    write(tmp_path, {"7": [[-1], [9], [-1]]}, "x_future.json")
    with pytest.raises(DataError, match="several documents of baskets that do not belong together"):
        read(tmp_path)


def test_history_and_future_are_one_log_without_their_marks(tmp_path: Path) -> None:
    write(tmp_path, HISTORY, "x_history.json")
    write(tmp_path, FUTURE, "x_future.json")
    log = read(tmp_path)
    assert rows(log) == EVENTS
    assert any("which are no baskets: 8" in note for note in log.reading.notes)


def test_empty_baskets_and_odd_items_are_set_aside_and_counted(tmp_path: Path) -> None:
    log = read(write(tmp_path, {"a": [["x"] * 4, [], ["y", None, ""]], "b": [], "c": [["z", True], "w"]}))
    assert log.frame.select("user", "item", "order").rows() == [
        *[("a", "x", 1)] * 4,
        *[("a", "y", 2), ("c", "z", 1)],
    ]
    assert log.reading.set_aside == {
        "empty basket": 1,
        "item that is neither a text nor a number": 2,
        "no list of items": 1,
        "empty item": 1,
    }
    assert log.reading.rows_read == 4 + 1 + 1 + 1 + 2 + 1 + 1
    assert any("users without a basket, who are not in the log: 1" in note for note in log.reading.notes)


def test_ids_keep_their_digits(tmp_path: Path) -> None:
    log = read(write(tmp_path, '{"a": [[90071992547409931, 1.0, "01", -1], [1e3]]}'))
    assert log.frame["item"].to_list() == ["90071992547409931", "1.0", "01", "-1", "1e3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [[1, 2], [3', "is broken JSON"),
        ('{"a": [[1]], "b": 3}', r"is not of the form \{user"),
        ('{"a": [[1]], "a": [[2]]}', "names 1 users more than once"),
        ('{"a": [[]], "b": []}', "rows cannot be used"),
        ('{"a": [[-1]], "b": []}', "holds no basket"),
        ('{"a": [[' + "[" * 100_000, "is broken JSON"),
    ],
)
def test_a_document_that_cannot_be_read_says_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, text), format="baskets-json")


@pytest.mark.data
def test_ta_feng_as_published(data_dir: Path) -> None:
    log = read(data_dir / "tafeng")
    assert (log.n_users, log.n_items) == (13_858, 11_997)
    assert log.frame["basket"].n_unique() == 91_227
    assert log.reading.set_aside == {}
    assert "-1" not in set(log.frame["item"])
