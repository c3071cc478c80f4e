"""Files that grow: arrays and tables that are written chunk by chunk, with little more than a chunk in memory."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray


class GrowingArray:
    """A `.npy` file of one axis, whose header is completed at the end.

    Args:
        path: the file.
        kind: of the numbers.
    """

    def __init__(self, path: Path, kind: np.dtype[Any]) -> None:
        self.path, self.kind, self.length = path, kind, 0
        self.handle: IO[bytes] = path.open("wb")
        self.handle.write(self._header())

    def append(self, values: NDArray[Any]) -> None:
        """Writes numbers at the end."""
        self.handle.write(np.ascontiguousarray(values, dtype=self.kind).data)
        self.length += len(values)

    def end(self) -> None:
        """Completes the file."""
        self.handle.seek(0)
        self.handle.write(self._header())
        self.handle.close()

    def _header(self) -> bytes:
        """The header, of one size whatever the length: numpy leaves room for its digits."""
        made = io.BytesIO()
        described = {"descr": self.kind.str, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(made, described)
        return made.getvalue()


class GrowingTable:
    """A table in Parquet files of so many rows, the same whatever the chunks that it is made of.

    Args:
        folder: where the files `NAME.00000.parquet` and so on are put.
        name: begins the names of the files.
        most: rows of a file.
    """

    def __init__(self, folder: Path, name: str, most: int) -> None:
        self.folder, self.name, self.most = folder, name, most
        self.waiting: list[pl.DataFrame] = []
        self.rows = self.parts = 0

    def append(self, frame: pl.DataFrame) -> None:
        """Takes rows; what makes no whole file yet waits in memory."""
        self.waiting.append(frame)
        self.rows += frame.height
        while self.rows >= self.most:
            self._write(self.most)

    def end(self) -> None:
        """Writes what waits."""
        if self.rows or not self.parts:
            self._write(self.rows)

    def _write(self, rows: int) -> None:
        whole = pl.concat(self.waiting)
        whole[:rows].rechunk().write_parquet(self.folder / f"{self.name}.{self.parts:05}.parquet")
        self.waiting, self.rows, self.parts = [whole[rows:].rechunk()], self.rows - rows, self.parts + 1
