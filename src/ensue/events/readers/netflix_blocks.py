"""Blocks of rows under the line of a film: every row gets its film or is set aside, without a loop over rows.

The lines of a piece are looked at together, in memory of the size of a piece. A new block begins where a line ends in a
colon; the film that is valid at the end of a piece is valid at the beginning of the next, but never in another file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from ensue.errors import DataError
from ensue.events.readers import content
from ensue.events.readers.delimited import TOO_FEW, TOO_MANY
from ensue.events.readers.records import Records, kept, scan
from ensue.events.readers.table import REJECTED, RawTable, rejected
from ensue.events.reading import EXAMPLES_KEPT
from ensue.events.rows import BAD_NUMBER, BAD_TIME, EMPTY

COLUMNS = {"user": "customer", "item": "film", "rating": "rating", "time": "date"}
"""Canonical column -> name in the tables of this module."""

ORPHAN = "no line of a film before it"
BROKEN = "line of a film that cannot be read"
ASTRAY = "under a line of a film that cannot be read"
NEITHER = "neither a film nor a rating"

_LONGEST = 1 << 16
_COMMA, _COLON = ord(","), ord(":")
_FILM = r"^\s*([^:\s](?:[^:]*[^:\s])?)\s*:\s*$"
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Part:
    """Some lines of one file, all of them whole.

    Attributes:
        file: its name.
        data: the lines, each with its newline.
        line: number of the first.
        goes_on: whether they go on from the part before, under the film that is valid there.
    """

    file: str
    data: bytes
    line: int
    goes_on: bool


@dataclass(frozen=True)
class _Film:
    """The film under which lines stand, or the reason why there is none."""

    name: str | None
    why: str = ORPHAN


# ---------------------------------------------------------------------------------------------- from files to lines


def _chunks(path: Path, rows: int) -> Iterator[bytes]:
    """The lines of a file, at most so many at a time, each with a newline and without a carriage return."""
    rest = b""
    alone = None  # whether a carriage return alone ends a line
    for block in content.blocks(path):
        if alone is None:
            block = block.removeprefix(b"\xef\xbb\xbf")
            alone = b"\n" not in block and b"\r" in block
        data = rest + (block.replace(b"\r", b"\n") if alone else block)
        ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")) + 1
        start = 0
        for end in [*ends[rows - 1 :: rows].tolist(), *ends[-1:].tolist()]:
            if end > start:
                yield data[start:end].replace(b"\r\n", b"\n")
                start = end
        rest = data[start:]
        if len(rest) > _LONGEST:
            raise DataError(
                f"{path.name} has a line of more than {_LONGEST:,} bytes: it is no file of the Netflix Prize."
            )
    if rest:
        yield rest.removesuffix(b"\r") + b"\n"


def _batches(files: list[Path], rows: int) -> Iterator[list[_Part]]:
    """The lines of all files, about so many at a time; small files come together."""
    batch: list[_Part] = []
    waiting = 0
    for path in files:
        line = 1
        for data in _chunks(path, rows):
            batch.append(_Part(path.name, data, line, goes_on=line > 1))
            count = data.count(b"\n")
            line += count
            waiting += count
            if waiting >= rows:
                yield batch
                batch, waiting = [], 0
    if batch:
        yield batch


def _utf8(data: bytes, file: str) -> bytes:
    """The same lines as UTF-8.

    Raises:
        DataError: they are no text.
    """
    if data.isascii() and b"\0" not in data:
        return data
    return content.text(data, file)[0] if data.strip() else data


# ---------------------------------------------------------------------------------------------- from lines to rows


@dataclass(frozen=True)
class _Lines:
    """The lines of a piece.

    Attributes:
        parts: where they are from.
        starts: `[P]` the place in the piece of each part's first line.
        data: all of them.
        records: where each begins, and how many fields it has.
        names: whether messages need the name of the file, since there are several.
    """

    parts: list[_Part]
    starts: Places
    data: bytes
    records: Records
    names: bool

    @classmethod
    def of(cls, parts: list[_Part], *, names: bool) -> _Lines:
        """The lines of some parts."""
        data = b"".join(_utf8(part.data, part.file) for part in parts)
        counts = [part.data.count(b"\n") for part in parts]
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
        return cls(parts, starts, data, scan(data, _COMMA, quoting=False), names)

    def texts(self, places: Places) -> pl.Series:
        """The text of some lines."""
        if not len(places):
            return pl.Series("text", [], dtype=pl.String)
        keep = np.zeros(len(self.records.fields), dtype=np.bool_)
        keep[places] = True
        return pl.Series("text", kept(self.data, self.records, keep).decode().split("\n")[:-1])

    def numbers(self, places: Places) -> pl.Series:
        """The number of some lines, each in its own file."""
        part = np.searchsorted(self.starts, places, side="right") - 1
        first = np.array([part.line for part in self.parts], dtype=np.int64)
        return pl.Series("line", places - self.starts[part] + first[part])

    def aside(self, places: Places, reason: str, lead: str = "") -> pl.DataFrame:
        """Some lines as rows set aside; only the first few keep their text, as examples."""
        shown = places[:EXAMPLES_KEPT]
        values = [f"{lead}{text}" for text in self.texts(shown)]
        if self.names:
            part = np.searchsorted(self.starts, shown, side="right") - 1
            values = [f"{self.parts[p].file}: {value}" for p, value in zip(part, values, strict=True)]
        return rejected(self.numbers(places), reason, values + [""] * (len(places) - len(shown)))


def _blocks(lines: _Lines, before: _Film) -> tuple[Places, Places, list[_Film], Places]:
    """Where blocks begin.

    Returns:
        Lines with one field that name no film, lines that should and cannot be read, the films, and (doubled, so that a
        new file begins between two lines) the places from which each film is valid; the first is valid from the start.
    """
    single = np.flatnonzero(lines.records.fields == 1)
    names = lines.texts(single).str.extract(_FILM)
    named = names.is_not_null().to_numpy()
    bytes_ = np.frombuffer(lines.data, dtype=np.uint8)
    broken = np.zeros(0, dtype=np.int64)
    if lines.data.count(b":") > int(named.sum()):
        colons = np.flatnonzero(bytes_ == _COLON)
        at = np.searchsorted(lines.records.starts, colons, side="right") - 1
        commas = np.flatnonzero(bytes_ == _COMMA)
        first = np.searchsorted(commas, colons) == np.searchsorted(commas, lines.records.starts[at])
        broken = np.setdiff1d(at[first], single[named])
    fresh = [int(s) for part, s in zip(lines.parts, lines.starts, strict=True) if not part.goes_on]
    marks = [
        (2 * int(place), _Film(name)) for place, name in zip(single[named], names.filter(named), strict=True)
    ]
    marks += [(2 * int(place), _Film(None, ASTRAY)) for place in broken]
    marks += [(2 * place - 1, _Film(None)) for place in fresh]
    marks.sort(key=lambda mark: mark[0])
    films = [before, *(film for _, film in marks)]
    valid = np.array([-2, *(place for place, _ in marks)], dtype=np.int64)
    return np.setdiff1d(single[~named], broken), broken, films, valid


def _piece(
    parts: list[_Part], names: list[str], before: _Film, *, file: str, many: bool
) -> tuple[RawTable, _Film]:
    """The rows of some lines, and the film under which the next lines stand.

    Args:
        parts: the lines.
        names: the fields of a row.
        before: the film under which the first lines stand.
        file: name of the whole, for messages.
        many: whether there are several files.
    """
    lines = _Lines.of(parts, names=many)
    fields = lines.records.fields
    others, broken, films, valid = _blocks(lines, before)
    good = (
        others
        if len(names) == 1
        else np.setdiff1d(np.flatnonzero(fields == len(names)), broken, assume_unique=True)
    )
    table = _fields(lines, good, names)
    film = np.searchsorted(valid, 2 * good) - 1
    frame = table.with_columns(film=pl.Series([film.name for film in films], dtype=pl.String).gather(film))

    faults = [lines.aside(broken, BROKEN)]
    if len(names) > 1:
        faults.append(lines.aside(others, NEITHER))
    for wrong, reason in ((fields < len(names), TOO_FEW), (fields > len(names), TOO_MANY)):
        places = np.setdiff1d(np.flatnonzero(wrong & (fields > 1)), broken, assume_unique=True)
        faults += [
            lines.aside(places[fields[places] == count], reason, f"{count} of {len(names)} fields: ")
            for count in np.unique(fields[places])
        ]
    fine = pl.repeat(True, frame.height, dtype=pl.Boolean, eager=True)
    for mask, reason in _faults(frame, film, films):
        fresh = mask & fine
        if fresh.any():
            faults.append(lines.aside(good[fresh.to_numpy()], reason))
            fine = fine & ~mask
    aside = pl.concat([pl.DataFrame(schema=REJECTED), *faults])
    piece = RawTable(
        file=file,
        frame=frame.filter(fine) if aside.height else frame,
        lines=lines.numbers(good).filter(fine) if aside.height else lines.numbers(good),
        rejected=aside if many else aside.sort("line"),
        rows=int(fine.sum()) + aside.height,
        columns={name: source for name, source in COLUMNS.items() if source in frame.columns},
    )
    return piece, films[-1]


def _fields(lines: _Lines, places: Places, names: list[str]) -> pl.DataFrame:
    """The fields of some lines, all with as many as there are names: customers text, ratings numbers, dates dates."""
    schema = dict.fromkeys(names, pl.String())
    keep = np.zeros(len(lines.records.fields), dtype=np.bool_)
    keep[places] = True
    frame = pl.DataFrame(schema=schema)
    if len(names) == 1:
        frame = lines.texts(places).alias(names[0]).to_frame()
    elif len(places):
        data = kept(lines.data, lines.records, keep)
        frame = pl.read_csv(
            data, has_header=False, schema=schema, quote_char=None, empty_string_is_null=False
        )
    typed = {
        "rating": pl.col("rating").cast(pl.Float64, strict=False),
        "date": pl.col("date").str.to_date("%Y-%m-%d", strict=False),
    }
    return frame.with_columns(**{name: parse for name, parse in typed.items() if name in names})


def _faults(frame: pl.DataFrame, film: Places, films: list[_Film]) -> Iterator[tuple[pl.Series, str]]:
    """Which rows have no film, no customer, no rating or no date, each with the reason."""
    lost = frame["film"].is_null()
    if lost.any():
        astray = pl.Series([found.why == ASTRAY for found in films]).gather(film)
        yield lost & ~astray, ORPHAN
        yield lost & astray, ASTRAY
    yield frame["customer"].str.len_bytes() == 0, EMPTY["user"]
    if "rating" in frame.columns:
        yield ~frame["rating"].is_finite().fill_null(False), BAD_NUMBER["rating"]
    if "date" in frame.columns:
        yield frame["date"].is_null(), BAD_TIME


def pieces(files: list[Path], names: list[str], rows: int, *, file: str) -> Iterator[RawTable]:
    """The rows of some files piece by piece.

    Raises:
        DataError: there is none in any of them.
    """
    film = _Film(None)
    found = 0
    for parts in _batches(files, rows):
        piece, film = _piece(parts, names, film, file=file, many=len(files) > 1)
        found += piece.rows
        if piece.rows:
            yield piece
    if not found:
        raise DataError(f"{file} has films and no {' or '.join(names)} under any: there is nothing to read.")
