"""What a preset, or a network with counts beside it, reaches on MovieLens-1M within minutes on two cores.

    ENSUE_DATA=folder python benchmarks/preset.py [fast | accurate | lstm | ...] [--minutes 10] [--seed 0]

One process on each core. Of a network that is no preset all else is as it is by default.

Leave one out, not refitted, full ranking without items of the history; chosen on validation, tested once. Minutes are
those of a clock, from the first batch to the last. Adds a row to benchmarks/results/preset.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from ensue import read
from ensue.evaluation import evaluate
from ensue.model import Conditions, Training, model_of
from ensue.presets import PRESETS, preset
from ensue.splits import last_out
from machine import machine
from measured import FILES

RESULTS = Path(__file__).resolve().parent / "results" / "preset.json"
METRICS = ("recall@10", "ndcg@10")


def main() -> None:
    """Trains, tests, prints the row and keeps it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", nargs="?", default="fast", help=f"of {', '.join(PRESETS)}, or a network")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    split = last_out(read(Path(os.environ["ENSUE_DATA"]) / FILES["ml-1m"]))
    training = Training.of(split.train)
    training = replace(training, validation=split.examples("validation", training.catalogue))
    if asked.name in PRESETS:
        chosen = preset(asked.name, training.sequences)
        model = model_of(chosen.model, **chosen.settings)
    else:
        model = model_of(asked.name, prior="beside")
    conditions = Conditions(seed=asked.seed, max_minutes=asked.minutes, processes=asked.processes)
    began = time.monotonic()
    fitted = model.fit(training, conditions)
    seconds = time.monotonic() - began
    found = evaluate(fitted, split.examples("test", training.catalogue), metrics=METRICS)
    history = fitted.facts["history"]
    row = {
        **vars(asked),
        "seconds": round(seconds),
        "curve": [round(epoch["score"], 4) for epoch in history if "score" in epoch],
        "chosen": fitted.facts["chosen"],
        "targets": sum(epoch["targets"] for epoch in history),
        "prior_weight": fitted.settings.get("prior_weight"),
        "test": {name: round(found.value(name), 4) for name in METRICS},
        "interval": found.intervals["ndcg@10"].to_json(),
        "machine": machine(asked.processes),
    }
    held = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
    kept = [old for old in held if kind(old) != kind(row)]
    RESULTS.write_text(json.dumps({"rows": [*kept, row]}, indent=1), encoding="utf-8")
    print(json.dumps(row))


def kind(row: dict[str, Any]) -> tuple[Any, ...]:
    """What was asked, and of which kind of processor."""
    return (*(row[name] for name in ("name", "minutes", "processes", "seed")), row["machine"].get("vectors"))


if __name__ == "__main__":
    main()
