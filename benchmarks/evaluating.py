"""How many users a second are evaluated by full ranking, and in how much memory.

    python benchmarks/evaluating.py                      # 100,000 users x 100,000 items, a few minutes of one core
    python benchmarks/evaluating.py --users 2000

The recommender is synthetic: each item has two random vectors of `--width` numbers, and a query is scored by the
product of its last item's vector with all the others, so that the ranking and not the model is what is measured; the
time of that product alone stands beside it. Every user has one target and a history of `--history` events, whose items
are left out of the ranking. Measured are the usual metrics alone, and all that an evaluation can report. The most
memory of the process is given, and how much of it was held before the ranking began.
"""

from __future__ import annotations

import os

# Read by the libraries when they are first imported: one core, whatever the machine has.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
os.environ.update(POLARS_MAX_THREADS="1")

import argparse
import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.catalogue import Catalogue
from ensue.evaluation import evaluate
from ensue.ranking import Parts, Recommender
from ensue.segments import DEFAULT as SEGMENTS
from ensue.sequences import Queries
from ensue.splits import Examples
from machine import machine

RESULTS = Path(__file__).parent / "results" / "evaluating.json"
DAY = 86_400_000_000


@dataclass(frozen=True, eq=False)
class Products:
    """Scores of low rank, made when they are asked for."""

    asked: NDArray[np.float32]
    items: NDArray[np.float32]
    scores_are: ClassVar[str] = "logits"

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """`[Q, N]` products of the last item's vector with those of all items."""
        return self.asked[queries.last(1)[:, 0]] @ self.items.T

    def parts(self) -> Parts:
        """The two tables."""
        return Parts(arrays={"asked": self.asked, "items": self.items})


def main(arguments: list[str]) -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--users", type=int, default=100_000)
    options.add_argument("--items", type=int, default=100_000)
    options.add_argument("--history", type=int, default=20)
    options.add_argument("--width", type=int, default=32)
    chosen = options.parse_args(arguments)
    recommender, examples = synthetic(chosen.users, chosen.items, chosen.history, chosen.width)
    product = scoring(recommender, examples)
    everything = {"curves": True, "slates": True, "segments": SEGMENTS, "probabilities": True}
    rows = [
        measured(name, recommender, examples, product, wanted)
        for name, wanted in (
            ("metrics", {}),
            ("metrics, curves, slates, segments, probabilities", everything),
        )
    ]
    record = {
        "command": " ".join(["python benchmarks/evaluating.py", *arguments]),
        **machine(),
        **vars(chosen),
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


def synthetic(users: int, items: int, history: int, width: int) -> tuple[Recommender, Examples]:
    """A recommender of random vectors, and one question for each user."""
    rng = np.random.default_rng(7)
    counts = np.sort((1e6 / np.arange(1, items + 1)).astype(np.int64) + 1)[::-1]
    ids = pl.Series("item", [f"i{item}" for item in range(items)])
    frame = pl.DataFrame({"item": ids, "genre": [f"g{item % 23}" for item in range(items)]})
    tables = (rng.standard_normal((items, width)).astype(np.float32) / width**0.5 for _ in range(2))
    recommender = Recommender(Catalogue(ids, counts, frame), Products(*tables), "products", exclude_seen=True)
    walked = rng.integers(0, items, users * history).astype(np.int32)
    ends = history * np.arange(1, users + 1, dtype=np.int64)
    time_ = np.sort(rng.integers(0, 400 * DAY, users * history).reshape(users, history), axis=1).ravel()
    queries = Queries(walked, ends - history, ends, items, time=time_, at=time_[ends - 1] + DAY)
    targets = rng.integers(0, items, users).astype(np.int32)
    people = pl.Series("user", np.arange(users)).cast(pl.String)
    names = ids.gather(targets.astype(np.int64))
    return recommender, Examples(queries, targets, np.arange(users), people, names, "synthetic")


def scoring(recommender: Recommender, examples: Examples, most: int = 2_000) -> float:
    """Seconds that the scores alone take for all queries, by those of the first of them."""
    tried = min(len(examples), most)
    began = time.perf_counter()
    for begin in range(0, tried, 100):
        recommender.scores(examples.queries[begin : min(begin + 100, tried)])
    return (time.perf_counter() - began) * len(examples) / tried


def measured(
    name: str, recommender: Recommender, examples: Examples, product: float, wanted: dict[str, Any]
) -> dict[str, Any]:
    """One row: an evaluation with what is wanted."""
    before, began = peak(), time.perf_counter()
    evaluate(recommender, examples, **wanted)
    seconds = time.perf_counter() - began
    row = {
        "reported": name,
        "seconds": round(seconds, 2),
        "users_per_second": round(len(examples) / seconds),
        "seconds_of_scores_alone": round(product, 2),
        "megabytes_before": before,
        "peak_megabytes": peak(),
    }
    print(
        f"{len(examples):,} users x {len(recommender.catalogue):,} items, {name}: {seconds:.1f} s, of which the scores "
        f"alone {product:.1f}; {row['users_per_second']:,} users/s, {before} -> {row['peak_megabytes']} MB",
        flush=True,
    )
    return row


def peak() -> int:
    """The most memory that this process has held, in megabytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / 2**20) if sys.platform == "darwin" else round(most / 2**10)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
