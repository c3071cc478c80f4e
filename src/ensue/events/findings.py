"""One thing that was looked for in a log: how often it is there, where, and what can be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

EXAMPLES = 3
"""How many example rows a finding shows."""

SHOWN = ("row", "item", "time", "event", "rating", "quantity")
"""Columns that an example row may show: none of them says who did it."""


@dataclass(frozen=True)
class Finding:
    """Something that was looked for, and how much of it there is. It never holds the id of a user.

    Attributes:
        name: short, the same in every version, such as "duplicates".
        count: how many there are; 0 says that it was looked for in vain.
        of: of how many.
        unit: what is counted: "events", "users", "items", "columns", "pairs".
        what: what it is, in words, with its numbers.
        remedy: what can be done, or "".
        examples: a few rows, without anything that says whose they are.
        harmless: it is said, and nothing is wrong with it.
    """

    name: str
    count: int
    of: int
    unit: str
    what: str
    remedy: str = ""
    examples: tuple[Mapping[str, Any], ...] = ()
    harmless: bool = False

    @property
    def share(self) -> float:
        """The count as a share."""
        return self.count / self.of if self.of else 0.0

    def line(self) -> str:
        """The finding in one line, without its examples."""
        said = f"{self.name}: {self.count:,} of {self.of:,} {self.unit} ({self.share:.2%}): {self.what}"
        return f"{said}; {self.remedy}" if self.remedy and self.count else said

    def shown(self) -> list[str]:
        """The example rows, one text each."""
        return [
            ", ".join(f"{name} {_text(value)}" for name, value in row.items() if value is not None)
            for row in self.examples
        ]

    def to_json(self) -> dict[str, Any]:
        """The finding for programs."""
        rows = [{name: _plain(value) for name, value in row.items()} for row in self.examples]
        return {
            "name": self.name,
            "count": self.count,
            "of": self.of,
            "unit": self.unit,
            "share": self.share,
            "what": self.what,
            "remedy": self.remedy,
            "harmless": self.harmless,
            "examples": rows,
        }


def told(findings: tuple[Finding, ...]) -> list[str]:
    """Findings in plain lines: those that are there with their examples, then what was looked for in vain."""
    lines = []
    for finding in (finding for finding in findings if finding.count):
        lines.append(finding.line())
        lines += [f"  e.g. {row}" for row in finding.shown()]
    absent = [finding.name for finding in findings if not finding.count]
    return lines + ([f"looked for, and not found: {', '.join(absent)}"] if absent else [])


def rows_of(frame: pl.DataFrame, mask: pl.Series | pl.Expr) -> tuple[dict[str, Any], ...]:
    """A few example rows, of the columns that say nothing of a user.

    Args:
        frame: the events.
        mask: which of them are meant.
    """
    names = [
        name for name in SHOWN if name in frame.columns and not (name == "time" and frame[name].has_nulls())
    ]
    # places are found first: only what is shown is gathered
    places = frame.select(mask).to_series().arg_true().head(EXAMPLES)
    return tuple(frame.select(names)[places].to_dicts())


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return f"{value:g}" if isinstance(value, float) else repr(value) if isinstance(value, str) else str(value)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
