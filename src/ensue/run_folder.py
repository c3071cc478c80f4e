"""The folder that a run leaves behind: its figures, its models, and the histories that it kept."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from ensue import runtime
from ensue.errors import ArtifactError, EnsueError
from ensue.ranking import Recommender
from ensue.significance import Comparison, best_of

RESULTS, HISTORIES, FIGURES, MODELS = "run.json", "histories.parquet", "figures.parquet", "models"


def comparison(folder: str | Path, seed: int = 0) -> Comparison:
    """How surely the best model of a run is better than each other one, from the figures that the run has kept.

    Raises:
        ArtifactError: the run kept no figures, or they are damaged.
    """
    path = Path(folder) / FIGURES
    try:
        table = pl.read_parquet(path)
        named = [column.rsplit(" ", 1) for column in table.columns]
        values = {label: table[f"{label} {name}"].cast(pl.Float64).to_numpy() for label, name in named}
        return best_of(values, named[0][1], seed=seed)
    except (OSError, pl.exceptions.PolarsError, ValueError, IndexError) as fault:
        raise ArtifactError(f"{path} is missing or damaged: run the experiment anew ({fault}).") from fault


def load(folder: str | Path, *, threads: int = 0) -> Recommender:
    """A recommender from a run's folder (its best model) or from a model's own folder.

    Raises:
        ArtifactError: the folder is neither, or damaged.
    """
    return runtime.load(model_folder(folder), threads=threads)


def model_folder(folder: str | Path) -> Path:
    """The folder of the best model of a run; a model's own folder as it is."""
    folder = Path(folder)
    if not (folder / RESULTS).is_file():
        return folder
    try:
        best = json.loads((folder / RESULTS).read_text(encoding="utf-8"))["best"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as fault:
        raise ArtifactError(f"{folder / RESULTS} is damaged ({fault}): run the experiment anew.") from fault
    place = folder / MODELS / str(best)
    if place.parent.resolve() != (folder / MODELS).resolve():
        raise ArtifactError(f"{folder / RESULTS} names a model outside its run: {best!r}.")
    return place


def histories(folder: str | Path) -> pl.DataFrame:
    """The users' histories that a run kept, oldest first.

    Returns:
        Columns `user` and `item`; `session` of a run by sessions, else `time` of a log with times; and others that its
            models read.

    Raises:
        EnsueError: the run kept none.
    """
    path = Path(folder) / HISTORIES
    if not path.is_file():
        raise EnsueError(f"{folder} keeps no histories: give --history, or run with keep_histories = true.")
    return pl.read_parquet(path)
