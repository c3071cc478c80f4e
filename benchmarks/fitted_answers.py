"""How long a counting model that was fitted in Python takes for one answer, on a log of a million events.

    python benchmarks/fitted_answers.py [--items 20000] [--out benchmarks/results/fitted_answers.json]

Items are drawn evenly, which gives the largest tables that there are; 50 events for each of 20,000 users, histories of
ten. Medians over 50 questions one by one, after ten. A state of ensue from before is measured by PYTHONPATH, in turn
with this one; each run adds its row. Saved models answer from mapped tables: benchmarks/serving.py has those.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import polars as pl

from ensue.events.log import EventLog
from ensue.model import Training, model_of
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "fitted_answers.json"
EVENTS, USERS, WARM, ASKED = 1_000_000, 20_000, 10, 50


def main() -> None:
    """Fits, asks, and adds a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--state", default="this one", help="what is measured, in words")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    times = pl.Series(np.arange(EVENTS) * 1_000_000).cast(pl.Datetime("us", "UTC"))
    drawn = {"user": rng.integers(0, USERS, EVENTS), "item": rng.integers(0, asked.items, EVENTS)}
    frame = pl.DataFrame(drawn | {"time": times}).with_columns(pl.col("user", "item").cast(pl.String))
    training = Training.of(EventLog.of(frame), exclude_seen=False)
    rows = json.loads(asked.out.read_text())["rows"] if asked.out.exists() else []
    for name in ("rules", "markov-time"):
        recommender = model_of(name).fit(training)
        ids = recommender.catalogue.ids.to_list()
        took = []
        for _ in range(WARM + ASKED):
            history = [ids[code] for code in rng.integers(0, len(ids), 10)]
            began = time.perf_counter()
            recommender.recommend(history, 10)
            took.append(1000 * (time.perf_counter() - began))
        rows.append(
            {"state": asked.state, "model": name, "milliseconds": round(statistics.median(took[WARM:]), 2)}
        )
        print(json.dumps(rows[-1]), flush=True)
    asked.out.write_text(json.dumps({"machine": machine(threads=2), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
