"""The state of a training run on disk: one safetensors file, and the one before it.

A write goes to a neighbouring file first and takes its place by renaming, so that a run which is killed while writing
leaves the previous checkpoint whole. A file whose checksum does not agree is not gone on from: the one before is.
Loading runs no code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ensue.errors import ModelError

FILE, BEFORE = "checkpoint.safetensors", "checkpoint.before.safetensors"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything that a run needs to go on: tensors by name, and a JSON record."""

    tensors: Mapping[str, Tensor]
    record: Mapping[str, Any]

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose name begins with `prefix.`, without it."""
        start = prefix + "."
        return {name[len(start) :]: tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def write(folder: Path, checkpoint: Checkpoint) -> None:
    """Puts a checkpoint in a folder; the one that was there becomes the one before.

    Args:
        folder: of the run.
        checkpoint: what to keep.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fresh, place = folder / (FILE + ".new"), folder / FILE
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    record = json.dumps(checkpoint.record)
    save_file(tensors, fresh, metadata={"record": record, "checksum": _checksum(tensors, record)})
    _settle(fresh)
    if place.exists():
        place.replace(folder / BEFORE)
    fresh.replace(place)
    _settle(folder)


def read(
    folder: Path, wanted: Mapping[str, Any], say: Callable[[str], None] = lambda text: None
) -> Checkpoint | None:
    """The last good checkpoint of a folder, or None if it holds none.

    Args:
        folder: where an earlier run kept its state.
        wanted: entries that the record must have: the same model, settings, seed and data.
        say: told if the last one is damaged and the one before is taken.

    Raises:
        ModelError: the files are damaged, or belong to another run.
    """
    faults = []
    for path in (folder / FILE, folder / BEFORE):
        if not path.exists():
            continue
        try:
            found = _read(path)
        except (SafetensorError, OSError, ValueError) as fault:
            faults.append(f"The checkpoint {path} cannot be read ({fault})")
            continue
        for key, value in wanted.items():
            if found.record.get(key) != value:
                raise ModelError(
                    f"The checkpoint {path} is of another run: {key} was {found.record.get(key)!r} and is now "
                    f"{value!r}. Take another folder, or remove it to start anew."
                )
        if faults:
            say(f"{faults[0]}: going on from the one before it, {path}")
        return found
    if faults:
        raise ModelError(f"{'; '.join(faults)}: remove it to start anew.")
    return None


def _read(path: Path) -> Checkpoint:
    with safe_open(path, framework="pt") as handle:
        metadata = handle.metadata() or {}
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    record = metadata.get("record", "{}")
    if "record" in metadata and metadata.get("checksum") != _checksum(tensors, record):
        raise ValueError("its checksum does not agree")
    return Checkpoint(tensors, json.loads(record))


def _checksum(tensors: Mapping[str, Tensor], record: str) -> str:
    digest = hashlib.blake2b(record.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _settle(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
