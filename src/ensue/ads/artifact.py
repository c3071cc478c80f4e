"""A saved click model: a folder of plain files that runs no code when it is read.

    ads.json              what it is: format, settings, columns, facts, a checksum of every other file and of itself
    weights.safetensors   weights, their precisions, the bias, and the calibration
    vocabulary.parquet    the values that it knows of each column
    ads.parquet           the ads of training, with their campaigns, bids and features

It holds ads, columns and what they weigh: no people, and no value that few impressions had.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save_file

from ensue import placing
from ensue.ads.calibrating import KINDS, Calibration
from ensue.ads.click_model import Clicks
from ensue.ads.columns import Columns
from ensue.ads.history import Past
from ensue.ads.regression import Weights
from ensue.errors import ArtifactError
from ensue.version import __version__

FORMAT = 1
DESCRIPTION = "ads.json"
WEIGHTS, WORDS, ADS = "weights.safetensors", "vocabulary.parquet", "ads.parquet"
FILES = (WEIGHTS, WORDS, ADS)
LARGEST_DESCRIPTION = 16 * 1024 * 1024
LARGEST = 4 * 1024**3
"""Bytes of a file that is read."""


@dataclass(frozen=True, eq=False)
class Saved:
    """A click model and the ads that it was learnt from.

    Attributes:
        clicks: gives probabilities.
        ads: `[A]` as `Impressions.known_ads` gives them.
        description: the content of ads.json.
    """

    clicks: Clicks
    ads: pl.DataFrame
    description: Mapping[str, Any]

    @property
    def version(self) -> str:
        """What tells it from other models: the beginning of its checksum."""
        return str(self.description["checksum"])[:12]


def save(
    clicks: Clicks, ads: pl.DataFrame, folder: Path, *, settings: Mapping[str, Any], facts: Mapping[str, Any]
) -> Path:
    """Writes a click model to a folder; what was there before is replaced once the new one is whole.

    Args:
        clicks: fitted.
        ads: those of training, as `Impressions.known_ads` gives them.
        folder: new, empty, or such a model that is to be replaced.
        settings: of the model.
        facts: what else to keep: figures, the fingerprint of the data, ...

    Raises:
        ArtifactError: the folder holds something else.
    """
    folder = Path(folder)
    held = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if held and not (folder / DESCRIPTION).is_file():
        raise ArtifactError(
            f"{folder} holds something other than a click model: choose another, or empty it first."
        )
    fresh = placing.beside(folder)
    try:
        _write(clicks, ads, fresh, dict(settings), dict(clicks.facts) | dict(facts))
        placing.put(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _write(
    clicks: Clicks, ads: pl.DataFrame, folder: Path, settings: dict[str, Any], facts: dict[str, Any]
) -> None:
    weights, calibration = clicks.weights, clicks.calibration
    arrays = {
        "weights": weights.weights,
        "precision": weights.precision,
        "bias": np.array([weights.bias]),
        "calibration_x": calibration.x,
        "calibration_y": calibration.y,
    }
    save_file(
        {name: np.ascontiguousarray(one, dtype=np.float64) for name, one in arrays.items()}, folder / WEIGHTS
    )
    clicks.columns.values().write_parquet(folder / WORDS)
    ads.write_parquet(folder / ADS)
    description = {
        "format": FORMAT,
        "ensue": __version__,
        "kind": "ads",
        "settings": settings,
        "columns": clicks.columns.to_json(),
        "calibration": calibration.kind,
        "facts": facts,
        "files": {name: _checksum((folder / name).read_bytes()) for name in FILES},
    }
    description["checksum"] = _checksum_of(description)
    text = json.dumps(description, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def load(folder: Path | str) -> Saved:
    """The click model of a folder, checked.

    Raises:
        ArtifactError: the folder is none, of a later format, or damaged; the message names the file.
    """
    folder = Path(folder)
    description = _description(folder)
    contents = {}
    for name in FILES:
        contents[name] = _content(folder / name, LARGEST)
        if _checksum(contents[name]) != description["files"].get(name):
            raise ArtifactError(
                f"{folder / name} has been changed or damaged since it was saved; copy it or fit the model anew."
            )
    try:
        arrays = load_arrays(contents[WEIGHTS])
        words, ads = (pl.read_parquet(io.BytesIO(contents[name])) for name in (WORDS, ADS))
        weights = Weights(arrays["weights"], float(arrays["bias"][0]), arrays["precision"])
        calibration = Calibration(
            description["calibration"], arrays["calibration_x"], arrays["calibration_y"]
        )
        columns = Columns.restored(description["columns"], words)
        width = columns.table(ads.with_columns(user=pl.lit(""), time=pl.lit(0)).head(0), Past.none()).shape[1]
    except (pl.exceptions.PolarsError, SafetensorError, KeyError, IndexError, TypeError) as fault:
        raise ArtifactError(f"{folder} cannot be read ({fault}); copy it or fit the model anew.") from fault
    _check(folder, weights, calibration, width)
    if "ad" not in ads.columns:
        raise ArtifactError(f"{folder / ADS} names no ads; fit the model anew.")
    return Saved(Clicks(columns, weights, calibration, dict(description["facts"])), ads, description)


def _check(folder: Path, weights: Weights, calibration: Calibration, width: int) -> None:
    fits = weights.weights.shape == weights.precision.shape == (width,)
    fits = fits and bool(np.isfinite(weights.weights).all() and np.isfinite(weights.bias))
    fits = fits and bool(np.isfinite(weights.precision).all() and (weights.precision > 0).all())
    x, y = calibration.x, calibration.y
    fits = fits and bool(np.isfinite(x).all() and np.isfinite(y).all()) and calibration.kind in KINDS
    if calibration.kind == "platt":
        fits = fits and x.shape == (2,) and bool(x[0] > 0)
    elif calibration.kind == "isotonic":
        rising = len(x) > 0 and bool((np.diff(x) > 0).all() and (np.diff(y) >= 0).all())
        fits = fits and x.shape == y.shape and rising and bool(y[0] >= 0 and y[-1] <= 1)
    if not fits:
        raise ArtifactError(
            f"{folder / WEIGHTS} does not hold {width} finite weights and their calibration; fit the model anew."
        )


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    if not path.is_file():
        raise ArtifactError(
            f"{folder} is no saved click model: it has no {DESCRIPTION}. `ensue ads fit LOG --out FOLDER` makes one."
        )
    try:
        found = json.loads(_content(path, LARGEST_DESCRIPTION).decode("utf-8"))
    except (ValueError, RecursionError) as fault:
        raise ArtifactError(f"{path} is not JSON; copy it or fit the model anew.") from fault
    number = found.get("format") if isinstance(found, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ArtifactError(f"{path} has no format number; this is no {DESCRIPTION} of ours.")
    if number > FORMAT:
        raise ArtifactError(f"{path} is of format {number}; this ensue reads up to {FORMAT}: upgrade ensue.")
    kinds = {"columns": dict, "calibration": str, "facts": dict, "files": dict, "settings": dict}
    if any(not isinstance(found.get(name), kind) for name, kind in kinds.items()):
        raise ArtifactError(f"{path} lacks one of {', '.join(kinds)}; copy it or fit the model anew.")
    if found.get("checksum") != _checksum_of(found):
        raise ArtifactError(f"{path} has been changed or damaged since it was saved; copy it or fit anew.")
    checked: dict[str, Any] = found
    return checked


def _content(path: Path, most: int) -> bytes:
    try:
        if path.is_symlink() or not path.is_file():
            raise ArtifactError(f"{path} is missing or no plain file; copy the whole folder of the model.")
        with path.open("rb") as handle:
            content = handle.read(most + 1)
    except OSError as fault:
        raise ArtifactError(f"{path} cannot be read ({fault.strerror}).") from fault
    if len(content) > most:
        raise ArtifactError(f"{path} is larger than {most} bytes; this is no file of ours.")
    return content


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _checksum_of(description: Mapping[str, Any]) -> str:
    """The checksum of what ads.json says, whatever its spaces and the order of its entries."""
    plain = json.loads(json.dumps({name: one for name, one in description.items() if name != "checksum"}))
    return _checksum(json.dumps(plain, sort_keys=True).encode())
