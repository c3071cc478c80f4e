"""A planted log of ratings, small enough for every model to learn in a moment."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ensue.events.log import EventLog
from ensue.splits import Split, at_times

USERS, ITEMS, EVENTS, SPREAD = 120, 40, 24, 0.3


def planted(scale: float = 1.0, shift: float = 0.0, seed: int = 3) -> EventLog:
    """Ratings of two tastes, biases and little noise, between 1 and 5 before they are stretched; times are minutes."""
    rng = np.random.default_rng(seed)
    tastes, films = rng.normal(size=(USERS, 2)), rng.normal(size=(ITEMS, 2))
    above, liked = rng.normal(0, 0.4, USERS), rng.normal(0, 0.4, ITEMS)
    users = np.repeat(np.arange(USERS), EVENTS)
    items = np.concatenate([rng.permutation(ITEMS)[:EVENTS] for _ in range(USERS)])
    plain = 3 + above[users] + liked[items] + 0.7 * (tastes[users] * films[items]).sum(axis=1)
    rating = np.clip(np.round(plain + rng.normal(0, SPREAD, len(plain))), 1, 5) * scale + shift
    time = np.tile(np.arange(EVENTS), USERS) * 60_000_000
    frame = pl.DataFrame(
        {
            "user": [f"u{n:03d}" for n in users],
            "item": [f"i{n:02d}" for n in items],
            "time": time,
            "rating": rating,
        }
    )
    return EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))


@pytest.fixture(scope="session")
def parts() -> Split:
    """The planted log: of the 24 ratings of each user the last four are tested, four before them validate."""
    return at_times(planted(), 20 * 60_000_000, 16 * 60_000_000)
