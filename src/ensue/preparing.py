"""Writing prepared training: a whole one that is in memory, or chunk by chunk one that would not fit there."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue import placing
from ensue.batching import Items, ranges
from ensue.catalogue import UNKNOWN, Catalogue, aligned
from ensue.errors import DataError
from ensue.growing import GrowingArray, GrowingTable
from ensue.model import Training
from ensue.prepared import (
    ARRAYS,
    AT_ONCE,
    CONTEXT,
    DESCRIPTION,
    FORMAT,
    HISTORIES,
    ITEMS,
    QUESTIONS,
    checksum_of,
    sample_of,
    sha256_of,
)
from ensue.sequences import Sequences
from ensue.splits import Examples
from ensue.version import __version__

VALIDATION_TARGETS = 5000
"""How many validation targets a folder holds at most, evenly spread over all."""


class Writer:
    """A prepared folder that is written chunk by chunk, with little more than one chunk in memory.

    Use it in a `with` statement: whatever ends the statement before `finish` leaves nothing behind.

    Args:
        folder: new, empty, or a prepared folder, which is replaced once the new one is whole.

    Raises:
        DataError: the folder holds something else.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        _check_place(self.folder)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.fresh = placing.beside(self.folder)
        self.columns: dict[str, Any] | None = None
        self.arrays: dict[str, GrowingArray] = {}
        self.tables: dict[str, GrowingTable] = {}
        self.events = self.sequences = self.n_items = 0
        self.counts: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for array in self.arrays.values():
            array.handle.close()
        shutil.rmtree(self.fresh, ignore_errors=True)

    def add(self, chunk: Sequences) -> None:
        """Appends whole sequences.

        Args:
            chunk: with the columns, and the number of items, of the chunks before it.

        Raises:
            DataError: its columns are others, or an index lies outside its bounds.
        """
        columns = {
            "time": chunk.time is not None,
            "rating": chunk.rating is not None,
            "users": chunk.users is not None,
            "context": {name: str(values.dtype) for name, values in chunk.context.items()},
        }
        if self.columns is None:
            self._begin(columns, chunk.n_items)
        if columns != self.columns or chunk.n_items != self.n_items:
            raise DataError(
                f"A chunk of {chunk.n_items} items with {columns} follows one of {self.n_items} with {self.columns}: "
                "all chunks must be alike."
            )
        items, offsets = chunk.items, chunk.offsets
        if offsets[0] != 0 or offsets[-1] != len(items) or (np.diff(offsets) < 0).any():
            raise DataError("The offsets of a chunk must rise from 0 to the number of its events.")
        if len(items) and not 0 <= items.min() <= items.max() < self.n_items:
            raise DataError(f"A chunk holds an item index outside 0..{self.n_items - 1}.")
        self.counts += np.bincount(items, minlength=self.n_items)
        held: dict[str, NDArray[Any] | None] = {
            "items": items,
            "offsets": offsets[1:] + self.events,
            "time": chunk.time,
            "rating": chunk.rating,
        }
        for name, values in held.items():
            if values is not None:
                self.arrays[name].append(values)
        keys = {"key": chunk.keys} | ({"user": chunk.users} if chunk.users is not None else {})
        self.tables["keys"].append(pl.DataFrame(keys))
        if chunk.context:
            self.tables["context"].append(pl.DataFrame(dict(chunk.context)))
        self.events += len(items)
        self.sequences += len(chunk)

    def fitted(self, ids: pl.Series, items: pl.DataFrame | None = None) -> tuple[Catalogue, Items]:
        """The catalogue of what was added, as `Catalogue.fit` orders it, and what makes its indices of the chunks'.

        Args:
            ids: `[n_items]` the item of each index of the chunks.
            items: what is known of items, or None.

        Returns:
            The catalogue, without items that never occurred, and `[n_items]` their indices in it, or -1.
        """
        numbered = pl.DataFrame({"item": ids, "events": self.counts}).with_row_index("code")
        kept = numbered.filter(pl.col("events") > 0).sort(["events", "item"], descending=[True, False])
        codes = np.full(len(ids), UNKNOWN, dtype=np.int32)
        codes[kept["code"].to_numpy()] = np.arange(kept.height, dtype=np.int32)
        return Catalogue(kept["item"], kept["events"].to_numpy(), aligned(kept["item"], items)), codes

    def finish(
        self,
        catalogue: Catalogue,
        *,
        codes: Items | None = None,
        validation: Examples | None = None,
        exclude_seen: bool = True,
        split: str = "",
        facts: Mapping[str, Any] | None = None,
        validation_targets: int = VALIDATION_TARGETS,
    ) -> Path:
        """Completes the folder and puts it in its place.

        Args:
            catalogue: the items.
            codes: `[n_items]` the index in the catalogue of each item of the chunks; None if those are its own.
            validation: examples in the catalogue's indices that a network stops early on.
            exclude_seen: the rule the recommender will answer by.
            split: which events are in it, in words.
            facts: what else to keep.
            validation_targets: the most targets that are kept, evenly spread over all.

        Raises:
            DataError: nothing was added, or an item is not in the catalogue.
        """
        if not self.events or self.columns is None:
            raise DataError("Nothing was added to the prepared folder: no event is left to learn from.")
        if codes is None and len(catalogue) != self.n_items:
            raise DataError(f"The catalogue has {len(catalogue)} items, and the chunks {self.n_items}.")
        try:
            for array in self.arrays.values():
                array.end()
            for table in self.tables.values():
                table.end()
            if codes is not None:
                self._recode(codes, len(catalogue))
            frame = catalogue.features
            frame = catalogue.ids.rename("item").to_frame() if frame is None else frame
            frame = frame.with_columns(pl.Series("training_events", catalogue.counts))
            frame.write_parquet(self.fresh / ITEMS)
            asked = sampled(validation, validation_targets)
            if asked is not None:
                _write_examples(asked, self.fresh)
            said = self._described(catalogue, asked, exclude_seen, split, dict(facts or {}))
            (self.fresh / DESCRIPTION).write_text(json.dumps(said, indent=1, ensure_ascii=False), "utf-8")
            placing.put(self.fresh, self.folder)
        except OSError as fault:
            raise DataError(f"{self.folder} cannot be written: {fault.strerror or fault}.") from fault
        return self.folder

    def _begin(self, columns: dict[str, Any], n_items: int) -> None:
        self.columns, self.n_items = columns, n_items
        self.counts = np.zeros(n_items, dtype=np.int64)
        names = ["items", "offsets", *(name for name in ("time", "rating") if columns[name])]
        self.arrays = {name: GrowingArray(self.fresh / f"{name}.npy", ARRAYS[name]) for name in names}
        self.arrays["offsets"].append(np.zeros(1, dtype=np.int64))
        tables = ["keys", *(["context"] if columns["context"] else [])]
        self.tables = {name: GrowingTable(self.fresh, name, AT_ONCE) for name in tables}

    def _recode(self, codes: Items, n_items: int) -> None:
        """Puts the catalogue's indices in place of the chunks', a stretch at a time."""
        used = codes[self.counts > 0]
        if used.min() < 0 or used.max() >= n_items:
            raise DataError(f"An item of the chunks has an index outside 0..{n_items - 1} in the catalogue.")
        items = np.lib.format.open_memmap(self.fresh / "items.npy", mode="r+")
        for begin in range(0, len(items), AT_ONCE):
            items[begin : begin + AT_ONCE] = codes[items[begin : begin + AT_ONCE]]
        items.flush()

    def _described(
        self,
        catalogue: Catalogue,
        asked: Examples | None,
        exclude_seen: bool,
        split: str,
        facts: dict[str, Any],
    ) -> dict[str, Any]:
        files: dict[str, dict[str, Any]] = {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path), "sample": sample_of(path)}
            for path in sorted(self.fresh.iterdir())
        }
        content = hashlib.sha256("".join(files[f"{name}.npy"]["sha256"] for name in self.arrays).encode())
        content.update("\n".join(catalogue.ids.to_list()).encode())
        said: dict[str, Any] = {
            "format": FORMAT,
            "ensue": __version__,
            "events": self.events,
            "sequences": self.sequences,
            "items": len(catalogue),
            "columns": self.columns,
            "exclude_seen": exclude_seen,
            "split": split,
            "validation": None
            if asked is None
            else {
                "targets": len(asked),
                "protocol": asked.protocol,
                "left_out": asked.left_out,
                "without_history": asked.without_history,
                "by": asked.by,
            },
            "fingerprint": content.hexdigest(),
            "facts": facts,
            "files": files,
        }
        said["checksum"] = checksum_of(said)
        return said


