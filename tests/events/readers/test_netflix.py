"""The Netflix Prize: blocks, films, files; every row has its film or is set aside; memory of the size of a piece."""

from __future__ import annotations

import datetime
import gzip
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.errors import DataError
from ensue.events.readers import Options, netflix, reader_for, reader_of_folder
from ensue.events.readers.joined import joined
from ensue.events.source import read

FILMS = "1,2001,Alpha, or the First\n2,NULL,Beta\n3,1987,Çédille\n"


def write(folder: Path, text: str | bytes, name: str = "combined_data_1.txt") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_blocks_with_titles_and_years(tmp_path: Path) -> None:
    write(tmp_path, "1:\n20,5,2004-02-01\n07,1,2003-01-31\n2:\n3:\n20,3,2004-01-31\n")
    write(tmp_path, FILMS.encode("latin-1"), "movie_titles.csv")
    write(tmp_path, "1:\n20\n", "probe.txt")
    log = read(tmp_path)
    assert log.frame.select("user", "item", "rating").rows() == [
        ("07", "1", 1.0),
        ("20", "3", 3.0),
        ("20", "1", 5.0),
    ]
    assert log.frame["time"].dt.date().to_list()[0] == datetime.date(2003, 1, 31)
    assert log.items is not None
    assert log.items.rows() == [
        ("1", "Alpha, or the First", 2001),
        ("2", "Beta", None),
        ("3", "Çédille", 1987),
    ]
    assert log.reading.format == "netflix"
    assert log.reading.columns == {"user": "customer", "item": "film", "time": "date", "rating": "rating"}
    notes = " ".join(log.reading.notes)
    assert "movie_titles.csv is read as Latin-1" in notes
    assert "not read: probe.txt (format netflix-probe)" in notes


BAD = [
    ("9,5,2004-02-01\n1:\n8,4,2004-02-01\n", 1, "no line of a film before it", "9,5,2004-02-01"),
    ("1:\n9,5\n8,4,2004-02-01\n", 2, "too few fields", "2 of 3 fields: 9,5"),
    ("1:\n9,5,2004-02-01,x\n8,4,2004-02-01\n", 2, "too many fields", "4 of 3 fields: 9,5,2004-02-01,x"),
    ("1:\n,5,2004-02-01\n8,4,2004-02-01\n", 2, "empty user", ",5,2004-02-01"),
    ("1:\n9,,2004-02-01\n8,4,2004-02-01\n", 2, "rating that is not a finite number", "9,,2004-02-01"),
    ("1:\n9,nan,2004-02-01\n8,4,2004-02-01\n", 2, "rating that is not a finite number", "9,nan,2004-02-01"),
    ("1:\n9,5,2004-02-30\n8,4,2004-02-01\n", 2, "time that cannot be read", "9,5,2004-02-30"),
    ("1:\n9,5,2004-02-01 10:00\n8,4,2004-02-01\n", 2, "time that cannot be read", "9,5,2004-02-01 10:00"),
    ("1:\n8,4,2004-02-01\nnothing\n", 3, "neither a film nor a rating", "nothing"),
    ("1:\n8,4,2004-02-01\n:\n", 3, "line of a film that cannot be read", ":"),
    ("1:\n8,4,2004-02-01\n2:9,5,2004-02-01\n", 3, "line of a film that cannot be read", "2:9,5,2004-02-01"),
]


@pytest.mark.parametrize(("text", "line", "reason", "value"), BAD)
def test_what_is_no_rating_is_set_aside_by_its_line(
    tmp_path: Path, text: str, line: int, reason: str, value: str
) -> None:
    log = read(write(tmp_path, text), format="netflix")
    assert log.frame.select("user", "item", "rating").rows() == [("8", "1", 4.0)]
    assert [(e.file, e.line, e.reason, e.value) for e in log.reading.examples] == [
        ("combined_data_1.txt", line, reason, value)
    ]
    assert (log.reading.rows_read, log.reading.rows_kept) == (2, 1)


