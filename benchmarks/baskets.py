"""Next basket, basket completion and repeats: what is above the user's own frequency and above recency, and how surely.

    ENSUE_DATA=folder python benchmarks/baskets.py [ta-feng] [online-retail] [instacart] [listening]

Next basket: the last basket of each user is asked for with what came before it; figures are those of whole baskets.
Repeats are answered. Completion: one item of the last basket, drawn by a seed, is hidden; the rest of it is open, in no
order, and no candidate. Repeats: of the same next baskets, the recall of what the user had before; of the simulated
listening log every play of the last tenth of the time.

The settings of each model are looked for on the last basket but one (of at most 500 users), one setting after another
through RANGES, by NDCG@10; a setting whose best value is the end of its range is named in the row. For completion the
models of BY_ITEM are looked for anew, and the others keep what the next basket has chosen. Then the model is fitted on
all before the test. At most 5,000 users are asked, drawn by a seed; all are learnt from.

All figures are means over users, with paired tests against `personal`, and for repeats against `last-seen` (Holm's
correction within a task and metric). Writes benchmarks/results/baskets.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from ensue import read
from ensue.basket_evaluation import evaluate_baskets
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.events.simulate import source
from ensue.examples import Examples
from ensue.figures import Figures
from ensue.model import Training, model_of
from ensue.significance import holm, paired
from ensue.splits import split
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "baskets.json"
FILES = {"ta-feng": "tafeng", "online-retail": "uci-online-retail", "instacart": "instacart-subset"}
LISTENING = "listening"
NEXT, COMPLETION, REPEATS = "next basket", "completion", "repeats"
METRICS = ("recall@10", "recall@20", "ndcg@10")
BARS = {NEXT: "personal", COMPLETION: "personal", REPEATS: "last-seen"}
TRIED = 500
"""Users on whom settings are chosen, at most."""
ASKED = 5000
"""Users of a test, at most."""
AHEAD = {"together ahead": {"model": "together", "ahead": 1, "popularity": 0.0}}
FEW = ("repeats", "popular")
MORE = ("repeats", "last-seen", "tifu-knn", "together", "together ahead", "popular")

RANGES: dict[str, dict[str, tuple[Any, ...]]] = {
    "popular": {},
    "last-seen": {},
    "personal": {"decay": (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0), "last": (0, 5, 20)},
    "tifu-knn": {
        "groups": (1, 2, 3, 5, 7, 15, 30),
        "group_decay": (0.3, 0.5, 0.7, 0.9, 1.0),
        "basket_decay": (0.7, 0.8, 0.9, 0.95, 1.0),
        "alpha": (0.1, 0.3, 0.5, 0.7, 0.9, 1.0),
        "neighbours": (3, 10, 30, 100, 300, 900),
    },
    "up-cf": {
        "last": (0, 1, 3, 5, 10, 20, 50),
        "locality": (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0),
        "alpha": (0.0, 0.25, 0.5, 0.75, 1.0),
        "neighbours": (3, 10, 30, 100, 300, 900),
    },
    "markov": {},
    "rules": {"window": (20, 100), "last": (10, 50), "decay": (0.7, 0.95)},
    "together": {
        "ahead": (0, 1),
        "last": (1, 2, 3, 5),
        "shrinkage": (0.0, 3.0, 10.0, 30.0),
        "popularity": (0.0, 0.15, 0.3, 0.5, 0.7),
    },
    "als": {"last": (0, 50)},
    "repeats": {"shrinkage": (3.0, 10.0, 30.0), "pull": (10.0, 30.0, 100.0)},
    "mixture": {"parts": (FEW, MORE)},
}
"""What is tried of each setting, in this order."""

BY_ITEM = ("together", "repeats", "mixture")

HIDES = {NEXT: {}, COMPLETION: {"asks": "item"}}
"""What the mixture learns its weights on."""


def main() -> None:
    """Measures what is asked for, and writes its rows; those of other data stay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="*", default=[*FILES, LISTENING], help=", ".join([*FILES, LISTENING]))
    for data in parser.parse_args().data:
        began = time.process_time()
        found = (
            listened()
            if data == LISTENING
            else measured(data, read(Path(os.environ["ENSUE_DATA"]) / FILES[data]))
        )
        print(f"{data}: {time.process_time() - began:.0f} s of processor", flush=True)
        old = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
        rows = [row for row in old if row["data"] != data] + found
        RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True, eq=False)
class Asked:
    """What one model reached: figures over users, by the task, and what is said of it."""

    figures: Figures
    more: dict[str, Any]


