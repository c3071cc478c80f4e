"""One sequence a line: users, their items in order, and no times."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensue.errors import DataError
from ensue.events.source import read


def write(folder: Path, text: str, name: str = "log.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_lines_are_sequences_in_their_order(tmp_path: Path) -> None:
    log = read(write(tmp_path, "2 9 8 7\n1 5  6\r\n\n10 5 5 4 3\n"))
    assert log.frame.select("user", "item").rows() == [
        *[("1", "5"), ("1", "6")],
        *[("10", "5"), ("10", "5"), ("10", "4"), ("10", "3")],
        *[("2", "9"), ("2", "8"), ("2", "7")],
    ]
    assert not log.has_time
    assert log.reading.format == "sequences"
    assert (log.reading.rows_read, log.reading.rows_kept) == (9, 9)
    assert any("there are no times" in note for note in log.reading.notes)


def test_a_user_without_items_is_set_aside(tmp_path: Path) -> None:
    reading = read(write(tmp_path, "1 2 3\n7\n1 4\n"), format="sequences").reading
    assert [(e.line, e.reason, e.value) for e in reading.examples] == [(2, "a user and no items", "7")]
    assert (reading.rows_read, reading.rows_kept) == (4, 3)


@pytest.mark.parametrize("text", ["user item time\nu a 1\n", "u,i\nv,i\n", "1 2 3\n", "u\ti\tx\nu\ti\n"])
def test_other_text_files_are_not_taken_for_sequences(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    try:
        found = read(path).reading.format
    except Exception as error:  # noqa: BLE001 - what matters is who said it
        found = type(error).__name__
    assert found != "sequences"


def test_attributes_of_the_items_are_read_where_they_lie_beside(tmp_path: Path) -> None:
    log = write(tmp_path, "2 9 8 7\n1 5 6\n")
    assert read(log, format="sequences").items is None
    write(tmp_path, '{"9": [1, 2], "8": [], "4": [2, "brand"]}', "log_item2attributes.json")
    items = read(log, format="sequences").items
    assert items is not None
    assert items.rows() == [("9", ["1", "2"]), ("8", []), ("4", ["2", "brand"])]


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        '{"9": 1}',
        '{"9": [1}',
        '{"9": "12"}',
        "[" * 100_000,
        "9",
        '{"9": [null]}',
        '{"9": [[1], {}]}',
        '{"9": [], "9": [1]}',
    ],
    ids=str.__len__,
)
def test_attributes_of_another_form_are_told_and_not_left_out(tmp_path: Path, text: str) -> None:
    log = write(tmp_path, "2 9 8 7\n1 5 6\n")
    write(tmp_path, text, "log_item2attributes.json")
    with pytest.raises(DataError, match=r"log_item2attributes\.json is no object with a list of attributes"):
        read(log, format="sequences")


@pytest.mark.data
def test_amazon_beauty_as_published(data_dir: Path) -> None:
    log = read(data_dir / "amazon2014-s3rec" / "Beauty.txt")
    assert (log.n_events, log.n_users, log.n_items) == (198_502, 22_363, 12_101)
    assert log.items is not None
    assert (log.items.height, log.items["attributes"].list.len().sum()) == (12_101, 45_037)
