"""ReChorus: parts of a log, and what is told of items."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensue.events.source import read


def folder_of(folder: Path) -> Path:
    files = {
        "train.csv": "user_id\titem_id\ttime\n1\t5\t965779200\n2\t6\t965779201\n",
        "dev.csv": "user_id\titem_id\ttime\tneg_items\n1\t6\t965779300\t[7, 8]\n",
        "test.csv": "user_id\titem_id\ttime\tneg_items\n1\t7\t965779400\t[5, 8]\n",
        "item_meta.csv": "item_id\ti_category\tr_complement\tr_substitute\n5\t3\t[6, 7]\t[]\n6\t0\t[7]\t[5,7]\n",
    }
    for name, text in files.items():
        folder.joinpath(name).write_text(text, encoding="utf-8")
    return folder


def test_the_parts_of_a_folder_are_one_log(tmp_path: Path) -> None:
    log = read(folder_of(tmp_path))
    assert log.reading.format == "rechorus"
    assert log.frame.select("user", "item").rows() == [("1", "5"), ("1", "6"), ("1", "7"), ("2", "6")]
    assert "neg_items" not in log.columns
    assert any("(neg_items) are left out" in note for note in log.reading.notes)


def test_lists_of_items_are_text_of_several_values(tmp_path: Path) -> None:
    log = read(folder_of(tmp_path) / "train.csv")
    assert log.reading.format == "rechorus"
    assert log.n_events == 2
    assert log.items is not None
    assert log.items.rows() == [("5", "3", "6|7", ""), ("6", "0", "7", "5|7")]


def test_a_missing_part_is_said_and_without_items_it_is_a_plain_table(tmp_path: Path) -> None:
    folder_of(tmp_path).joinpath("test.csv").unlink()
    assert any("are missing: test.csv" in note for note in read(tmp_path).reading.notes)
    tmp_path.joinpath("item_meta.csv").unlink()
    assert read(tmp_path / "train.csv").reading.format == "delimited"


@pytest.mark.data
def test_grocery_as_its_readme_has_it(data_dir: Path) -> None:
    log = read(data_dir / "amazon2014-grocery-rechorus")
    assert (log.n_events, log.n_users, log.n_items) == (121_892, 14_681, 8_687)
    assert log.items is not None
    assert log.items.height == 8_713
    assert any("dev.csv, test.csv" in note for note in log.reading.notes)
