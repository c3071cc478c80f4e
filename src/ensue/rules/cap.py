"""At most so many of a kind in one list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ensue.errors import ConfigError
from ensue.rules.columns import Columns
from ensue.rules.rule import Capping

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True)
class Cap(Capping):
    """At most so many items of each value of a column; an item of several values counts for each of them.

    Items without a value are not counted.

    Attributes:
        column: of the items; text is cut at "|" into several values.
        most: of each value.
    """

    name: ClassVar[str] = "cap"

    column: str

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ConfigError(f"cap: most={self.most} of each {self.column} must be at least 1.")

    def groups(self, columns: Columns) -> csr_array:
        """`[N, C]` which values each item has."""
        return columns.values(self.column)[1]
