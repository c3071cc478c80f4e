"""What all tests share: one thread each, the same examples every time, a planted log, and the public data."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

# Read by the libraries when they are first imported, hence before any other import here. On small data more
# threads cost more than they bring, and the suite itself runs in one process per core. Polars keeps two: with
# one, a result that depends on how the threads happen to run would never show.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
os.environ.update(NUMBA_NUM_THREADS="1", POLARS_MAX_THREADS="2")

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from ensue.events.log import EventLog

settings.register_profile(
    "ensue",
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", settings.get_profile("ensue"), derandomize=False, max_examples=400)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ensue"))

RING = "ABCDEFGHIJ"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of public data sets that ENSUE_DATA names; the test is skipped without it."""
    folder = os.environ.get("ENSUE_DATA", "")
    if not folder:
        pytest.skip("ENSUE_DATA is not set: it names the folder of public data sets")
    if not Path(folder).is_dir():
        pytest.fail(f"ENSUE_DATA names {folder!r}, which is no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def ring_frame() -> pl.DataFrame:
    """Columns user, item, time: 20 users walk round A, B, ... J, A, so the right next item is always known.

    User n starts at the n-th item and takes 21 steps, one a minute, so every item is seen 42 times.
    """
    users, steps = 20, 21
    start = np.repeat(np.arange(users), steps)
    step = np.tile(np.arange(steps), users)
    return pl.DataFrame(
        {
            "user": [f"u{n:02d}" for n in start],
            "item": [RING[n % len(RING)] for n in start + step],
            "time": 1_700_000_000_000_000 + 60_000_000 * (1000 * start + step),
        },
        schema={"user": pl.String, "item": pl.String, "time": pl.Datetime("us", "UTC")},
    )


@pytest.fixture(scope="session")
def ring_log(ring_frame: pl.DataFrame) -> EventLog:
    """The ring as an event log."""
    from ensue.events.log import EventLog

    return EventLog.of(ring_frame)


@pytest.fixture
def seeded() -> np.random.Generator:
    """A source of random numbers that is the same in every run."""
    return np.random.default_rng(20_240_229)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a library look as if it were not installed, for what is imported from now on in this process."""

    class Absent:
        def __init__(self, library: str) -> None:
            self.library = library

        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] == self.library:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def hide(library: str) -> None:
        for module in [name for name in sys.modules if name.partition(".")[0] == library]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setattr(sys, "meta_path", [Absent(library), *sys.meta_path])

    return hide
