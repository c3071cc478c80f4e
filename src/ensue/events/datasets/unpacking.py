"""Files out of a zip archive, by their exact names and of bounded size: it never decides where anything is written."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from ensue.errors import FetchError
from ensue.events.datasets.dataset import Dataset

RATIO = 40
"""Text is packed to no less than one part in so many: an archive that unpacks to more is none of text."""

_BLOCK = 1 << 20


def unpack(archive: Path, dataset: Dataset, target: Path) -> None:
    """Writes the files of a data set from its archive into a folder.

    Raises:
        FetchError: the archive is broken or encrypted, lacks a file, or one of them is too large.
    """
    most = RATIO * archive.stat().st_size + _BLOCK
    try:
        with zipfile.ZipFile(archive) as opened:
            names = set(opened.namelist())
            for member in (*dataset.members, *dataset.extras):
                found = next((root + member for root in dataset.roots if root + member in names), None)
                if found is not None:
                    most -= _write(opened, found, target / member, most)
                elif member in dataset.members:
                    raise FetchError(f"{archive.name} has no file '{(dataset.roots or ('',))[0]}{member}'")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise FetchError(f"{archive.name} is no zip archive that can be read ({error})") from None


def _write(archive: zipfile.ZipFile, name: str, target: Path, most: int) -> int:
    """One file of an archive; its size."""
    done = 0
    with archive.open(name) as packed, target.open("wb") as file:
        while block := packed.read(_BLOCK):
            done += len(block)
            if done > most:
                raise FetchError(f"'{name}' in {archive.filename} is far larger than it should be")
            file.write(block)
    return done
