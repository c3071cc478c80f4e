"""The folder that a run leaves behind: its figures, its models, and the histories that it kept."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from ensue import runtime
from ensue.errors import ArtifactError, DataError, EnsueError
from ensue.ranking import Recommender
from ensue.rating_evaluation import METRICS as ERRORS
from ensue.significance import Comparison, best_of

RESULTS, HISTORIES, FIGURES, MODELS = "run.json", "histories.parquet", "figures.parquet", "models"
REPORT, REPEAT = "report.html", "experiment.toml"
SELECTION, BACKTEST = "selection.json", "backtest.json"
"""What a selection and a back-test leave behind in folders of their own, which are no runs."""

LARGEST_RESULTS = 64 * 2**20
"""Bytes of results that are read: far more than any run writes."""


def results(folder: str | Path) -> Mapping[str, Any]:
    """What a run has written of itself, checked as far as every reader of it relies on.

    Raises:
        ArtifactError: the folder is no run's, or its results are damaged.
    """
    path = Path(folder) / RESULTS
    if not path.is_file():
        raise ArtifactError(f"{folder} is no folder of a run: {instead(folder) or f'it holds no {RESULTS}.'}")
    if path.stat().st_size > LARGEST_RESULTS:
        raise ArtifactError(f"{path} is larger than {LARGEST_RESULTS:,} bytes, as no results of a run are.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
        _check(found)
    except OSError as fault:
        raise ArtifactError(f"{path} cannot be read: {fault.strerror}.") from fault
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        what = f"'{fault.args[0]}' is missing" if isinstance(fault, KeyError) else str(fault)
        raise ArtifactError(f"{path} is damaged ({what}): run the experiment anew.") from fault
    return dict(found)


def instead(folder: str | Path) -> str:
    """What a folder holds that looks like a run's, and what to name in its place; "" for any other."""
    folder = Path(folder)
    if (folder / SELECTION).is_file():
        saved = sorted(place.name for place in (folder / MODELS).glob("*"))
        model = f", and {folder / MODELS / saved[0]} is its model" if saved else ""
        return f"it holds a selection, of which ensue run {folder / 'selected.toml'} makes a run{model}."
    if (folder / BACKTEST).is_file():
        return f"it holds a back-test, of which each window is a run: name {folder / 'window-1'}, or another."
    return ""


def _check(found: Any) -> None:
    """Nothing, if results have what all of them have."""
    experiment, split = found["experiment"], found["split"]
    texts = [
        *(found["best"], found["ensue"], split["rule"], found["data"]["fingerprint"]),
        *(experiment["data"]["source"], experiment["sequences"]["by"], experiment["evaluation"]["choose_on"]),
    ]
    numbers = [experiment["seed"]]
    if not isinstance(found["audit"], dict) or not isinstance(found["skipped"], dict) or not found["models"]:
        raise TypeError("no models, audit or skipped models")
    for row in found["models"]:
        texts += [row["label"], row["model"], row["test"]["protocol"]]
        numbers += [
            row["fit_seconds"],
            row["test_seconds"],
            *([row["validation"]] * (row["validation"] is not None)),
        ]
        numbers += [
            row["test"]["counts"][name] for name in ("users", "targets", "cold_targets", "tied_targets")
        ]
        if not row["test"]["all"]["metrics"] or not isinstance(row["facts"], dict):
            raise TypeError(f"no figures of {row['label']}")
        rated = [row["ratings"]["warm"]["metrics"]["rmse"]] if row.get("ratings") else []
        for figure in (*row["test"]["all"]["metrics"].values(), *rated):
            numbers += [figure["value"], figure["low"], figure["high"]]
    if not all(isinstance(one, str) for one in texts) or not all(
        type(one) in (int, float) for one in numbers
    ):
        raise TypeError("a value is of the wrong kind")
    if found["best"] not in [row["label"] for row in found["models"]]:
        raise ValueError(f"there is no model {found['best']!r}")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no figure")


def comparison(folder: str | Path, seed: int = 0, among: Collection[str] | None = None) -> Comparison:
    """How surely the best model of a run is better than each other one, from the figures that the run has kept.

    Args:
        folder: of the run.
        seed: of the bootstrap and of the sign flips.
        among: labels of the models that are compared, which are of one track; None compares all.

    Raises:
        ArtifactError: the run kept no figures, or they are damaged.
    """
    path = Path(folder) / FIGURES
    try:
        table = pl.read_parquet(path)
        named = [column.rsplit(" ", 1) for column in table.columns]
        values = {
            label: table[f"{label} {name}"].cast(pl.Float64).to_numpy()
            for label, name in named
            if among is None or label in among
        }
        metric = named[0][1]
        return best_of(values, metric, seed=seed, lowest=metric in ERRORS)
    except (OSError, pl.exceptions.PolarsError, ValueError, IndexError, DataError) as fault:
        raise ArtifactError(f"{path} is missing or damaged: run the experiment anew ({fault}).") from fault


def load(folder: str | Path, *, threads: int = 0) -> Recommender:
    """A recommender from a run's folder (its best model) or from a model's own folder.

    Raises:
        ArtifactError: the folder is neither, or damaged.
    """
    return runtime.load(model_folder(folder), threads=threads)


def model_folder(folder: str | Path) -> Path:
    """The folder of the best model of a run; a model's own folder as it is.

    Raises:
        ArtifactError: it is that of a selection or a back-test, or the results of the run are damaged.
    """
    folder = Path(folder)
    if not (folder / RESULTS).is_file():
        if other := instead(folder):
            raise ArtifactError(f"{folder} is neither a run nor a model: {other}")
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
        Columns `user` and `item`; `time` of a log with times; `session` of a run by sessions, with what its rule goes
            by; and others that its models read.

    Raises:
        EnsueError: the run kept none.
    """
    path = Path(folder) / HISTORIES
    if not path.is_file():
        raise EnsueError(f"{folder} keeps no histories: give --history, or run with keep_histories = true.")
    with path.open(
        "rb"
    ) as file:  # by its path it would be opened twice, and a service may replace it in between
        return pl.read_parquet(file)
