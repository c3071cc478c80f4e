"""CSV, TSV and any other delimited text: RFC 4180 quoting, a delimiter of one or several characters, all text exact."""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from ensue.errors import ColumnError, DataError
from ensue.events import columns
from ensue.events.readers import content, in_pieces
from ensue.events.readers.parted import Text, delimiter_of, single
from ensue.events.readers.records import Records, kept, scan
from ensue.events.readers.table import REJECTED, Options, RawTable, Reader, rejected
from ensue.events.reading import EXAMPLES_KEPT

TOO_FEW, TOO_MANY = "too few fields", "too many fields"
_AT_ONCE, _PIECES = 1 << 20, 16
"""Least bytes of a text without quotes that are read at once, and about the most pieces that it is cut into."""
Naming = Callable[[list[str]], tuple[list[str], bool]]
"""From the fields of a first record to the names of the columns, and whether that record is a row itself."""


def read(path: Path, options: Options) -> RawTable:
    """The rows of a delimited text file, all columns text as written; an empty field is empty text.

    Raises:
        DataError: no text, no rows, quotes that do not fit together.
        ColumnError: columns are missing or ambiguous, before the rows are read.
    """
    return split(path, options, lambda first: _names(first, options, path.name))


def split(path: Path, options: Options, naming: Naming) -> RawTable:
    """The rows of a delimited text file whose column names are found by a rule of the caller's.

    Args:
        path: the file.
        options: delimiter and quoting.
        naming: from the fields of the first record to the column names, and whether that record is a row itself.
    """
    file = path.name
    data, notes = content.text(content.content(path), file)
    written = delimiter_of(options.delimiter, data, file, quoting=options.quoting)
    judged_at_once = options.quoting and b'"' in data
    cut: Iterable[bytes] = [data]
    if not judged_at_once:  # piece by piece the same is found in a fraction of the memory
        size = max(_AT_ONCE, len(data) // _PIECES)
        blocks = (data[start : start + size] for start in range(0, len(data), size))
        cut = in_pieces.cut(blocks, size, quoting=False)
    tables = list(_tables(file, cut, written, options.quoting, naming, sys.maxsize))
    return RawTable(
        file=file,
        frame=pl.concat([table.frame for table in tables]),
        lines=pl.concat([table.lines for table in tables]),
        rejected=pl.concat([table.rejected for table in tables]),
        rows=sum(table.rows for table in tables),
        notes=(*notes, *dict.fromkeys(note for table in tables for note in table.notes)),
    )


def pieces(path: Path, options: Options, rows: int) -> Iterator[RawTable]:
    """The rows of a delimited text file piece by piece: together they are what `read` gives.

    Args:
        path: the file.
        options: delimiter and quoting.
        rows: about how many rows make a piece.
    """
    return split_pieces(path, options, rows, lambda first: _names(first, options, path.name))


def split_pieces(path: Path, options: Options, rows: int, naming: Naming) -> Iterator[RawTable]:
    """As `split`, piece by piece."""
    file = path.name
    writing = in_pieces.writing_of(path)
    if not writing.plain:
        yield split(path, options, naming)
        return
    start = content.head(path).removeprefix(codecs.BOM_UTF8)
    start = start.decode("latin-1").encode() if writing.encoding == "latin-1" else start
    written = delimiter_of(options.delimiter, start, file, quoting=options.quoting)
    size = rows * (len(start) // max(start.count(b"\n"), 1) + 1)
    cut = in_pieces.cut(in_pieces.utf8(path, writing), size, quoting=options.quoting)
    for table in _tables(file, cut, written, options.quoting, naming, rows):
        yield dataclasses.replace(table, notes=(*writing.notes, *table.notes))


def _tables(
    file: str, texts: Iterable[bytes], written: str, quoting: bool, naming: Naming, rows: int
) -> Iterator[RawTable]:
    """The rows of each piece of a text; from the first piece whose quotes do not fit on, read with care.

    Args:
        file: name of the file, for messages.
        texts: the pieces, each but the last ending where a record does.
        written: the delimiter as it is written.
        quoting: whether double quotes protect.
        naming: as in `split`.
        rows: the most of one table that is read with care.
    """
    cut = iter(texts)
    names: list[str] = []
    wide: tuple[str, ...] = ()
    headless, lines, found = False, 0, 0
    for data in cut:
        text = single(Text(file, data, written.encode(), written, quoting))
        records = scan(text.data, text.delimiter[0], quoting=text.quoting)
        table = None
        if not records.broken:
            filled = np.flatnonzero(records.fields > 0)
            if not names and len(filled):
                first = text.data[records.starts[filled[0]] : records.ends[filled[0]]]
                names, headless = naming(text.fields(first))
                filled = filled if headless else filled[1:]
            if not len(filled):
                lines += data.count(b"\n")
                continue
            table = _table(text, records, filled, names, lines)
        if table is None:
            rest = (text.alike(more) for more in cut)
            begun = names if lines else []
            for slow in _carefully(text, chain([text.data], rest), naming, begun, lines, rows):
                found += slow.rows
                yield slow
            break
        found += table.rows
        wide = wide or table.notes
        yield dataclasses.replace(table, notes=wide)
        lines += data.count(b"\n")
    _refuse_no_rows(found, names, file)


def _table(
    text: Text,
    records: Records,
    rows: npt.NDArray[np.int64],
    names: list[str],
    before: int = 0,
) -> RawTable | None:
    """The rows of well-formed records, `before` lines of the file standing before them; None if they are not."""
    right = records.fields[rows] == len(names)
    keep = np.zeros(len(records.fields), dtype=np.bool_)
    keep[rows[right]] = True
    frame = _parsed(text, kept(text.data, records, keep), names)
    if frame.height != int(right.sum()):
        return None
    notes: tuple[str, ...] = ()
    wide = np.flatnonzero(np.diff(records.lines) > 1)
    if len(wide):
        line = records.lines[wide[0]] + before
        notes = (f"line breaks inside quotes belong to their field (first: line {line} of {text.file})",)
    misshapen = _misshapen(text, records, rows[~right], len(names))
    return RawTable(
        file=text.file,
        frame=frame,
        lines=pl.Series("line", records.lines[rows[right]] + before),
        rejected=misshapen.with_columns(pl.col("line") + before),
        rows=len(rows),
        notes=notes,
    )


def _names(first: list[str], options: Options, file: str) -> tuple[list[str], bool]:
    """Column names, and whether the file has no header so that the columns are named 1, 2, 3, ...

    Raises:
        ColumnError: the columns do not serve, which is said before any row is read.
    """
    first = [field.strip() for field in first]
    places = [str(place) for place in range(1, len(first) + 1)]
    if columns.by_position(options.columns, first):
        if sum(columns.usual(field) is not None for field in first) > 1:
            raise ColumnError(
                f"{file} has a header ({', '.join(first)[:80]}), so map columns by name, not by place: "
                f"columns={{'item': '{first[min(1, len(first) - 1)][:40]}'}}."
            )
        columns.choose(places, options.columns, file)
        return places, True
    if columns.looks_like_data(first) and not any(
        source in first for source in options.columns.values() if source
    ):
        raise ColumnError(
            f"The first line of {file} ({', '.join(first)[:80]}) looks like data, not like column names: say which "
            "place is what, columns={'user': '1', 'item': '2', 'time': '3'} (--columns user=1,item=2,time=3)."
        )
    names = header(first)
    chosen = columns.choose(names, options.columns, file).columns
    for canonical, source in chosen.items():
        if first.count(source) > 1:
            raise ColumnError(
                f"Column '{source}' stands {first.count(source)} times in the header of {file}: rename one, or map "
                f"another column, columns={{'{canonical}': 'NAME'}}."
            )
    return names, False


def header(first: list[str]) -> list[str]:
    """The fields of a first line as column names: trimmed, none empty, no two alike."""
    names: list[str] = []
    for place, name in enumerate((field.strip() for field in first), start=1):
        fresh = name or f"column {place}"
        while fresh in names:
            fresh += f" (column {place})"
        names.append(fresh)
    return names


def _parsed(text: Text, data: bytes, names: list[str]) -> pl.DataFrame:
    schema = {name: pl.String() for name in names}
    if not data:
        return pl.DataFrame(schema=schema)
    try:
        frame = pl.read_csv(
            data,
            has_header=False,
            separator=text.delimiter.decode(),
            quote_char='"' if text.quoting and b'"' in data else None,
            schema=schema,
            empty_string_is_null=False,
        )
    except pl.exceptions.PolarsError:
        return pl.DataFrame(schema=schema)  # the careful pass finds out
    if len(text.written) > 1 and text.delimiter in data and text.quoting:
        frame = frame.with_columns(
            pl.all().str.replace_all(text.delimiter.decode(), text.written, literal=True)
        )
    return frame


def _misshapen(text: Text, records: Records, wrong: npt.NDArray[np.int64], expected: int) -> pl.DataFrame:
    """The records with too few or too many fields; only the first few keep their text, as examples."""
    shown = [text.data[records.starts[i] : records.ends[i]].decode() for i in wrong[:EXAMPLES_KEPT]]
    counts = records.fields[wrong]
    lead = pl.select(pl.concat_str(pl.lit(pl.Series(counts)), pl.lit(f" of {expected} fields: "))).to_series()
    values = lead + pl.Series(
        [text.restored(line) for line in shown] + [""] * (len(wrong) - len(shown)), dtype=pl.String
    )
    few = pl.Series(counts < expected)
    table = rejected(pl.Series(records.lines[wrong]), "", values)
    return table.with_columns(reason=pl.when(few).then(pl.lit(TOO_FEW)).otherwise(pl.lit(TOO_MANY)))


def _carefully(
    text: Text, blocks: Iterable[bytes], naming: Naming, names: list[str], before: int, rows: int
) -> Iterator[RawTable]:
    """The rows of a text with misplaced quotes, record by record, in tables of so many rows.

    A quote inside an unquoted field is a plain character, as nearly every program takes it. A quoted field that goes
    wrong within its line costs that row; one that goes wrong further down leaves it open where the row ends, and stops.

    Args:
        text: the first of it.
        blocks: all of it, delimiters as in `text`.
        naming: as in `split`.
        names: of the columns if they are known; the first record is a row then.
        before: lines of the file before it.
        rows: the most of one table.

    Raises:
        DataError: a quoted field over several lines is broken or never closed.
    """
    stream = io.BufferedReader(in_pieces.Blocks(blocks))
    reader = csv.reader(
        io.TextIOWrapper(stream, encoding="utf-8", newline="\n"),
        delimiter=text.delimiter.decode(),
        strict=True,
    )
    known, found, ended = bool(names), 0, False
    while not ended:
        good: list[list[str]] = []
        lines: list[int] = []
        bad: list[tuple[int, str, str]] = []
        while len(good) + len(bad) < rows:
            line = before + reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                ended = True
                break
            except csv.Error as error:
                if before + reader.line_num > line or "end of data" in str(error) or not names:
                    raise DataError(
                        f"Quotes do not fit together in {text.file}: the row that begins in line {line} opens a quote "
                        f"that is not closed properly (noticed in line {before + reader.line_num}). If quotes are "
                        "plain characters in this file, read it with quoting=False (--no-quoting)."
                    ) from None
                bad.append((line, "quotes that do not fit together", str(error)))
                continue
            if not fields:
                continue
            fields = [text.restored(field) for field in fields]
            if not names:
                names, headless = naming(fields)
                if not headless:
                    continue
            if len(fields) == len(names):
                good.append(fields)
                lines.append(line)
            else:
                reason = TOO_FEW if len(fields) < len(names) else TOO_MANY
                bad.append(
                    (line, reason, f"{len(fields)} of {len(names)} fields: {text.written.join(fields)}")
                )
        found += len(good) + len(bad)
        if ended and not good and not bad:
            break
        yield RawTable(
            file=text.file,
            frame=pl.DataFrame(good, schema={name: pl.String() for name in names}, orient="row"),
            lines=pl.Series("line", lines, dtype=pl.Int64),
            rejected=pl.DataFrame(bad, schema=REJECTED, orient="row").with_columns(
                pl.col("value").str.slice(0, 80)
            ),
            rows=len(good) + len(bad),
            notes=(f"{text.file} has quotes inside unquoted fields, which are taken as plain characters",),
        )
    if not known:
        _refuse_no_rows(found, names, text.file)


def _refuse_no_rows(rows: int, names: list[str], file: str) -> None:
    if not rows:
        raise DataError(
            f"{file} has a header ({', '.join(names)[:80]}) and no rows: there is nothing to read."
        )


READERS = (
    # Asked last, it takes what no other reader knows, since it can say what is wrong with it.
    Reader(
        "delimited",
        "CSV, TSV and other delimited text",
        rank=9,
        recognises=lambda path: True,
        read=read,
        pieces=pieces,
    ),
)
