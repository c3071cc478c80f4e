"""The MovieLens layouts, on files of our own and on the real ones where they are at hand."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
import pytest

from ensue.errors import DataError
from ensue.events.log import EventLog
from ensue.events.source import read

GENRE_FLAGS = 19


def hundred_k(folder: Path) -> Path:
    def film(number: int, title: str, *genres: int) -> str:
        flags = "|".join("1" if place in genres else "0" for place in range(GENRE_FLAGS))
        return f"{number}|{title}|01-Jan-1995||http://address|{flags}"

    folder.joinpath("u.data").write_text("1\t2\t5\t881250950\n1\t1\t3\t881250949\n", encoding="utf-8")
    lines = [film(1, "Café (1995)", 3, 5), film(2, "unknown"), "3|too short", film(2, "again", 1)]
    folder.joinpath("u.item").write_bytes("\n".join(lines).encode("latin-1") + b"\n")
    return folder


def one_m(folder: Path, encoding: str = "latin-1") -> Path:
    folder.joinpath("ratings.dat").write_text("1::2::5::978300760\n1::1::3.5::978300759\n", encoding="utf-8")
    films = "1::Café: A Tale (1999)::Drama|Comedy\n2::Two :: Colons (2003)::Drama\nno film\n"
    folder.joinpath("movies.dat").write_bytes(films.encode(encoding))
    return folder


def latest(folder: Path) -> Path:
    ratings = "userId,movieId,rating,timestamp\r\n1,2,5.0,1000000001\r\n1,1,0.5,1000000000\r\n"
    films = 'movieId,title,genres\r\n1,"American, The (é)",Drama|War\r\n2,"He said ""no""",(no genres listed)\r\n3\r\n'
    folder.joinpath("ratings.csv").write_text(ratings, encoding="utf-8", newline="")
    folder.joinpath("movies.csv").write_text(films, encoding="utf-8", newline="")
    return folder


def titles(log: EventLog) -> dict[str, str]:
    assert log.items is not None
    return dict(log.items.select("item", "title").iter_rows())


def test_100k_with_genres_as_text_of_several_values(tmp_path: Path) -> None:
    log = read(hundred_k(tmp_path))
    assert log.frame["item"].to_list() == ["1", "2"]
    assert log.items is not None
    assert log.items.rows() == [("1", "Café (1995)", "Animation|Comedy"), ("2", "unknown", "")]
    notes = " ".join(log.reading.notes)
    assert "lines of u.item that cannot be read and are left out: 1 (line 3)" in notes
    assert "lines of u.item that repeat a film and are left out: 1 (line 4)" in notes
    assert log.reading.format == "movielens-100k"
    assert log.reading.columns == {"user": "1", "item": "2", "rating": "3", "time": "4"}


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_1m_and_10m_with_the_separator_in_a_title(tmp_path: Path, encoding: str) -> None:
    log = read(one_m(tmp_path, encoding))
    assert log.frame["rating"].to_list() == [3.5, 5.0]
    assert titles(log) == {"1": "Café: A Tale (1999)", "2": "Two :: Colons (2003)"}
    assert log.items is not None
    assert log.items["genres"].to_list() == ["Drama|Comedy", "Drama"]
    notes = " ".join(log.reading.notes)
    assert f"movies.dat is read as {encoding.title() if encoding == 'latin-1' else 'UTF-8'}" in notes
    assert "movies.dat that cannot be read and are left out: 1 (line 3)" in notes


def test_20m_and_later(tmp_path: Path) -> None:
    log = read(latest(tmp_path))
    assert titles(log) == {"1": "American, The (é)", "2": 'He said "no"'}
    assert log.frame["time"].dt.epoch("s").to_list() == [1_000_000_000, 1_000_000_001]
    assert "lines of movies.csv that cannot be read and are left out: 1 (line 4)" in " ".join(
        log.reading.notes
    )


@pytest.mark.parametrize(
    ("make", "name"), [(hundred_k, "u.data"), (one_m, "ratings.dat"), (latest, "ratings.csv")]
)
def test_the_ratings_file_alone_finds_its_companions(tmp_path: Path, make: object, name: str) -> None:
    folder = make(tmp_path)  # type: ignore[operator]
    of_file, of_folder = read(folder / name), read(folder)
    assert of_file.fingerprint() == of_folder.fingerprint()
    assert titles(of_file) == titles(of_folder)
    for other in folder.iterdir():
        if other.name != name:
            other.unlink()
    bare = read(folder / name)
    assert bare.items is None
    assert bare.fingerprint() == of_file.fingerprint()
    assert any(f"no titles: there is no file of films beside {name}" in note for note in bare.reading.notes)


