"""Whether `ensue select` takes the model that an exhaustive run would, on real logs.

    ENSUE_DATA=folder python benchmarks/selecting.py [data ...] [--minutes 6] [--seed 0]

The choice races on validation, with all networks sharing the minutes. The exhaustive run gives every candidate of it as
many minutes for itself, and takes by the same rule: the smallest model that no bigger one surely beats, on the same
validation. They agree if they take the same model, or if the exhaustive run cannot tell the two apart. What no choice
may see is told beside it: on the test, how far the one that is taken lies below the highest, of the same models, not
refitted. Adds rows to benchmarks/results/selecting.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from ensue import read, runtime
from ensue.comparing import compare
from ensue.evaluation import evaluate
from ensue.experiment import Experiment, Sequencing, Splitting
from ensue.ladder.outcome import Outcome
from ensue.selecting import select
from ensue.selecting.front import SURE, Standing, choose
from ensue.significance import paired
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "selecting.json"
METRIC = "ndcg@10"
LOGS: dict[str, tuple[str, dict[str, Any]]] = {
    "ml-100k": ("ml-100k", {}),
    "ml-latest-small": ("ml-latest-small", {}),
    "trivago": ("trivago-100k", {"sequences": Sequencing(by="session")}),
    "beauty": ("amazon2014-s3rec/Beauty.txt", {"split": Splitting(rule="last")}),
}


def main() -> None:
    """Measures what is asked for, and prints a line for each log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="*", help=f"of {', '.join(LOGS)}; the first three if none")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for name in asked.data or list(LOGS)[:3]:
        row = {"data": name, "minutes": asked.minutes, "seed": asked.seed} | measured(
            name, asked.minutes, asked.seed
        )
        held = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
        keys = ("data", "minutes", "seed")
        kept = [old for old in held if [old[key] for key in keys] != [row[key] for key in keys]]
        RESULTS.write_text(json.dumps({"rows": [*kept, row]}, indent=1), encoding="utf-8")
        print(
            f"{name}: select takes {row['taken']}, the exhaustive run {row['exhaustive']}: "
            f"{'they agree' if row['agrees'] else 'they do not agree'}; on the test "
            f"{row['below_the_highest']['value']:.4f} ({row['below_the_highest']['low']:.4f} to "
            f"{row['below_the_highest']['high']:.4f}) below {row['highest']}; {row['select_seconds']} s, and "
            f"{row['exhaustive_seconds']} s",
            flush=True,
        )


def measured(name: str, minutes: float, seed: int) -> dict[str, Any]:
    """The choice, and the exhaustive run of the same candidates."""
    path, settings = LOGS[name]
    log = read(Path(os.environ["ENSUE_DATA"]) / path)
    asked = Experiment(seed=seed, **settings)
    with tempfile.TemporaryDirectory() as place:
        began = time.monotonic()
        found = select(replace(asked, out=f"{place}/select"), minutes=minutes, log=log)
        chosen = time.monotonic() - began
        models = {one.label: dict(one.settings) for one in found.entered}
        began = time.monotonic()
        alone = replace(asked, models=models, out=f"{place}/all", max_minutes=minutes, refit=False)
        outcome = compare(alone, minutes=None, log=log).outcome
        every = time.monotonic() - began
        found_by = {part: _standings(outcome, part) for part in ("validation", "test")}
    rule = choose(list(found_by["validation"].values()), seed)
    taken = found.choice.taken
    held = {part: {label: one.per_user for label, one in by.items()} for part, by in found_by.items()}
    other = paired(held["validation"][rule.taken], held["validation"][taken], seed=seed)
    highest = max(found_by["test"].values(), key=lambda one: one.value.value).label
    gap = paired(held["test"][highest], held["test"][taken], seed=seed)
    return {
        "taken": taken,
        "exhaustive": rule.taken,
        "above_on_validation": other.difference.to_json() | {"p_value": other.p_value},
        "agrees": rule.taken == taken or other.p_value > SURE,
        "highest": highest,
        "below_the_highest": gap.difference.to_json() | {"p_value": gap.p_value},
        **{part: {label: one.value.to_json() for label, one in by.items()} for part, by in found_by.items()},
        "front": list(rule.front),
        "reasons": found.reasons,
        "facts": found.facts.to_json(),
        "skipped": dict(found.skipped),
        "select_seconds": round(chosen),
        "exhaustive_seconds": round(every),
        "machine": machine(),
    }


def _standings(outcome: Outcome, part: str) -> dict[str, Standing]:
    """Where the models of the exhaustive run stand on a part, by label."""
    found = {}
    asked = outcome.experiment
    for rung in outcome.rungs:
        cost = rung.cost
        assert cost is not None
        saved = runtime.load(rung.folder)
        examples = outcome.split.examples(part, saved.catalogue, targets=asked.evaluation.targets)
        measured = evaluate(saved, examples, metrics=(METRIC,))
        found[rung.label] = Standing(
            rung.label,
            measured.per_user[METRIC],
            measured.intervals[METRIC],
            cost.latency,
            cost.artifact_bytes,
        )
    return found


if __name__ == "__main__":
    main()
