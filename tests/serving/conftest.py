"""A run on the ring, several counting models and a tiny network, a service of it that tests share, and real stores."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from tests.serving.service_process import Service, running
from tests.serving.state_backings import Hands, Open, Redis, opener, redis_when_needed

from ensue.cli import call
from ensue.serving.state import Store

NETWORK = ["--set", "width=16", "--set", "length=10", "--set", "epochs=20", "--set", "batch_tokens=64"]
NETWORK += ["--set", "learning_rate=0.02", "--set", "dropout=0.0"]


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory, ring_frame: pl.DataFrame) -> Path:
    """The ring as a folder in the layout of MovieLens, so that items have titles, some of them awkward."""
    folder = tmp_path_factory.mktemp("films")
    ring_frame.select(
        userId="user", movieId="item", rating=pl.lit(4.0), timestamp=pl.col("time").dt.epoch("s")
    ).write_csv(folder / "ratings.csv")
    rows = ["A,Amélie,Comedy|Drama", "B,<b>Brazil</b>,SciFi", "C,Casablanca,Drama", "D,Dune,SciFi"]
    rows += ["E,Dune: Part Two,SciFi", *(f"{item},{item},Drama" for item in "FGHIJ")]
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *rows]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, films: Path) -> Path:
    """A run of three counting models, and beside them a tiny network on the same log; nobody writes into it."""
    run = tmp_path_factory.mktemp("served") / "run"
    assert call(["run", str(films), "--models", "popular,markov,rules", "--out", str(run)]) == 0
    words = ["train", str(films), "--model", "lstm", "--out", str(run / "models" / "lstm"), *NETWORK]
    assert call(words) == 0
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture(scope="session")
def service(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that tests share: they ask, and tell of users of their own."""
    folder = tmp_path_factory.mktemp("service")
    run = shutil.copytree(trained, folder / "run")
    with running(run, "--log-requests", folder=folder) as found:
        yield found


@pytest.fixture(scope="module")
def redis() -> Iterator[Callable[[], Redis]]:
    """A Redis server, started when a test first needs it."""
    with redis_when_needed() as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, redis: Callable[[], Redis]) -> Open:
    return opener(request.param, tmp_path, redis)


@pytest.fixture
def store(opened: Open) -> Store:
    return opened(clock=Hands().clock)
