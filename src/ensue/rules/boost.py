"""Business boosts: items, or items of a kind, further up or down."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np

from ensue.errors import ConfigError
from ensue.rules.columns import Columns
from ensue.rules.freshness import raised
from ensue.rules.rule import Boosting, Change, Request, Row


@dataclass(frozen=True)
class Boost(Boosting):
    """Scores of some items multiplied, then added to.

    A score below 0 is divided by the factor, so that a factor above 1 raises any score, and one below 1 lowers it.

    Attributes:
        items: ids.
        column: of the items, if those with some values of it are meant.
        values: of that column.
        factor: above 0.
        add: in the units of the model's scores.
    """

    name: ClassVar[str] = "boost"

    items: tuple[str, ...] = ()
    column: str = ""
    values: tuple[str, ...] = ()
    factor: float = 1.0
    add: float = 0.0

    def __post_init__(self) -> None:
        if not (isfinite(self.factor) and self.factor > 0 and isfinite(self.add)):
            raise ConfigError(
                f"boost: factor={self.factor:g}, add={self.add:g}: factor is a number above 0, add any number."
            )
        if not (self.items or self.column) or bool(self.column) != bool(self.values):
            raise ConfigError("boost: say which items: by their ids in items, or by a column and its values.")

    def ready(self, columns: Columns) -> Change:
        """What changes the scores of these items."""
        places = columns.codes(self.items)[0]
        if self.column:
            places = np.union1d(places, columns.holding(self.column, self.values))

        def boost(row: Row, request: Request) -> None:
            some = row[places]
            raised(some, self.factor, 1.0 / self.factor)
            row[places] = some + row.dtype.type(self.add)

        return boost
