"""The flagship beside the rules and our own networks: every protocol, several seeds, paired tests on the same users.

    ENSUE_DATA=folder python benchmarks/flagship.py [case ...] [--models accurate,rules] [--minutes 15] [--seeds 0,1,2]
    python benchmarks/flagship.py --pairs        (only the paired tests and the page, from what was kept)
    python benchmarks/flagship.py gts:ml-1m --again        (only the refit, as the row that is there says)

Cases: loo (leave one out, time-blind), aware (the same with times and the time of the question), gts (global temporal
split, refitted before the test), ties-1 .. ties-3 (leave one out, ties in time shuffled), refitted (leave one out,
fitted anew on training and validation), described (leave one out, and the flagship reads the items' attributes,
which the published models named do not), each as case:data, such as loo:ml-1m. "accurate" is what `--preset accurate`
comes to.

Full ranking without the items of the history; epochs and weights are chosen on validation, the test is looked at once.
Each row runs in a process of its own on one thread; minutes are of processor time, and hold as many epochs as a short
trial says (a refit comes on top). Writes benchmarks/results/flagship.json and the tables of docs/flagship.md, and keeps
each user's values in ~/.cache/ensue-benchmarks for the paired tests; pairs without them stay as they were.

With --again the settings and the best step come from the row that is there, or for "refitted" from that of "loo", whose
fit is the same: the fit anew is all that is left. A row that is there already stays if it comes out the same.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from flagship_rows import (
    CASES,
    FLAGSHIP,
    METRICS,
    RULES,
    Run,
    held,
    keep,
    paired_tests,
    run_of,
    with_row,
    write,
)
from flagship_tables import filled
from gates import AMAZON, FILES, MOVIES
from machine import machine
from measured import apart, epochs_within

COSINE = {"temperature": 0.05, "learning_rate": 0.002, "batch_tokens": 2048}

BASELINES: dict[str, tuple[str, dict[str, Any]]] = {
    "sasrec": ("transformer", COSINE),
    "gru4rec": ("gru", COSINE),
    "hstu": ("hstu", COSINE | {"time": "none"}),
    "hstu-timed": ("hstu", COSINE | {"time": "buckets"}),
    "bert4rec": ("bert4rec", COSINE),
}
ONE, ONE_AGAIN = "--one", "--one-again"
"""What a process of its own is told to do."""


def main() -> None:
    """Measures what is asked for, then tests it in pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", default=["loo:ml-100k"], help="such as loo:ml-1m")
    parser.add_argument(
        "--models", default=f"{RULES},{FLAGSHIP}", help=f"{RULES}, {FLAGSHIP}, {', '.join(BASELINES)}"
    )
    parser.add_argument("--minutes", type=float, default=15.0, help="of one core, for each network")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--again", action="store_true", help="refit alone, from the rows that are there")
    asked = parser.parse_args()
    rows, before = held()
    if not asked.pairs:
        if "ENSUE_DATA" not in os.environ:
            raise SystemExit(
                "These figures need public data sets: set ENSUE_DATA to the folder that holds them."
            )
        for wanted in asked.cases:
            case, _, data = wanted.partition(":")
            if case not in CASES or data not in FILES:
                raise SystemExit(f"{wanted}: write case:data, of {', '.join(CASES)} and {', '.join(FILES)}.")
            for model in asked.models.split(","):
                for seed in map(int, asked.seeds.split(",")) if model != RULES else [0]:
                    run = Run(case, data, model, asked.minutes, seed)
                    found = apart(__file__, asdict(run), ONE_AGAIN if asked.again else ONE)
                    rows, before = with_row(rows, before, found | {"machine": machine()}, asked.again)
                    write(rows, before)
                    print(f"{run.name}: {found.get('test') or found.get('fault')}", flush=True)
    pairs = paired_tests(rows, before)
    write(rows, pairs)
    filled(rows, pairs)


