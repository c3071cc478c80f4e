"""What knowing the user adds: each personalised variant against the same network without it, by history length.

    ENSUE_DATA=folder python benchmarks/personal.py [ml-100k] [--seeds 3]

Leave one out, not refitted, full ranking without the items of the history. Every user of the test is one of training
here, which is the best case for what is learnt of single users. Writes benchmarks/results/personal.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from ensue import read
from ensue.evaluation import evaluate
from ensue.model import Conditions, Training, model_of
from ensue.splits import last_out
from machine import machine
from measured import FILES

RESULTS = Path(__file__).resolve().parent / "results" / "personal.json"
METRIC = "ndcg@10"
VARIANTS = ("none", "embedding", "adapter")
MODELS = ("lstm", "transformer")
LENGTHS = ((0, 30), (30, 100), (100, 10**9))
"""Events of a history, from and below."""


def main() -> None:
    """Measures every variant with every seed, and prints means and paired differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="?", default="ml-100k", choices=list(FILES))
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    split = last_out(read(Path(os.environ["ENSUE_DATA"]) / FILES[asked.data]))
    training = Training.of(split.train)
    training = replace(training, validation=split.examples("validation", training.catalogue))
    test = split.examples("test", training.catalogue)
    lengths = test.queries.lengths
    rows: list[dict[str, Any]] = []
    for name in MODELS:
        plain: dict[int, Any] = {}
        for personal in VARIANTS:
            for seed in range(asked.seeds):
                began = time.process_time()
                fitted = model_of(name, personal=personal).fit(training, Conditions(seed=seed))
                found = evaluate(fitted, test, metrics=(METRIC,))
                values = found.per_user[METRIC]
                plain.setdefault(seed, values)
                row = {"data": asked.data, "model": name, "personal": personal, "seed": seed}
                row |= {"cpu_seconds": round(time.process_time() - began, 1), METRIC: float(values.mean())}
                for low, high in LENGTHS:
                    chosen = (lengths >= low) & (lengths < high)
                    change = values[chosen] - plain[seed][chosen]
                    row[f"{low}-{high}"] = {
                        "users": int(chosen.sum()),
                        "value": float(values[chosen].mean()),
                        "change": float(change.mean()),
                        "error": float(change.std(ddof=1) / np.sqrt(chosen.sum())),
                    }
                rows.append(row)
                print(json.dumps(row), flush=True)
    RESULTS.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
