"""`read` as a whole: every format gives the same log, no row is lost without count, no bytes give a traceback."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.errors import ColumnError, ConfigError, DataError, EnsueError
from ensue.events.filtering import Filters
from ensue.events.log import EventLog
from ensue.events.readers import content
from ensue.events.source import Stream, read

IDS = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=8) | st.sampled_from(
    ["NA", "null", "nan", "None", "0", "-1", "007", "1.0", "1e3", "<pad>", '"', "#", "//", "True", "inf"]
)
ROWS = st.lists(st.tuples(IDS, IDS, st.integers(1, 2**33)), min_size=1, max_size=12)


def sequences(log: EventLog) -> dict[str, list[str]]:
    return {key[0]: part["item"].to_list() for key, part in log.frame.group_by("user", maintain_order=True)}


def write(folder: Path, text: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@given(ROWS)
def test_ids_are_the_same_text_from_every_format(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("formats")
    table = io.StringIO(newline="")
    csv.writer(table, quoting=csv.QUOTE_ALL).writerows([("user_id", "item_id", "timestamp"), *rows])
    lines = "\n".join(json.dumps({"user_id": u, "item_id": i, "timestamp": t}) for u, i, t in rows)
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    frame.write_parquet(folder / "log.parquet")
    logs = [
        read(write(folder, table.getvalue(), "log.csv")),
        read(write(folder, lines, "log.jsonl")),
        read(folder / "log.parquet"),
        read(frame),
    ]
    expected = [
        (u, i) for _, (u, i, _) in sorted(enumerate(rows), key=lambda p: (p[1][0].encode(), p[1][2], p[0]))
    ]
    for log in logs:
        assert log.frame.select("user", "item").rows() == expected
        assert log.fingerprint() == logs[0].fingerprint()
        assert log.reading.rows_kept == len(rows)


PIECES = st.sampled_from(
    ["u", "i", "1", ",", ",", ",", "\n", "\n", '"', "\t", "2024-01-01", "1.5", " ", "é", "nan", ";"]
)


@given(st.lists(PIECES, max_size=40), st.booleans())
def test_no_row_is_lost_without_being_counted(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], quoting: bool
) -> None:
    body = "".join(pieces)
    path = write(tmp_path_factory.mktemp("rows"), "user,item,time\nu,i,1\n" + "u,i,2\n" * 60 + body + "\n")
    try:
        reading = read(path, quoting=quoting).reading
    except DataError:
        return
    assert reading.rows_read == reading.rows_kept + sum(reading.set_aside.values())
    assert len(reading.examples) == min(sum(reading.set_aside.values()), 20)
    if '"' not in body or not quoting:
        assert reading.rows_read == 61 + sum(bool(line) for line in body.split("\n"))


NAMES = st.sampled_from(
    ["f.csv", "f.tsv", "f.txt", "f.dat", "f.jsonl", "u.data", "ratings.dat", "ratings.csv", "f"]
)
STARTS = st.sampled_from(
    [
        b"",
        b"user,item,time\nu,i,1\n",
        b'user\titem\ttime\nu\t"i\t1\n',
        b'{"user": "u", "item": 1, "time": 1.5}\n',
        b"1::2::3::978300760\n",
        b"1\t2\t3\t881250949\n",
        b"1 2 3\n4 5\n",
        b"\x1f\x8b\x08\x00",
        b"\xff\xfe",
    ]
)


@settings(max_examples=150)
@given(STARTS, st.binary(max_size=60), NAMES, st.booleans())
def test_no_bytes_give_anything_but_a_log_or_a_message(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes, name: str, whole_folder: bool
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    path = write(folder, start + rest, name)
    try:
        reading = read(folder if whole_folder else path).reading
    except EnsueError as error:
        assert str(error)  # noqa: PT017 - that it is one of ours is what is asserted
        return
    assert reading.rows_read == reading.rows_kept + sum(reading.set_aside.values())


# ------------------------------------------------------------------------------------------- folders


def test_the_files_of_a_folder_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, "user,item,time\nu,c,5\nu,d,5\n", "part-2.csv")
    write(tmp_path, "user,item,time,device\nu,a,5,tv\n,x,5,tv\nu,b,5,tv\n", "part-1.csv")
    write(tmp_path, "about these files", "README.txt")
    write(tmp_path, "x", "notes.md")
    log = read(tmp_path)
    assert log.frame["item"].to_list() == ["a", "b", "c", "d"]
    assert log.frame["row"].to_list() == sorted(log.frame["row"].to_list())
    assert log.frame["device"].to_list() == ["tv", "tv", None, None]
    assert log.reading.files == ("part-1.csv", "part-2.csv")
    assert [(e.file, e.line) for e in log.reading.examples] == [("part-1.csv", 3)]
    assert any("README.txt, notes.md" in note for note in log.reading.notes)


def test_the_tie_order_of_a_folder_is_the_order_of_its_files(tmp_path: Path) -> None:
    rows = [f"u,{name},5\n" for name in "dcba"]
    whole = read(write(tmp_path, "user,item,time\n" + "".join(rows)))
    parts = tmp_path / "parts"
    parts.mkdir()
    for number, row in enumerate(rows):
        write(parts, "user,item,time\n" + row, f"{number}.csv")
    assert read(parts).fingerprint() == whole.fingerprint()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, r"holds nothing readable \(nothing\): give a folder with .csv, .tsv, .txt"),
        ({"a.bin": "x"}, r"holds nothing readable \(a.bin\)"),
        (
            {"a.csv": "user,item\nu,i\n", "b.jsonl": '{"user": 1}\n'},
            r"several formats \(delimited: a.csv; jsonlines: b.jsonl\)",
        ),
        (
            {"a.csv": "user,item\nu,i\n", "b.csv": "user,item,time\nu,i,1\n"},
            "The times of b.csv are read as 's', not 'none' as in a.csv",
        ),
        (
            {"a.csv": "user,item,time\nu,i,1600000000\n", "b.csv": "user,item,time\nu,i,1600000000000\n"},
            r"The times of b.csv are read as 'ms', not 's' as in a.csv: force one with time_unit",
        ),
        (
            {"a.csv": "user,item\nu,i\n", "b.csv": "user,thing\nu,i\n"},
            "No column for the item in b.csv: found user, thing",
        ),
    ],
)
def test_folders_that_make_no_log(tmp_path: Path, files: dict[str, str], said: str) -> None:
    for name, text in files.items():
        write(tmp_path, text, name)
    with pytest.raises(DataError, match=said):
        read(tmp_path)


# ------------------------------------------------------------------------------------------- limits and options


def test_more_than_half_bad_rows_stop_with_the_first_example_and_a_remedy(tmp_path: Path) -> None:
    half = "user,item,time\nu,a,1\nu,b,2\nu,c,x\n,d,4\n"
    assert read(write(tmp_path, half)).n_events == 2
    with pytest.raises(DataError) as caught:
        read(write(tmp_path, half + "u,e,x\n"))
    text = str(caught.value)
    assert "3 of 5 rows cannot be used" in text
    assert "log.csv, line 4: time that cannot be read ('x')" in text
    assert "time_unit (--time-unit)" in text


def test_decimal_marks(tmp_path: Path) -> None:
    path = write(tmp_path, "user;item;rating;qty\nu;a;4,5;1.000\nu;b;-3;2\n")
    log = read(path, decimal=",")
    assert log.frame.select("rating", "quantity").rows() == [(4.5, 1000.0), (-3.0, 2.0)]
    mostly = write(tmp_path, "user;item;rating\nu;a;4\nu;b;4,5\n")
    assert [(e.line, e.value) for e in read(mostly).reading.examples] == [(3, "4,5")]
    with pytest.raises(ConfigError, match=r"The decimal mark '·' is not possible: give '.' or ','"):
        read(path, decimal="·")


@pytest.mark.parametrize("number", ["nan", "inf", "-Infinity", "1e999", "five", "0x10", "1_000"])
def test_ratings_that_are_no_finite_number(tmp_path: Path, number: str) -> None:
    log = read(write(tmp_path, f"user,item,rating\nu,a,1\nu,b,{number}\nu,c,0\n"))
    assert log.reading.set_aside == {"rating that is not a finite number": 1}
    assert log.frame["rating"].to_list() == [1.0, 0.0]


def test_an_empty_rating_is_no_rating_and_no_bad_row(tmp_path: Path) -> None:
    log = read(write(tmp_path, "user,item,rating\nu,a,1\nu,b,\n"))
    assert log.frame["rating"].to_list() == [1.0, None]
    assert "events without rating: 1" in log.reading.notes


def test_orders_must_be_whole_numbers(tmp_path: Path) -> None:
    log = read(write(tmp_path, "user,item,pos\nu,a,2\nu,b,1.5\nu,c, 1 \nu,d,0\n"))
    assert log.frame["item"].to_list() == ["d", "c", "a"]
    assert log.reading.set_aside == {"order that is not a whole number": 1}


def test_bounds_set_rows_aside(tmp_path: Path) -> None:
    path = write(tmp_path, "user,item,time\nu,a,2020-01-01\nu,b,2021-01-01\nu,c,2022-01-01\nu,d,2023-01-01\n")
    log = read(path, since="2021-01-01", until="2022-01-01T00:00:00Z")
    assert log.frame["item"].to_list() == ["b", "c"]
    assert log.reading.set_aside == {"before the bound 'since'": 1, "after the bound 'until'": 1}
    with pytest.raises(ConfigError, match="since='2020' is not a date or time"):
        read(path, since="2020")


def test_rows_outside_the_bounds_are_no_bad_rows(tmp_path: Path) -> None:
    """However many they are; where none is left, or the rest is bad, that is said."""
    path = write(tmp_path, "user,item,time\nu,a,2020-01-01\nu,b,2021-01-01\nu,c,2022-01-01\nu,d,2023-01-01\n")
    log = read(path, until="2020-06-01")
    assert log.frame["item"].to_list() == ["a"]
    assert log.reading.set_aside == {"after the bound 'until'": 3}
    with pytest.raises(
        DataError, match=r"None of 4 rows lies within the bounds.*line 2.*'until'.*widen them"
    ):
        read(path, until="2019-01-01")
    bad = write(tmp_path, "user,item,time\nu,a,2020-01-01\nu,,2020-01-01\nu,,2020-01-01\nu,d,2023-01-01\n")
    with pytest.raises(DataError, match=r"2 of 4 rows cannot be used. First: .*line 3: empty item"):
        read(bad, until="2021-01-01")


def test_a_date_as_the_last_bound_holds_all_of_that_day(tmp_path: Path) -> None:
    rows = [
        "a,2024-02-29T23:59:59Z",
        "b,2024-03-01T00:00Z",
        "c,2024-03-01T23:59:59.999999Z",
        "d,2024-03-02T00:00Z",
    ]
    path = write(tmp_path, "user,item,time\n" + "".join(f"u,{row}\n" for row in rows))
    for until, left in (("2024-03-01", "abc"), ("2024-03-01T00:00Z", "ab"), ("2024-03-02", "abcd")):
        assert "".join(read(path, until=until).frame["item"]) == left
        assert "".join(Filters(until=until).apply(read(path)).frame["item"]) == left
    assert "".join(read(path, since="2024-03-01", until="2024-03-01").frame["item"]) == "bc"


def test_decimal_commas_that_cost_rows_come_with_the_remedy(tmp_path: Path) -> None:
    path = write(tmp_path, "user;item;rating\nu;a;1\nu;b;3,5\nu;c;4\nu;d;x\n")
    log = read(path)
    assert log.reading.set_aside == {"rating that is not a finite number": 2}
    assert any(
        "2 x rating that is not a finite number, some with a comma: give the decimal mark" in note
        for note in log.reading.notes
    )
    assert read(path, decimal=",").frame["rating"].to_list() == [1.0, 3.5, 4.0]
    plain = read(write(tmp_path, "user,item,rating\nu,a,1\nu,c,4\nu,d,x\n"))
    assert not any("comma" in note for note in plain.reading.notes)


def test_ids_keep_their_spaces_and_that_is_said(tmp_path: Path) -> None:
    log = read(write(tmp_path, "user, item\nu, a\nu,a\n"))
    assert log.frame["item"].to_list() == [" a", "a"]
    assert any(
        "values of item that begin or end with a space, which is part of the id: 1" in note
        for note in log.reading.notes
    )


def test_context_columns_that_bear_canonical_names_move_aside(tmp_path: Path) -> None:
    log = read(write(tmp_path, "user,customer,item,row,time\nu,k,a,9,1\n"), columns={"user": "customer"})
    assert log.frame.select("user", "source user", "row", "source row").row(0) == ("k", "u", 0, "9")


def test_an_unknown_key_is_refused_before_the_file_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match="'timestmap', did you mean 'time'"):
        read(tmp_path / "nothing.csv", columns={"timestmap": "ts"})
    with pytest.raises(ConfigError, match="Unknown time unit 'second'"):
        read(tmp_path / "nothing.csv", time_unit="second")


# ------------------------------------------------------------------------------------------- tables in memory


def test_a_lazy_frame_and_mapped_names() -> None:
    log = read(
        pl.LazyFrame({"who": ["u"], "what": [3], "when": ["2024-01-01"]}),
        columns={"user": "who", "item": "what", "time": "when"},
    )
    assert log.frame.select("user", "item").row(0) == ("u", "3")
    assert (log.reading.format, log.reading.files) == ("frame", ())


def test_a_pandas_frame() -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    log = read(
        pandas.DataFrame({"user_id": ["007", "007"], "item_id": [5, 3], "rating": [float("nan"), 4.0]})
    )
    assert log.frame.select("user", "item", "rating").rows() == [("007", "5", None), ("007", "3", 4.0)]
    with pytest.raises(DataError, match="The pandas DataFrame has a column of mixed kinds"):
        read(pandas.DataFrame({"user": [1, "a"], "item": [1, 2]}))
    with pytest.raises(ColumnError, match=r"in pandas: df\[\.\.\.\]\.astype\('Int64'\)\.astype\('string'\)"):
        read(pandas.DataFrame({"user": [1.0, None], "item": [1, 2]}))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (pl.DataFrame({"user": [], "item": []}), r"The table has columns \(user, item\) and no rows"),
        ([("u", "i")], "A list is no source: give a path, a polars DataFrame or a pandas DataFrame"),
        (None, "A NoneType is no source"),
    ],
)
def test_what_is_no_table(source: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(source)


def test_rows_of_a_frame_are_counted_from_one() -> None:
    log = read(pl.DataFrame({"user": ["u", "", "u"], "item": ["a", "b", "c"]}))
    assert [(e.file, e.line) for e in log.reading.examples] == [("the table", 2)]


@settings(deadline=None, max_examples=20)
@given(
    rows=st.lists(
        st.tuples(IDS, IDS, st.integers(1, 2**33)), min_size=2, max_size=12, unique_by=lambda row: row[2]
    ),
    parts=st.lists(st.integers(0, 2), min_size=12, max_size=12),
    seed=st.randoms(use_true_random=False),
)
def test_neither_the_order_of_files_nor_that_of_rows_changes_sequences(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]], parts: list[int], seed: Random
) -> None:
    def as_folder(order: list[int], names: list[str]) -> EventLog:
        folder = tmp_path_factory.mktemp("folder")
        for part, name in enumerate(names):
            mine = [rows[n] for n in order if parts[n] == part]
            if mine:
                table = io.StringIO(newline="")
                csv.writer(table, quoting=csv.QUOTE_ALL).writerows(
                    [("user_id", "item_id", "timestamp"), *mine]
                )
                write(folder, table.getvalue(), name)
        return read(folder, time_unit="s")

    order = list(range(len(rows)))
    first = as_folder(order, ["a.csv", "b.csv", "c.csv"])
    seed.shuffle(order)
    second = as_folder(order, ["c.csv", "a.csv", "b.csv"])
    assert sequences(first) == sequences(second)
    assert first.fingerprint() == second.fingerprint()
    gap = first.with_sessions(1000).frame.select("user", "item", "session").rows()
    assert gap == second.with_sessions(1000).frame.select("user", "item", "session").rows()


def test_pieces_without_a_time_say_nothing_of_its_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "_BLOCK", 20)
    rows = ["u,a,", "u,b,", "u,c,2020-01-01", "u,d,", "u,e,2020-01-02", "u,f,2020-01-03", "u,g,2020-01-04"]
    path = write(tmp_path, "user,item,timestamp\n" + "\n".join(rows) + "\n")
    stream = Stream(path, rows=1)
    frames = list(stream.frames())
    assert len(frames) > 3
    log, account = read(path), stream.account()
    assert pl.concat(frames)["item"].to_list() == log.frame["item"].to_list() == list("cefg")
    assert account.time_unit == log.reading.time_unit == "iso"
    assert account.set_aside == log.reading.set_aside == {"empty time": 3}


def test_pieces_of_different_units_are_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "_BLOCK", 20)
    rows = [f"u,a,{n * 1000}" for n in range(5)] + [f"u,b,{1_600_000_000_000 + n}" for n in range(5)]
    path = write(tmp_path, "user,item,timestamp\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"mix units: line 4 has 2000 .*, line 7 .*force one with time_unit"):
        list(Stream(path, rows=2).frames())
    forced = read(path, time_unit="ms")
    assert (
        sum(frame.height for frame in Stream(path, rows=2, time_unit="ms").frames()) == forced.n_events == 10
    )