def write(
    training: Training,
    folder: str | Path,
    *,
    split: str = "",
    facts: Mapping[str, Any] | None = None,
    validation_targets: int = VALIDATION_TARGETS,
) -> Path:
    """Writes training to a folder that `prepared.open_training` opens.

    Args:
        training: in memory.
        folder: new, empty, or a prepared folder, which is replaced once the new one is whole.
        split: which events are in it, in words.
        facts: what else to keep.
        validation_targets: the most validation targets that are kept, evenly spread over all.

    Raises:
        DataError: the folder holds something else, or cannot be written.
    """
    with Writer(folder) as writer:
        for chunk in _chunks(training.sequences):
            writer.add(chunk)
        return writer.finish(
            training.catalogue,
            validation=training.validation,
            exclude_seen=training.exclude_seen,
            split=split,
            facts=facts,
            validation_targets=validation_targets,
        )


def _chunks(sequences: Sequences) -> Iterator[Sequences]:
    """The sequences in chunks of about `AT_ONCE` events, each sequence whole."""
    offsets, first = sequences.offsets, 0
    while first < len(sequences):
        last = int(np.searchsorted(offsets, offsets[first] + AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), len(sequences))
        begin, end = int(offsets[first]), int(offsets[last])
        yield Sequences(
            sequences.items[begin:end],
            offsets[first : last + 1] - begin,
            sequences.keys[first:last],
            sequences.n_items,
            None if sequences.time is None else sequences.time[begin:end],
            None if sequences.rating is None else sequences.rating[begin:end],
            None if sequences.users is None else sequences.users[first:last],
            {name: values[begin:end] for name, values in sequences.context.items()},
        )
        first = last


