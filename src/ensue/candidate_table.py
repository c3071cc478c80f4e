"""Candidates as a Parquet file that other tools read and write: which columns it has, and what is wrong with one."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ensue.errors import ConfigError, DataError

COLUMNS = {"query": pl.Int64(), "target": pl.String(), "candidates": pl.List(pl.String())}

NOTE = "ensue.candidates"
"""The entry of the file's own metadata that says how the candidates were drawn; it may be absent."""

WANTED = "it needs query (0, 1, ...), target (id as text) and candidates (list of ids as text)"


def write(path: Path, frame: pl.DataFrame, drawn: dict[str, Any]) -> None:
    """Writes a table with these columns, and how its candidates were drawn.

    Raises:
        ConfigError: nothing can be written there.
    """
    try:
        frame.write_parquet(path, metadata={NOTE: json.dumps(drawn)})
    except OSError as fault:
        raise ConfigError(f"{path} cannot be written: {fault.strerror or fault}.") from fault


def read(path: Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The table of a file in the order of its queries, and what it says of how its candidates were drawn.

    Raises:
        DataError: the file cannot be read, or is no such table.
    """
    name = path.name
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise DataError(f"{name} cannot be read: {fault.strerror or fault}.") from None
    try:
        frame = pl.read_parquet(io.BytesIO(data))
        drawn = json.loads(pl.read_parquet_metadata(io.BytesIO(data)).get(NOTE, "{}"))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
        raise DataError(f"{name} is no Parquet file, or a broken one: write it again.") from None
    if not isinstance(drawn, dict):
        raise DataError(f"{name}: its entry '{NOTE}' is damaged: write it again.")
    for column, kind in COLUMNS.items():
        if column not in frame.columns:
            raise DataError(
                f"{name} has no column '{column}', but {', '.join(frame.columns)[:80]}: {WANTED}."
            )
        fits = frame[column].dtype.is_integer() if column == "query" else frame[column].dtype == kind
        if not fits:
            raise DataError(f"{name}: the column '{column}' is of type {frame[column].dtype}: {WANTED}.")
    frame = frame.select(list(COLUMNS)).sort("query")
    if not np.array_equal(frame["query"].to_numpy(), np.arange(len(frame))):
        raise DataError(f"{name}: the queries are not 0 to {len(frame) - 1}, each once: {WANTED}.")
    lists = frame["candidates"]
    gaps = frame["target"].has_nulls() or lists.has_nulls()
    if gaps or (lists.list.drop_nulls().list.len() != lists.list.len()).any():
        raise DataError(f"{name}: a target, a candidate or a list of them is missing: {WANTED}.")
    return frame, drawn