def test_ratings_under_a_broken_line_of_a_film_are_not_given_to_the_film_before(tmp_path: Path) -> None:
    log = read(
        write(tmp_path, "1:\n8,4,2004-02-01\n7,4,2004-02-01\n1:2:\n9,5,2004-02-01\n3:\n8,2,2004-02-01\n")
    )
    assert log.frame.select("user", "item").rows() == [("7", "1"), ("8", "1"), ("8", "3")]
    assert log.reading.set_aside == {
        "line of a film that cannot be read": 1,
        "under a line of a film that cannot be read": 1,
    }


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
def test_ends_of_lines_and_packed_files(tmp_path: Path, end: str) -> None:
    text = end.join(["1:", "8,4,2004-02-01", "2:", "3:", "9,2,2004-02-02"])
    for data in (text.encode(), b"\xef\xbb\xbf" + text.encode() + end.encode(), gzip.compress(text.encode())):
        log = read(write(tmp_path, data))
        assert log.frame.select("user", "item", "rating").rows() == [("8", "1", 4.0), ("9", "3", 2.0)]
        assert log.reading.format == "netflix"


def test_a_file_for_each_film_in_the_folder_of_the_prize(tmp_path: Path) -> None:
    write(tmp_path, "1:\n8,4,2004-02-01\n", "training_set/mv_0000001.txt")
    write(tmp_path, "7,4,2004-02-01\n2:\n9,5,2004-02-02", "training_set/mv_0000002.txt")
    write(tmp_path, "3:\n9,x,2004-02-02\n8,1,2004-02-02\n", "training_set/mv_0000003.txt")
    write(tmp_path, FILMS.encode("latin-1"), "movie_titles.txt")
    log = read(tmp_path)
    assert log.frame.select("user", "item").rows() == [("8", "1"), ("8", "3"), ("9", "2")]
    assert [(e.file, e.line, e.reason, e.value) for e in log.reading.examples] == [
        (tmp_path.name, 1, "no line of a film before it", "mv_0000002.txt: 7,4,2004-02-01"),
        (tmp_path.name, 2, "rating that is not a finite number", "mv_0000003.txt: 9,x,2004-02-02"),
    ]
    assert log.items is not None
    assert log.items.height == 3


def test_files_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        write(tmp_path, f"{number}:\n8,4,2004-02-01\n", f"combined_data_{number}.txt")
    assert read(tmp_path).frame["item"].to_list() == ["1", "9", "10"]


LINES = st.sampled_from(
    [
        "1:",
        "2:",
        "03:",
        "8,4,2004-02-01",
        "9,1,2004-02-02",
        "9,1",
        "x",
        "",
        ":",
        "4:5:",
        "8,,2004-02-01",
        ",1,2004-02-01",
    ]
)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r\n"])), min_size=1, max_size=30), st.integers(1, 7)
)
def test_pieces_together_are_the_whole_and_a_plain_loop_agrees(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]], rows: int
) -> None:
    text = "1:\n5,5,2005-05-05\n" + "".join(line + end for line, end in lines)
    path = write(tmp_path_factory.mktemp("blocks"), text)
    whole = netflix.READERS[0].read(path, Options())
    parts = list(netflix.pieces(path, Options(), rows))
    assert max(part.frame.height for part in parts) <= rows
    again = joined(parts)
    film, good, bad = None, [], 0
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        fields = line.split(",")
        if ":" in fields[0]:
            film = line[:-1] if line[:-1].isdigit() else None
            bad += film is None
        elif len(fields) == 3 and film is not None and all(fields):
            good.append((fields[0], float(fields[1]), datetime.date.fromisoformat(fields[2]), film, number))
        else:
            bad += line != ""
    for table in (whole, again):
        assert table.frame.with_columns(line=table.lines).rows() == good
        assert table.rejected.height == bad
        assert table.rows == len(good) + bad
    assert whole.rejected.sort("line").rows() == again.rejected.sort("line").rows()
    assert whole.notes == again.notes
    assert whole.columns == again.columns


