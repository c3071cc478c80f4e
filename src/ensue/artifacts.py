"""A saved model: a folder of plain files that runs no code when it is read.

    model.json            what it is: format, model, settings, facts, sizes, a checksum of every file and of itself
    catalogue.parquet     items in index order with their counts, titles and features
    weights.safetensors   the arrays of a counting model, or the weights of a network and the table of its prior
    network.onnx          the graph that serves a network, weights inside
    steps.onnx            the same for one history, going on from a state; of networks whose state has one size
    steps-int8.onnx       that with weights of 8 bits in its layers; of LSTMs
    vocabulary.parquet    the values that a network knows of columns that it reads beside items
    features.parquet      the values that it knows of features of items

It is written beside its place and moved there in one step, so that a reader never meets half of one.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save_file

from ensue import placing
from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError, DataError
from ensue.ranking import Recommender
from ensue.version import __version__

FORMAT = 1
DESCRIPTION, ITEMS, WEIGHTS, GRAPH = "model.json", "catalogue.parquet", "weights.safetensors", "network.onnx"
STEPS, SMALL = "steps.onnx", "steps-int8.onnx"
VOCABULARY, FEATURES = "vocabulary", "features"
PRIOR = "prior"
"""What the description says under "scoring" of a prior that is added to what the graph answers."""
TABLES = {VOCABULARY: "vocabulary.parquet", FEATURES: "features.parquet"}
"""Tables that a model may have, and the files that hold them."""
EVENTS, TARGETS = "training_events", "training_targets"
"""Columns of the catalogue: training events of each item, and with an objective what they count as targets."""
LARGEST_DESCRIPTION = 16 * 1024 * 1024
TRIES, PAUSE = 20, 0.01
"""How often, and seconds apart, a folder is read that is being replaced at that moment."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """What a folder holds, checked: ready to be made to answer by `ensue.runtime`.

    Attributes:
        folder: where it lies.
        description: the content of model.json.
        catalogue: the items.
        arrays: the weights by name.
        graph: the ONNX graph, or None for a counting model.
        tables: those of `TABLES` that it has.
    """

    folder: Path
    description: Mapping[str, Any]
    catalogue: Catalogue
    arrays: Mapping[str, NDArray[Any]]
    graph: bytes | None
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)


def save(recommender: Recommender, folder: Path, *, facts: Mapping[str, Any] | None = None) -> Path:
    """Writes a recommender to a folder; what was there before is replaced once the new one is whole.

    Args:
        recommender: fitted; a network is exported to ONNX here.
        folder: new, empty, or an artifact that is to be replaced.
        facts: what else to keep in model.json: metrics, the fingerprint of the data, ...

    Raises:
        ArtifactError: the folder holds something that is not an artifact.
    """
    folder = Path(folder)
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / DESCRIPTION).exists())
    ):
        raise ArtifactError(
            f"{folder} holds something other than a model: choose another folder, or empty it first."
        )
    fresh = placing.beside(folder)
    try:
        _write(recommender, fresh, dict(facts or {}))
        placing.put(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _write(recommender: Recommender, folder: Path, facts: dict[str, Any]) -> None:
    catalogue = recommender.catalogue
    table = catalogue.features if catalogue.features is not None else catalogue.ids.rename("item").to_frame()
    table = table.with_columns(pl.Series(EVENTS, catalogue.counts))
    if catalogue.targets is not None:
        table = table.with_columns(pl.Series(TARGETS, catalogue.targets))
    table.write_parquet(folder / ITEMS)
    parts = recommender.scoring.parts()
    arrays = {name: np.ascontiguousarray(array) for name, array in parts.arrays.items()}
    save_file(arrays, folder / WEIGHTS)
    for name, graph in ((GRAPH, parts.graph), (STEPS, parts.steps), (SMALL, parts.small)):
        if graph is not None:
            (folder / name).write_bytes(graph)
    for name, held in parts.tables.items():
        held.write_parquet(folder / TABLES[name])
    description = {
        "format": FORMAT,
        "ensue": __version__,
        "kind": "counting" if parts.graph is None else "network",
        "model": recommender.model,
        "settings": dict(recommender.settings),
        "scoring": dict(parts.settings),
        "exclude_seen": recommender.exclude_seen,
        "items": len(catalogue),
        "facts": dict(recommender.facts) | facts,
        "files": {path.name: _checksum(path.read_bytes()) for path in sorted(folder.iterdir())},
    }
    description["checksum"] = _checksum_of(description)
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1, ensure_ascii=False), encoding="utf-8")


def read(folder: Path) -> Artifact:
    """A checked artifact, whole even if another takes its place at this moment.

    Raises:
        ArtifactError: the folder is no artifact, of a later format, or damaged; the message names the file.
    """
    folder = Path(folder)
    for _ in range(TRIES):
        before = _identity(folder)
        try:
            return _read(folder)
        except ArtifactError:
            if _identity(folder) == before and not _being_replaced(folder):
                raise
            time.sleep(PAUSE)
    return _read(folder)


def _identity(folder: Path) -> tuple[int, int, int] | None:
    """Which folder lies at this place now; None if there is none."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _being_replaced(folder: Path) -> bool:
    """Whether `save` is between moving the old folder away and the new one in."""
    try:
        return any(path.name.startswith(placing.old_prefix(folder)) for path in folder.parent.iterdir())
    except OSError:
        return False


