"""What was read, how its columns were understood, and which rows were set aside: the account of one reading."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

EXAMPLES_KEPT = 20
"""How many of the rows set aside are kept as examples; the counts cover all of them."""

LINES_SHOWN = 5
"""How many lines a remark names."""


@dataclass(frozen=True)
class SetAside:
    """One row that could not become an event.

    Attributes:
        file: name of the file as it was given.
        line: physical line in the file, counting from 1 and counting the header; in a Parquet file or a frame,
            which have no lines, the row counting from 1.
        reason: why, in the words that `Reading.set_aside` counts by.
        value: the value at fault, shortened; it may be personal and is shown on the user's own terminal only.
    """

    file: str
    line: int
    reason: str
    value: str

    def text(self) -> str:
        """The row in one line: where, why, and the value."""
        return f"{self.file}, line {self.line}: {self.reason}" + (f" ({self.value!r})" if self.value else "")


@dataclass(frozen=True)
class Remark:
    """Something odd about events that were kept all the same, counted.

    Attributes:
        text: what is odd.
        count: how many events it is true of.
        file: the file of the first of them; "" if nobody needs to know where they are.
        lines: the first lines of that file.
        remedy: what can be done.
    """

    text: str
    count: int
    file: str = ""
    lines: tuple[int, ...] = ()
    remedy: str = ""

    def with_more(self, other: Remark) -> Remark:
        """The same remark on these events and the other ones, which come later."""
        same = self.file == other.file
        lines = (*self.lines, *other.lines)[:LINES_SHOWN] if same else self.lines
        return replace(self, count=self.count + other.count, lines=lines)

    def said(self) -> str:
        """The remark as a note."""
        shown = ", ".join(map(str, self.lines)) + (", ..." if self.count > len(self.lines) else "")
        where = f" ({self.file}, line {shown})" if self.lines else ""
        return f"{self.text}: {self.count:,}{where}" + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True)
class Reading:
    """The account of one reading: `rows_read == rows_kept + sum(set_aside.values())`, always.

    Attributes:
        files: the files, in the order in which they were read.
        format: name of the reader, "frame" for a table that was in memory.
        columns: canonical column -> name in the source.
        time_unit: one of `times.UNITS`, "datetime" for real times, or the pattern that was given; "" without times.
        rows_read: rows in the source, without header and empty lines.
        rows_kept: rows that became events.
        set_aside: reason -> number of rows.
        examples: the first rows set aside.
        notes: what was decided on the user's behalf, one sentence each.
    """

    files: tuple[str, ...] = ()
    format: str = "frame"
    columns: dict[str, str] = field(default_factory=dict)
    time_unit: str = ""
    rows_read: int = 0
    rows_kept: int = 0
    set_aside: dict[str, int] = field(default_factory=dict)
    examples: tuple[SetAside, ...] = ()
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The account in plain lines for the terminal."""
        where = f"{self.files[0]} ({len(self.files)} files)" if len(self.files) > 1 else "".join(self.files)
        lines = [f"Read {where or 'a table in memory'} as {self.format}."]
        if self.columns:
            lines.append(
                "Columns: " + ", ".join(f"{name} = {source}" for name, source in self.columns.items()) + "."
            )
        bad = sum(self.set_aside.values())
        lines.append(f"Rows: {self.rows_read:,} read, {self.rows_kept:,} kept, {bad:,} set aside.")
        lines += [f"  {count:,} x {reason}" for reason, count in self.set_aside.items()]
        lines += [f"  {example.text()}" for example in self.examples[:5]]
        if bad > min(len(self.examples), 5) > 0:
            lines.append(f"  ... and {bad - min(len(self.examples), 5):,} more.")
        lines += [f"Note: {note}" for note in self.notes]
        return lines

    def to_json(self) -> dict[str, object]:
        """The account as plain values for `json.dumps`, without the values of the rows set aside (may be personal)."""
        return {
            "files": list(self.files),
            "format": self.format,
            "columns": dict(self.columns),
            "time_unit": self.time_unit,
            "rows_read": self.rows_read,
            "rows_kept": self.rows_kept,
            "set_aside": dict(self.set_aside),
            "examples": [{"file": e.file, "line": e.line, "reason": e.reason} for e in self.examples],
            "notes": list(self.notes),
        }
