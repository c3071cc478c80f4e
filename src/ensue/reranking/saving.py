"""A saved re-ranker: a folder of plain files that runs no code when it is read.

    reranker.json         format, features, the values that it tells apart, facts, checksums of all files and of itself
    items.parquet         items in index order with their counts
    tables.safetensors    weights of the features, and what training says of each item
    models/NAME/          each model that it asks, as `ensue.artifacts` saves them

It is written beside its place and moved there in one step. No user and no history is in it.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save_file

from ensue import artifacts, placing, runtime
from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError, DataError
from ensue.experiment import LABEL
from ensue.reranking.choice import Choice
from ensue.reranking.features import FAMILIES, Vocabulary
from ensue.reranking.reranker import Reranker
from ensue.reranking.tables import Tables
from ensue.version import __version__

FORMAT = 1
DESCRIPTION, ITEMS, ARRAYS, MODELS = "reranker.json", "items.parquet", "tables.safetensors", "models"
LARGEST_DESCRIPTION, LARGEST_FILE = 16 * 2**20, 4 * 2**30
"""Bytes that are read."""

MOST_NAMES = 10_000
"""Features, values and models that a description may name."""


def save(reranker: Reranker, folder: str | Path) -> Path:
    """Writes a re-ranker to a folder; what was there before is replaced once the new one is whole.

    Args:
        reranker: fitted.
        folder: new, empty, or one of a re-ranker.

    Raises:
        ArtifactError: the folder holds something else.
    """
    folder = Path(folder)
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / DESCRIPTION).exists())
    ):
        raise ArtifactError(
            f"{folder} holds something other than a re-ranker: choose another folder, or empty it first."
        )
    fresh = placing.beside(folder)
    try:
        _write(reranker, fresh)
        placing.put(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _write(reranker: Reranker, folder: Path) -> None:
    tables = reranker.tables
    catalogue = tables.catalogue
    ids = catalogue.ids.rename("item").to_frame()
    ids.with_columns(pl.Series("seen", catalogue.counts)).write_parquet(folder / ITEMS)
    arrays = {
        "weights": reranker.choice.weights,
        "rates": tables.rates,
        "clicks": tables.clicks,
        "expected": tables.expected,
        "events": tables.events,
    }
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / ARRAYS)
    names = [ITEMS, ARRAYS]
    for name, recommender in tables.models.items():
        place = folder / MODELS / name
        if name in reranker.sources:
            _copy(reranker.sources[name], place)
        else:
            artifacts.save(recommender, place)
        names.append(f"{MODELS}/{name}/{artifacts.DESCRIPTION}")  # which holds the checksums of its own files
    description: dict[str, Any] = {
        "format": FORMAT,
        "ensue": __version__,
        "families": list(reranker.families),
        "features": list(reranker.names),
        "kinds": list(reranker.vocabulary.kinds),
        "context": {name: list(values) for name, values in reranker.vocabulary.context.items()},
        "models": list(tables.models),
        "items": len(catalogue),
        "facts": dict(reranker.facts),
        "files": {name: _checksum((folder / name).read_bytes()) for name in names},
    }
    description["checksum"] = _checksum_of(description)
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1, ensure_ascii=False), encoding="utf-8")


def _copy(source: Path, place: Path) -> None:
    """The files that a saved model lists, and no others."""
    place.mkdir(parents=True)
    for name in (artifacts.DESCRIPTION, *artifacts.read(source).description["files"]):
        shutil.copyfile(source / name, place / name)


def load(folder: str | Path, *, threads: int = 0) -> Reranker:
    """A re-ranker from its folder, which is all that it needs.

    Args:
        folder: what `save` wrote.
        threads: cores that a network may use for one call; 0 leaves it to ONNX Runtime.

    Raises:
        ArtifactError: the folder is no re-ranker, of a later format, or damaged; the message names the file.
    """
    folder = Path(folder)
    said = _described(folder)
    expected = {ITEMS, ARRAYS, *(f"{MODELS}/{name}/{artifacts.DESCRIPTION}" for name in said["models"])}
    if set(said["files"]) != expected:
        raise ArtifactError(
            f"{folder / DESCRIPTION} lists other files than {sorted(expected)}: save it anew."
        )
    contents = {name: _checked(folder, name, checksum) for name, checksum in said["files"].items()}
    try:
        table = pl.read_parquet(io.BytesIO(contents[ITEMS]))
        arrays = load_arrays(contents[ARRAYS])
        catalogue = Catalogue(table["item"].cast(pl.String), table["seen"].cast(pl.Int64).to_numpy())
        models = {name: runtime.load(folder / MODELS / name, threads=threads) for name in said["models"]}
        held = [arrays[name].astype(np.float64) for name in ("rates", "clicks", "expected", "events")]
        if len(catalogue) != said["items"]:
            raise ArtifactError(f"{ITEMS} holds {len(catalogue)} items, {DESCRIPTION} says {said['items']}")
        return Reranker(
            Choice(arrays["weights"].astype(np.float64)),
            tuple(said["features"]),
            Tables(catalogue, held[0], held[1], held[2], held[3], models),
            Vocabulary(
                tuple(said["kinds"]), {name: tuple(said["context"][name]) for name in said["context"]}
            ),
            tuple(said["families"]),
            said["facts"],
            {name: folder / MODELS / name for name in models},
        )
    except (pl.exceptions.PolarsError, SafetensorError, DataError, KeyError, ValueError) as fault:
        raise ArtifactError(f"{folder} cannot be read ({fault}); copy or save it anew.") from fault
    except ArtifactError as fault:
        raise ArtifactError(f"{folder}: {fault}") from fault


def _described(folder: Path) -> dict[str, Any]:
    """The content of reranker.json, checked for its shape."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise ArtifactError(
            f"{folder} is no re-ranker: it has no {DESCRIPTION}. `ensue rerank fit` makes one."
        )
    content = _content(path, LARGEST_DESCRIPTION)
    try:
        said = json.loads(content.decode("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise ArtifactError(f"{path} is not JSON ({fault}); copy or save it anew.") from fault
    number = said.get("format") if isinstance(said, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ArtifactError(f"{path} has no format number; this is no {DESCRIPTION} of ours.")
    if number > FORMAT:
        raise ArtifactError(f"{path} is of format {number}; this ensue reads up to {FORMAT}: upgrade ensue.")
    if said.get("checksum") != _checksum_of(said):
        raise ArtifactError(f"{path} has been changed or damaged since it was saved; copy or save it anew.")
    kinds = {"facts": dict, "files": dict, "context": dict, "items": int}
    texts = ("families", "features", "kinds", "models")
    for name, kind in kinds.items():
        if not isinstance(said.get(name), kind):
            raise ArtifactError(f"{path} has no proper entry '{name}'; copy or save it anew.")
    listed = {**{name: said.get(name) for name in texts}, **said["context"]}
    for name, values in listed.items():
        if (
            not isinstance(values, list)
            or len(values) > MOST_NAMES
            or not all(isinstance(v, str) for v in values)
        ):
            raise ArtifactError(f"{path} has no proper entry '{name}'; copy or save it anew.")
    if not set(said["families"]) <= set(FAMILIES) or not all(LABEL.fullmatch(one) for one in said["models"]):
        raise ArtifactError(f"{path} names families or models that cannot be; copy or save it anew.")
    found: dict[str, Any] = said
    return found


def _checked(folder: Path, name: str, checksum: str) -> bytes:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise ArtifactError(f"{path} is missing or no plain file; copy the whole folder.")
    content = _content(path, LARGEST_FILE)
    if _checksum(content) != checksum:
        raise ArtifactError(f"{path} has been changed or damaged since it was saved; copy or save it anew.")
    return content


def _content(path: Path, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise ArtifactError(f"{path} is larger than {most:,} bytes, as none of ours is.")
        return path.read_bytes()
    except OSError as fault:
        raise ArtifactError(f"{path} cannot be read ({fault.strerror}).") from fault


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _checksum_of(description: Mapping[str, Any]) -> str:
    """The checksum of what the description says, whatever its spaces and the order of its entries."""
    plain = {name: value for name, value in description.items() if name != "checksum"}
    return _checksum(json.dumps(json.loads(json.dumps(plain)), sort_keys=True).encode())
