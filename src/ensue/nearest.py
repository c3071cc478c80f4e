"""An index by which the best of many items are found without looking at all: made once, and kept in its model's folder.

    index.json               for which model it was made, its size and digest, and a seal over these
    index-DIGEST.usearch     links between items, and their vectors in half floats; it is mapped, not read

usearch reads such a file in code that was not made for hostile ones. So none is opened but that whose digest stands in
a manifest with the right seal: it is made with a key that stays with the service, and no model that is copied from
elsewhere brings it along. What is damaged, foreign, or of another model is not opened, and made anew.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.errors import ArtifactError, MissingExtraError

MANIFEST, STEM, ENDING = "index.json", "index-", ".usearch"
FRESH, LOCK = ".index.new", ".index.lock"
"""What an index is written to before it is in place, and what is held meanwhile."""

LINKS, LOOKED = 16, 64
"""Links of an item to others, and items that are looked at to find them."""

PART = 20_000
"""Items that are added at a time, after which it is told how far it is."""

LARGEST_MANIFEST = 64 * 1024

Table = NDArray[np.float32]


@dataclass(frozen=True)
class Shelf:
    """Where the index of a model is kept, and by which seal it is known again.

    Attributes:
        folder: of the model.
        model: checksum of the model.
        key: of the seal.
        say: is told what is done, which may take long.
    """

    folder: Path
    model: str
    key: bytes
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, eq=False)
class Index:
    """Finds items whose product with a state is large.

    Attributes:
        found: of usearch.
        bytes: of its file, or of its memory.
        mapped: the file, as long as it is used.
    """

    found: Any
    bytes: int
    mapped: mmap.mmap | None = None

    def best(self, state: Table, most: int) -> NDArray[np.int64]:
        """Up to `most` items, the best first as far as the index knows.

        Args:
            state: `[D]`.
            most: how many.
        """
        asked = np.append(state, np.float32(1)) if self.found.ndim > len(state) else state
        best: NDArray[np.int64] = self.found.search(asked, most, threads=1).keys.astype(np.int64)
        return best


def index_of(table: Table, bias: Table | None, threads: int, shelf: Shelf | None = None) -> Index:
    """The index that is kept of a table; one is made, and kept, if there is none that is good.

    Args:
        table: `[N, D]`.
        bias: `[N]` what is added to the product of each item, or None.
        threads: cores to make it with; 0 takes all.
        shelf: where it is kept; None makes one for this process alone.

    Raises:
        ArtifactError: it cannot be written where it is to be kept.
        MissingExtraError: usearch is not installed.
    """
    _links()
    sizes = len(table), table.shape[1] + (bias is not None)
    if shelf is None:
        made = _made(table, bias, threads, lambda text: None)
        return Index(made, int(made.memory_usage))
    found = _opened(shelf, sizes)
    if isinstance(found, Index):
        return found
    try:
        with _held(shelf.folder / LOCK):
            found = _opened(shelf, sizes)  # another process may have made it meanwhile
            if isinstance(found, Index):
                return found
            shelf.say(f"{found}: an index of {len(table):,} items is made, which takes long, and kept.")
            _put(_made(table, bias, threads, shelf.say), shelf, sizes)
            found = _opened(shelf, sizes)
    except OSError as fault:
        raise ArtifactError(
            f"{shelf.folder} cannot hold an index of its items ({fault.strerror}): let it be written to for the first "
            'start with table = "approximate", or take another table.'
        ) from fault
    if isinstance(found, str):
        raise ArtifactError(f"{shelf.folder} does not keep an index of its items: {found}.")
    return found


def _links() -> Any:
    """The class of usearch.

    ONNX Runtime is loaded first: usearch has a C++ library inside whose names are seen by all, and a session of ONNX
    Runtime that finds them before those of its own ends the process.
    """
    try:
        import onnxruntime  # noqa: F401
        from usearch.index import Index as Links
    except ImportError as fault:
        raise MissingExtraError(
            "An approximate table needs usearch, which is not installed: pip install 'ensue[ann]'."
        ) from fault
    return Links


def _made(table: Table, bias: Table | None, threads: int, say: Callable[[str], None]) -> Any:
    links = _links()(
        ndim=table.shape[1] + (bias is not None),
        metric="ip",
        dtype="f16",
        connectivity=LINKS,
        expansion_add=LOOKED,
        expansion_search=LOOKED,
    )
    told = 0
    for begin in range(0, len(table), PART):
        part = np.ascontiguousarray(table[begin : begin + PART])
        if bias is not None:  # a state has a one there
            part = np.hstack([part, bias[begin : begin + PART, None]])
        links.add(np.arange(begin, begin + len(part)), part, threads=threads)
        tenths = 10 * len(links) // len(table)
        if tenths > told:
            told = tenths
            say(f"index: {10 * tenths} % of {len(table):,} items")
    return links


def _opened(shelf: Shelf, sizes: tuple[int, int]) -> Index | str:
    """The index that is kept, or what is wrong with it; nothing of a file is looked at before it is known."""
    path = shelf.folder / MANIFEST
    try:
        with path.open("rb") as handle:
            content = handle.read(LARGEST_MANIFEST + 1)
    except FileNotFoundError:
        return f"{shelf.folder} keeps no index"
    except OSError as fault:
        return f"{path} cannot be read ({fault.strerror})"
    try:
        whole = json.loads(content if len(content) <= LARGEST_MANIFEST else b"")
        seal, said = whole["seal"], {name: whole[name] for name in ("model", "items", "width", "digest")}
        known = hmac.compare_digest(str(seal), _seal(shelf.key, said))
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"{path} is damaged"
    if not known:
        return f"{path} is not sealed by this service, so that its index is not opened"
    if said["model"] != shelf.model or (said["items"], said["width"]) != sizes:
        return f"{path} is of another model"
    place = _place(shelf.folder, said["digest"])
    try:
        with place.open("rb") as handle:
            mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as fault:
        return f"{place} cannot be read ({type(fault).__name__})"
    if hashlib.sha256(mapped).hexdigest() != said["digest"]:
        return f"{place} is damaged"
    found = _restored(mapped, sizes)  # of what was looked at, whatever lies at this place now
    return found if found is not None else f"{place} is of another version of usearch"


def _restored(mapped: mmap.mmap, sizes: tuple[int, int]) -> Index | None:
    try:
        links = _links().restore(memoryview(mapped), view=True)
    except (ValueError, RuntimeError):
        return None
    if links is None or (len(links), links.ndim) != sizes:
        return None
    return Index(links, len(mapped), mapped)


def _put(links: Any, shelf: Shelf, sizes: tuple[int, int]) -> None:
    """Writes an index to its place: whoever looks meanwhile finds the old one, or none, and then the new one.

    Raises:
        OSError: it cannot be written.
    """
    fresh = shelf.folder / FRESH
    fresh.unlink(missing_ok=True)  # of one that was killed; or a link, which would be followed
    try:
        fresh.touch()
        links.save(fresh)
        with fresh.open("rb") as handle:
            os.fsync(handle.fileno())
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        place = _place(shelf.folder, digest)
        fresh.replace(place)
        said = {"model": shelf.model, "items": sizes[0], "width": sizes[1], "digest": digest}
        with fresh.open("x", encoding="utf-8") as manifest:
            json.dump({**said, "seal": _seal(shelf.key, said)}, manifest, indent=1)
            manifest.flush()
            os.fsync(manifest.fileno())
        fresh.replace(shelf.folder / MANIFEST)
    finally:
        fresh.unlink(missing_ok=True)
    for old in shelf.folder.glob(f"{STEM}*{ENDING}"):
        if old != place:
            with suppress(OSError):
                old.unlink()


def _place(folder: Path, digest: str) -> Path:
    """Where an index lies: its name has its digest, so that a manifest never tells of half of another one."""
    return folder / f"{STEM}{digest[:16]}{ENDING}"


def _seal(key: bytes, said: dict[str, Any]) -> str:
    plain = json.dumps(said, sort_keys=True).encode()
    return hashlib.blake2b(plain, key=key, digest_size=32, person=b"ensue-index").hexdigest()


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Lets one process at a time make an index; the others wait for it."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
