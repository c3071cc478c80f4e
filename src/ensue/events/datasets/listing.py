"""All data sets as a table: names, sizes, licences, and which of them are here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ensue.events.datasets.dataset import Dataset, shown
from ensue.events.datasets.fetching import DATASETS, locate


@dataclass(frozen=True)
class Row:
    """One data set of the table.

    Attributes:
        dataset: what it is.
        folder: where it lies on this machine; None if it does not.
    """

    dataset: Dataset
    folder: Path | None

    def cells(self) -> tuple[str, ...]:
        """Name, events, users, items; how much to download, "yes" if nobody says, "here" or "by hand"; licence."""
        one = self.dataset
        size = f"{one.mib:,.0f} MiB" if one.mib else "yes"
        how = "here" if self.folder else size if one.downloads else "by hand"
        return (one.name, shown(one.events), shown(one.users), shown(one.items), how, one.licence)

    def to_json(self) -> dict[str, object]:
        """All of it as plain values."""
        one = self.dataset
        return {
            "name": one.name,
            "what": one.what,
            **dict(one.counts()),
            "mib": one.mib or None,
            "by_hand": not one.downloads,
            "licence": one.licence,
            "home": one.home,
            "folder": str(self.folder) if self.folder else None,
        }


HEADER = ("name", "events", "users", "items", "download", "licence")


def rows() -> list[Row]:
    """Every data set in the order of the names."""
    return [Row(DATASETS[name], locate(name)) for name in sorted(DATASETS, key=str.casefold)]


def lines(listed: list[Row]) -> list[str]:
    """Data sets as lines, a head first; numbers end where those above do."""
    cells = [HEADER, *(row.cells() for row in listed)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(HEADER))]
    return [
        "  ".join(
            text.rjust(width) if 0 < place < len(HEADER) - 1 else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
