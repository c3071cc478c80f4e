"""Sources piece by piece: whatever the pieces, together they are what reading the whole gives."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.errors import EnsueError
from ensue.events.readers import (
    Options,
    RawTable,
    content,
    delimited,
    in_pieces,
    reader_for,
    reader_of_folder,
    records,
)
from ensue.events.readers.table import REJECTED

FRAGMENTS = st.sampled_from(
    [
        "u",
        "1",
        "007",
        ",",
        ",",
        "\n",
        "\n",
        "\r\n",
        '"',
        '""',
        '"a,b"',
        '"a\nb"',
        "é",
        "::",
        " ",
        "\n\n",
        '",\n',
    ],
)
TEXTS = st.lists(FRAGMENTS, max_size=40).map("".join)


def together(pieces: Iterator[RawTable]) -> RawTable:
    tables = list(pieces)
    return RawTable(
        tables[0].file,
        pl.concat([t.frame for t in tables], how="diagonal"),
        pl.concat([t.lines for t in tables]),
        pl.concat([pl.DataFrame(schema=REJECTED), *(t.rejected for t in tables)]),
        sum(t.rows for t in tables),
    )


def refused(read: Callable[[], RawTable]) -> RawTable | str:
    """What was read, or why not."""
    try:
        return read()
    except EnsueError as fault:
        return f"{type(fault).__name__}: {fault}"


def same(path: Path, rows: int, options: Options) -> None:
    """Both ways give the same rows, or both refuse with the same words."""
    reader = reader_for(path)
    pieces = reader.pieces
    assert pieces is not None
    whole = refused(lambda: reader.read(path, options))
    if isinstance(whole, str):
        assert refused(lambda: together(pieces(path, options, rows))) == whole
        return
    found = together(pieces(path, options, rows))
    assert found.frame.equals(whole.frame)
    assert found.lines.to_list() == whole.lines.to_list()
    assert found.rejected.sort("line").rows() == whole.rejected.sort("line").rows()
    assert found.rows == whole.rows


@settings(max_examples=200, deadline=None)
@given(
    text=TEXTS, rows=st.integers(1, 4), block=st.integers(1, 30), quoting=st.booleans(), latin=st.booleans()
)
def test_delimited_text(
    tmp_path_factory: pytest.TempPathFactory, text: str, rows: int, block: int, quoting: bool, latin: bool
) -> None:
    path = tmp_path_factory.mktemp("pieces") / "log.csv"
    path.write_bytes(b"user,item\n" + text.encode("latin-1" if latin else "utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "_BLOCK", block)
        same(path, rows, Options(quoting=quoting))


@settings(max_examples=200, deadline=None)
@given(
    text=TEXTS,
    at_once=st.integers(1, 30),
    delimiter=st.sampled_from([",", "::"]),
    quoting=st.booleans(),
    latin=st.booleans(),
)
def test_a_text_that_is_read_whole_is_the_same_in_however_many_parts(
    tmp_path_factory: pytest.TempPathFactory,
    text: str,
    at_once: int,
    delimiter: str,
    quoting: bool,
    latin: bool,
) -> None:
    path = tmp_path_factory.mktemp("parts") / "log.csv"
    head = delimiter.join(["user", "item"])
    path.write_bytes(f"{head}\n{text}".encode("latin-1" if latin else "utf-8"))
    options = Options(delimiter=delimiter, quoting=quoting)
    whole = refused(lambda: delimited.read(path, options))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_AT_ONCE", at_once)
        patch.setattr(delimited, "_PIECES", 1 << 60)
        parted = refused(lambda: delimited.read(path, options))
    if isinstance(whole, str) or isinstance(parted, str):
        assert parted == whole
        return
    assert parted.frame.equals(whole.frame)
    assert parted.lines.to_list() == whole.lines.to_list()
    assert parted.rejected.rows() == whole.rejected.rows()
    assert (parted.rows, parted.notes, parted.file) == (whole.rows, whole.notes, whole.file)


def test_a_large_text_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than about a sixteenth of it is scanned at a time; with a quote in it, all at once."""
    seen: list[int] = []
    scan = records.scan

    def counted(data: bytes, delimiter: int, *, quoting: bool) -> object:
        seen.append(len(data))
        return scan(data, delimiter, quoting=quoting)

    monkeypatch.setattr(delimited, "scan", counted)
    path = tmp_path / "log.csv"
    rows = "".join(f"u{number % 977},i{number % 1013}\n" for number in range(200_000))
    path.write_text("user,item\n" + rows, encoding="utf-8")
    whole = delimited.read(path, Options())
    assert whole.rows == whole.frame.height == 200_000
    assert whole.lines.to_list() == list(range(2, 200_002))
    assert len(seen) > 1
    assert max(seen) < 2 * delimited._AT_ONCE
    seen.clear()
    path.write_text('user,item\n"u1",i1\n' + rows, encoding="utf-8")
    assert delimited.read(path, Options()).rows == 200_001
    assert len(seen) == 1


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), min_size=1, max_size=8),
    late=st.integers(0, 8),
    size=st.integers(1, 4),
    block=st.integers(1, 50),
)
def test_json_lines_with_a_late_key(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], late: int, size: int, block: int
) -> None:
    path = tmp_path_factory.mktemp("pieces") / "log.jsonl"
    lines = [
        json.dumps({"user": user, "item": item} | ({"event": "view"} if n >= late else {}))
        if user
        else "{broken"
        for n, (user, item) in enumerate(rows)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "_BLOCK", block)
        same(path, size, Options())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_parquet(tmp_path: Path, packed: bool, rows: int) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"user": list("abcabca"), "item": range(7)}).write_parquet(path, row_group_size=2)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    same(path, rows, Options())


