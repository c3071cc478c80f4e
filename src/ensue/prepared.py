"""Prepared training: a folder from which a model learns without holding its events in memory.

    prepared.json              what it is: format, sizes, columns, the split in words, facts, checksums
    items.npy                  `[E]` int32 item indices, sequence after sequence
    offsets.npy                `[S+1]` int64; sequence s is `items[offsets[s]:offsets[s+1]]`
    time.npy, rating.npy       `[E]` int64 microseconds, `[E]` float32 ratings, where the log has them
    keys.00000.parquet ...     `[S]` user (or session) of each sequence, and its user
    context.00000.parquet ...  `[E]` other columns of the events, read when a model asks for them
    catalogue.parquet          items in index order with their counts and features
    questions.parquet, histories.parquet   the validation examples

Arrays are mapped into memory when they are opened, never read, and nothing in the folder runs code. It is written
beside its place and moved there in one step.

Every opening checks the description, the size of every file, the whole of the files that are read whole (catalogue,
keys, validation), and of the large ones (arrays, context) `BLOCKS` evenly spread blocks with the first and the last:
a change elsewhere in them is found by `open_training(folder, whole=True)`, which reads everything.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints, Items
from ensue.catalogue import Catalogue
from ensue.errors import DataError
from ensue.model import Training
from ensue.sequences import Queries, Sequences
from ensue.splits import Examples

FORMAT = 1
DESCRIPTION, ITEMS = "prepared.json", "catalogue.parquet"
QUESTIONS, HISTORIES = "questions.parquet", "histories.parquet"
ARRAYS: dict[str, np.dtype[Any]] = {
    "items": np.dtype("<i4"), "offsets": np.dtype("<i8"), "time": np.dtype("<i8"), "rating": np.dtype("<f4"),
}  # fmt: skip
"""The arrays, and the type of each."""

COLUMNS = {"time": bool, "rating": bool, "users": bool, "context": dict}
"""What a description says of the columns: which there are, and the types of other ones by name."""

BLOCK, BLOCKS = 64 * 1024, 64
"""How much of a large file every opening looks at: so many blocks of so many bytes."""

AT_ONCE = 1 << 20
"""How many events are looked at together where all are."""

LARGEST_DESCRIPTION = 16 * 1024 * 1024
CONTEXT = "context:"
"""Begins the names of other columns in the table of histories."""

ANEW = "prepare the data anew, or copy the whole folder again"


class Columns(Mapping[str, pl.Series]):
    """Other columns of the events by name, each read from the folder when it is first asked for.

    Args:
        parts: the files, in order; every one holds all columns.
        names: the columns.
    """

    def __init__(self, parts: list[Path], names: tuple[str, ...]) -> None:
        self.parts, self.names = {part: _identity(part) for part in parts}, names
        self.held: dict[str, pl.Series] = {}

    def __getitem__(self, name: str) -> pl.Series:
        if name not in self.names:
            raise KeyError(name)
        if name not in self.held:
            for part, identity in self.parts.items():
                if _identity(part) != identity:
                    raise DataError(f"{part} has been replaced since it was opened: open the folder again.")
            self.held[name] = pl.concat([_table(part, [name]) for part in self.parts])[name]
        return self.held[name]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def is_prepared(folder: str | Path) -> bool:
    """Whether a place is a prepared folder: it holds a description."""
    return (Path(folder) / DESCRIPTION).is_file()


def open_training(folder: str | Path, *, whole: bool = False) -> Training:
    """Training whose events stay in the folder; its arrays are read-only.

    Args:
        folder: as `preparing.write` or `preparing.Writer` made it.
        whole: check every byte against its checksum, and that every index lies within its bounds.

    Raises:
        DataError: the folder is none of ours, of a later format, or damaged; the message names the file.
    """
    folder = Path(folder)
    said = describe(folder)
    if said.get("checksum") != checksum_of(said):
        raise DataError(f"{folder / DESCRIPTION} has been changed or damaged since it was written: {ANEW}.")
    _check_files(folder, said, whole)
    columns, events, count = said["columns"], said["events"], said["sequences"]
    items, offsets = _array(folder, "items", events), _array(folder, "offsets", count + 1)
    if offsets[0] != 0 or offsets[-1] != events:
        raise DataError(
            f"{folder / 'offsets.npy'} runs from {offsets[0]} to {offsets[-1]}, not from 0 to {events}: {ANEW}."
        )
    if whole:
        _check_content(folder, items, offsets, said["items"])
    table = pl.concat([_table(path) for path in _parts(folder, "keys", said["files"])])
    keys = _column(folder, table, "key", count)
    users = _column(folder, table, "user", count) if columns["users"] else None
    catalogue = _catalogue(folder / ITEMS)
    if len(catalogue) != said["items"]:
        raise DataError(
            f"{folder / ITEMS} holds {len(catalogue)} items, and {DESCRIPTION} says {said['items']}: {ANEW}."
        )
    sequences = Sequences(
        items,
        offsets,
        keys,
        len(catalogue),
        _array(folder, "time", events) if columns["time"] else None,
        _array(folder, "rating", events) if columns["rating"] else None,
        keys if users is not None and users.equals(keys) else users,
        Columns(_parts(folder, "context", said["files"]), tuple(columns["context"])),
    )
    validation = _examples(folder, said["validation"], len(catalogue)) if said["validation"] else None
    return Training(sequences, catalogue, validation, said["exclude_seen"])


def describe(folder: str | Path) -> dict[str, Any]:
    """The content of a folder's description, checked for its shape only.

    Raises:
        DataError: it is missing, not JSON, of a later format, or lacks an entry.
    """
    path = Path(folder) / DESCRIPTION
    if path.is_symlink() or not path.is_file():
        raise DataError(
            f"{folder} is no prepared folder: it has no {DESCRIPTION}. `ensue data prepare LOG FOLDER` makes one."
        )
    try:
        if path.stat().st_size > LARGEST_DESCRIPTION:
            raise DataError(
                f"{path} is larger than {LARGEST_DESCRIPTION} bytes; it is no description of ours."
            )
        said: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise DataError(f"{path} cannot be read ({fault.strerror}).") from fault
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise DataError(f"{path} is not JSON ({fault}): {ANEW}.") from fault
    number = said.get("format") if isinstance(said, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise DataError(f"{path} has no format number; it is no description of ours.")
    if number > FORMAT:
        raise DataError(f"{path} is of format {number}; this ensue reads up to {FORMAT}: upgrade ensue.")
    kinds: dict[str, type | tuple[type, ...]] = {
        "events": int, "sequences": int, "items": int, "exclude_seen": bool, "split": str, "fingerprint": str,
        "columns": dict, "validation": (dict, type(None)), "facts": dict, "files": dict, "checksum": str,
    }  # fmt: skip
    for name, kind in kinds.items():
        if name not in said or not isinstance(said[name], kind):
            raise DataError(f"{path} has no proper entry '{name}': {ANEW}.")
    found: dict[str, Any] = said
    columns = found["columns"]
    if [type(columns.get(name)) for name in COLUMNS] != list(COLUMNS.values()):
        raise DataError(f"{path} has no proper entry 'columns': {ANEW}.")
    return found


def checksum_of(said: Mapping[str, Any]) -> str:
    """The checksum of a description, whatever its spaces and the order of its entries."""
    plain = json.loads(json.dumps({name: value for name, value in said.items() if name != "checksum"}))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a whole file, read block by block."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sample_of(path: Path) -> str:
    """The SHA-256 of a small file, or of evenly spread blocks of a large one, its first and its last included."""
    size = path.stat().st_size
    if size <= BLOCK * BLOCKS:
        return sha256_of(path)
    found = hashlib.sha256()
    with path.open("rb") as handle:
        for place in np.linspace(0, size - BLOCK, BLOCKS).astype(np.int64).tolist():
            handle.seek(place)
            found.update(handle.read(BLOCK))
    return found.hexdigest()


def is_large(name: str) -> bool:
    """Whether a file is looked at in samples when it is opened: arrays and context, which are not read then."""
    return name.endswith(".npy") or name.startswith("context.")


def _check_files(folder: Path, said: Mapping[str, Any], whole: bool) -> None:
    """Nothing, if the folder holds the files that it should, as they were written."""
    files, columns = said["files"], said["columns"]
    wanted = {"items.npy", "offsets.npy", ITEMS}
    wanted |= {f"{name}.npy" for name in ("time", "rating") if columns.get(name)}
    wanted |= {QUESTIONS, HISTORIES} if said["validation"] else set()
    tables = {name for name in files if name.startswith(("keys.", "context.")) and "/" not in name}
    if set(files) - tables != wanted or not any(name.startswith("keys.") for name in tables):
        raise DataError(
            f"{folder / DESCRIPTION} lists the files {sorted(files)}, which do not fit it: {ANEW}."
        )
    for name, entry in files.items():
        path = folder / name
        try:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                raise DataError(f"{path} is a link or no plain file, and is not read: {ANEW}.")
            if found.st_size != entry["bytes"]:
                raise DataError(f"{path} has {found.st_size} bytes, not {entry['bytes']}: {ANEW}.")
            sampled = is_large(name) and not whole
            same = sample_of(path) == entry["sample"] if sampled else sha256_of(path) == entry["sha256"]
        except OSError as fault:
            raise DataError(f"{path} is missing or cannot be read ({fault.strerror}): {ANEW}.") from fault
        except (KeyError, TypeError) as fault:
            raise DataError(f"{folder / DESCRIPTION} has no checksum of {name}: {ANEW}.") from fault
        if not same:
            raise DataError(f"{path} has been changed or damaged since it was written: {ANEW}.")


def _check_content(folder: Path, items: Items, offsets: Ints, n_items: int) -> None:
    """Nothing, if every index lies within its bounds."""
    for begin in range(0, len(items), AT_ONCE):
        block = items[begin : begin + AT_ONCE]
        if block.min() < 0 or block.max() >= n_items:
            raise DataError(f"{folder / 'items.npy'} holds an index outside 0..{n_items - 1}: {ANEW}.")
    for begin in range(0, len(offsets) - 1, AT_ONCE):
        if (np.diff(offsets[begin : begin + AT_ONCE + 1]) < 0).any():
            raise DataError(f"{folder / 'offsets.npy'} falls, and must rise: {ANEW}.")


def _array(folder: Path, name: str, length: int) -> NDArray[Any]:
    """An array of the folder, mapped into memory."""
    path = folder / f"{name}.npy"
    try:
        found = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as fault:
        raise DataError(f"{path} cannot be mapped ({fault}): {ANEW}.") from fault
    if found.dtype != ARRAYS[name] or found.shape != (length,):
        raise DataError(f"{path} is not an array of {length} numbers of type {ARRAYS[name]}: {ANEW}.")
    return found.view(np.ndarray)


def _identity(path: Path) -> tuple[int, ...]:
    """Which file lies at this place now."""
    try:
        found = path.stat()
    except OSError as fault:
        raise DataError(f"{path} cannot be read ({fault.strerror}): {ANEW}.") from fault
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _parts(folder: Path, name: str, files: Mapping[str, Any]) -> list[Path]:
    """The files of a table that is kept in parts, in order."""
    return [folder / file for file in sorted(files) if file.startswith(f"{name}.")]


def _table(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """A table of the folder, or some of its columns."""
    try:
        return pl.read_parquet(path, columns=columns, glob=False)
    except (OSError, pl.exceptions.PolarsError) as fault:
        raise DataError(f"{path} cannot be read ({fault}): {ANEW}.") from fault


def _column(folder: Path, table: pl.DataFrame, name: str, length: int) -> pl.Series:
    if name not in table.columns or table.height != length:
        raise DataError(f"{folder / 'keys.*'} hold no '{name}' for each of {length} sequences: {ANEW}.")
    return table[name]


def _catalogue(path: Path) -> Catalogue:
    table = _table(path)
    try:
        return Catalogue(
            table["item"].cast(pl.String),
            table["training_events"].cast(pl.Int64).to_numpy(),
            table.drop("training_events") if len(table.columns) > 2 else None,
        )
    except (pl.exceptions.PolarsError, DataError) as fault:
        raise DataError(f"{path} cannot be read ({fault}): {ANEW}.") from fault


def _examples(folder: Path, said: Mapping[str, Any], n_items: int) -> Examples:
    """The validation examples of the folder."""
    asked, events = _table(folder / QUESTIONS), _table(folder / HISTORIES)
    try:
        groups = asked["group"].to_numpy()
        queries = Queries(
            events["item"].to_numpy(),
            asked["start"].to_numpy(),
            asked["end"].to_numpy(),
            n_items,
            events["time"].to_numpy() if "time" in events.columns else None,
            events["rating"].to_numpy() if "rating" in events.columns else None,
            asked["at"].to_numpy() if "at" in asked.columns else None,
            asked["user"] if "user" in asked.columns else None,
            {name.removeprefix(CONTEXT): events[name] for name in events.columns if name.startswith(CONTEXT)},
        )
        first = np.flatnonzero(np.diff(groups, prepend=-1))
        return Examples(
            queries,
            asked["target"].to_numpy(),
            groups,
            asked["group_id"].gather(first),
            asked["target_id"],
            said["protocol"],
            said["left_out"],
            said["without_history"],
            said["by"],
            asked["target_rating"].to_numpy() if "target_rating" in asked.columns else None,
        )
    except (pl.exceptions.PolarsError, KeyError) as fault:
        raise DataError(f"{folder / QUESTIONS} does not fit {HISTORIES} ({fault}): {ANEW}.") from fault
