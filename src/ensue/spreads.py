"""One figure taken several times: over windows of a back-test, or over seeds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """The values of one figure that was taken several times.

    Attributes:
        values: in the order in which they were taken, one at least.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Each value weighing the same."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of a sample; None of a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """The spread for programs."""
        return {
            "mean": self.mean,
            "deviation": self.deviation,
            "min": min(self.values),
            "max": max(self.values),
            "values": list(self.values),
        }