def one(run: Run, again: bool = False) -> dict[str, Any]:
    """What a process does: read, fit, choose, refit where the case says so, test.

    Args:
        run: what it measures.
        again: whether the first fit is taken from the rows that are there.
    """
    from ensue import read
    from ensue.evaluation import evaluate
    from ensue.events.cleaning import Cleaning
    from ensue.model import Conditions, Training, refit
    from ensue.splits import last_out, temporal

    log = read(Path(os.environ["ENSUE_DATA"]) / FILES[run.data])
    if run.case.startswith("ties"):
        log = Cleaning(ties="shuffle", seed=int(run.case[-1])).apply(log)
    split = temporal(log) if run.case == "gts" else last_out(log)
    training = Training.of(split.train)
    training = replace(training, validation=split.examples("validation", training.catalogue))
    conditions = Conditions(seed=run.seed)
    first: Any
    if again:
        model, first = as_it_was(run, training)
    else:
        model, first = described(run, training), None
    before, began = time.process_time(), time.perf_counter()
    first = fitted = first or model.fit(training, conditions)
    known = training.catalogue
    if run.case in ("gts", "refitted"):
        whole = Training.of(split.before_test)
        fitted, known = refit(model, first, whole, conditions), whole.catalogue
    cpu, wall = time.process_time() - before, time.perf_counter() - began
    tested: dict[str, dict[str, Any]] = {}
    values = {}
    for targets in ("successive", "last") if run.case == "gts" else ("last",):
        found = evaluate(fitted, split.examples("test", known, targets), metrics=METRICS)
        figures = found.warm if run.case == "gts" and found.warm is not None else found.all
        tested[targets] = {name: round(figures.value(name), 4) for name in METRICS}
        tested[targets] |= {"users": figures.users, "targets": figures.targets}
        tested[targets]["interval"] = figures.intervals["ndcg@10"].to_json()
        values[targets] = figures.per_user["ndcg@10"]
    keep(run, values)
    facts = first.facts
    cpu, wall = cpu + facts.get("cpu_seconds", 0.0), wall + facts.get("wall_seconds", 0.0)
    return asdict(run) | {
        "minutes": facts.get("minutes", run.minutes),
        "name": model.name,
        "settings": dict(first.settings),
        "test": tested,
        "curve": facts.get("curve")
        or [round(epoch["score"], 4) for epoch in facts.get("history", []) if "score" in epoch],
        "chosen": facts.get("chosen"),
        "parameters": facts.get("parameters", 0),
        "cpu_seconds": round(cpu, 1),
        "wall_seconds": round(wall, 1),
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def as_it_was(run: Run, training: Any) -> tuple[Any, Any]:
    """The model of a row that is there, and of its first fit what a refit asks for.

    Args:
        run: of a case with a refit.
        training: what the first fit learnt from, by which its steps are counted.

    Raises:
        SystemExit: the case has no refit, or there is no row to begin from.
    """
    from types import SimpleNamespace

    from ensue.model import Conditions, model_of
    from ensue.training import Trainer

    names = {"refitted": (run.name, replace(run, case="loo").name), "gts": (run.name,)}.get(run.case, ())
    rows = {run_of(row).name: row for row in held()[0] if "test" in row}
    row = next((rows[name] for name in names if name in rows), None)
    if row is None:
        raise SystemExit(f"Error: no row says how {run.name} was fitted first.")
    if run.model == RULES:
        model = described(run, training)
        return model, SimpleNamespace(settings=row["settings"], facts={})
    model: Any = model_of(row["name"], **row["settings"])
    steps = sum(1 for _ in Trainer(model, training, Conditions(seed=run.seed)).plan(0))
    told = ("chosen", "curve", "minutes", "parameters", "cpu_seconds", "wall_seconds")
    facts = {name: row[name] for name in told} | {"horizon": row["settings"]["epochs"] * steps}
    return model, SimpleNamespace(settings=row["settings"], facts=facts)


def described(run: Run, training: Any) -> Any:
    """The model of a run, with as many epochs as its minutes allow."""
    from ensue.model import model_of
    from ensue.presets import preset

    if run.model == RULES:
        return MOVIES if run.data.startswith("ml") else AMAZON
    model: Any
    if run.model == FLAGSHIP:
        chosen = preset("accurate", training.sequences)
        read = {"features": ["attributes"]} if run.case == "described" else {}
        model = model_of(chosen.model, **chosen.settings, **read)
        if run.case == "aware":
            model = replace(model, asked="wait", inputs=("gap",))
    else:
        name, settings = BASELINES[run.model]
        model = model_of(name, **settings)
    epochs = min(epochs_within(model, training, run.minutes, run.seed), model.epochs or 10**6)
    return replace(model, epochs=epochs, patience=epochs)


if __name__ == "__main__":
    if sys.argv[1:2] in ([ONE], [ONE_AGAIN]):
        print(json.dumps(one(Run(**json.loads(sys.argv[2])), again=sys.argv[1] == ONE_AGAIN)))
    else:
        main()
