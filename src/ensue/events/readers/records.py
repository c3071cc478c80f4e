"""Where the records of delimited text begin and end, and how many fields each has: RFC 4180, without a Python loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_NEWLINE, _RETURN, _QUOTE = 10, 13, 34
_BLOCK = 1 << 24


@dataclass(frozen=True)
class Records:
    """The records of a text, header included.

    Attributes:
        starts: int64 `[R]` offset of the first byte of each record.
        ends: int64 `[R]` offset after its last byte, without the newline.
        fields: int64 `[R]` number of fields; 0 for an empty line.
        lines: int64 `[R]` physical line of its first byte, counting from 1.
        broken: whether some quote is neither at the edge of a field nor doubled inside quotes, or never closed; the
            other arrays mean nothing then.
    """

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    fields: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64]
    broken: bool


def scan(data: bytes, delimiter: int, *, quoting: bool) -> Records:
    """The records of a text, found in blocks of bounded size.

    A byte lies inside quotes if an odd number of quotes stands before it: so delimiters and newlines that count are
    found by parity, and a well-formed text needs no parser for that.

    Args:
        data: UTF-8 text.
        delimiter: the byte between fields.
        quoting: whether double quotes protect.
    """
    bytes_ = np.frombuffer(data, dtype=np.uint8)
    size = len(bytes_)
    quoting = quoting and b'"' in data
    ends: list[npt.NDArray[np.int64]] = []
    delimiters: list[npt.NDArray[np.int64]] = []
    newlines: list[npt.NDArray[np.int64]] = []
    quotes_seen, delimiters_seen, newlines_seen, broken = 0, 0, 0, False
    for start in range(0, size, _BLOCK):
        block = bytes_[start : start + _BLOCK]
        at_newline = np.flatnonzero(block == _NEWLINE)
        at_delimiter = np.flatnonzero(block == delimiter)
        all_newlines = at_newline
        if quoting:
            at_quote = np.flatnonzero(block == _QUOTE)
            broken = broken or _misplaced(bytes_, at_quote + start, quotes_seen, delimiter)
            outside = (np.searchsorted(at_quote, at_newline) + quotes_seen) % 2 == 0
            at_newline = at_newline[outside]
            at_delimiter = at_delimiter[(np.searchsorted(at_quote, at_delimiter) + quotes_seen) % 2 == 0]
            quotes_seen += len(at_quote)
        ends.append(at_newline + start)
        delimiters.append(np.searchsorted(at_delimiter, at_newline) + delimiters_seen)
        newlines.append(np.searchsorted(all_newlines, at_newline) + newlines_seen)
        delimiters_seen += len(at_delimiter)
        newlines_seen += len(all_newlines)
    if size and (not len(ends[-1]) or ends[-1][-1] != size - 1):  # no newline after the last record
        ends.append(np.array([size]))
        delimiters.append(np.array([delimiters_seen]))
        newlines.append(np.array([newlines_seen]))
    stops = np.concatenate([np.zeros(0, dtype=np.int64), *ends])
    before = np.concatenate([np.zeros(0, dtype=np.int64), *delimiters])
    line = np.concatenate([np.zeros(0, dtype=np.int64), *newlines])
    starts = np.concatenate([[0], stops[:-1] + 1]).astype(np.int64)[: len(stops)]
    lines = np.concatenate([[1], line[:-1] + 2]).astype(np.int64)[: len(stops)]
    trimmed = stops - ((stops > starts) & (bytes_[stops - 1] == _RETURN)) if len(stops) else stops
    fields = np.diff(before, prepend=0) + 1
    fields[trimmed == starts] = 0
    return Records(starts, trimmed, fields, lines, broken or (quoting and quotes_seen % 2 == 1))


def kept(data: bytes, records: Records, keep: npt.NDArray[np.bool_]) -> bytes:
    """The text of some records, each with a newline; a loop over runs of neighbours, not over records."""
    edges = np.flatnonzero(np.diff(keep.astype(np.int8), prepend=0, append=0))
    first, last = edges[::2], edges[1::2] - 1
    if len(first) == 1 and records.ends[last[0]] <= len(data):
        return data[records.starts[first[0]] : records.ends[last[0]]] + b"\n"
    runs = zip(records.starts[first].tolist(), records.ends[last].tolist(), strict=True)
    return b"".join(data[start:end] + b"\n" for start, end in runs)


def _misplaced(
    bytes_: npt.NDArray[np.uint8], at_quote: npt.NDArray[np.int64], seen: int, delimiter: int
) -> bool:
    """Whether an opening quote follows, or a closing one precedes, something that is not the edge of a field."""
    number = np.arange(seen, seen + len(at_quote))
    opening, closing = at_quote[number % 2 == 0], at_quote[number % 2 == 1]
    last = len(bytes_) - 1
    before = bytes_[np.maximum(opening - 1, 0)]
    good = (opening == 0) | np.isin(before, (delimiter, _NEWLINE, _QUOTE))
    if not good.all():
        return True
    after, second = bytes_[np.minimum(closing + 1, last)], bytes_[np.minimum(closing + 2, last)]
    returned = (after == _RETURN) & ((second == _NEWLINE) | (closing + 1 == last))
    return not bool(((closing == last) | np.isin(after, (delimiter, _NEWLINE, _QUOTE)) | returned).all())