def measured(data: str, log: EventLog) -> list[dict[str, Any]]:
    """Rows of all tasks on one log of baskets."""
    parts = split(log, "basket")
    known = Training.of(parts.before_test, exclude_seen=False)
    first = Training.of(parts.train, exclude_seen=False)
    facts = {"data": data, "items": len(known.catalogue), "events": log.n_events, "machine": machine()}
    rows: list[dict[str, Any]] = []
    best: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for task, targets in ((NEXT, "successive"), (COMPLETION, "completion")):
        tried = of_some_users(parts.examples("validation", first.catalogue, targets), TRIED)
        test = of_some_users(parts.examples("test", known.catalogue, targets), ASKED)
        found, repeated = {}, {}
        for name in RANGES:
            if task == NEXT or name in BY_ITEM:
                best[name] = chosen(name, task, first, tried)
            settings, ends = best[name]
            began = time.process_time()
            fitted = model_of(name, **settings).fit(known)
            more = {"settings": dict(fitted.settings), "at the end": ends}
            more |= {"weights": fitted.facts["weights"]} if name == "mixture" else {}
            more |= {"fit_seconds": round(time.process_time() - began, 2)}
            whole = evaluate_baskets(fitted, test, metrics=METRICS)
            more |= {"asked_seconds": round(time.process_time() - began, 2), "baskets": whole.baskets}
            more |= {
                "items a basket": round(whole.items_a_basket, 2),
                "repeat share": round(whole.repeat_share, 4),
            }
            more |= {"listed repeats": round(whole.listed_repeats, 4)}
            print(f"{task} {name:<10}", *(f"{whole.value(one):.4f}" for one in METRICS), ends, flush=True)
            found[name] = Asked(
                whole.all, more | apart("new items", whole.new) | apart("repeats", whole.repeats)
            )
            if whole.repeats is not None:
                repeated[name] = Asked(whole.repeats, more)
        rows += compared(task, facts, found, METRICS)
        if task == NEXT:
            rows += compared(REPEATS, facts, repeated, ("recall@10", "recall@20"))
    return rows


def listened() -> list[dict[str, Any]]:
    """Rows of the simulated listening log, whose best scores are known."""
    kind = source("listening")
    parts = split(kind.log(), "temporal")
    known = Training.of(parts.before_test, exclude_seen=False)
    first = Training.of(parts.train, exclude_seen=False)
    tried, test = parts.examples("validation", first.catalogue), parts.examples("test", known.catalogue)
    metrics = ("recall@10", "ndcg@10")
    best = {one: round(kind.optimum(one), 4) for one in metrics}
    facts = {
        "data": LISTENING,
        "items": len(known.catalogue),
        "events": parts.log.n_events,
        "machine": machine(),
    }
    found = {}
    for name in ("popular", "last-seen", "personal", "markov", "rules", "repeats", "mixture"):
        settings, ends = chosen(name, REPEATS, first, tried)
        fitted = model_of(name, **settings).fit(known)
        asked = evaluate(fitted, test, metrics=metrics)
        more = {"settings": dict(fitted.settings), "at the end": ends, "best reachable": best}
        print(f"{LISTENING} {name:<10}", *(f"{asked.value(one):.4f}" for one in metrics), ends, flush=True)
        found[name] = Asked(asked.all, more)
    return compared(REPEATS, facts, found, metrics)


def apart(name: str, figures: Figures | None) -> dict[str, Any]:
    """The recall of repeats, or of new items, with their users."""
    return {} if figures is None else {name: figures.to_json()}


def chosen(name: str, task: str, training: Training, tried: Examples) -> tuple[dict[str, Any], list[str]]:
    """The settings that are best on validation, and those that stand at an end of their range."""
    own: dict[str, Any] = {}
    if name == "mixture":
        own = dict(HIDES.get(task, {}))
    scored: dict[str, float] = {}

    def score(settings: Mapping[str, Any]) -> float:
        key = json.dumps(settings, sort_keys=True)
        if key not in scored:
            more = {"settings_of": AHEAD} if settings.get("parts") == MORE else {}
            fitted = model_of(name, **settings, **more).fit(training)
            asked = evaluate_baskets(fitted, tried, metrics=("ndcg@10",))
            scored[key] = asked.value("ndcg@10")
        return scored[key]

    ends = []
    for setting, values in RANGES[name].items():
        figures = [score(own | {setting: value}) for value in values]
        best = int(np.argmax(figures))
        own[setting] = values[best]
        whole_scale = values[best] in (0.0, 1.0) and not isinstance(values[best], int)
        if (
            len(values) > 3
            and min(figures) < max(figures)
            and best in (0, len(values) - 1)
            and not whole_scale
        ):
            ends.append(setting)
    return own | ({"settings_of": AHEAD} if own.get("parts") == MORE else {}), ends


def of_some_users(examples: Examples, most: int, seed: int = 0) -> Examples:
    """The examples of so many users, drawn."""
    users = np.random.default_rng(seed).permutation(len(examples.group_ids))[:most]
    some = examples[np.flatnonzero(np.isin(examples.groups, users))]
    found, groups = np.unique(some.groups, return_inverse=True)
    return replace(some, groups=groups, group_ids=some.group_ids.gather(found))


def compared(
    task: str, facts: dict[str, Any], found: dict[str, Asked], metrics: tuple[str, ...]
) -> list[dict[str, Any]]:
    """One row for each model, with intervals and its difference from the bar."""
    bar = BARS[task]
    others = [name for name in found if name != bar]
    tests = {
        metric: [
            paired(found[name].figures.per_user[metric], found[bar].figures.per_user[metric])
            for name in others
        ]
        for metric in metrics
    }
    p_values = {metric: holm([one.p_value for one in ones]).tolist() for metric, ones in tests.items()}
    made = []
    for name, one in found.items():
        row = {"task": task, "model": name} | facts | one.more
        row |= {"users": one.figures.users}
        row["figures"] = {metric: one.figures.intervals[metric].to_json() for metric in metrics}
        if name != bar:
            place = others.index(name)
            row[f"against {bar}"] = {
                metric: tests[metric][place].to_json() | {"p_value_holm": p_values[metric][place]}
                for metric in metrics
            }
        made.append(row)
    return made


if __name__ == "__main__":
    main()
