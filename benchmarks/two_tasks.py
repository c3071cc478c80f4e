"""Next items and ratings by one network, against two networks of one task each, on MovieLens-100K.

    ENSUE_DATA=folder python benchmarks/two_tasks.py

A global temporal split: the last tenth of all ratings is the test, the last tenth before it the validation. Three fits
of the same network with the same settings and seed, none tuned: next items alone, ratings alone (mean squared error),
and both together (`[objective] rating = 0.5`). Each stops early on validation, the one of both by next items. Nothing
is fitted anew on the validation part. Next items are ranked among all films not rated before; ratings are those of the
films that came next. Means over users (RMSE: over targets), with paired bootstraps over users against the single task.
Writes benchmarks/results/two_tasks.json.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ensue import read, split
from ensue.evaluation import evaluate
from ensue.model import Conditions, Training, model_of
from ensue.objective import Objective
from ensue.rated_beside import rated_beside
from ensue.rating_evaluation import evaluate_ratings
from ensue.significance import paired
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "two_tasks.json"
MODEL, WEIGHT = "lstm", 0.5
SETTINGS: dict[str, Any] = {
    "width": 48, "length": 100, "epochs": 8, "patience": 3, "batch_tokens": 1024, "inputs": ("rating",)
}  # fmt: skip
ITEMS, RATINGS, BOTH = "next items alone", "ratings alone", "both together"
METRICS = ("ndcg@10", "recall@10")


def main() -> None:
    """Measures the three, and keeps their rows."""
    log = read(Path(os.environ["ENSUE_DATA"]) / "ml-100k")
    parts = split(log, "temporal")
    known = Training.of(parts.train)
    known = replace(known, validation=parts.examples("validation", known.catalogue))
    test = parts.examples("test", known.catalogue)
    ways = {
        ITEMS: (known, {}),
        RATINGS: (known, {"loss": "mean-squared-error"}),
        BOTH: (known.towards(Objective(rating=WEIGHT)), {}),
    }
    ranked, rated, rows = {}, {}, []
    for way, (training, more) in ways.items():
        began = time.process_time()
        fitted = model_of(MODEL, **SETTINGS | more).fit(training, Conditions(threads=1))
        seconds = round(time.process_time() - began, 1)
        if way != RATINGS:
            ranked[way] = evaluate(fitted, test, metrics=METRICS)
        if way != ITEMS:
            rates = fitted if way == RATINGS else rated_beside(fitted)
            assert rates is not None
            rated[way] = evaluate_ratings(rates, test, training=parts.train)
        row: dict[str, Any] = {
            "way": way,
            "model": MODEL,
            "settings": dict(fitted.settings),
            "split": parts.name,
        }
        row |= {"fit_cpu_seconds": seconds, "epochs": fitted.facts["epochs"], "machine": machine()}
        row["command"] = "ENSUE_DATA=folder python benchmarks/two_tasks.py"
        row["next items"] = ranked[way].all.to_json() if way in ranked else None
        row["ratings"] = rated[way].to_json() if way in rated else None
        rows.append(row)
        print(
            way,
            seconds,
            way in ranked and ranked[way].lines(),
            way in rated and rated[way].lines(),
            flush=True,
        )
    rows[-1]["against one task"] = {
        **{m: paired(ranked[BOTH].per_user[m], ranked[ITEMS].per_user[m]).to_json() for m in METRICS},
        "user_rmse": paired(rated[BOTH].warm.per_user, rated[RATINGS].warm.per_user).to_json(),
    }
    print(json.dumps(rows[-1]["against one task"], indent=1))
    RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