def test_what_else_lies_in_the_folder_is_named_and_not_read(tmp_path: Path) -> None:
    hundred_k(tmp_path)
    for name in ("u.user", "u1.base", "other.txt"):
        (tmp_path / name).write_text("1|24|M|writer|1\n", encoding="utf-8")
    assert "files beside u.data that were not read: u.user, u1.base" in read(tmp_path).reading.notes
    folder = tmp_path / "latest"
    folder.mkdir()
    latest(folder).joinpath("tags.csv").write_text("userId,movieId,tag,timestamp\n", encoding="utf-8")
    note = "files beside ratings.csv that were not read: tags.csv (tags are a log of their own: format movielens-tags)"
    assert note in read(folder).reading.notes
    assert not any(
        "not read" in note for note in read(latest(folder / "..")).reading.notes if "ratings.csv" in note
    )


def test_tags_are_a_log_of_their_own(tmp_path: Path) -> None:
    latest(tmp_path).joinpath("tags.csv").write_text(
        'userId,movieId,tag,timestamp\n1,2,"dark, slow",1000000005\n01,1,fun,1000000004\n1,1\n',
        encoding="utf-8",
    )
    for source, form in ((tmp_path / "tags.csv", None), (tmp_path, "movielens-tags")):
        log = read(source, format=form)
        assert log.frame.select("user", "item", "tag").rows() == [
            ("01", "1", "fun"),
            ("1", "2", "dark, slow"),
        ]
        assert log.frame["time"].dt.epoch("s").to_list() == [1_000_000_004, 1_000_000_005]
        assert titles(log) == {"1": "American, The (é)", "2": 'He said "no"'}
        assert (log.reading.format, log.reading.set_aside) == ("movielens-tags", {"too few fields": 1})
        assert any("the ratings beside them were not read: ratings.csv" in note for note in log.reading.notes)
    old = tmp_path / "10M"
    old.mkdir()
    one_m(old).joinpath("tags.dat").write_text(
        "15::4973::excellent!::1215184630\n15::4973::a::b::1215184631\nno tag\n", encoding="utf-8"
    )
    log = read(old / "tags.dat")
    assert log.frame.select("user", "item", "tag").rows() == [
        ("15", "4973", "excellent!"),
        ("15", "4973", "a::b"),
    ]
    assert [(e.line, e.reason) for e in log.reading.examples] == [(3, "no user::film::tag::time")]
    assert read(old).reading.format == "movielens-dat"
    bare = tmp_path / "bare"
    bare.mkdir()
    with pytest.raises(DataError, match=r"has no tags.csv or tags.dat"):
        read(hundred_k(bare), format="movielens-tags")


def test_a_folder_that_lacks_the_ratings_of_the_layout_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no ratings.dat, which this MovieLens layout needs"):
        read(latest(tmp_path), format="movielens-dat")


def test_bad_rows_of_ratings_are_set_aside_by_line(tmp_path: Path) -> None:
    hundred_k(tmp_path).joinpath("u.data").write_text(
        "1\t2\t5\t881250950\n1\t1\t3\n1\t3\t3\t881250949\n", encoding="utf-8"
    )
    reading = read(tmp_path).reading
    assert [(e.file, e.line, e.reason) for e in reading.examples] == [("u.data", 2, "too few fields")]


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "users", "items", "events", "films", "title"),
    [
        ("ml-100k", 943, 1_682, 100_000, 1_682, ("542", "Pocahontas (1995)")),
        ("ml-1m", 6_040, 3_706, 1_000_209, 3_883, ("2762", "Sixth Sense, The (1999)")),
        ("ml-latest-small", 610, 9_724, 100_836, 9_742, ("1", "Toy Story (1995)")),
    ],
)
def test_the_published_sizes(
    data_dir: Path, folder: str, users: int, items: int, events: int, films: int, title: tuple[str, str]
) -> None:
    log = read(data_dir / folder)
    assert (log.n_users, log.n_items, log.n_events) == (users, items, events)
    assert log.items is not None
    assert log.items.height == films
    assert titles(log)[title[0]] == title[1]
    assert log.frame["item"].is_in(log.items["item"].implode()).all()
    assert log.items.filter(pl.col("title").str.contains("\ufffd")).is_empty()
    assert log.reading.set_aside == {}


@pytest.mark.data
def test_the_tags_of_the_latest_small_set(data_dir: Path) -> None:
    log = read(data_dir / "ml-latest-small" / "tags.csv")
    assert (log.n_events, log.n_users) == (3_683, 58)
    assert log.frame["item"].n_unique() == 1_572


@pytest.mark.data
def test_a_million_ratings_are_read_in_seconds(data_dir: Path) -> None:
    start = time.process_time()
    read(data_dir / "ml-1m")
    assert time.process_time() - start < 6.0  # 1.6 s of CPU when written
