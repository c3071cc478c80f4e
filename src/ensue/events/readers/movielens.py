"""The MovieLens layouts: a folder, or its ratings file, with the titles and genres of the films beside it; and tags.

References:
    Harper and Konstan (2015), The MovieLens Datasets: History and Context, doi:10.1145/2827872.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import beside, content, delimited
from ensue.events.readers.beside import Items, each_once, text_lines
from ensue.events.readers.table import Options, RawTable, Reader, rejected

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
_TAG_NAMES = {"user": "userId", "item": "movieId", "time": "timestamp"}
_OTHERS = (
    *("u.user", "u.occupation", "u.genre", "users.dat", "tags.dat", "tags.csv", "links.csv"),
    *("genome-scores.csv", "genome-tags.csv"),
    *(f"u{part}.{half}" for part in "12345ab" for half in ("base", "test")),
)
"""What a MovieLens folder holds beside ratings and films."""


def _ratings(path: Path, *names: str) -> Path | None:
    """The file of a layout: the path itself or a file in the folder, plain or packed."""
    return beside.companion(path, *names) if path.is_dir() else path


def _companion(ratings: Path, name: str) -> Path | None:
    return beside.companion(ratings.parent, name)


def _read(layout: _Layout, path: Path, options: Options) -> RawTable:
    ratings = layout.ratings(path)
    how, naming = layout.how()
    return layout.finished(delimited.split(ratings, how, naming), ratings, options)


def _pieces(layout: _Layout, path: Path, options: Options, rows: int) -> Iterator[RawTable]:
    ratings = layout.ratings(path)
    how, naming = layout.how()
    first: RawTable | None = None
    for table in delimited.split_pieces(ratings, how, rows, naming):
        if first is None:
            yield (first := layout.finished(table, ratings, options))
        else:  # the films came with the first
            yield dataclasses.replace(table, columns=first.columns)


@dataclass(frozen=True)
class _Layout:
    """One form of the ratings, with the file of films beside it."""

    delimiter: str
    titles: Callable[[Path], Items | None]
    file: str

    def ratings(self, path: Path) -> Path:
        """The file of ratings.

        Raises:
            DataError: the folder has none.
        """
        found = _ratings(path, self.file)
        if found is None:
            raise DataError(
                f"{path} has no {self.file}, which this MovieLens layout needs: check the folder."
            )
        return found

    def how(self) -> tuple[Options, delimited.Naming]:
        """How the ratings are read, and where the names of the columns come from."""
        headed = self.delimiter == ","
        names = list(_PLACES.values())
        return (
            Options(delimiter=self.delimiter, quoting=headed),
            lambda first: (delimited.header(first) if headed else names, not headed),
        )

    def finished(self, table: RawTable, ratings: Path, options: Options) -> RawTable:
        """The ratings with their columns, and with the films."""
        items = self.titles(ratings)
        columns = _NAMES if self.delimiter == "," else _PLACES
        return dataclasses.replace(
            table,
            columns={**columns, **options.columns},
            items=items[0] if items else None,
            notes=table.notes + _about(items, ratings),
        )

    def reader(self, name: str, reads: str, recognises: Callable[[Path], bool]) -> Reader:
        """The reader of the layout."""
        return Reader(
            name,
            reads,
            rank=0,
            recognises=recognises,
            read=partial(_read, self),
            folders=True,
            pieces=partial(_pieces, self),
        )


def _about(items: Items | None, file: Path) -> tuple[str, ...]:
    """What is to be said of the films, and of what else lies in the folder."""
    notes = items[1] if items else (f"no titles: there is no file of films beside {file.name}",)
    left = [name for name in beside.others(file.parent, _OTHERS) if name != file.name]
    if left:
        tags = (
            " (tags are a log of their own: format movielens-tags)" if any("tags." in n for n in left) else ""
        )
        notes += (f"files beside {file.name} that were not read: {', '.join(left)}{tags}",)
    return notes


def _read_tags(path: Path, options: Options) -> RawTable:
    """One row for each tag that a user gave a film, with its text in the column `tag`.

    Raises:
        DataError: no file of tags, or one of another form.
    """
    file = _ratings(path, "tags.csv", "tags.dat")
    if file is None:
        raise DataError(f"{path} has no tags.csv or tags.dat, which MovieLens tags need: check the folder.")
    if _is_tag_table(file):
        how = Options(delimiter=",", quoting=True)
        table = delimited.split(file, how, lambda first: (delimited.header(first), False))
        items = _titles_csv(file)
    else:
        table = _tag_lines(file)
        items = _titles_dat(file)
    left = [name for name in ("ratings.csv", "ratings.dat") if _companion(file, name)]
    notes = table.notes + (
        items[1] if items else (f"no titles: there is no file of films beside {file.name}",)
    )
    if left:
        notes += (f"these are tags; the ratings beside them were not read: {', '.join(left)}",)
    columns = {**_TAG_NAMES, **options.columns}
    return dataclasses.replace(table, columns=columns, items=items[0] if items else None, notes=notes)


def _tag_lines(file: Path) -> RawTable:
    """The rows of `tags.dat`: user::film::tag::time, where the tag may hold the separator itself."""
    lines, notes = text_lines(file)
    parts = pl.col("text").str.extract_groups(
        r"^(?<userId>[^:]+)::(?<movieId>[^:]+)::(?<tag>.*)::(?<timestamp>\d+)$"
    )
    rows = lines.with_columns(parts.alias("parts")).unnest("parts")
    good = pl.col("userId").is_not_null()
    bad = rows.filter(~good)
    return RawTable(
        file=file.name,
        frame=rows.filter(good).select("userId", "movieId", "tag", "timestamp"),
        lines=rows.filter(good)["line"],
        rejected=rejected(bad["line"], "no user::film::tag::time", bad["text"]),
        rows=rows.height,
        notes=notes,
    )


def _first_line(path: Path) -> bytes:
    return content.head(path, 4096).split(b"\n")[0].strip()


def _titles_100k(ratings: Path) -> Items | None:
    """Films of `u.item`: id | title | release | video release | address | 19 indicators of genres."""
    path = _companion(ratings, "u.item")
    if path is None:
        return None
    lines, notes = text_lines(path)
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
    items, notes = each_once(films, shaped & (pl.col("item") != ""), path, notes)
    return items.drop("fields"), notes


def _titles_dat(ratings: Path) -> Items | None:
    """Films of `movies.dat`: id::title::genres, where the title may hold the separator itself."""
    path = _companion(ratings, "movies.dat")
    if path is None:
        return None
    lines, notes = text_lines(path)
    parts = pl.col("text").str.extract_groups(r"^(?<item>.+?)::(?<title>.*)::(?<genres>.*)$")
    films = lines.select("line", parts.alias("parts")).unnest("parts")
    return each_once(films, pl.col("item").is_not_null(), path, notes)


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
    return each_once(films.select("item", "title", "genres", "line"), pl.col("item") != "", path, notes)


def _is_100k(path: Path) -> bool:
    named = re.fullmatch(r"u\.data|u[1-5ab]\.(base|test)", beside.unpacked_name(path))
    file = _ratings(path, "u.data")
    return bool((path.is_dir() or named) and file and re.fullmatch(rb"\d+\t\d+\t\d+\t\d+", _first_line(file)))


def _is_dat(path: Path) -> bool:
    file = _ratings(path, "ratings.dat")
    return bool(file and re.fullmatch(rb"[^:\s]+::[^:\s]+::[\d.]+::\d+", _first_line(file)))


def _is_csv(path: Path) -> bool:
    file = _ratings(path, "ratings.csv")
    named = path.is_dir() or beside.unpacked_name(path) == "ratings.csv"
    return bool(
        named
        and file
        and _first_line(file).removeprefix(b"\xef\xbb\xbf") == b"userId,movieId,rating,timestamp"
    )


def _is_tag_table(file: Path) -> bool:
    return _first_line(file).removeprefix(b"\xef\xbb\xbf") == b"userId,movieId,tag,timestamp"


def _is_tags(path: Path) -> bool:
    if path.is_dir():  # a folder is one of ratings
        return False
    dat = beside.unpacked_name(path) == "tags.dat" and re.fullmatch(
        rb"[^:\s]+::[^:\s]+::.*::\d+", _first_line(path)
    )
    return bool(dat) or (beside.unpacked_name(path) == "tags.csv" and _is_tag_table(path))


READERS = (
    Reader(
        "movielens-tags",
        "MovieLens tags: tags.csv, tags.dat",
        rank=0,
        recognises=_is_tags,
        read=_read_tags,
        folders=True,
    ),
    _Layout("\t", _titles_100k, "u.data").reader(
        "movielens-100k", "MovieLens-100K: u.data, u.item", _is_100k
    ),
    _Layout("::", _titles_dat, "ratings.dat").reader(
        "movielens-dat", "MovieLens-1M and 10M: ratings.dat, movies.dat", _is_dat
    ),
    _Layout(",", _titles_csv, "ratings.csv").reader(
        "movielens-csv", "MovieLens-20M, 25M, 32M and latest: ratings.csv, movies.csv", _is_csv
    ),
)