def test_pairs_without_ratings(tmp_path: Path) -> None:
    probe = write(tmp_path, "1:\n30\n20\n10:\n20\nx:\n30\n20,5,2004-02-01\n", "probe.txt")
    table = reader_for(probe).read(probe, Options())
    assert table.frame.select("customer", "film").rows() == [
        ("30", "1"),
        ("20", "1"),
        ("20", "10"),
        ("30", "x"),
    ]
    assert table.columns == {"user": "customer", "item": "film"}
    assert table.rejected.rows() == [(8, "too many fields", "3 of 1 fields: 20,5,2004-02-01")]
    dated = write(tmp_path, "1:\n30,2005-01-02\n20,2004-01-02\n30\n", "qualifying.txt")
    log = read(dated)
    assert log.frame.select("user", "item").rows() == [("20", "1"), ("30", "1")]
    assert log.frame["time"].dt.year().to_list() == [2004, 2005]
    assert log.reading.format == "netflix-probe"
    assert read(tmp_path, format="netflix-probe").reading.files == ("probe.txt",)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("combined_data_1.txt", "1:\n2:\n", "has films and no customer or rating or date under any"),
        ("combined_data_1.txt", "1:\n8,4,2004-02-01\n9,\0,2004\n", "is not a text file"),
        ("combined_data_1.txt", "1:\n" + "8" * 70_000, "has a line of more than 65,536 bytes"),
        ("combined_data_1.txt", "", "is empty"),
        ("other.txt", "1:\n", "has no combined_data_1.txt and no mv_0000001.txt"),
    ],
)
def test_files_without_ratings(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = write(tmp_path, text, name)
    with pytest.raises(DataError, match=said):
        read(path if name.startswith("combined") else tmp_path, format="netflix")


def test_other_texts_with_colons_are_not_taken(tmp_path: Path) -> None:
    for text in ("1:\nhello\nworld\n", "user:item\n1:\n", "8,4,2004-02-01\n1:\n"):
        assert reader_for(write(tmp_path, text, "x.txt")).name not in ("netflix", "netflix-probe")
    assert reader_of_folder(tmp_path) is None


MEASURE = """
import sys, tracemalloc
from pathlib import Path
from ensue.events.readers import Options, netflix
tracemalloc.start()
rows, held = 0, []
for piece in netflix.pieces(Path(sys.argv[1]), Options(), 20_000):
    rows += piece.rows
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(rows, tracemalloc.get_traced_memory()[1], peak * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_memory_is_of_the_size_of_a_piece_and_not_of_the_file(tmp_path: Path) -> None:
    block = "".join(f"{user},{user % 5 + 1},2004-02-01\n" for user in range(1_000_000, 1_050_000))
    peaks = []
    for films in (4, 40):
        path = write(
            tmp_path,
            "".join(f"{film}:\n{block}" for film in range(1, films + 1)),
            f"combined_data_{films}.txt",
        )
        run = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, timeout=120
        )
        assert run.returncode == 0, run.stderr
        rows, *peak = map(int, run.stdout.split())
        assert rows == films * 50_000
        peaks.append(peak)
    traced, resident = ([one[place] for one in peaks] for place in (0, 1))
    assert traced[1] < 40_000_000 < path.stat().st_size  # blocks of 4 MB and a piece of 20,000 rows
    assert resident[1] - resident[0] < 24_000_000  # ten times the file, 42 MB more of it


@pytest.mark.data
def test_the_first_twenty_films_of_the_prize(data_dir: Path) -> None:
    log = read(data_dir / "netflix-prize-sample")
    assert (log.n_users, log.n_items, log.n_events) == (38_152, 20, 42_813)
    counts = log.frame.group_by("item").len().sort(pl.col("item").cast(pl.Int64))["len"].to_list()
    assert counts[:4] == [547, 145, 2_012, 142]
    assert log.items is not None
    assert log.items.height == 17_770
    assert log.reading.set_aside == {}
    one = read(data_dir / "netflix-prize-sample" / "SampleTrainingFileMovie2043.txt")
    assert (one.n_events, one.n_items) == (7_871, 1)
