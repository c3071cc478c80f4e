"""A band of prices, or of any other number of the items."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar, Literal

import numpy as np

from ensue.errors import ConfigError
from ensue.rules.columns import Columns, Marks
from ensue.rules.rule import Filter


@dataclass(frozen=True)
class Price(Filter):
    """Only items whose price lies in a band, both ends included.

    Attributes:
        column: of the items; any column of numbers.
        least: None has no lower end.
        most: None has no upper end.
        missing: "keep" or "drop" items without a price.
    """

    name: ClassVar[str] = "price"

    column: str = "price"
    least: float | None = None
    most: float | None = None
    missing: Literal["keep", "drop"] = "keep"

    def __post_init__(self) -> None:
        ends = [end for end in (self.least, self.most) if end is not None]
        if not ends or not all(isfinite(end) for end in ends) or ends != sorted(ends):
            raise ConfigError(
                f"price: least={self.least}, most={self.most}: give one of them or both, least no more than most."
            )

    def banned(self, columns: Columns) -> Marks:
        """`[N]` what lies outside the band."""
        numbers = columns.numbers(self.column)
        banned = np.isnan(numbers) & (self.missing == "drop")
        if self.least is not None:
            banned |= numbers < self.least
        if self.most is not None:
            banned |= numbers > self.most
        return banned
