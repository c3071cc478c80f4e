"""JSON lines: digits as written, late keys, and bad lines by number."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensue.events.readers.jsonlines as jsonlines_module
from ensue.errors import DataError
from ensue.events.readers import Options, jsonlines
from ensue.events.source import read


def write(folder: Path, text: str | bytes, name: str = "log.jsonl") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "digits", ["123456789012345678901234567890", "1.0", "1e3", "-0", "1E+2", "18446744073709551616"]
)
def test_a_number_keeps_its_digits(tmp_path: Path, digits: str) -> None:
    path = write(tmp_path, f'{{"user": 1, "item": {digits}, "x": [{digits}]}}\n')
    log = read(path)
    assert log.frame["item"].to_list() == [digits]


VALUES = st.one_of(
    st.none(), st.text(max_size=5), st.integers(), st.booleans(), st.lists(st.integers(), max_size=2)
)
KEYS = st.sampled_from(["a", "b", "c", "é"])


@given(
    rows=st.lists(st.dictionaries(KEYS, VALUES, min_size=1), min_size=1, max_size=8), size=st.integers(1, 3)
)
def test_every_value_comes_back_whatever_the_chunk(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], size: int
) -> None:
    def text(value: object) -> str | None:
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value)

    lines = [json.dumps(row, ensure_ascii=n % 2 == 0) for n, row in enumerate(rows)]
    path = write(tmp_path_factory.mktemp("rows"), "\n".join(lines))
    usual = jsonlines_module._CHUNK
    try:
        jsonlines_module._CHUNK = size
        found = jsonlines.read(path, Options())
    finally:
        jsonlines_module._CHUNK = usual
    keys = list(dict.fromkeys(key for row in rows for key in row))
    assert found.frame.select(keys).rows() == [tuple(text(row.get(key)) for key in keys) for row in rows]
    assert found.lines.to_list() == list(range(1, len(rows) + 1))


def test_bad_lines_are_set_aside_by_number(tmp_path: Path) -> None:
    good = "".join(f'{{"user": "u", "item": "i{n}"}}\n' for n in range(8))
    bad = '{"user": \n\n[1, 2]\n7\n{"user": "\\ud800", "item": "i"}\n{}\n{"user": "u"}\n{"user": null, "item": "i"}\n'
    reading = read(write(tmp_path, good + bad)).reading
    assert [(e.line, e.reason) for e in reading.examples] == [
        (9, "not valid JSON"),
        (11, "not a JSON object with keys"),
        (12, "not a JSON object with keys"),
        (13, "half of a character pair (a lone surrogate) in the text"),
        (14, "not a JSON object with keys"),
        (15, "empty item"),
        (16, "empty user"),
    ]
    assert (reading.rows_read, reading.rows_kept) == (8 + 7, 8)


def test_nothing_but_a_newline_ends_a_line(tmp_path: Path) -> None:
    log = read(write(tmp_path, '{"user": "a\u2028b", "item": "c\x85"}\r\n'))
    assert log.frame.select("user", "item").rows() == [("a\u2028b", "c\x85")]


def test_very_deep_nesting_is_a_bad_line_and_no_crash(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"log.jsonl has no JSON lines: line 1 is not valid JSON"):
        read(write(tmp_path, '{"user": ' + "[" * 100_000))


def test_gzip_latin1_and_a_mark_in_front(tmp_path: Path) -> None:
    line = '{"user": "é", "item": "i"}\n'
    for data in (gzip.compress(line.encode()), line.encode("latin-1"), b"\xef\xbb\xbf" + line.encode()):
        log = read(write(tmp_path, data))
        assert log.frame["user"].to_list() == ["é"]
    assert "read as Latin-1" in " ".join(read(write(tmp_path, line.encode("latin-1"))).reading.notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"user": 1, "item": 2}]', "log.jsonl is one JSON array: write one object per line"),
        ("\n \n", "log.jsonl is empty: there is nothing to read"),
        ('{"a": 1}\n', "No column for the user in log.jsonl: found a"),
    ],
)
def test_files_that_are_no_lines(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(write(tmp_path, text))