def _read(folder: Path) -> Artifact:
    description = describe(folder)
    if description.get("checksum") != _checksum_of(description):
        raise ArtifactError(
            f"{folder / DESCRIPTION} has been changed or damaged since it was saved; copy or save the model anew."
        )
    files = description["files"]
    network = description["kind"] == "network"
    expected, also = {ITEMS, WEIGHTS} | ({GRAPH} if network else set()), {STEPS, SMALL} if network else set()
    if set(files) - set(TABLES.values()) - also != expected:
        raise ArtifactError(
            f"{folder / DESCRIPTION} lists the files {sorted(files)}, not {sorted(expected)}; save the model anew."
        )
    contents = {name: _checked(folder, name, checksum) for name, checksum in files.items()}
    try:
        table = pl.read_parquet(io.BytesIO(contents[ITEMS]))
        arrays = load_arrays(contents[WEIGHTS])
        tables = {
            name: pl.read_parquet(io.BytesIO(contents[file]))
            for name, file in TABLES.items()
            if file in contents
        }
        known = table.drop(EVENTS, *([TARGETS] if TARGETS in table.columns else []))
        catalogue = Catalogue(
            table["item"].cast(pl.String),
            table[EVENTS].cast(pl.Int64).to_numpy(),
            known if len(known.columns) > 1 else None,
            table[TARGETS].cast(pl.Float64).to_numpy() if TARGETS in table.columns else None,
        )
    except (pl.exceptions.PolarsError, SafetensorError, DataError) as fault:
        raise ArtifactError(f"{folder} cannot be read ({fault}); copy or save the model anew.") from fault
    if len(catalogue) != description["items"]:
        raise ArtifactError(
            f"{folder / ITEMS} holds {len(catalogue)} items, model.json says {description['items']}."
        )
    return Artifact(folder, description, catalogue, arrays, contents.get(GRAPH), tables)


def steps_of(folder: Path, description: Mapping[str, Any], name: str = STEPS) -> bytes | None:
    """The graph of a network that goes on from a state, checked; None if the model has none.

    Args:
        folder: of the model.
        description: of it, as `describe` gives it.
        name: of its file, `STEPS` or `SMALL`.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    checksum = description["files"].get(name)
    return None if checksum is None else _checked(Path(folder), name, checksum)


def describe(folder: Path) -> dict[str, Any]:
    """The content of an artifact's model.json, checked for its shape only.

    Raises:
        ArtifactError: it is missing, not JSON, of a later format, or lacks an entry.
    """
    path = Path(folder) / DESCRIPTION
    if not path.is_file():
        raise ArtifactError(
            f"{folder} is no saved model: it has no {DESCRIPTION}. `ensue run LOG --out runs/NAME` makes one."
        )
    content = _content(path, LARGEST_DESCRIPTION + 1)
    if len(content) > LARGEST_DESCRIPTION:
        raise ArtifactError(
            f"{path} is larger than {LARGEST_DESCRIPTION} bytes; this is no {DESCRIPTION} of ours."
        )
    try:
        description = json.loads(content.decode("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise ArtifactError(f"{path} is not JSON ({fault}); copy or save the model anew.") from fault
    if not isinstance(description, dict) or not _is_format(description.get("format")):
        raise ArtifactError(f"{path} has no format number; this is no {DESCRIPTION} of ours.")
    if description["format"] > FORMAT:
        raise ArtifactError(
            f"{path} is of format {description['format']}; this ensue reads up to {FORMAT}: upgrade ensue."
        )
    kinds: dict[str, type | tuple[type, ...]] = {
        "kind": str, "model": str, "settings": dict, "scoring": dict, "exclude_seen": bool, "items": int, "files": dict,
    }  # fmt: skip
    for name, kind in kinds.items():
        if not isinstance(description.get(name), kind):
            raise ArtifactError(f"{path} has no proper entry '{name}'; copy or save the model anew.")
    return description


def _checked(folder: Path, name: str, checksum: str) -> bytes:
    """The bytes of a file that is listed."""
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise ArtifactError(f"{path} is missing or no plain file; copy the whole folder of the model.")
    content = _content(path)
    if _checksum(content) != checksum:
        raise ArtifactError(
            f"{path} has been changed or damaged since it was saved; copy or save the model anew."
        )
    return content


def _content(path: Path, most: int = -1) -> bytes:
    """The bytes of a file, or no more than `most` of them."""
    try:
        with path.open("rb") as handle:
            return handle.read(most)
    except OSError as fault:
        raise ArtifactError(f"{path} cannot be read ({fault.strerror}).") from fault


def _is_format(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _checksum_of(description: Mapping[str, Any]) -> str:
    """The checksum of what model.json says, whatever its spaces and the order of its entries."""
    plain = json.loads(json.dumps({name: value for name, value in description.items() if name != "checksum"}))
    return _checksum(json.dumps(plain, sort_keys=True).encode())
