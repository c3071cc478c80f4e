"""The state of a training run on disk: one safetensors file per run, replaced in one step.

A write goes to a neighbouring file first and takes the place of the old one by renaming, so that a run which is
killed while writing leaves the previous checkpoint whole. Loading runs no code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ensue.errors import ModelError

FILE = "checkpoint.safetensors"


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
    """Puts a checkpoint in a folder, in place of the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / (FILE + ".new")
    tensors = {name: tensor.detach().contiguous() for name, tensor in checkpoint.tensors.items()}
    save_file(tensors, fresh, metadata={"record": json.dumps(checkpoint.record)})
    with fresh.open("rb") as handle:
        os.fsync(handle.fileno())
    fresh.replace(folder / FILE)


def read(folder: Path, wanted: Mapping[str, Any]) -> Checkpoint | None:
    """The checkpoint of a folder, or None if it holds none.

    Args:
        folder: where an earlier run kept its state.
        wanted: entries that the record must have: the same model, settings, seed and data.

    Raises:
        ModelError: the file is damaged, or belongs to another run.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as handle:
            record = json.loads((handle.metadata() or {}).get("record", "{}"))
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, json.JSONDecodeError) as fault:
        raise ModelError(
            f"The checkpoint {path} cannot be read ({fault}): remove it to start anew."
        ) from fault
    for key, value in wanted.items():
        if record.get(key) != value:
            raise ModelError(
                f"The checkpoint {path} is of another run: {key} was {record.get(key)!r} and is now {value!r}. "
                "Take another folder, or remove it to start anew."
            )
    return Checkpoint(tensors, record)
