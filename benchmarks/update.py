"""Going on with new events against training anew, and against doing nothing.

    ENSUE_DATA=folder python benchmarks/update.py [ml-100k] [--models rules,lstm] [--minutes 5]

The log is cut in time: the first 80 % of the events are old, the next 10 % new, the last 10 % the test (each user's
last event of it, at most 5,000 users). Stale: fitted on the old. Updated: stale, gone on with the new
(`ensue.updating`, kept histories). Anew: fitted on both. Writes benchmarks/results/update.json.
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
    parser.add_argument("--minutes", type=float, default=5.0, help="at most, for one fit of a network")
    asked = parser.parse_args()
    log = read(Path(os.environ["ENSUE_DATA"]) / FILES[asked.data])
    split = temporal(log, test=0.1, validation=1 / 9)
    rows = []
    for name in asked.models.split(","):
        conditions = Conditions(max_minutes=asked.minutes)
        rows += [row | {"data": asked.data, "model": name} for row in _states(name, split, conditions)]
        for row in rows[-3:]:
            print(json.dumps(row), flush=True)
    RESULTS.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1), encoding="utf-8")


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


def _timed(made: Any) -> tuple[Any, float]:
    began = time.process_time()
    return made(), round(time.process_time() - began, 1)


def _row(state: str, recommender: Recommender, split: Split, seconds: float) -> dict[str, Any]:
    examples = split.examples("test", recommender.catalogue, "last")
    if len(examples) > MOST:
        examples = examples[np.linspace(0, len(examples) - 1, MOST).astype(np.int64)]
    found = evaluate(recommender, examples, metrics=METRICS)
    figures = {metric: round(found.value(metric), 4) for metric in METRICS}
    interval = found.intervals["ndcg@10"].to_json()
    return {"state": state, "cpu_seconds": seconds, "users": found.all.users, **figures, "interval": interval}


if __name__ == "__main__":
    main()
