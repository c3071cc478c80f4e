"""Readers, one file per source format: a module of this folder with a tuple `READERS` is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from ensue.errors import ConfigError, DataError, nearest
from ensue.events.readers import content
from ensue.events.readers.table import Options, RawTable, Reader

__all__ = ["Options", "RawTable", "Reader", "all_readers", "reader_for", "reader_named", "reader_of_folder"]


@cache
def all_readers() -> tuple[Reader, ...]:
    """Every reader, the most particular first."""
    found: list[Reader] = []
    for module in pkgutil.iter_modules(__path__):
        found += getattr(importlib.import_module(f"{__name__}.{module.name}"), "READERS", ())
    return tuple(sorted(found, key=lambda reader: (reader.rank, reader.name)))


def reader_named(name: str) -> Reader:
    """The reader of a format name.

    Raises:
        ConfigError: there is none; names those that exist.
    """
    known = {reader.name: reader for reader in all_readers()}
    if name not in known:
        raise ConfigError(f"Unknown format '{name}': known are {', '.join(known)}.{nearest(name, known)}")
    return known[name]


def reader_for(path: Path) -> Reader:
    """The reader that recognises a file; delimited text if no other does.

    Raises:
        DataError: the file is empty or cannot be opened.
    """
    if not content.head(path):
        raise DataError(f"{path.name} is empty: there is nothing to read.")
    return next(reader for reader in all_readers() if reader.recognises(path))


def reader_of_folder(path: Path) -> Reader | None:
    """The reader that takes a folder as a whole, or None: its files are then read one by one."""
    return next((reader for reader in all_readers() if reader.folders and reader.recognises(path)), None)
