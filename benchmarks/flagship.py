"""The flagship beside the rules and our own networks: every protocol, several seeds, paired tests on the same users.

    ENSUE_DATA=folder python benchmarks/flagship.py [case ...] [--models accurate,rules] [--minutes 15] [--seeds 0,1,2]
    python benchmarks/flagship.py --pairs        (only the paired tests and the page, from what was kept)

Cases: loo (leave one out, time-blind), aware (the same with times and the time of the question), gts (global temporal
split, refitted before the test), ties-1 .. ties-3 (leave one out, ties in time shuffled), refitted (leave one out,
fitted anew on training and validation), described (leave one out, and the flagship reads the items' attributes,
which the published models named do not), each as case:data, such as loo:ml-1m. "accurate" is what `--preset accurate`
comes to.

Full ranking without the items of the history; epochs and weights are chosen on validation, the test is looked at once.
Each row runs in a process of its own on one thread; minutes are of processor time, and hold as many epochs as a short
trial says (a refit comes on top). Writes benchmarks/results/flagship.json and the tables of docs/flagship.md, and keeps
each user's values in ~/.cache/ensue-benchmarks for the paired tests.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gates import AMAZON, FILES, MOVIES
from machine import machine
from measured import apart, epochs_within

RESULTS = Path(__file__).resolve().parent / "results" / "flagship.json"
KEPT = Path.home() / ".cache" / "ensue-benchmarks" / "flagship"
METRICS = ("recall@10", "ndcg@10")
COSINE = {"temperature": 0.05, "learning_rate": 0.002, "batch_tokens": 2048}

BASELINES: dict[str, tuple[str, dict[str, Any]]] = {
    "sasrec": ("transformer", COSINE),
    "gru4rec": ("gru", COSINE),
    "hstu": ("hstu", COSINE | {"time": "none"}),
    "hstu-timed": ("hstu", COSINE | {"time": "buckets"}),
    "bert4rec": ("bert4rec", COSINE),
}
FLAGSHIP, RULES = "accurate", "rules"
CASES = {
    "loo": "leave one out, time-blind, not refitted",
    "aware": "leave one out, time-aware, not refitted",
    "gts": "global temporal split, refitted, warm targets",
    "refitted": "leave one out, time-blind, refitted on training and validation",
    "described": "leave one out, time-blind, not refitted, the items' attributes read as well",
    "ties-1": "leave one out, time-blind, ties shuffled by seed 1",
    "ties-2": "leave one out, time-blind, ties shuffled by seed 2",
    "ties-3": "leave one out, time-blind, ties shuffled by seed 3",
}
COPIES = [case for case in CASES if case.startswith("ties")]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "flagship.md"
MARK = "<!-- tables: benchmarks/flagship.py -->"
TARGETS = {"ml-1m": {"loo": (0.345, 0.203), "aware": (0.370, 0.221), "gts": (None, 0.120)}} | {
    data: {"loo": wanted}
    for data, wanted in {"beauty": (0.108, 0.066), "sports": (0.064, 0.0375), "toys": (0.109, 0.068)}.items()
}
"""HR@10 and NDCG@10 that the flagship set out to reach; of GTS for successive targets."""


@dataclass(frozen=True)
class Run:
    """What one process measures."""

    case: str
    data: str
    model: str
    minutes: float
    seed: int

    @property
    def name(self) -> str:
        """Of the file that keeps each user's values."""
        return f"{self.case}-{self.data}-{self.model}-{self.seed}"


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
    asked = parser.parse_args()
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
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
                    found = apart(__file__, asdict(run), "--one") | {"machine": machine()}
                    rows = [row for row in rows if Run(*(row[key] for key in asdict(run))).name != run.name]
                    rows.append(found)
                    write(rows)
                    print(f"{run.name}: {found.get('test') or found.get('fault')}", flush=True)
    pairs = paired_tests(rows)
    write(rows, pairs)
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(head + MARK + "\n\n" + "\n".join(tables(rows, pairs)) + "\n", encoding="utf-8")


def write(rows: list[dict[str, Any]], pairs: list[dict[str, Any]] | None = None) -> None:
    """The raw rows, and the tests between them."""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"rows": rows, "pairs": pairs or []}, indent=1), encoding="utf-8")


