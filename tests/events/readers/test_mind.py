"""MIND: clicks of impressions, the shown list, and the histories."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensue.errors import DataError
from ensue.events.readers import mind
from ensue.events.source import read

LINES = [
    "1\tU2\t11/12/2019 2:14:46 PM\tN1 N2\tN5-0 N4-1 N6-1",
    "2\tU1\t11/12/2019 12:00:00 AM\t\tN7-1",
    "3\tU2\t11/9/2019 12:30:00 PM\tN1 N2\tN8-1 N4-0",
    "4\tU1\t11/12/2019 9:00:00 AM\t\tN7-0 N8-0",
    "5\tU1\t11/12/2019 9:00:00 AM\t\tN7",
    "6\tU1\t13/12/2019 9:00:00 AM\t\tN9-1",
    "7\tU1\tshort",
]
NEWS = 'N4\tsports\tgolf\tA "title"\tAn abstract\thttp://a\t[]\t[]\nN5\tnews\tworld\tB\t\thttp://b\t[]\t[]\nN6\tnews\n'


def folder_of(folder: Path) -> Path:
    folder.joinpath("behaviors.tsv").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    folder.joinpath("news.tsv").write_text(NEWS, encoding="utf-8")
    return folder


def test_each_click_is_an_event_at_the_time_of_its_impression(tmp_path: Path) -> None:
    for log in (read(folder_of(tmp_path)), read(tmp_path / "behaviors.tsv")):
        assert log.reading.format == "mind"
        frame = log.frame.with_columns(time=log.frame["time"].dt.strftime("%d %H:%M:%S"))
        assert frame.select("user", "item", "time", "event", "shown").rows() == [
            ("U1", "N7", "12 00:00:00", "click", "N7"),
            ("U2", "N8", "09 12:30:00", "click", "N8|N4"),
            ("U2", "N4", "12 14:14:46", "click", "N5|N4|N6"),
            ("U2", "N6", "12 14:14:46", "click", "N5|N4|N6"),
        ]
        assert "history" not in log.columns


def test_lines_without_a_click_and_broken_ones_are_set_aside(tmp_path: Path) -> None:
    reading = read(folder_of(tmp_path)).reading
    assert [(e.line, e.reason) for e in reading.examples] == [
        (4, "impression without a click"),
        (5, "shown list that cannot be read"),
        (6, "time that cannot be read"),
        (7, "too few fields"),
    ]
    assert reading.rows_read == 4 + len(reading.examples)
    assert any("histories, which 3 clicks have" in note for note in reading.notes)


def test_news_are_items(tmp_path: Path) -> None:
    log = read(folder_of(tmp_path))
    assert log.items is not None
    assert log.items.columns == ["item", "title", "category", "subcategory", "abstract", "first_seen"]
    assert log.items.rows() == [
        ("N4", 'A "title"', "sports", "golf", "An abstract", "2019-11-09T12:30:00"),
        ("N5", "B", "news", "world", "", "2019-11-12T14:14:46"),
    ]
    assert "lines of news.tsv that cannot be read and are left out: 1 (line 3)" in log.reading.notes


def test_an_item_is_there_since_the_first_list_that_shows_it_clicked_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(tmp_path).joinpath("news.tsv").unlink()
    whole = read(tmp_path).items
    monkeypatch.setattr(mind, "LISTS_AT_ONCE", 1)
    for found in (whole, read(tmp_path).items):
        assert found is not None
        assert dict(found.rows()) == {
            "N4": "2019-11-09T12:30:00",
            "N5": "2019-11-12T14:14:46",
            "N6": "2019-11-12T14:14:46",
            "N7": "2019-11-12T00:00:00",
            "N8": "2019-11-09T12:30:00",
        }


def test_histories_before_the_clicks_as_order(tmp_path: Path) -> None:
    log = read(folder_of(tmp_path), format="mind-history")
    assert log.frame.select("user", "item", "event", "order").rows() == [
        ("U1", "N7", "click", 1),
        *(("U2", "N1", "history", 1), ("U2", "N2", "history", 2)),
        *(("U2", "N8", "click", 3), ("U2", "N4", "click", 4), ("U2", "N6", "click", 5)),
    ]
    assert not log.has_time
    assert log.reading.set_aside == {
        "impression without a click": 1,
        "shown list that cannot be read": 1,
        "time that cannot be read": 1,
        "too few fields": 1,
    }


def test_a_test_set_says_that_nothing_was_clicked(tmp_path: Path) -> None:
    path = tmp_path / "behaviors.tsv"
    path.write_text("1\tU2\t11/12/2019 2:14:46 PM\tN1 N2\tN5 N4 N6\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"behaviors\.tsv does not say what was clicked"):
        read(path)


@pytest.mark.data
def test_the_slice_as_its_readme_has_it(data_dir: Path) -> None:
    log = read(data_dir / "mind-small-subset")
    assert log.n_users == 4_637
    assert log.frame["impression"].n_unique() == 5_000
    assert log.reading.set_aside == {}
    assert log.items is not None
    assert log.items.height == 2_000
    shown = log.frame["shown"].str.split("|").list
    assert log.frame.select(found=shown.contains(log.frame["item"]))["found"].all()
    days = log.frame["time"].dt.strftime("%Y-%m-%d")
    assert (days.min(), days.max()) == ("2019-11-09", "2019-11-14")
