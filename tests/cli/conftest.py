"""The command line as a function, and a small run that tests only look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from ensue.cli import call

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs `ensue WORDS` in this process: exit status, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = call([str(word) for word in words])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture(scope="session")
def ring_csv(tmp_path_factory: pytest.TempPathFactory, ring_frame: pl.DataFrame) -> Path:
    """The ring as a file with names of its own, times in seconds."""
    path = tmp_path_factory.mktemp("ring") / "ring.csv"
    named = ring_frame.select(
        user_id="user", sku="item", ts=pl.col("time").dt.epoch("s")
    )  # what a shop would export
    named.write_csv(path)
    return path


@pytest.fixture(scope="session")
def ring_run(tmp_path_factory: pytest.TempPathFactory, ring_csv: Path) -> Path:
    """A run of three counting models on the ring; read it, and change nothing in it."""
    folder = tmp_path_factory.mktemp("runs") / "ring"
    assert call(["run", str(ring_csv), "--models", "popular,markov,rules", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def titled_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a small folder in the layout of MovieLens, so that items have titles; film 1 is the most frequent."""
    folder = tmp_path_factory.mktemp("films")
    users, steps = range(12), (1, 2, 3, 4)
    rows = [f"{user},{film},4.0,{1000 * user + film}" for user in users for film in steps[: 2 + user % 3]]
    (folder / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *rows]) + "\n")
    films = [
        "1,The Long Walk (1990),Drama",
        "2,The Short Walk (1991),Drama",
        "3,[b]Café[/b] (1992),Comedy",
        "4,The End,X",
    ]
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *films]) + "\n", encoding="utf-8")
    run = tmp_path_factory.mktemp("runs") / "films"
    assert call(["run", str(folder), "--models", "markov,popular", "--split", "last", "--out", str(run)]) == 0
    return run
