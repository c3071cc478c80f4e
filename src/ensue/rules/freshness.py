"""The age of items: a limit, or a boost that fades."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from ensue.catalogue import Catalogue, aligned
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.rules.columns import Columns
from ensue.rules.rule import AskedFilter, Boosting, Ceiling, Change, Request, Row
from ensue.sequences import MISSING_TIME

DAY = 86_400_000_000
MINUTE = 60_000_000
"""Microseconds."""

FIRST_SEEN = "first_seen"


@dataclass(frozen=True)
class Freshness(AskedFilter):
    """Only items that are at most so many days old when the question is asked.

    Attributes:
        column: of the items, with the time each came; `with_first_seen` makes one of a log.
        days: the largest age; exactly so old is in.
        missing: "keep" or "drop" items without a time.
    """

    name: ClassVar[str] = "freshness"

    days: float
    column: str = FIRST_SEEN
    missing: Literal["keep", "drop"] = "keep"

    def __post_init__(self) -> None:
        if not (isfinite(self.days) and self.days > 0):
            raise ConfigError(f"freshness: days={self.days:g} must be a number above 0, such as 30.")

    def ready(self, columns: Columns) -> Change:
        """What leaves out older items."""
        times = columns.times(self.column)
        if self.missing == "keep":
            times = np.where(times == MISSING_TIME, np.iinfo(np.int64).max, times)
        ascending = np.sort(times)
        limit = round(self.days * DAY)
        known: tuple[int, Ceiling] = (0, Ceiling(np.zeros(len(times), dtype=np.bool_)))

        def leave_out(row: Row, request: Request) -> None:
            nonlocal known
            oldest = asked_at(request) - limit
            older, ceiling = known
            if older != (now := int(np.searchsorted(ascending, oldest))):
                ceiling = Ceiling(times < oldest)
                known = (now, ceiling)
            ceiling.lower(row)

        return leave_out


@dataclass(frozen=True)
class Newer(Boosting):
    """Newer items first: a score is multiplied by `1 + strength x 0.5^(age / half_life)`.

    Ages are counted to the minute. A score below 0 is divided by that, so that it rises, too; an item without a time is
    left as it is.

    Attributes:
        strength: how much more the score of an item of today is.
        half_life: days after which the boost is half of that.
        column: of the items, with the time each came.
    """

    name: ClassVar[str] = "newer"

    strength: float
    half_life: float
    column: str = FIRST_SEEN

    def __post_init__(self) -> None:
        for name in ("strength", "half_life"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise ConfigError(f"newer: {name}={value:g} must be a number above 0.")

    def ready(self, columns: Columns) -> Change:
        """What raises the scores of newer items."""
        times = columns.times(self.column)
        timed = times != MISSING_TIME
        unit = self.half_life * DAY
        known: dict[np.dtype[Any], tuple[int, Row, Row]] = {}

        def raise_scores(row: Row, request: Request) -> None:
            if not timed.any():
                return
            minute = asked_at(request) // MINUTE
            held = known.get(row.dtype)
            if held is None or held[0] != minute:
                factor = np.ones(len(times))
                ages = np.maximum(minute * MINUTE - times[timed], 0)
                factor[timed] += self.strength * np.exp2(-ages / unit)
                held = (minute, factor.astype(row.dtype), (1.0 / factor).astype(row.dtype))
                known[row.dtype] = held
            raised(row, held[1], held[2])

        return raise_scores


def raised(row: Row, factor: Row | float, inverse: Row | float) -> None:
    """Multiplies scores above 0 in place by a factor and others by its inverse, so that one above 1 raises any."""
    np.multiply(row, np.where(row > 0, factor, inverse), out=row, casting="same_kind")


def asked_at(request: Request) -> int:
    """When a question is asked, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000 if request.at is None else request.at


def with_first_seen(catalogue: Catalogue, log: EventLog) -> Catalogue:
    """The catalogue with a column of when each item was first seen in a log; one that has such a column stays as it is.

    Args:
        catalogue: its items; those that are not in the log have no such time.
        log: with times.
    """
    if catalogue.features is not None and FIRST_SEEN in catalogue.features.columns:
        return catalogue
    first = log.frame.group_by("item").agg(pl.col("time").min().alias(FIRST_SEEN))
    found = aligned(catalogue.ids, first)
    if found is None:
        return catalogue
    features = found if catalogue.features is None else catalogue.features.with_columns(found[FIRST_SEEN])
    return replace(catalogue, features=features)