@pytest.mark.parametrize(
    "data",
    [
        b"user,item\n",
        b"",
        b"user,item\na,\0b\n",
        b"\xff\xfeu\x00s\x00e\x00r\x00,\x00i\x00t\x00e\x00m\x00\n\x00a\x00,\x00b\x00\n\x00",
        b"user,item\ra,b\rc,d\r",
        b"\xef\xbb\xbfuser,item\na,b\n",
        b"user,item\n" + bytes(range(1, 9)) * 20 + b"\xff,a\n",
        b'user,item\n"never closed,b\nc,d\n',
        "user::item\né::b\nc::d::e\n".encode(),
    ],
)
def test_bytes_that_are_odd_or_no_text(tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(data)
    monkeypatch.setattr(content, "_BLOCK", 5)
    if not data:
        with pytest.raises(EnsueError, match="is empty"):
            reader_for(path)
        return
    same(path, 1, Options())


def test_a_piece_ends_where_a_record_does() -> None:
    text = b'a,b\n"c\nd",e\nf,g\nh'
    pieces = list(in_pieces.cut((text[i : i + 3] for i in range(0, len(text), 3)), 4, quoting=True))
    assert b"".join(pieces) == text
    assert pieces == [b"a,b\n", b'"c\nd",e\n', b"f,g\n", b"h"]
    plain = list(in_pieces.cut(iter([text]), 4, quoting=False))
    assert plain == [text[: text.rfind(b"\n") + 1], b"h"]


def test_memory_stays_that_of_a_piece(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "log.csv"
    with path.open("wb") as file:
        file.write(b"user,item,timestamp\n")
        for start in range(20):
            file.write(
                b"".join(
                    b"user%d,item%d,%d\n" % (n % 977, n % 89, n)
                    for n in range(start * 50_000, (start + 1) * 50_000)
                )
            )
    size, reader = path.stat().st_size, reader_for(path)
    assert reader.pieces is not None
    tracemalloc.start()
    rows = sum(piece.rows for piece in reader.pieces(path, Options(), 20_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 1_000_000
    assert peak < 2.5 * size, (peak, size)


@pytest.mark.parametrize("name", ["u.data", "ratings.dat", "ratings.csv"])
def test_movielens(tmp_path: Path, name: str) -> None:
    part = {"u.data": "\t", "ratings.dat": "::", "ratings.csv": ","}[name]
    rows = [part.join((str(n % 3), str(n), "4", str(978_300_000 + n))) for n in range(9)]
    head = ["userId,movieId,rating,timestamp"] if part == "," else []
    tmp_path.joinpath(name).write_text("\n".join([*head, *rows]) + "\n")
    for path in (tmp_path, tmp_path / name):
        reader = reader_of_folder(path) if path.is_dir() else reader_for(path)
        assert reader is not None
        assert reader.pieces is not None
        whole, pieces = reader.read(path, Options()), list(reader.pieces(path, Options(), 2))
        assert together(iter(pieces)).frame.equals(whole.frame)
        assert {tuple((piece.columns or {}).items()) for piece in pieces} == {
            tuple((whole.columns or {}).items())
        }
        assert whole.rows == 9