def sampled(examples: Examples | None, most: int) -> Examples | None:
    """Evenly spread examples, their histories without the events that none of them has; None for none."""
    if examples is None or not len(examples):
        return None
    if len(examples) > most:
        examples = examples[np.linspace(0, len(examples) - 1, most).astype(np.int64)]
    queries = examples.queries
    first, row = np.unique(queries.starts, return_inverse=True)
    last = first.copy()
    np.maximum.at(last, row, queries.ends)
    places = ranges(first, last)[1]
    starts = (np.cumsum(last - first) - (last - first))[row]
    present, groups = np.unique(examples.groups, return_inverse=True)
    kept = replace(
        queries,
        items=queries.items[places],
        starts=starts,
        ends=starts + queries.lengths,
        time=None if queries.time is None else queries.time[places],
        rating=None if queries.rating is None else queries.rating[places],
        context={name: values.gather(places) for name, values in queries.context.items()},
    )
    group_ids = examples.group_ids.gather(present)
    return replace(examples, queries=kept, groups=groups.astype(np.int64), group_ids=group_ids)


def _write_examples(examples: Examples, folder: Path) -> None:
    """Writes the two tables of the validation examples."""
    queries = examples.queries
    events: dict[str, Any] = {"item": queries.items, "time": queries.time, "rating": queries.rating}
    events |= {f"{CONTEXT}{name}": values for name, values in queries.context.items()}
    asked: dict[str, Any] = {
        "start": queries.starts,
        "end": queries.ends,
        "target": examples.targets,
        "group": examples.groups,
        "group_id": examples.group_ids.gather(examples.groups),
        "target_id": examples.target_ids,
        "user": queries.users,
        "at": queries.at,
        "target_rating": examples.target_ratings,
    }
    for name, table in ((HISTORIES, events), (QUESTIONS, asked)):
        held = {column: values for column, values in table.items() if values is not None}
        pl.DataFrame(held).write_parquet(folder / name)


def _check_place(folder: Path) -> None:
    """Nothing, if a folder may be put there."""
    free = not folder.exists() or (
        folder.is_dir() and (not any(folder.iterdir()) or (folder / DESCRIPTION).is_file())
    )
    if not free:
        raise DataError(
            f"{folder} holds something other than prepared data: choose another folder, or empty it first."
        )
