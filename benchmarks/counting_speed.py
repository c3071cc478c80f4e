"""How many events a minute each counting model is fitted on, on one core.

    ENSUE_DATA=folder python benchmarks/counting_speed.py

Two logs: ML-1M (left out without ENSUE_DATA), and a generated one of 5 million events: 100,000 users, and
items of which the n-th most frequent of 20,000 is drawn in proportion to 1 / n, each 4th event the item that
follows the one before in a fixed order. Measured is `fit` alone, the better of two runs; the indices that a
model makes when it is first asked are given beside it. Popularity comes with the catalogue, so its own fit is
next to nothing. Catalogue and sequences are the same for all models and have a row of their own.
"""

from __future__ import annotations

import os

# Read by the libraries when they are first imported: one core, whatever the machine has.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
os.environ.update(POLARS_MAX_THREADS="1")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from ensue import read
from ensue.events.log import EventLog
from ensue.model import Model, Training
from ensue.models.counting.markov import Markov
from ensue.models.counting.markov_time import MarkovTime
from ensue.models.counting.neighbours import Neighbours
from ensue.models.counting.popular import Popular, Recent
from ensue.models.counting.rules import Rules
from ensue.models.counting.session_knn import STAN, VSKNN

TARGET = 2_000_000
"""Events a minute that every model has to reach."""

MODELS: tuple[Model, ...] = (
    Popular(),
    Popular(category="genres"),
    Recent(),
    Markov(),
    Markov(order=2, discount=0.5),
    Markov(order=3, discount=0.5, continuation=True),
    MarkovTime(),
    Rules(),
    Neighbours(),
    VSKNN(),
    STAN(),
)
RUNS = 2


def main(wanted: list[str]) -> int:
    """Prints a row for each log and model; the exit status tells whether all reach the target."""
    rows = []
    for name, log in logs(wanted):
        for row in measured(name, log):
            print(
                f"{row['log']:<10} {row['model']:<12} {row['settings']!s:<60} {row['seconds']:8.2f} s"
                f" {row['events_per_minute']:>14,} events a minute",
                flush=True,
            )
            rows.append(row)
    slow = [row for row in rows if int(str(row["events_per_minute"])) < TARGET]
    write(rows)
    print(f"{len(rows)} rows, {len(slow)} below {TARGET:,} events a minute")
    return 1 if slow else 0


def logs(wanted: list[str]) -> Iterator[tuple[str, EventLog]]:
    """The logs by name."""
    folder = os.environ.get("ENSUE_DATA")
    if not folder:
        print("ML-1M is left out: set ENSUE_DATA to the folder that holds it.")
    elif not wanted or "ml-1m" in wanted:
        yield "ml-1m", read(Path(folder) / "ml-1m")
    if not wanted or "generated" in wanted:
        yield "generated", generated()


def generated(users: int = 100_000, length: int = 50, items: int = 20_000) -> EventLog:
    """The log described above; users take an event every other hour, from an hour of their own on."""
    rng = np.random.default_rng(7)
    share = np.cumsum(1.0 / np.arange(1, items + 1))
    drawn = np.searchsorted(share, rng.random((users, length)) * share[-1])
    follows = rng.permutation(items)
    for step in range(1, length):
        led = rng.random(users) < 0.25
        drawn[led, step] = follows[drawn[led, step - 1]]
    hours = rng.integers(0, 5000, users)[:, None] + 2 * np.arange(length) + rng.random((users, length))
    frame = pl.DataFrame(
        {
            "user": np.repeat(np.arange(users), length),
            "item": drawn.ravel(),
            "time": (hours.ravel() * 3.6e9).astype(np.int64),
        }
    )
    texts = [pl.col(name).cast(pl.String) for name in ("user", "item")]
    return EventLog.of(frame.with_columns(*texts, pl.col("time").cast(pl.Datetime("us", "UTC"))))


def measured(name: str, log: EventLog) -> Iterator[dict[str, object]]:
    """The rows of one log."""
    began = time.perf_counter()
    training = Training.of(log)
    yield row_of(name, log, "", {}, time.perf_counter() - began, 0.0)
    asked = training.sequences.queries()[:1]
    for model in MODELS:
        if getattr(model, "category", "") and log.items is None:
            continue
        fits, answers = [], []
        for _ in range(RUNS):
            began = time.perf_counter()
            recommender = model.fit(training)
            fits.append(time.perf_counter() - began)
            began = time.perf_counter()
            recommender.scores(asked)
            answers.append(time.perf_counter() - began)
        settings = {
            key: value for key, value in model.settings().items() if value != getattr(type(model), key)
        }
        yield row_of(name, log, model.name, settings, min(fits), min(answers))


def row_of(
    name: str, log: EventLog, model: str, settings: dict[str, object], seconds: float, first_answer: float
) -> dict[str, object]:
    """One row of the results."""
    return {
        "log": name,
        "events": log.n_events,
        "users": log.n_users,
        "items": log.n_items,
        "model": model or "sequences",
        "settings": settings,
        "seconds": round(seconds, 4),
        "events_per_minute": round(60 * log.n_events / seconds),
        "first_answer_seconds": round(first_answer, 4),
    }


def write(rows: list[dict[str, object]]) -> None:
    """The raw rows with what they were measured on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    record = {
        "command": "python benchmarks/counting_speed.py",
        "commit": commit,
        "machine": f"{platform.machine()}, 1 of {os.cpu_count()} cores, Python {platform.python_version()}",
        "rows": rows,
    }
    target = Path(__file__).parent / "results" / "counting_speed.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
