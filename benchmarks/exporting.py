"""How long a network takes to become a graph: translated as it was traced, and taken apart first.

    python benchmarks/exporting.py [--turns 3] [--items 3000] [--models lstm,transformer,hstu]

Networks at their own settings after one step, on windows of 50, after one export that loads the exporter; both ways in
turn within one process, medians over the turns. The answers of both graphs to the same questions are compared bit by
bit. Writes benchmarks/results/exporting.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import torch

from ensue import export
from ensue.events.log import EventLog
from ensue.lowering import lowered
from ensue.model import Conditions, Training, model_of
from ensue.sequences import Queries
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "exporting.json"
LENGTH = 50
WAYS = {"taken apart": lambda *given: False, "as traced": lowered}


def main() -> None:
    """Exports each network both ways in turn, and prints medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--items", type=int, default=3000)
    parser.add_argument("--models", default="lstm,transformer,hstu,xlnet")
    asked = parser.parse_args()
    training = _training(asked.items)
    export.to_onnx(*_network("rnn", training))
    rows = []
    for name in asked.models.split(","):
        network, inputs = _network(name, training)
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        graphs: dict[str, bytes] = {}
        for _ in range(asked.turns):
            for way, rule in WAYS.items():
                export.lowered = rule
                began = time.perf_counter()
                graphs[way] = export.to_onnx(network, inputs)
                seconds[way].append(round(time.perf_counter() - began, 2))
        median = {way: statistics.median(of) for way, of in seconds.items()}
        first, second = (_answers(graphs[way], inputs, training) for way in WAYS)
        row = {
            "model": name,
            "seconds": seconds,
            "median": median,
            "same": bool(np.array_equal(first, second)),
        }
        rows.append(row | {"ratio": round(median["taken apart"] / median["as traced"], 2)})
        print(json.dumps(rows[-1]), flush=True)
    RESULTS.write_text(
        json.dumps({"machine": machine(threads=torch.get_num_threads()), "rows": rows}, indent=1)
    )


def _training(items: int) -> Training:
    """Histories of items drawn evenly."""
    rng = np.random.default_rng(0)
    events = 4 * items
    times = pl.Series(np.arange(events) * 1_000_000).cast(pl.Datetime("us", "UTC"))
    columns = {"user": rng.integers(0, 200, events), "item": rng.integers(0, items, events), "time": times}
    frame = pl.DataFrame(columns).with_columns(pl.col("user", "item").cast(pl.String))
    return Training.of(EventLog.of(frame), exclude_seen=False)


def _network(name: str, training: Training) -> tuple[Any, Any]:
    """A network after one step, and what it reads."""
    scoring: Any = model_of(name, length=LENGTH).fit(training, Conditions(steps=1)).scoring
    return scoring.network, scoring.inputs


def _answers(graph: bytes, inputs: Any, training: Training) -> Any:
    """Scores of three histories."""
    session = onnxruntime.InferenceSession(graph)
    queries = Queries.of([[0, 1, 2], [3] * LENGTH, [5, 4]], training.sequences.n_items)
    (_, fed), *_ = inputs.feeds(queries, 10_000)
    return session.run(["scores"], {one.name: fed[one.name] for one in session.get_inputs()})[0]


if __name__ == "__main__":
    main()
