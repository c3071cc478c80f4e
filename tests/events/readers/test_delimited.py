"""Delimited text: quoting, delimiters, line numbers, headers, and bad rows set aside by line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ColumnError, ConfigError, DataError
from ensue.events.readers import Options, delimited
from ensue.events.readers.delimited import header
from ensue.events.readers.parted import delimiter_of
from ensue.events.source import read


def write(folder: Path, text: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def quoted(field: str, delimiter: str) -> str:
    return '"' + field.replace('"', '""') + '"' if set(field) & {'"', "\n", "\r", *delimiter} else field


CELLS = st.text(alphabet='xé",;:\n\r\t |1', max_size=6)


@given(
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6),
    delimiter=st.sampled_from([",", "\t", ";", "::", "|"]),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
)
def test_every_cell_comes_back_as_written(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    delimiter: str,
    end: str,
    last: bool,
) -> None:
    table = [("user", "item", "note", "more"), *(("u", "i", *row) for row in rows)]
    text = end.join(delimiter.join(quoted(cell, delimiter) for cell in row) for row in table) + (
        end if last else ""
    )
    path = write(tmp_path_factory.mktemp("cells"), text, "cells.txt")
    found = delimited.read(path, Options(delimiter=delimiter))
    assert found.frame.rows() == table[1:]
    lines, line = [], 1
    for row in table:
        lines.append(line)
        line += 1 + sum(cell.count("\n") for cell in row)
    assert found.lines.to_list() == lines[1:]
    assert found.rejected.height == 0


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", "::", "^", "~", " ", "\x01"])
def test_the_delimiter_is_found_in_the_header(delimiter: str) -> None:
    line = delimiter.join(["user_id", "item_id", "timestamp"])
    assert delimiter_of(None, f"\n{line}\n".encode(), "f") == delimiter


def test_usual_names_decide_over_mere_counts() -> None:
    assert delimiter_of(None, b"user_id;item_id;price,net,of,tax\n", "f") == ";"
    assert delimiter_of(None, b"1\tu\ta b c d,e\n2\tv\tf g\n", "f") == "\t"


@pytest.mark.parametrize(("given", "meant"), [("\\t", "\t"), ("tab", "\t"), ("space", " "), ("::", "::")])
def test_a_delimiter_may_be_spelt(given: str, meant: str) -> None:
    assert delimiter_of(given, b"", "f") == meant


@pytest.mark.parametrize("given", ["", '"', "\n"])
def test_an_impossible_delimiter_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="cannot part fields"):
        delimiter_of(given, b"", "f")


def test_no_delimiter_at_all(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"log\.csv is not a table: its first line 'hello' holds no delimiter"
    ):
        read(write(tmp_path, "hello\nworld\n"), format="delimited")


def test_bad_rows_are_set_aside_by_physical_line(tmp_path: Path) -> None:
    text = (
        "user_id,item_id,timestamp,text\n"  # 1
        'u1,i1,10,"two\nlines"\n'  # 2, 3
        "u1,i2\n"  # 4: too few
        "\n"  # 5: empty, not a row
        "u1,i3,30,x,y\n"  # 6: too many
        ",i4,40,x\n"  # 7: no user
        "u1,,50,x\n"  # 8: no item
        "u1,i5,soon,x\n"  # 9: no time
        "u1,i6,,x\n"  # 10: empty time
        "u1,i7,70,x\n"
        "u2,i8,80,x\nu2,i9,90,x\nu2,i10,100,x\nu2,i11,110,x\n"
    )
    reading = read(write(tmp_path, text)).reading
    assert [(e.line, e.reason) for e in reading.examples] == [
        (4, "too few fields"),
        (6, "too many fields"),
        (7, "empty user"),
        (8, "empty item"),
        (9, "time that cannot be read"),
        (10, "empty time"),
    ]
    assert reading.examples[0].value == "2 of 4 fields: u1,i2"
    assert reading.examples[4].value == "soon"
    assert (reading.rows_read, reading.rows_kept) == (12, 6)
    assert sum(reading.set_aside.values()) == 6
    assert any("line breaks inside quotes" in note and "line 2" in note for note in reading.notes)


def test_quotes_inside_an_unquoted_field_are_text_and_said(tmp_path: Path) -> None:
    log = read(
        write(tmp_path, 'user,item,time,text\nu,a,1,6" tall\nu,b,2,"quoted, too"\nu,c,3,"oops" x\nu,d,4,y\n')
    )
    assert log.frame["text"].to_list() == ['6" tall', "quoted, too", "y"]
    assert log.reading.set_aside == {"quotes that do not fit together": 1}
    assert log.reading.examples[0].line == 4
    assert any("quotes inside unquoted fields" in note for note in log.reading.notes)


def test_the_careful_pass_counts_lines_and_fields_too(tmp_path: Path) -> None:
    text = 'user,item,time,text\nu,a,1,"x\ny"\nu,b,2\nu,c,3,6" z\n\nu,d,4,5,6\nu,e,5,z\n'
    log = read(write(tmp_path, text))
    assert log.frame["item"].to_list() == ["a", "c", "e"]
    assert [(e.line, e.reason) for e in log.reading.examples] == [
        (4, "too few fields"),
        (7, "too many fields"),
    ]
    assert log.reading.rows_read == 5


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('user\titem\ttext\nu\ta\tok\nu\tb\t"5 inch\nu\tc\tit is 6" tall\n', 3),
        ('user\titem\ttext\nu\ta\t"never closed\nu\tb\tx\n', 2),
    ],
)
def test_an_open_quote_stops_with_its_line_and_the_way_out(tmp_path: Path, text: str, line: int) -> None:
    path = write(tmp_path, text, "log.tsv")
    with pytest.raises(DataError) as caught:
        read(path)
    assert f"in log.tsv: the row that begins in line {line} opens a quote" in str(caught.value)
    assert "quoting=False (--no-quoting)" in str(caught.value)
    log = read(path, quoting=False)
    assert log.n_events == text.count("\n") - 1
    assert '"' in "".join(log.frame["text"])


def test_a_file_without_a_header_says_so_and_can_be_read_by_place(tmp_path: Path) -> None:
    path = write(tmp_path, "1,5,100\n1,2,50\n7,3,60\n")
    with pytest.raises(ColumnError) as caught:
        read(path)
    assert "The first line of log.csv (1, 5, 100) looks like data" in str(caught.value)
    assert "--columns user=1,item=2,time=3" in str(caught.value)
    log = read(path, columns={"user": "1", "item": "2", "time": "3"})
    assert log.frame["item"].to_list() == ["2", "5", "3"]
    assert log.reading.rows_read == 3


def test_places_beyond_the_columns_and_places_in_a_file_with_a_header(tmp_path: Path) -> None:
    with pytest.raises(
        ColumnError, match=r"Column '9' \(mapped to item\) is not in log.csv, which has: 1, 2, 3"
    ):
        read(write(tmp_path, "1,5,100\n"), columns={"user": "1", "item": "9"})
    with pytest.raises(ColumnError, match=r"log.csv has a header \(uid, sku, ts\), so map columns by name"):
        read(write(tmp_path, "uid,sku,ts\nu,a,1\n"), columns={"user": "1", "item": "2"})


def test_header_names_are_trimmed_filled_and_told_apart() -> None:
    assert header([" user ", "", "x", "x"]) == ["user", "column 2", "x", "x (column 4)"]


def test_a_column_that_stands_twice_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match=r"Column 'item' stands 2 times in the header of log.csv"):
        read(write(tmp_path, "user,item,item\nu,a,b\n"))


@pytest.mark.parametrize(
    "text", ["user,item,time\n", "user,item,time", 'user,item,"time"\n\n\n', 'user,item,a"b\n']
)
def test_a_header_and_no_rows(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"log.csv has a header \(user, item, .*\) and no rows"):
        read(write(tmp_path, text))


@pytest.mark.parametrize(
    ("data", "note"),
    [
        ("user,item\né,ü\n".encode(), "read as UTF-8"),
        (b"\xef\xbb\xbf" + "user,item\né,ü\n".encode(), "read as UTF-8"),
        ("user,item\né,ü\n".encode("latin-1"), "read as Latin-1"),
        ("user,item\né,ü\n".encode("utf-16"), "read as UTF-16"),
        (gzip.compress("user,item\né,ü\n".encode(), mtime=0), "read as UTF-8"),
        ("user,item\ré,ü\r".encode(), "read as UTF-8"),
    ],
)
def test_encodings_and_gzip(tmp_path: Path, data: bytes, note: str) -> None:
    log = read(write(tmp_path, data))
    assert log.frame.select("user", "item").rows() == [("é", "ü")]
    assert any(note in found for found in log.reading.notes)


def test_a_delimiter_of_two_characters_inside_quotes_belongs_to_the_field(tmp_path: Path) -> None:
    log = read(write(tmp_path, 'user::item::text\nu::i::"a::b"\n'))
    assert log.frame["text"].to_list() == ["a::b"]
