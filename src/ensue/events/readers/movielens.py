"""The MovieLens layouts: a folder, or its ratings file, with the titles and genres of the films beside it.

References:
    Harper and Konstan (2015), The MovieLens Datasets: History and Context, doi:10.1145/2827872.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import content, delimited
from ensue.events.readers.table import Options, RawTable, Reader

GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *(
        "Fantasy",
        "Film-Noir",
        "Horror",
        "Musical",
        "Mystery",
        "Romance",
        "Sci-Fi",
        "Thriller",
        "War",
        "Western",
    ),
)
"""The genres of MovieLens-100K in the order of its 19 indicator columns."""

_PLACES = {"user": "1", "item": "2", "rating": "3", "time": "4"}
_NAMES = {"user": "userId", "item": "movieId", "rating": "rating", "time": "timestamp"}

Items = tuple[pl.DataFrame, tuple[str, ...]]


def _ratings(path: Path, *names: str) -> Path | None:
    """The ratings file of a layout: the path itself or a file in the folder, plain or gzip."""
    if path.is_dir():
        return next((path / n for name in names for n in (name, f"{name}.gz") if (path / n).is_file()), None)
    return path


def _companion(ratings: Path, name: str) -> Path | None:
    return next((p for n in (name, f"{name}.gz") if (p := ratings.with_name(n)).is_file()), None)


def _read(
    path: Path, options: Options, delimiter: str, titles: Callable[[Path], Items | None], *names: str
) -> RawTable:
    ratings = _ratings(path, *names)
    if ratings is None:
        raise DataError(
            f"{path} has no {' or '.join(names)}, which this MovieLens layout needs: check the folder."
        )
    how = Options(delimiter=delimiter, quoting=delimiter == ",")
    columns = _NAMES if delimiter == "," else _PLACES
    if delimiter == ",":
        table = delimited.split(ratings, how, lambda first: (delimited.header(first), False))
    else:
        table = delimited.split(ratings, how, lambda first: (list(_PLACES.values()), True))
    items = titles(ratings)
    notes = table.notes + (
        items[1] if items else (f"no titles: there is no file of films beside {ratings.name}",)
    )
    return dataclasses.replace(
        table, columns={**columns, **options.columns}, items=items[0] if items else None, notes=notes
    )


def _first_line(path: Path) -> bytes:
    return content.head(path, 4096).split(b"\n")[0].strip()


def _lines(path: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The lines of a file as a column `text`, ends and empty lines removed, with their number in `line`."""
    data, notes = content.text(content.content(path), path.name)
    texts = pl.Series("text", data.decode().split("\n")).str.strip_chars_end("\r")
    frame = pl.DataFrame({"text": texts, "line": pl.int_range(1, len(texts) + 1, eager=True)})
    return frame.filter(pl.col("text") != ""), notes


def _without(frame: pl.DataFrame, good: pl.Expr, path: Path, notes: tuple[str, ...]) -> Items:
    """The films that were read, each id once, and a note on every line that was not."""
    bad = frame.filter(~good.fill_null(False))
    frame = frame.filter(good.fill_null(False))
    twice = frame.filter(~pl.col("item").is_first_distinct())
    for odd, why in ((bad, "cannot be read"), (twice, "repeat a film")):
        if odd.height:
            numbers = ", ".join(str(n) for n in odd["line"].head(5))
            notes += (f"lines of {path.name} that {why} and are left out: {odd.height:,} (line {numbers})",)
    return frame.filter(pl.col("item").is_first_distinct()).drop("line"), notes


def _titles_100k(ratings: Path) -> Items | None:
    """Films of `u.item`: id | title | release | video release | address | 19 indicators of genres."""
    path = _companion(ratings, "u.item")
    if path is None:
        return None
    lines, notes = _lines(path)
    lines = lines.with_columns(fields=pl.col("text").str.split("|"))
    flags = pl.col("fields").list.slice(pl.col("fields").list.len() - len(GENRES))
    genres = pl.concat_str(
        (
            pl.when(flags.list.get(i, null_on_oob=True) == "1").then(pl.lit(genre))
            for i, genre in enumerate(GENRES)
        ),
        separator="|",
        ignore_nulls=True,
    )
    films = lines.select(
        "line",
        "fields",
        item=pl.col("fields").list.get(0, null_on_oob=True),
        title=pl.col("fields").list.get(1, null_on_oob=True),
        genres=genres,
    )
    shaped = pl.col("fields").list.len() == 5 + len(GENRES)
    items, notes = _without(films, shaped & (pl.col("item") != ""), path, notes)
    return items.drop("fields"), notes


def _titles_dat(ratings: Path) -> Items | None:
    """Films of `movies.dat`: id::title::genres, where the title may hold the separator itself."""
    path = _companion(ratings, "movies.dat")
    if path is None:
        return None
    lines, notes = _lines(path)
    parts = pl.col("text").str.extract_groups(r"^(?<item>.+?)::(?<title>.*)::(?<genres>.*)$")
    films = lines.select("line", parts.alias("parts")).unnest("parts")
    return _without(films, pl.col("item").is_not_null(), path, notes)


def _titles_csv(ratings: Path) -> Items | None:
    """Films of `movies.csv`: movieId,title,genres."""
    path = _companion(ratings, "movies.csv")
    if path is None:
        return None
    table = delimited.split(path, Options(delimiter=","), lambda first: (delimited.header(first), False))
    if not {"movieId", "title", "genres"} <= set(table.frame.columns):
        return None
    notes = table.notes
    if table.rejected.height:
        line = table.rejected["line"][0]
        notes += (
            f"lines of {path.name} that cannot be read and are left out: {table.rejected.height:,} (line {line})",
        )
    films = table.frame.select("title", "genres", item="movieId").with_columns(line=table.lines)
    return _without(films.select("item", "title", "genres", "line"), pl.col("item") != "", path, notes)


def _is_100k(path: Path) -> bool:
    named = re.fullmatch(r"u\.data|u[1-5ab]\.(base|test)", path.name.removesuffix(".gz"))
    file = _ratings(path, "u.data")
    return bool((path.is_dir() or named) and file and re.fullmatch(rb"\d+\t\d+\t\d+\t\d+", _first_line(file)))


def _is_dat(path: Path) -> bool:
    file = _ratings(path, "ratings.dat")
    return bool(file and re.fullmatch(rb"[^:\s]+::[^:\s]+::[\d.]+::\d+", _first_line(file)))


def _is_csv(path: Path) -> bool:
    file = _ratings(path, "ratings.csv")
    named = path.is_dir() or path.name.removesuffix(".gz") == "ratings.csv"
    return bool(
        named
        and file
        and _first_line(file).removeprefix(b"\xef\xbb\xbf") == b"userId,movieId,rating,timestamp"
    )


READERS = (
    Reader(
        "movielens-100k",
        "MovieLens-100K: u.data, u.item",
        rank=0,
        recognises=_is_100k,
        read=lambda path, options: _read(path, options, "\t", _titles_100k, "u.data"),
        folders=True,
    ),
    Reader(
        "movielens-dat",
        "MovieLens-1M and 10M: ratings.dat, movies.dat",
        rank=0,
        recognises=_is_dat,
        read=lambda path, options: _read(path, options, "::", _titles_dat, "ratings.dat"),
        folders=True,
    ),
    Reader(
        "movielens-csv",
        "MovieLens-20M, 25M, 32M and latest: ratings.csv, movies.csv",
        rank=0,
        recognises=_is_csv,
        read=lambda path, options: _read(path, options, ",", _titles_csv, "ratings.csv"),
        folders=True,
    ),
)
