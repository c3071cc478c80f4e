"""Parquet, plain or inside gzip."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ensue.errors import DataError
from ensue.events.readers import content
from ensue.events.readers.table import REJECTED, Options, RawTable, Reader

_MAGIC = b"PAR1"


def read(path: Path, options: Options) -> RawTable:
    """The rows of a Parquet file with the types they have; lines are row numbers counting from 1.

    Raises:
        DataError: the file is broken or has no rows.
    """
    data = content.content(path)
    length = int.from_bytes(data[-8:-4], "little")
    if not data.endswith(_MAGIC) or length > len(data) - 12:
        raise DataError(f"{path.name} is a broken Parquet file (its end is missing): write or copy it again.")
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path.name} is a broken Parquet file ({first}): write or copy it again.") from None
    if not frame.height:
        raise DataError(
            f"{path.name} has columns ({', '.join(frame.columns)[:80]}) and no rows: nothing to read."
        )
    return RawTable(
        file=path.name,
        frame=frame,
        lines=pl.int_range(1, frame.height + 1, dtype=pl.Int64, eager=True).alias("line"),
        rejected=pl.DataFrame(schema=REJECTED),
        rows=frame.height,
    )


def pieces(path: Path, options: Options, rows: int) -> Iterator[RawTable]:
    """The rows of a Parquet file piece by piece: together they are what `read` gives.

    Args:
        path: the file.
        options: as for `read`.
        rows: how many rows make a piece.
    """
    with path.open("rb") as file:
        packed = file.read(4) != _MAGIC
    if packed:  # its end, where Parquet begins, is known once all of it is unpacked
        yield read(path, options)
        return
    found = 0
    try:
        whole = pl.scan_parquet(path)
        while (frame := whole.slice(found, rows).collect()).height:
            yield RawTable(
                file=path.name,
                frame=frame,
                lines=pl.int_range(found + 1, found + frame.height + 1, dtype=pl.Int64, eager=True).alias(
                    "line"
                ),
                rejected=pl.DataFrame(schema=REJECTED),
                rows=frame.height,
            )
            found += frame.height
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path.name} is a broken Parquet file ({first}): write or copy it again.") from None
    if not found:
        read(path, options)  # says what is wrong with it


def _recognises(path: Path) -> bool:
    return content.head(path, 4) == _MAGIC


READERS = (Reader("parquet", "Parquet", rank=1, recognises=_recognises, read=read, pieces=pieces),)
