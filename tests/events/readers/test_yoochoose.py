"""Yoochoose as published, and as session-rec prepares it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensue.events.source import read

CLICKS = "2,2014-04-07T10:51:09.277Z,214,0\n1,2014-04-07T10:54:09.868Z,215,S\n1,2014-04-07T10:50:00Z,216,0\n1,2014\n"
BUYS = "1,2014-04-07T10:55:00.000Z,215,12462,2\n"


def folder_of(folder: Path) -> Path:
    folder.joinpath("yoochoose-clicks.dat").write_text(CLICKS, encoding="utf-8")
    folder.joinpath("yoochoose-buys.dat").write_text(BUYS, encoding="utf-8")
    folder.joinpath("yoochoose-test.dat").write_text("9,2014-04-07T10:51:09.277Z,214,0\n", encoding="utf-8")
    return folder


def test_clicks_and_purchases_together(tmp_path: Path) -> None:
    log = read(folder_of(tmp_path))
    assert log.reading.format == "yoochoose"
    assert log.frame.select("user", "item", "event", "session", "quantity", "price", "category").rows() == [
        ("1", "216", "click", "1", None, None, "0"),
        ("1", "215", "click", "1", None, None, "S"),
        ("1", "215", "purchase", "1", 2.0, "12462", None),
        ("2", "214", "click", "2", None, None, "0"),
    ]
    assert log.frame["time"].dt.epoch("ms").max() == 1_396_868_100_000
    assert [(e.line, e.reason) for e in log.reading.examples] == [(4, "too few fields")]
    assert any("yoochoose-test.dat" in note for note in log.reading.notes)


@pytest.mark.parametrize(
    ("name", "event"), [("yoochoose-clicks.dat", "click"), ("yoochoose-buys.dat", "purchase")]
)
def test_one_file_alone(tmp_path: Path, name: str, event: str) -> None:
    log = read(folder_of(tmp_path) / name)
    assert log.reading.format == "yoochoose"
    assert log.frame["event"].unique().to_list() == [event]


def prepared(folder: Path) -> Path:
    def write(name: str, *rows: tuple[int, int, float]) -> None:
        text = "".join(f"{s}\t{i}\t{t}\n" for s, i, t in rows)
        folder.joinpath(f"clicks_{name}.txt").write_text("SessionId\tItemId\tTime\n" + text, encoding="utf-8")

    first, second, last = (3, 30, 1396437466.94), (4, 31, 1396437467.5), (5, 30, 1396537467.125)
    write("train_full", first, second)
    write("train_tr", first)
    write("train_valid", second)
    write("test", last)
    return folder


def test_no_part_of_a_prepared_folder_is_read_twice(tmp_path: Path) -> None:
    log = read(prepared(tmp_path))
    assert log.reading.format == "session-rec"
    assert log.frame.select("user", "session", "item").rows() == [
        ("3", "3", "30"),
        ("4", "4", "31"),
        ("5", "5", "30"),
    ]
    assert log.frame["time"].dt.epoch("ms").to_list() == [1396437466940, 1396437467500, 1396537467125]
    assert any(
        "not read twice: clicks_train_tr.txt, clicks_train_valid.txt" in note for note in log.reading.notes
    )
    tmp_path.joinpath("clicks_train_full.txt").unlink()
    assert read(tmp_path).frame["session"].to_list() == ["3", "4", "5"]


def test_a_prepared_file_alone(tmp_path: Path) -> None:
    log = read(prepared(tmp_path) / "clicks_test.txt")
    assert log.reading.format == "session-rec"
    assert log.n_events == 1


@pytest.mark.data
def test_the_slice_as_its_readme_has_it(data_dir: Path) -> None:
    folder = data_dir / "yoochoose-100k"
    train, test = (read(folder / f"yoochoose-clicks-100k_{part}.txt") for part in ("train_full", "test"))
    assert (train.n_events, train.n_users, train.n_items) == (70_278, 17_794, 2_933)
    assert (test.n_events, test.n_users, test.n_items) == (13_568, 3_416, 1_771)
    both = read(folder)
    assert (both.n_events, both.n_users) == (70_278 + 13_568, 17_794 + 3_416)