def one(run: Run) -> dict[str, Any]:
    """What a process does: read, fit, choose, refit where the case says so, test."""
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
    model = described(run, training)
    conditions = Conditions(seed=run.seed)
    before, began = time.process_time(), time.perf_counter()
    fitted = first = model.fit(training, conditions)
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
    return asdict(run) | {
        "name": model.name,
        "settings": dict(first.settings),
        "test": tested,
        "curve": [round(epoch["score"], 4) for epoch in facts.get("history", []) if "score" in epoch],
        "chosen": facts.get("chosen"),
        "parameters": facts.get("parameters", 0),
        "cpu_seconds": round(cpu, 1),
        "wall_seconds": round(wall, 1),
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


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


def keep(run: Run, values: dict[str, Any]) -> None:
    """Each user's values, by the kind of targets."""
    import numpy as np

    KEPT.mkdir(parents=True, exist_ok=True)
    np.savez(KEPT / f"{run.name}.npz", **values)


def paired_tests(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The flagship against each other model, on the same users; of a network's seeds each user's mean counts."""
    import numpy as np

    from ensue.significance import paired

    pairs = []
    groups = dict.fromkeys((row["case"], row["data"]) for row in rows if "test" in row)
    for case, data in groups:
        own = [row for row in rows if (row["case"], row["data"]) == (case, data) and "test" in row]
        held: dict[str, dict[str, list[Any]]] = {}
        for row in own:
            path = KEPT / f"{Run(*(row[key] for key in Run.__dataclass_fields__)).name}.npz"
            for targets, values in np.load(path).items() if path.exists() else ():
                held.setdefault(targets, {}).setdefault(row["model"], []).append(values)
        for targets, models in held.items():
            for model in models:
                if model == FLAGSHIP or FLAGSHIP not in models:
                    continue
                a, b = (np.mean(models[name], axis=0) for name in (FLAGSHIP, model))
                found = paired(a, b).to_json()
                pairs.append({"case": case, "data": data, "targets": targets, "against": model} | found)
    return pairs


def tables(rows: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> list[str]:
    """A table for each protocol and data set, best first, with what the flagship is better by."""
    lines: list[str] = []
    for case, data in sorted(
        {(row["case"], row["data"]) for row in rows}, key=lambda one: (one[1], list(CASES).index(one[0]))
    ):
        own = [row for row in rows if (row["case"], row["data"]) == (case, data) and "test" in row]
        for targets in dict.fromkeys(kind for row in own for kind in row["test"]):
            wanted = TARGETS.get(data, {}).get(case)
            if wanted and case == "gts" and targets == "last":
                wanted = (None, 0.105)
            said = f", {targets} targets" if case == "gts" else ""
            lines += [f"### {data}: {CASES[case]}{said}", ""]
            if wanted:
                lines += [
                    "Set out to reach: "
                    + " / ".join("-" if value is None else f"{value:g}" for value in wanted),
                    "",
                ]
            lines += [
                "| model | seeds | HR@10 | NDCG@10 | deviation | flagship better by | p | minutes | peak MB |",
                "|---|---|---|---|---|---|---|---|---|",
            ]
            groups: dict[str, list[dict[str, Any]]] = {}
            for row in own:
                groups.setdefault(row["model"], []).append(row)
            held = [line(model, group, targets, pairs) for model, group in groups.items()]
            lines += [text for _, text in sorted(held, reverse=True)] + [""]
            if case == COPIES[-1]:
                lines += over_copies([row for row in rows if row["data"] == data and "test" in row])
    return lines[:-1]


def over_copies(rows: list[dict[str, Any]]) -> list[str]:
    """Mean and deviation of NDCG@10 over the copies whose ties are shuffled, each of its seeds' mean; no line of none.

    Args:
        rows: of one data set.
    """
    found: dict[str, list[float]] = {}
    for case in COPIES:
        for model in dict.fromkeys(row["model"] for row in rows if row["case"] == case):
            own = [
                row["test"]["last"]["ndcg@10"] for row in rows if (row["case"], row["model"]) == (case, model)
            ]
            found.setdefault(model, []).append(statistics.mean(own))
    said = [
        f"{model} {statistics.mean(values):.4f} (deviation {statistics.stdev(values):.4f})"
        for model, values in found.items()
        if len(values) == len(COPIES)
    ]
    return [f"NDCG@10 over the three copies: {', '.join(said)}.", ""] if said else []


def line(
    model: str, rows: list[dict[str, Any]], targets: str, pairs: list[dict[str, Any]]
) -> tuple[float, str]:
    """NDCG@10, by which lines are ordered, and the line of a model: means over its seeds."""
    hits, found = ([row["test"][targets][name] for row in rows] for name in METRICS)
    asked = {"case": rows[0]["case"], "data": rows[0]["data"], "targets": targets, "against": model}
    pair = next((one for one in pairs if asked.items() <= one.items()), None)
    better, p = "", ""
    if pair is not None:
        gap = pair["difference"]
        better, p = f"{gap['value']:.4f} ({gap['low']:.4f} to {gap['high']:.4f})", f"{pair['p_value']:.2g}"
    name = f"**{model}** ({rows[0]['name']})" if model == FLAGSHIP else model
    cells = (
        name,
        f"{len(rows)}",
        f"{statistics.mean(hits):.4f}",
        f"{statistics.mean(found):.4f}",
        f"{statistics.stdev(found):.4f}" if len(found) > 1 else "",
        better,
        p,
        f"{statistics.mean(row['cpu_seconds'] for row in rows) / 60:.1f}",
        f"{max(row['peak_megabytes'] for row in rows):,}",
    )
    return statistics.mean(found), "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(Run(**json.loads(sys.argv[2])))))
    else:
        main()
