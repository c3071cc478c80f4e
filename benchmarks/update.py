"""Going on with new events against training anew, and against doing nothing.

    ENSUE_DATA=folder python benchmarks/update.py [ml-100k] [--models rules,lstm] [--minutes 0] [--seed 0]

The log is cut in time: the first 80 % of the events are old, the next 10 % new, the last 10 % the test (every event
of it with another before it, at most 5,000 of them, evenly spread). Stale: fitted on the old. Updated: stale, gone on
with the new (`ensue.updating`, kept histories). Anew: fitted on both. All are asked with the whole history before the
test event; an item that a state does not know is a miss. Items that are among the new events alone are counted, and the
targets among them are tested apart, too. Seconds are of processor time and of a clock.

Adds its rows to benchmarks/results/update.json, in the place of those of the same data, model and seed.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from ensue import artifacts, read
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.ladder import HISTORIES, MODELS, learnt
from ensue.model import Conditions, Model, Training, model_of, refit
from ensue.ranking import Recommender
from ensue.splits import Split, temporal
from ensue.updating import update
from machine import machine
from measured import FILES

RESULTS = Path(__file__).resolve().parent / "results" / "update.json"
METRICS = ("recall@10", "ndcg@10")
MOST = 5000


def main() -> None:
    """Measures every model and prints its three states."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="?", default="ml-100k", choices=list(FILES))
    parser.add_argument("--models", default="rules,lstm,transformer")
    parser.add_argument("--minutes", type=float, default=0.0, help="at most, for one fit of a network")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    log = read(Path(os.environ["ENSUE_DATA"]) / FILES[asked.data])
    split = temporal(log, test=0.1, validation=1 / 9)
    for name in asked.models.split(","):
        same = {"data": asked.data, "model": name, "seed": asked.seed}
        conditions = Conditions(seed=asked.seed, max_minutes=asked.minutes)
        rows = [same | row | {"machine": machine()} for row in _states(name, split, conditions)]
        for row in rows:
            print(json.dumps(row), flush=True)
        held = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
        kept = [old for old in held if {key: old[key] for key in same} != same]
        RESULTS.write_text(json.dumps({"rows": [*kept, *rows]}, indent=1) + "\n", encoding="utf-8")


def _states(name: str, split: Split, conditions: Conditions) -> list[dict[str, Any]]:
    """The figures of the three states of one model."""
    model = model_of(name)
    old, both = split.train, split.before_test
    new = split.log.where(split.part == 1)
    stale, seconds = _timed(lambda: _fitted(model, old, conditions))
    rows = [_row("stale", stale, split, seconds)]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / MODELS / name
        artifacts.save(stale, place, facts={"learnt": learnt(split.log, old, {"by": "user"})})
        old.frame.select("user", "item", "time").write_parquet(Path(folder) / HISTORIES)
        (Path(folder) / "run.json").write_text(json.dumps({"best": name}), encoding="utf-8")
        gone_on, seconds = _timed(lambda: update(folder, new, conditions).recommender)
    rows.append(_row("updated", gone_on, split, seconds))
    anew, seconds = _timed(lambda: _fitted(model, both, conditions))
    return [*rows, _row("anew", anew, split, seconds)]


def _fitted(model: Model, log: EventLog, conditions: Conditions) -> Recommender:
    """A model fitted on a log; a network first finds on its last tenth for how long."""
    whole = Training.of(log)
    if not model.goes_on:
        return model.fit(whole, conditions)
    parts = temporal(log, test=0.1, validation=0.0)
    part = Training.of(parts.train)
    first = model.fit(replace(part, validation=parts.examples("test", part.catalogue)), conditions)
    return refit(model, first, whole, conditions)


def _timed(made: Callable[[], Recommender]) -> tuple[Recommender, tuple[float, float]]:
    """What comes out, and the seconds of processor time and of a clock that it takes."""
    worked, began = time.process_time(), time.perf_counter()
    return made(), (round(time.process_time() - worked, 1), round(time.perf_counter() - began, 1))


def _row(state: str, recommender: Recommender, split: Split, seconds: tuple[float, float]) -> dict[str, Any]:
    """The figures of one state, of all targets and of those that are new items."""
    examples = split.examples("test", recommender.catalogue)
    if len(examples) > MOST:
        examples = examples[np.linspace(0, len(examples) - 1, MOST).astype(np.int64)]
    found = evaluate(recommender, examples, metrics=METRICS)
    old = split.train.frame["item"].unique()
    appeared = split.before_test.frame["item"].unique()
    new = appeared.filter(~appeared.is_in(old.implode()))
    asked = examples[np.flatnonzero(examples.target_ids.is_in(new.implode()).to_numpy())]
    row = {
        "state": state,
        "cpu_seconds": seconds[0],
        "seconds": seconds[1],
        "users": found.all.users,
        "targets": len(examples),
    }
    interval = found.intervals["ndcg@10"].to_json()
    row |= {metric: round(found.value(metric), 4) for metric in METRICS}
    row |= {
        "interval": interval,
        "new_items": len(new),
        "new_targets": len(asked),
    }
    if len(asked):
        of_new = evaluate(recommender, asked, metrics=METRICS)
        row |= {f"new_{metric}": round(of_new.value(metric), 4) for metric in METRICS}
    return row


if __name__ == "__main__":
    main()
