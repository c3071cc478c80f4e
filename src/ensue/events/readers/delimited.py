"""CSV, TSV and any other delimited text: RFC 4180 quoting, a delimiter of one or several characters, all text exact."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from ensue.errors import ColumnError, ConfigError, DataError
from ensue.events import columns
from ensue.events.readers import content
from ensue.events.readers.records import Records, kept, scan
from ensue.events.readers.table import REJECTED, Options, RawTable, Reader, rejected
from ensue.events.reading import EXAMPLES_KEPT

_DELIMITERS = ("\t", ",", ";", "::", "|", "\x01", "^", "~", " ")
TOO_FEW, TOO_MANY = "too few fields", "too many fields"
_SPELT = {"\\t": "\t", "tab": "\t", "space": " ", "comma": ","}
_STAND_INS = (b"\x1f", b"\x1e", b"\x1d", b"\x1c", b"\x02")


@dataclass(frozen=True)
class _Text:
    """One file of delimited text, with one byte as delimiter."""

    file: str
    data: bytes
    delimiter: bytes
    written: str
    quoting: bool

    def fields(self, line: bytes) -> list[str]:
        """The fields of one record."""
        found = _fields(line.decode(), self.delimiter.decode(), quoting=self.quoting)
        return [self.restored(field) for field in found]

    def restored(self, field: str) -> str:
        """The field with a longer delimiter put back where quotes protected it."""
        return field.replace(self.delimiter.decode(), self.written) if len(self.written) > 1 else field


def read(path: Path, options: Options) -> RawTable:
    """The rows of a delimited text file, all columns text as written; an empty field is empty text.

    Raises:
        DataError: no text, no rows, quotes that do not fit together.
        ColumnError: columns are missing or ambiguous, before the rows are read.
    """
    return split(path, options, lambda first: _names(first, options, path.name))


def split(path: Path, options: Options, naming: Callable[[list[str]], tuple[list[str], bool]]) -> RawTable:
    """The rows of a delimited text file whose column names are found by a rule of the caller's.

    Args:
        path: the file.
        options: delimiter and quoting.
        naming: from the fields of the first record to the column names, and whether that record is a row itself.
    """
    file = path.name
    data, notes = content.text(content.content(path), file)
    written = delimiter_of(options.delimiter, data, file, quoting=options.quoting)
    text = _single(_Text(file, data, written.encode(), written, options.quoting))
    records = scan(text.data, text.delimiter[0], quoting=text.quoting)
    if records.broken:
        return _slowly(text, naming, notes)
    filled = np.flatnonzero(records.fields > 0)
    first = text.fields(text.data[records.starts[filled[0]] : records.ends[filled[0]]])
    names, headless = naming(first)
    rows = filled if headless else filled[1:]
    _refuse_no_rows(len(rows), names, file)
    right = records.fields[rows] == len(names)
    keep = np.zeros(len(records.fields), dtype=np.bool_)
    keep[rows[right]] = True
    frame = _parsed(text, kept(text.data, records, keep), names)
    if frame.height != int(right.sum()):
        return _slowly(text, naming, notes)
    wide = np.flatnonzero(np.diff(records.lines) > 1)
    if len(wide):
        notes += (
            f"line breaks inside quotes belong to their field (first: line {records.lines[wide[0]]} of {file})",
        )
    return RawTable(
        file=file,
        frame=frame,
        lines=pl.Series("line", records.lines[rows[right]]),
        rejected=_misshapen(text, records, rows[~right], len(names)),
        rows=len(rows),
        notes=notes,
    )


def delimiter_of(given: str | None, data: bytes, file: str, *, quoting: bool = True) -> str:
    """The delimiter: as given, else the one that makes the most of the first line that is not empty.

    Most usual column names first, then the same number of fields in the first lines, then most fields; a space only
    where there is no other.

    Raises:
        ConfigError: a delimiter that cannot be one.
        DataError: no delimiter in the first line.
    """
    if given is not None:
        given = _SPELT.get(given, given)
        if not given or any(c in given for c in '"\r\n'):
            raise ConfigError(
                f"The delimiter {given!r} cannot part fields: give for example ',', ';', '\\t' or '::'."
            )
        return given
    lines = [line.decode(errors="replace") for line in data[: 1 << 16].split(b"\n") if line.strip()][:10]
    line = lines[0] if lines else ""

    def worth(delimiter: str) -> tuple[int, bool, bool, int]:
        fields = _fields(line, delimiter, quoting=quoting)
        known = sum(columns.usual(field.strip()) is not None for field in fields)
        even = all(other.count(delimiter) == line.count(delimiter) for other in lines)
        return known, delimiter != " ", even, len(fields)

    usable = [d for d in _DELIMITERS if d in line]
    if not usable:
        raise DataError(
            f"{file} is not a table: its first line {line.strip()[:60]!r} holds no delimiter. Give CSV, TSV, "
            "JSON lines or Parquet, or name the delimiter with delimiter='...' (--delimiter)."
        )
    return max(usable, key=worth)


def _fields(line: str, delimiter: str, *, quoting: bool) -> list[str]:
    """The fields of one record; those of a longer delimiter know no quotes."""
    if quoting and '"' in line and len(delimiter) == 1:
        with contextlib.suppress(csv.Error):
            return next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter), [])
    return line.split(delimiter)


def _single(text: _Text) -> _Text:
    """The same text with a delimiter of one byte."""
    if len(text.delimiter) == 1:
        return text
    stand_in = next((byte for byte in _STAND_INS if byte not in text.data), None)
    if stand_in is None:
        raise DataError(
            f"{text.file} holds control characters and a delimiter '{text.written}': use a shorter one."
        )
    return _Text(text.file, text.data.replace(text.delimiter, stand_in), stand_in, text.written, text.quoting)


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
                f"{file} has a header ({', '.join(first)}), so map columns by name, not by place: "
                f"columns={{'item': '{first[min(1, len(first) - 1)]}'}}."
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


def _parsed(text: _Text, data: bytes, names: list[str]) -> pl.DataFrame:
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


def _misshapen(text: _Text, records: Records, wrong: npt.NDArray[np.int64], expected: int) -> pl.DataFrame:
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


def _slowly(
    text: _Text, naming: Callable[[list[str]], tuple[list[str], bool]], notes: tuple[str, ...]
) -> RawTable:
    """The rows of a text with misplaced quotes, record by record.

    A quote inside an unquoted field is a plain character, as nearly every program takes it. A quoted field that goes
    wrong within its line costs that row; one that goes wrong further down leaves it open where the row ends, and stops.

    Raises:
        DataError: a quoted field over several lines is broken or never closed.
    """
    reader = csv.reader(
        io.TextIOWrapper(io.BytesIO(text.data), encoding="utf-8", newline="\n"),
        delimiter=text.delimiter.decode(),
        strict=True,
    )
    names: list[str] = []
    good: list[list[str]] = []
    lines: list[int] = []
    bad: list[tuple[int, str, str]] = []
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if reader.line_num > line or "end of data" in str(error) or not names:
                raise DataError(
                    f"Quotes do not fit together in {text.file}: the row that begins in line {line} opens a quote that "
                    f"is not closed properly (noticed in line {reader.line_num}). If quotes are plain characters in "
                    "this file, read it with quoting=False (--no-quoting)."
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
            bad.append((line, reason, f"{len(fields)} of {len(names)} fields: {text.written.join(fields)}"))
    _refuse_no_rows(len(good) + len(bad), names, text.file)
    return RawTable(
        file=text.file,
        frame=pl.DataFrame(good, schema={name: pl.String() for name in names}, orient="row"),
        lines=pl.Series("line", lines, dtype=pl.Int64),
        rejected=pl.DataFrame(bad, schema=REJECTED, orient="row").with_columns(
            pl.col("value").str.slice(0, 80)
        ),
        rows=len(good) + len(bad),
        notes=(*notes, f"{text.file} has quotes inside unquoted fields, which are taken as plain characters"),
    )


def _refuse_no_rows(rows: int, names: list[str], file: str) -> None:
    if not rows:
        raise DataError(
            f"{file} has a header ({', '.join(names)[:80]}) and no rows: there is nothing to read."
        )


READERS = (
    # Asked last, it takes what no other reader knows, since it can say what is wrong with it.
    Reader("delimited", "CSV, TSV and other delimited text", rank=9, recognises=lambda path: True, read=read),
)
