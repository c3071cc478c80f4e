"""What tuning may change about a model: a space, declared beside the model as one dimension for each setting.

A space holds the model's default settings, so that a search can begin with them, and nothing that the model refuses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

Value = str | int | float | bool | None
"""What a setting of a space can be: plain values, which a table of trials can hold."""


@dataclass(frozen=True)
class Whole:
    """Whole numbers from `low` to `high`.

    Attributes:
        low: the least.
        high: the largest, that a number of steps from `low`.
        log: twice as much is as far everywhere: for sizes over orders of magnitude.
        step: between two values; 1 where `log`.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        if self.low >= self.high or self.step < 1 or (self.high - self.low) % self.step:
            raise ValueError(
                f"{self}: the low end lies below the high one, some whole number of steps from it"
            )
        if self.log and (self.low < 1 or self.step != 1):
            raise ValueError(f"{self}: a logarithmic dimension begins at 1 or above, in steps of 1")

    def holds(self, value: object) -> bool:
        """Whether a value is one of these."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high and not (value - self.low) % self.step  # type: ignore[operator]

    @property
    def bounds(self) -> tuple[Value, ...]:
        """The values at the ends."""
        return self.low, self.high


@dataclass(frozen=True)
class Real:
    """Numbers from `low` to `high`.

    Attributes:
        low: the least.
        high: the largest.
        log: twice as much is as far everywhere: for rates over orders of magnitude.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf or (self.log and self.low <= 0):
            raise ValueError(f"{self}: two finite numbers, the lower first; above 0 where logarithmic")

    def holds(self, value: object) -> bool:
        """Whether a value is one of these."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high  # type: ignore[operator]

    @property
    def bounds(self) -> tuple[Value, ...]:
        """The values at the ends."""
        return self.low, self.high


@dataclass(frozen=True)
class OneOf:
    """A few values in no order.

    Attributes:
        values: what they are, two or more.
    """

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        kinds = [(type(value), value) for value in self.values]
        if len(kinds) < 2 or len(set(kinds)) < len(kinds):
            raise ValueError(f"{self}: two values or more, each of them once")

    def holds(self, value: object) -> bool:
        """Whether a value is one of these."""
        return any(type(value) is type(one) and value == one for one in self.values)

    @property
    def bounds(self) -> tuple[Value, ...]:
        """All of them."""
        return self.values


Dimension = Whole | Real | OneOf
"""The values of one setting."""

Space = Mapping[str, Dimension]
"""The dimensions of a model, by the names of its settings."""

NETWORK: Space = {
    "width": Whole(32, 256, step=32),
    "dropout": Real(0.0, 0.6),
    "temperature": OneOf((0.0, 0.05, 0.1)),
    "prior": OneOf(("none", "beside")),
    "learning_rate": Real(5e-4, 2e-2, log=True),
    "weight_decay": Real(1e-4, 0.3, log=True),
    "batch_tokens": OneOf((0, 512, 1024, 2048)),
}
"""What all networks share. Depth and form are of the family; how long is trained is left to early stopping."""

ATTENTION: Space = {"blocks": Whole(1, 4), "heads": OneOf((1, 2, 4))}
"""What networks of attention have besides: every number of heads divides every width."""
