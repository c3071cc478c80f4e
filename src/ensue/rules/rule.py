"""What a rule is: the four stages that rules come in, each one abstract class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Items
from ensue.registry import Registry
from ensue.rules.columns import Columns, Marks

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Row = NDArray[np.floating[Any]]
"""`[N]` scores of one question, minus infinity for what is left out."""


def _none() -> Items:
    return np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, eq=False)
class Request:
    """What a question tells the rules.

    Attributes:
        k: how many items are wanted.
        history: `[T]` known items of the whole history.
        exclude: items that must not be in this answer.
        exclude_seen: leave out items of the history, where no rule speaks of them.
        at: when it is asked, in microseconds since 1970 UTC; None is now.
    """

    k: int = 10
    history: Items = field(default_factory=_none)
    exclude: Items = field(default_factory=_none)
    exclude_seen: bool = False
    at: int | None = None


class Ceiling:
    """Sets the scores of many items to minus infinity in one pass, without a branch for each.

    Args:
        banned: `[N]` which items.
    """

    def __init__(self, banned: Marks) -> None:
        self._banned = banned
        self._limits: dict[np.dtype[Any], Row] = {}

    def lower(self, row: Row) -> None:
        """Changes a row in place."""
        limit = self._limits.get(row.dtype)
        if limit is None:
            limit = np.where(self._banned, -np.inf, np.inf).astype(row.dtype)
            self._limits[row.dtype] = limit
        np.minimum(row, limit, out=row)


Change = Callable[[Row, Request], None]
"""Changes a row of scores in place."""


@dataclass(frozen=True)
class Rule(ABC):
    """A wish about answers that stands apart from the model; subclasses are frozen dataclasses in `ensue.rules`."""

    name: ClassVar[str]
    single: ClassVar[bool] = False
    """Whether a second rule of the kind replaces the first."""
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True)
class Filter(Rule):
    """Leaves items out, whoever asks: worked out once for a catalogue."""

    @abstractmethod
    def banned(self, columns: Columns) -> Marks:
        """`[N]` which items are left out."""


@dataclass(frozen=True)
class AskedFilter(Rule):
    """Leaves items out by what is asked, and when."""

    @abstractmethod
    def ready(self, columns: Columns) -> Change:
        """What sets the scores of items that are left out to minus infinity."""


@dataclass(frozen=True)
class Boosting(Rule):
    """Changes scores."""

    @abstractmethod
    def ready(self, columns: Columns) -> Change:
        """What changes the scores."""


@dataclass(frozen=True)
class Capping(Rule):
    """Lets at most so many items of a group into a list."""

    most: int

    @abstractmethod
    def groups(self, columns: Columns) -> csr_array:
        """`[N, C]` which groups each item is in."""


@dataclass(frozen=True)
class Diversifying(Rule):
    """Chooses items that differ from those that stand above them."""

    single: ClassVar[bool] = True

    @abstractmethod
    def weight(self) -> float:
        """How much the score counts, from 0 (only being different does) to 1."""

    @abstractmethod
    def vectors(self, columns: Columns) -> csr_array:
        """`[N, D]` of length 1 (or 0), whose products say how alike items are."""


rules: Registry[Rule] = Registry(("ensue.rules",), Rule)
"""Every rule by name: a file in this folder adds to it."""
