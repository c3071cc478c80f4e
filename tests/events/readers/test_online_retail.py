"""Online Retail: invoice lines in a file, in daily files, and in an archive of them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from ensue.errors import DataError
from ensue.events.log import EventLog
from ensue.events.readers import online_retail
from ensue.events.source import read

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
FIRST = (
    "1001,A,CUP ,2,2020-01-02 09:00:00,1.5,7.0,France\n"
    '1001,B,"PLATE, BLUE",1,2020-01-02 09:00:00,2,7.0,France\n'
    "C1002,A,CUP,-1,2020-01-02 10:00:00,1.5,7.0,France\n"
    "1003,A,damaged?,4,2020-01-02 11:00:00,0,,France\n"
)
SECOND = (
    "1004,A,damaged?,-3,2020-01-03 09:00:00,0,8.0,Spain\n"
    "1005,C,,1,2020-01-03 09:30:00,1,8.0,Spain\n"
    "1006,A,CUP,1,2020-01-03 09:30:00,1\n"
    "1007,C,MUG,1,2020-01-03 10:30:00,1,8.0,Spain\n"
)
EVENTS = [
    ("7.0", "A", "purchase", 2.0, "1001"),
    ("7.0", "B", "purchase", 1.0, "1001"),
    ("7.0", "A", "return", -1.0, "C1002"),
    ("8.0", "A", "return", -3.0, "1004"),
    ("8.0", "C", "purchase", 1.0, "1005"),
    ("8.0", "C", "purchase", 1.0, "1007"),
]


def member(name: str, text: str) -> tuple[tarfile.TarInfo, io.BytesIO]:
    data = text.encode()
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, io.BytesIO(data)


def archive(path: Path, *files: tuple[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as out:
        link = tarfile.TarInfo("days/0.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        out.addfile(link)
        out.addfile(*member("readme.txt", "no table"))
        for name, text in files:
            out.addfile(*member(name, text))
    return path


def as_file(folder: Path) -> Path:
    path = folder / "retail.csv"
    path.write_text(HEADER + FIRST + SECOND, encoding="utf-8", newline="")
    return path


def as_folder(folder: Path) -> Path:
    for name, text in (("2020-01-03.csv", SECOND), ("2020-01-02.csv", FIRST)):
        folder.joinpath(name).write_text(HEADER + text, encoding="utf-8", newline="")
    return folder


def as_archive(folder: Path) -> Path:
    files = (("days/2020-01-03.csv", HEADER + SECOND), ("days/2020-01-02.csv", HEADER + FIRST))
    return archive(folder / "days.tar.gz", *files)


def as_folder_of_an_archive(folder: Path) -> Path:
    as_archive(folder)
    return folder


def rows(log: EventLog) -> list[tuple[object, ...]]:
    return log.frame.select("user", "item", "event", "quantity", "basket").rows()


@pytest.mark.parametrize("make", [as_file, as_folder, as_archive, as_folder_of_an_archive])
def test_lines_returns_and_titles(tmp_path: Path, make: object) -> None:
    log = read(make(tmp_path))  # type: ignore[operator]
    assert log.reading.format == "online-retail"
    assert rows(log) == EVENTS
    assert log.frame["Country"].to_list() == ["France"] * 3 + ["Spain"] * 3
    assert log.reading.set_aside == {"no customer": 1, "too few fields": 1}
    assert log.reading.rows_read == len(EVENTS) + 1 + 1
    assert log.items is not None
    assert log.items.rows() == [("A", "CUP"), ("B", "PLATE, BLUE"), ("C", "MUG")]
    assert any("of event 'return': 2" in note for note in log.reading.notes)


def test_a_row_is_found_in_its_own_file(tmp_path: Path) -> None:
    def places(path: Path) -> list[tuple[int, str]]:
        return [(e.line, e.reason) for e in read(path).reading.examples]

    expected = [
        (1 + 4, "no customer"),
        (1 + 3, "too few fields"),
    ]  # the fourth row of one, the third of the other
    assert places(as_folder(tmp_path)) == expected
    assert places(as_archive(tmp_path)) == expected
    files = {e.file for e in read(as_folder(tmp_path)).reading.examples}
    assert len(files) == 2


def test_the_most_frequent_description_is_the_title_even_if_it_comes_last(tmp_path: Path) -> None:
    for day, title in enumerate(("wrong", "RIGHT", "RIGHT "), start=1):
        lines = f"1,A,{title},1,2020-01-0{day},1,{'7' if day < 3 else ''},France\n"
        tmp_path.joinpath(f"{day}.csv").write_text(HEADER + lines, encoding="utf-8")
    log = read(tmp_path)
    assert log.items is not None
    assert log.items.rows() == [("A", "RIGHT")]
    assert [e.line for e in log.reading.examples] == [2]
    assert log.reading.examples[0].file == "3.csv"


def test_times_as_the_united_states_write_them(tmp_path: Path) -> None:
    path = tmp_path / "retail.csv"
    lines = ("12/1/2010 8:26", "1/31/2011 17:05", "31.1.2011")
    text = "".join(f"1,A,CUP,1,{time},1,7,France\n" for time in lines)
    path.write_text(HEADER + text, encoding="utf-8")
    log = read(path)
    assert [f"{time:%Y-%m-%d %H:%M}" for time in log.frame["time"]] == [
        "2010-12-01 08:26",
        "2011-01-31 17:05",
    ]
    assert [(e.line, e.reason, e.value) for e in log.reading.examples] == [
        (4, "time that cannot be read", "31.1.2011")
    ]


def test_an_archive_writes_nothing_and_follows_no_link(tmp_path: Path) -> None:
    path = as_archive(tmp_path)
    read(path)
    assert list(tmp_path.iterdir()) == [path]


def test_an_archive_that_is_too_large_stops_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online_retail, "LARGEST", len(HEADER + FIRST) + 10)
    with pytest.raises(DataError, match=r"days\.tar\.gz unpacks to more than"):
        read(as_archive(tmp_path))


def test_a_broken_archive_is_said_to_be_broken(tmp_path: Path) -> None:
    path = as_archive(tmp_path)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(DataError, match=r"days\.tar\.gz is a broken"):
        read(path, format="online-retail")


def test_a_file_with_another_header_in_an_archive_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "days.tar.gz", ("a.csv", HEADER + FIRST), ("b.csv", "x,y\n1,2\n"))
    with pytest.raises(DataError, match=r"b\.csv in days\.tar\.gz has another header"):
        read(path)


def test_misplaced_quotes_in_an_archive_stop_the_reading(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "days.tar.gz", ("a.csv", HEADER + FIRST + '1,A,"open,1,2020-01-02,1,7,France\n')
    )
    with pytest.raises(DataError, match=r"Quotes do not fit together in days\.tar\.gz: unpack it"):
        read(path)


@pytest.mark.data
def test_the_published_sizes(data_dir: Path) -> None:
    log = read(data_dir / "uci-online-retail")
    assert log.reading.rows_read == 541_909
    assert log.reading.set_aside == {"no customer": 135_080}
    assert log.n_events == 541_909 - 135_080
    assert (log.n_users, log.n_items) == (4_372, 3_684)
    assert log.items is not None
    assert log.items.height == 4_070
    assert dict(log.frame["event"].value_counts().iter_rows()) == {
        "return": 8_905,
        "purchase": 541_909 - 135_080 - 8_905,
    }
    assert log.frame["basket"].n_unique() == 22_190
