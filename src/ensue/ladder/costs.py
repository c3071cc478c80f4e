"""What a model costs beside its accuracy: memory, size on disk, and the time that one answer takes."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ensue.catalogue import Catalogue
from ensue.events.log import TIME
from ensue.examples import Examples
from ensue.questions import Question
from ensue.ranking import Recommender

ASKED, ROUNDS = 50, 2
"""How many histories are asked about, one at a time, and how often each."""

WARM, LEAST, SECONDS = 3, 10, 3.0
"""Answers that are not timed; of the others, how many are at least, and about how long they may take together."""

SLATE = 10
"""Items of each answer."""


@dataclass(frozen=True)
class Latency:
    """How long one answer takes: a `recommend` of ten items for one history of the test.

    Attributes:
        work: processor time of an answer, all threads together, the median, in milliseconds: what no other work on the
            machine changes.
        p50: half of the answers took no longer, by the clock, in milliseconds.
        p99: 99 in 100 took no longer; of so few answers, nearly the slowest.
        answers: how many were timed.
    """

    work: float
    p50: float
    p99: float
    answers: int

    def to_json(self) -> dict[str, Any]:
        """The latency for programs."""
        return {
            "processor": round(self.work, 4),
            "p50": round(self.p50, 4),
            "p99": round(self.p99, 4),
            "answers": self.answers,
        }


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        artifact_bytes: size of the saved model.
        latency: of one answer of the loaded model, on as many threads as it serves with.
        users_per_second: tested users, over the time that their evaluation took.
        process_peak_mb: the most memory that this process had held when the model was fitted, for the log and for
            earlier models too; None where the system does not tell.
        process_peak_rise_mb: by how much the fit raised that: 0 if something before it held as much.
    """

    artifact_bytes: int
    latency: Latency
    users_per_second: float
    process_peak_mb: float | None = None
    process_peak_rise_mb: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The cost for programs."""
        return {
            "artifact_bytes": self.artifact_bytes,
            "latency_ms": self.latency.to_json(),
            "evaluated_users_per_second": round(self.users_per_second, 1),
            "process_peak_mb": _rounded(self.process_peak_mb),
            "process_peak_rise_mb": _rounded(self.process_peak_rise_mb),
        }


def process_peak() -> float | None:
    """The most memory that this process has held so far, in megabytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / 1e6 if sys.platform == "darwin" else held * 1024 / 1e6


def folder_bytes(folder: Path) -> int:
    """The size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def latency(recommender: Recommender, examples: Examples) -> Latency:
    """How long a loaded recommender takes for one answer, for histories spread evenly over the examples.

    Args:
        recommender: loaded as it is served.
        examples: at least one, in the indices of its catalogue.
    """
    asked = questions(examples, recommender.catalogue, ASKED)
    for question in asked[:WARM]:
        recommender.recommend(question, SLATE)
    taken: list[tuple[float, float]] = []
    until = time.perf_counter() + SECONDS
    for question in asked * ROUNDS:
        began, worked = time.perf_counter(), time.process_time()
        recommender.recommend(question, SLATE)
        ended = time.perf_counter()
        taken.append((1000 * (ended - began), 1000 * (time.process_time() - worked)))
        if ended > until and len(taken) >= LEAST:
            break
    by_clock, work = np.array(taken).T
    p50, p99 = np.quantile(by_clock, [0.5, 0.99]).tolist()
    return Latency(float(np.median(work)), p50, p99, len(taken))


def questions(examples: Examples, catalogue: Catalogue, most: int) -> list[Question]:
    """Examples as questions in their own ids, evenly spread ones if there are more; without the answers.

    Args:
        examples: in the indices of the catalogue.
        catalogue: the items.
        most: how many at most.
    """
    known = np.flatnonzero(examples.queries.lengths > 0)
    places = known if len(known) else np.arange(len(examples))
    queries = examples.queries[places[np.unique(np.linspace(0, len(places) - 1, most).astype(np.int64))]]
    users = [None] * len(queries) if queries.users is None else queries.users.to_list()
    at = _times(queries.at)
    found = []
    for row, (begin, end) in enumerate(zip(queries.starts.tolist(), queries.ends.tolist(), strict=True)):
        own = slice(begin, end)
        ratings = None if queries.rating is None else queries.rating[own].astype(object)
        if ratings is not None:
            ratings[np.isnan(ratings.astype(np.float64))] = None
        found.append(
            Question(
                catalogue.decode(queries.items[own]),
                user=users[row],
                times=None if queries.time is None else _times(queries.time[own]),
                ratings=None if ratings is None else ratings.tolist(),
                context={name: values[own].to_list() for name, values in queries.context.items()},
                at=None if at is None else at[row],
            )
        )
    return found


def _times(microseconds: Any) -> list[Any] | None:
    """`[n]` microseconds since 1970 as times; None for none."""
    return None if microseconds is None else pl.Series(microseconds).cast(TIME).to_list()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
