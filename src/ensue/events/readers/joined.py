"""Pieces of a source put together again: what `read` gives is what `pieces` gives, end to end."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from ensue.events.readers.table import REJECTED, RawTable


def joined(pieces: Iterable[RawTable]) -> RawTable:
    """The pieces of one source as one table, in their order; a column that a piece lacks is missing there.

    Args:
        pieces: one table or more, of one source; columns of one name have one type.
    """
    tables = list(pieces)
    frames = [table.frame for table in tables if table.frame.width]
    lines = pl.concat([pl.Series("line", [], dtype=pl.Int64), *(table.lines for table in tables)])
    notes = dict.fromkeys(note for table in tables for note in table.notes)
    return RawTable(
        file=tables[0].file,
        frame=pl.concat(frames, how="diagonal", rechunk=False) if frames else pl.DataFrame(),
        lines=lines.alias("line"),
        rejected=pl.concat([pl.DataFrame(schema=REJECTED), *(table.rejected for table in tables)]),
        rows=sum(table.rows for table in tables),
        columns=next((table.columns for table in tables if table.columns is not None), None),
        items=next((table.items for table in tables if table.items is not None), None),
        notes=tuple(notes),
    )
