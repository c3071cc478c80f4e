"""Where records begin and end: exactly what was written, for every well-formed text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensue.events.readers.records as records_module
from ensue.events.readers.records import kept, scan

FIELDS = st.text(alphabet='ab",;\n\r\té', max_size=4)
TABLES = st.lists(st.lists(FIELDS, min_size=1, max_size=4), min_size=1, max_size=8)


def written(table: list[list[str]], end: str = "\n") -> str:
    """RFC 4180: a field is quoted if it holds a quote, a delimiter or a line end."""

    def field(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if set(text) & set('",\n\r') else text

    return "".join(",".join(map(field, row)) + end for row in table)


@given(TABLES, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_records_of_quoted_text(table: list[list[str]], end: str, last_newline: bool) -> None:
    text = written(table, end)
    data = (text if last_newline else text.removesuffix(end)).encode()
    found = scan(data, ord(","), quoting=True)
    assert not found.broken
    expected, line = [], 1
    for row in table:
        raw = written([row], end)
        if raw != end or last_newline or row is not table[-1]:
            expected.append((line, 0 if raw == end else len(row), raw.removesuffix(end)))
        line += raw.count("\n")
    spans = [data[start:stop].decode() for start, stop in zip(found.starts, found.ends, strict=True)]
    assert list(zip(found.lines.tolist(), found.fields.tolist(), spans, strict=True)) == expected


@given(TABLES, st.integers(1, 7))
def test_blocks_of_any_size_give_the_same(table: list[list[str]], size: int) -> None:
    data = written(table).encode()
    whole = scan(data, ord(","), quoting=True)
    usual = records_module._BLOCK
    try:
        records_module._BLOCK = size
        split = scan(data, ord(","), quoting=True)
    finally:
        records_module._BLOCK = usual
    for name in ("starts", "ends", "fields", "lines"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(split, name))
    assert whole.broken == split.broken


@pytest.mark.parametrize(
    "text", ['a,b"c\n', 'a,"b"c\n', 'a,"b\n', '"', 'a,""b""\n', 'x,"a" ,y\n', '"a"\rb\n']
)
def test_misplaced_quotes_are_seen(text: str) -> None:
    assert scan(text.encode(), ord(","), quoting=True).broken
    assert not scan(text.encode(), ord(","), quoting=False).broken


@given(TABLES, st.data())
def test_kept_records_are_exactly_those(table: list[list[str]], data: st.DataObject) -> None:
    text = written(table).encode()
    found = scan(text, ord(","), quoting=True)
    keep = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(found.ends), max_size=len(found.ends))), dtype=bool
    )
    expected = b"".join(
        text[s:e] + b"\n" for s, e, k in zip(found.starts, found.ends, keep, strict=True) if k
    )
    # Inside a run of neighbours the line ends stay as they are in the text.
    assert kept(text, found, keep).replace(b"\r\n", b"\n") == expected.replace(b"\r\n", b"\n")
