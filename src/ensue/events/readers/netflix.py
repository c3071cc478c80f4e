"""The Netflix Prize: blocks of ratings under the line of their film, as one file, a folder, or a file for each film.

    1:                        film
    1488844,3,2005-09-06      customer, rating, date
    2:
    ...

The files `probe.txt` and `qualifying.txt` have blocks of customers without ratings. All are read in pieces, without a
loop over rows, in memory of the size of a piece.

References:
    Bennett and Lanning (2007), The Netflix Prize, Proceedings of KDD Cup and Workshop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import beside, content, netflix_blocks
from ensue.events.readers.joined import joined
from ensue.events.readers.table import Options, RawTable, Reader

ROWS = 500_000
"""Lines of a piece where nothing is said."""

_TITLES = ("movie_titles.csv", "movie_titles.txt")
_OTHERS = ("probe.txt", "qualifying.txt", "judging.txt")


def _training(path: Path) -> list[Path]:
    """The files of ratings: the path itself, or those of a folder, in the order of their numbers."""
    if not path.is_dir():
        return [path]
    for folder, form in (
        (path, r"combined_data_\d+\.txt"),
        (path, r"mv_\d+\.txt"),
        (path / "training_set", r"mv_\d+\.txt"),
    ):
        if folder.is_dir():
            found = [p for p in folder.iterdir() if re.fullmatch(form, beside.unpacked_name(p))]
            if found:
                return sorted(found, key=lambda p: (len(beside.unpacked_name(p)), p.name))
    return []


def pieces(path: Path, options: Options, rows: int) -> Iterator[RawTable]:
    """The ratings of a file or folder piece by piece; the first piece brings the films.

    Raises:
        DataError: there are no files of ratings, or no ratings in them.
    """
    files = _training(path)
    if not files:
        raise DataError(
            f"{path} has no combined_data_1.txt and no mv_0000001.txt, as the Netflix Prize has: check the folder."
        )
    home = files[0].parent.parent if files[0].parent.name == "training_set" else files[0].parent
    titles = _titles(beside.companion(files[0].parent, *_TITLES) or beside.companion(home, *_TITLES))
    notes = titles[1] if titles else (f"no titles: there is no movie_titles.csv beside {files[0].name}",)
    if len(files) > 1:
        notes += (
            f"{len(files):,} files from {files[0].name} to {files[-1].name}; lines are counted in each",
        )
    if left := beside.others(home, _OTHERS):
        notes += (
            f"files beside {files[0].name} that were not read: {', '.join(left)} (format netflix-probe)",
        )
    file = path.name if len(files) > 1 else files[0].name
    for piece in netflix_blocks.pieces(files, ["customer", "rating", "date"], max(rows, 1), file=file):
        columns = {**(piece.columns or {}), **options.columns}
        yield _with(piece, columns, titles[0] if titles else None, notes)
        titles, notes = None, ()


def _with(
    piece: RawTable, columns: dict[str, str], items: pl.DataFrame | None, notes: tuple[str, ...]
) -> RawTable:
    return RawTable(piece.file, piece.frame, piece.lines, piece.rejected, piece.rows, columns, items, notes)


def probe_pieces(path: Path, options: Options, rows: int) -> Iterator[RawTable]:
    """The pairs of customer and film of `probe.txt`, or of `qualifying.txt` with their dates, piece by piece.

    Raises:
        DataError: there is no such file, or there are no pairs in it.
    """
    file = beside.companion(path, "probe.txt", "qualifying.txt") if path.is_dir() else path
    if file is None:
        raise DataError(
            f"{path} has no probe.txt and no qualifying.txt, as the Netflix Prize has: check the folder."
        )
    dated = bool(re.search(rb"^[^,:\r\n]+,[^,\r\n]+\r?$", content.head(file), re.MULTILINE))
    names = ["customer", "date"] if dated else ["customer"]
    notes: tuple[str, ...] = (f"{file.name} has pairs of customer and film, no ratings",)
    if not dated:
        notes += (f"the order of {file.name} is by film, and says nothing of what came first",)
    for piece in netflix_blocks.pieces([file], names, max(rows, 1), file=file.name):
        yield _with(piece, {**(piece.columns or {}), **options.columns}, None, notes)
        notes = ()


def _titles(path: Path | None) -> beside.Items | None:
    """Films of `movie_titles.csv`: number, year or NULL, title, which may hold commas; the year is a number."""
    if path is None:
        return None
    lines, notes = beside.text_lines(path)
    parts = pl.col("text").str.extract_groups(
        r"^\s*(?<item>[^,\s]+)\s*,\s*(?<year>\d{4}|NULL|)\s*,(?<title>.*)$"
    )
    films = lines.select("line", parts.alias("parts")).unnest("parts")
    items, notes = beside.each_once(films, pl.col("item").is_not_null(), path, notes)
    return items.select("item", "title", year=pl.col("year").cast(pl.Int64, strict=False)), notes


def _form(path: Path) -> str:
    """What the head of a file looks like: "ratings", "pairs", or "" for neither."""
    lines = [line.strip() for line in re.split(rb"[\r\n]+", content.head(path))[:-1] if line.strip()][:200]
    named = re.fullmatch(r"(combined_data|mv)_\d+\.txt", beside.unpacked_name(path))
    films = sum(bool(re.fullmatch(rb"\d+:", line)) for line in lines)
    if not films or not (named or re.fullmatch(rb"\d+:", lines[0].removeprefix(b"\xef\xbb\xbf"))):
        return ""
    ratings = sum(bool(re.fullmatch(rb"\d+,\d+,\d{4}-\d\d-\d\d", line)) for line in lines)
    pairs = sum(bool(re.fullmatch(rb"\d+(,\d{4}-\d\d-\d\d)?", line)) for line in lines)
    if max(ratings, pairs) + films <= len(lines) // 2:
        return ""
    return "pairs" if pairs > ratings else "ratings"


def _is_training(path: Path) -> bool:
    files = _training(path)
    return bool(files) and _form(files[0]) == "ratings"


READERS = (
    Reader(
        "netflix",
        "Netflix Prize: combined_data_1.txt or mv_0000001.txt and so on, movie_titles.csv",
        rank=0,
        recognises=_is_training,
        read=lambda path, options: joined(pieces(path, options, ROWS)),
        folders=True,
        pieces=pieces,
    ),
    Reader(
        "netflix-probe",
        "Netflix Prize: probe.txt or qualifying.txt",
        rank=0,
        recognises=lambda path: path.is_file() and _form(path) == "pairs",
        read=lambda path, options: joined(probe_pieces(path, options, ROWS)),
        folders=True,
        pieces=probe_pieces,
    ),
)
