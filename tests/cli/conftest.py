"""The command line as a function, and small runs that tests only look at."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from ensue.cli import call

Ask = Callable[..., tuple[int, str, str]]

CITIES = ("here", "there", "")
START = 1_700_000_000


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


def rows() -> list[tuple[str, str, int, str, str, str]]:
    """Events of 12 users round A to F: user, item, second, rating (some missing), city (some missing), device."""
    return [
        (
            f"u{n:02d}",
            "ABCDEF"[(n + step) % 6],
            START + 10_000 * n + 60 * step * (1 + n % 3),
            "" if step == 3 else str(1 + (n + step) % 5),
            CITIES[step % 3],
            "phone",
        )
        for n in range(12)
        for step in range(10)
    ]


@pytest.fixture(scope="session")
def told_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a network that reads gaps, ratings, cities and users, and of a model that reads none; change nothing."""
    folder = tmp_path_factory.mktemp("told")
    lines = [",".join(map(str, row)) for row in rows()]
    (folder / "log.csv").write_text(
        "\n".join(["user_id,item_id,timestamp,rating,city,device", *lines]) + "\n"
    )
    (folder / "told.toml").write_text(
        'refit = false\n[data]\nsource = "log.csv"\n[split]\nrule = "last"\n[models.markov]\n[models.lstm]\n'
        "width = 8\nlength = 10\nepochs = 2\nbatch_tokens = 64\n"
        'inputs = ["gap", "rating", "city"]\npersonal = "embedding"\n'
    )
    run, err = folder / "run", io.StringIO()
    with contextlib.redirect_stderr(err):
        assert call(["run", str(folder / "told.toml"), "--out", str(run)]) == 0
    (folder / "said.txt").write_text(err.getvalue())
    return run
