"""Tables one after the other as one log: their events, and one account of all that was read and set aside."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from ensue.errors import DataError
from ensue.events import columns as naming
from ensue.events.readers.table import RawTable
from ensue.events.reading import EXAMPLES_KEPT, Reading, Remark, SetAside
from ensue.events.rows import BAD_NUMBER, BAD_ORDER, BAD_TIME, EARLY, LATE, Rules, events

BAD_SHARE = 0.5
"""More than this share of bad rows means that the source was misunderstood, and stops the reading."""

_REMEDIES = {
    BAD_TIME: "force the unit with time_unit (--time-unit), e.g. 's', 'iso' or a pattern like '%d/%m/%Y'",
    BAD_NUMBER[
        "rating"
    ]: "give the decimal mark (decimal=',', --decimal ,) or leave ratings out: columns={'rating': ''}",
    BAD_NUMBER[
        "quantity"
    ]: "give the decimal mark (decimal=',') or leave quantities out: columns={'quantity': ''}",
    BAD_ORDER: "leave the column out: columns={'order': ''} (--columns order=)",
}


class Gathering:
    """Takes tables in their order, gives the events of each, and keeps the account of all.

    Args:
        mapping: the caller's own column names, canonical column -> name in the source.
        rules: how values are to be understood.

    Attributes:
        items: what the tables tell of items; None if nothing.
        rows: rows of all tables, good and bad.
        kept: events of all tables.
    """

    def __init__(self, mapping: Mapping[str, str], rules: Rules) -> None:
        self.mapping, self.rules = dict(mapping), rules
        self.items: pl.DataFrame | None = None
        self.rows = self.kept = 0
        self._places = 0
        self._files: dict[str, None] = {}
        self._notes: dict[str, None] = {}
        self._remarks: dict[str, Remark] = {}
        self._counts: dict[str, int] = {}
        self._examples: list[SetAside] = []
        self._columns: dict[str, str] | None = None
        self._unit = ""

    def add(self, table: RawTable) -> pl.DataFrame:
        """The events of a table in canonical columns, `row` counting on from table to table.

        Raises:
            ColumnError: columns are missing, ambiguous or of a type that cannot serve.
            DataError: it disagrees with the tables before it on the times, or times mix units.
        """
        chosen = naming.choose(table.frame.columns, {**(table.columns or {}), **self.mapping}, table.file)
        found = events(table, chosen.columns, self.rules)
        tells = found.frame.height > 0  # where no event is left, no time was read, and none says its unit
        if self._columns is None or (tells and not self.kept):
            self._columns, self._unit = chosen.columns, found.time_unit
        elif ("time" in chosen.columns) != ("time" in self._columns) or (
            tells and found.time_unit != self._unit
        ):
            raise DataError(
                f"The times of {table.file} are read as '{found.time_unit or 'none'}', not '{self._unit or 'none'}' as "
                f"in {next(iter(self._files))}{self._where(table)}: force one with time_unit (--time-unit)."
            )
        self._files[table.file] = None
        self._notes |= dict.fromkeys((*table.notes, *chosen.notes, *found.notes))
        for remark in found.remarks:
            before = self._remarks.get(remark.text)
            self._remarks[remark.text] = remark if before is None else before.with_more(remark)
        for reason, count in found.rejected.group_by("reason", maintain_order=True).len().iter_rows():
            self._counts[reason] = self._counts.get(reason, 0) + count
        wanted = found.rejected.sort("line", maintain_order=True).head(EXAMPLES_KEPT - len(self._examples))
        self._examples += [
            SetAside(*table.place(line), reason, value) for line, reason, value in wanted.iter_rows()
        ]
        if self.items is None:
            self.items = table.items
        self.rows += table.rows
        self.kept += found.frame.height
        places = self._places
        self._places += table.frame.height
        return found.frame.with_columns(pl.col("row") + places) if places else found.frame

    def account(self, name: str, notes: tuple[str, ...] = ()) -> Reading:
        """The account of all tables.

        Args:
            name: of the format; "frame" for a table in memory.
            notes: what else was decided, before the tables were read.

        Raises:
            DataError: most rows are bad, so it is the reading that is wrong.
        """
        outside = sum(self._counts.get(reason, 0) for reason in (EARLY, LATE))
        bad = sum(self._counts.values()) - outside
        if bad > BAD_SHARE * (self.rows - outside):
            self._stop(bad)
        if outside and not self.kept:
            first = self._first((EARLY, LATE)).text()
            raise DataError(
                f"None of {self.rows:,} rows lies within the bounds since and until. First: {first}. Remedy: widen "
                "them, or leave them out."
            )
        remarks = [remark.said() for remark in self._remarks.values()]
        return Reading(
            files=tuple(self._files) if name != "frame" else (),
            format=name,
            columns=self._columns or {},
            time_unit=self._unit,
            rows_read=self.rows,
            rows_kept=self.kept,
            set_aside=self._counts,
            examples=tuple(self._examples),
            notes=tuple(dict.fromkeys((*notes, *self._notes, *remarks, *self._commas()))),
        )

    def _commas(self) -> list[str]:
        """What would keep rows whose numbers have a decimal comma."""
        with_comma = {example.reason for example in self._examples if "," in example.value}
        return [
            f"{self._counts[reason]:,} x {reason}, some with a comma: {_REMEDIES[reason]}"
            for reason in BAD_NUMBER.values()
            if reason in with_comma
        ]

    def _first(self, reasons: Collection[str]) -> SetAside:
        """The first example of one of some reasons, or of any."""
        return next((e for e in self._examples if e.reason in reasons), self._examples[0])

    def _where(self, table: RawTable) -> str:
        """From which line on, if the table is a later piece of the file that came before."""
        if table.file not in self._files or not len(table.lines):
            return ""
        return f" before line {table.lines[0]}"

    def _stop(self, bad: int) -> None:
        reasons = [reason for reason in self._counts if reason not in (EARLY, LATE)]
        worst = max(reasons, key=lambda reason: self._counts[reason])
        example = self._first((worst,))
        remedy = _REMEDIES.get(
            worst, "check that the columns and the delimiter are the right ones (columns, delimiter)"
        )
        raise DataError(
            f"{bad:,} of {self.rows:,} rows cannot be used. First: {example.text()}. Remedy: {remedy}."
        )
