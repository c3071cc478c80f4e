"""Next purchase on a session log: all events in, against training on the purchases alone, on the same test targets.

    ENSUE_DATA=folder python benchmarks/purchases.py [personal] [markov] [rules] [neighbours] [gru]

The log is the trivago slice, sequences are sessions, and a click-out (the visitor leaves for a seller) is the purchase.
Of the ten kinds of action in the file six concern a hotel, and are events: images, information, ratings, deals,
searches for a hotel, click-outs. One time cuts the log for all: the last tenth is the test, the last tenth before it
the validation. A test target is any click-out with an earlier event in its session. Four ways to learn are compared:

    click-outs alone          histories hold click-outs, and nothing else is learnt
    all in, all learnt        every event is learnt to be predicted, whatever its type
    all in, others 0.2        click-outs are learnt, and the others a fifth as much
    all in, click-outs learnt the objective: every event stands in histories, click-outs alone are learnt

All are asked for the same click-outs. Where the first knows nothing of a session, since there is no click-out yet, it
answers by what is most often clicked out. Settings of counting models are the best of GRIDS by NDCG@10 on validation,
for each way by itself; a network stops early on it. Then all are fitted anew on all before the test. The model
`personal` learns nothing but popularity: what it gains, it gains from what stands in histories. Whether items of the
history may be answered goes by the targets (`Objective.exclusion`). Figures are means over sessions, with paired
bootstraps over them. Writes benchmarks/results/purchases.json.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import ensue
from ensue.evaluation import Evaluation, evaluate
from ensue.events.log import EventLog
from ensue.examples import Examples
from ensue.model import Conditions, Training, model_of, refit
from ensue.objective import Objective
from ensue.significance import paired
from ensue.splits import Split
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "purchases.json"
SOURCE = "trivago-100k/trivago_val_100k.parquet.snappy"
PURCHASE = "clickout item"
SPLIT = {"rule": "temporal", "test": 0.1, "validation": 0.1}
METRICS = ("ndcg@10", "recall@1", "recall@10", "mrr@10")
ALONE, BOTH, SOME, AIMED = (
    "click-outs alone", "all in, all learnt", "all in, others 0.2", "all in, click-outs learnt"
)  # fmt: skip

SMALL = {
    "width": 64, "layers": 1, "length": 30, "epochs": 15, "patience": 4, "batch_tokens": 1024, "learning_rate": 5e-3,
    "ema": 0.0, "loss": {"name": "sampled-softmax", "negatives": 512},
}  # fmt: skip
"""A network that a few minutes of one core are enough for."""

WINDOWS = {"window": (3, 20), "last": (3, 10), "decay": (0.5, 0.8)}
GRIDS: dict[str, list[dict[str, Any]]] = {
    "personal": [{"decay": decay} for decay in (0.3, 0.5, 0.7, 0.9, 1.0)],
    "rules": [dict(zip(WINDOWS, values, strict=True)) for values in product(*WINDOWS.values())],
    "markov": [{"order": 1}, {"order": 2}],
    "neighbours": [{"decay": 0.5}, {"decay": 0.8}],
    "gru": [SMALL],
}


def ways(log: EventLog) -> dict[str, Objective]:
    """The objectives that are compared, the bar first."""
    others = [kind for kind in log.frame["event"].unique().sort() if kind != PURCHASE]
    return {
        ALONE: Objective(inputs=(PURCHASE,), targets=(PURCHASE,)),
        BOTH: Objective(targets=(PURCHASE,), weights=dict.fromkeys(others, 1.0)),
        SOME: Objective(targets=(PURCHASE,), weights=dict.fromkeys(others, 0.2)),
        AIMED: Objective(targets=(PURCHASE,)),
    }


def main() -> None:
    """Measures the models that are named, or all, and keeps their rows beside those of others."""
    names = sys.argv[1:] or list(GRIDS)
    log = ensue.read(Path(os.environ["ENSUE_DATA"]) / SOURCE)
    whole = Objective(targets=(PURCHASE,)).split(log, SPLIT, "session")
    print(f"{whole.name}; {whole.sizes}, {whole.n_targets('test'):,} targets", flush=True)
    for name in names:
        found: dict[str, tuple[Evaluation, Evaluation, dict[str, Any]]] = {}
        for way, objective in ways(log).items():
            found[way] = measured(name, log, objective, whole)
        old = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
        rows = [row for row in old if row["model"] != name] + rows_of(name, found, whole)
        RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


def measured(
    name: str, log: EventLog, objective: Objective, whole: Split
) -> tuple[Evaluation, Evaluation, dict[str, Any]]:
    """A model that has learnt one way: all targets, those with a click-out before them, and what is said of it."""
    parts = objective.split(log, SPLIT, "session")
    exclude, why = objective.exclusion(log, "session")
    training = Training.of(parts.train, "session", exclude, objective)
    asked = heard(whole.examples("validation", training.catalogue), objective)
    training = replace(training, validation=asked)
    began = time.process_time()
    tried = []
    for settings in GRIDS[name]:
        model = model_of(name, **settings)
        fitted = model.fit(training, Conditions(threads=1))
        score = evaluate(fitted, asked, metrics=("ndcg@10",)).value("ndcg@10")
        tried.append((score, model, fitted))
        print(f"  {name} {settings} {score:.4f}", flush=True)
    score, model, fitted = max(tried, key=lambda one: one[0])
    known = Training.of(parts.before_test, "session", exclude, objective)
    last = refit(replace(model, **fitted.settings), fitted, known, Conditions(threads=1))
    seconds = time.process_time() - began
    test = heard(whole.examples("test", known.catalogue), objective)
    found = evaluate(last, test, metrics=METRICS)
    again = evaluate(last, test[clicked(whole)], metrics=METRICS)
    print(f"{name:<10} {objective.words:<60}", *(f"{found.value(m):.4f}" for m in METRICS), flush=True)
    facts = {"settings": dict(last.settings), "validation": score, "exclude_seen": exclude, "since": why}
    return found, again, facts | {"items": len(known.catalogue), "fit_cpu_seconds": round(seconds, 1)}


def heard(examples: Examples, objective: Objective) -> Examples:
    """Examples whose histories hold inputs alone; one may be left with an empty history, and is asked nonetheless."""
    queries = examples.queries
    if not objective.inputs:
        return examples
    kept = queries.context["event"].is_in(list(objective.inputs)).to_numpy()
    before = np.concatenate([[0], np.cumsum(kept)])
    fewer = replace(
        queries,
        items=queries.items[kept],
        starts=before[queries.starts],
        ends=before[queries.ends],
        time=None if queries.time is None else queries.time[kept],
        rating=None if queries.rating is None else queries.rating[kept],
        context={name: values.filter(kept) for name, values in queries.context.items()},
    )
    return replace(examples, queries=fewer)


def clicked(whole: Split) -> np.ndarray:
    """Places of the test targets that another click-out of their session comes before."""
    every = whole.examples("test", ensue.fit("popular", whole.log).catalogue)
    kept = every.queries.context["event"].eq(PURCHASE).to_numpy()
    before = np.concatenate([[0], np.cumsum(kept)])
    return np.flatnonzero(before[every.queries.ends] > before[every.queries.starts])


def rows_of(
    name: str, found: dict[str, tuple[Evaluation, Evaluation, dict[str, Any]]], whole: Split
) -> list[dict[str, Any]]:
    """One row for each way, with its difference from the bar."""
    command = f"ENSUE_DATA=folder python benchmarks/purchases.py {name}"
    facts = {"data": "trivago-100k", "split": whole.name, "command": command, "machine": machine()}
    bar, bar_again, _ = found[ALONE]
    rows = []
    for way, (all_targets, again, more) in found.items():
        row = {"model": name, "way": way} | facts | more
        for label, own, other in (("all", all_targets, bar), ("with a click-out before", again, bar_again)):
            row[label] = {
                "sessions": own.all.users,
                "targets": own.counts.targets,
                "cold_targets": own.counts.cold_targets,
                "figures": {metric: own.intervals[metric].to_json() for metric in METRICS},
                "against click-outs alone": {
                    metric: paired(own.per_user[metric], other.per_user[metric]).to_json()
                    for metric in METRICS
                }
                if way != ALONE
                else None,
            }
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
