"""Friends on public data: what is above mutual friends, and how surely.

    ENSUE_DATA=folder python benchmarks/friends.py [foursquare-nyc] [foursquare-jakarta] [lastfm]

Items are users. Foursquare: what is asked for are the friendships that were new after the check-ins, given those of
before; Last.fm: a tenth of the friendships, drawn by a seed. Both directions of a friendship are in one part; neither
the user nor an existing friend is a candidate; everybody else whom training has seen is. A tenth of the friendships
that are learnt from is drawn for validation: the settings of each model are the best of those in GRIDS by NDCG@10 on
it, and so are the weights of the mix. Then models are fitted anew on all before the test.

All figures are means over users, with paired tests against `mutual-friends` (Holm's correction within a data set and
metric). The two ends of a friendship are asked about apart, so users are not wholly independent witnesses. Writes
benchmarks/results/friends.json.
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
from ensue.evaluation import Evaluation, evaluate
from ensue.model import Conditions, Training, model_of, refit
from ensue.significance import holm, paired
from ensue.splits import split
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "friends.json"
METRICS = ("recall@10", "ndcg@10")
BAR = "mutual-friends"

CITY = {"format": "foursquare-friends"}, {"column": "when", "tested": "after"}
DATA: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "foursquare-nyc": ("foursquare-lbsn2vec/dataset_connected_NYC.mat", *CITY),
    "foursquare-jakarta": ("foursquare-lbsn2vec/dataset_connected_Jakarta.mat", *CITY),
    "lastfm": ("hetrec2011-lastfm-2k", {"format": "lastfm-friends"}, {}),
}
KNOWN = {"foursquare-nyc": ("venues",), "foursquare-jakarta": ("venues",), "lastfm": ("artists", "tags")}

ALL: dict[str, Any] = {"window": 500, "fade": 1.0, "backward": 1.0, "last": 500, "decay": 1.0}
FACTORS: list[dict[str, Any]] = [
    {"factors": factors, "alpha": alpha} for factors in (32, 64) for alpha in (2.0, 10.0)
]
WALKS: list[dict[str, Any]] = [
    {"steps": steps, "keep": keep} for steps in (2, 3, 4, 6) for keep in (0.7, 0.85, 0.95)
]


def grids(data: str) -> dict[str, list[dict[str, Any]]]:
    """The settings that are tried of each model."""
    measures = ("common", "adamic-adar", "allocation", "jaccard")
    return {
        "popular": [{}],
        BAR: [{"measure": measure} for measure in measures],
        "profiles": [{"columns": [column]} for column in KNOWN[data]] + [{}],
        "neighbours": [ALL | {"shrinkage": shrinkage} for shrinkage in (0.0, 10.0, 50.0)],
        "als": FACTORS,
        "friend-walks": WALKS,
    }


def main() -> None:
    """Measures what is asked for, and writes its rows; those of other data stay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="*", default=list(DATA), help=", ".join(DATA))
    for data in parser.parse_args().data:
        found = measured(data)
        old = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
        rows = [row for row in old if row["data"] != data] + found
        RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


def measured(data: str) -> list[dict[str, Any]]:
    """Rows of one data set."""
    place, how, rule = DATA[data]
    parts = split(read(Path(os.environ["ENSUE_DATA"]) / place, **how), "friends", **rule)
    first = Training.of(parts.train)
    first = replace(first, validation=parts.examples("validation", first.catalogue))
    whole = Training.of(parts.before_test)
    test = parts.examples("test", whole.catalogue)
    facts = {"data": data, "people": len(whole.catalogue), "friendships": parts.log.n_events // 2}
    facts |= {"parts": parts.sizes, "machine": machine()}
    best: dict[str, dict[str, Any]] = {}
    found: dict[str, tuple[Evaluation, dict[str, Any]]] = {}
    for name, grid in grids(data).items():
        scored = [validated(name, settings, first)[1] for settings in grid]
        best[name] = grid[int(np.argmax(scored))]
    columns = [{"model": "profiles", "columns": [column]} for column in KNOWN[data]]
    members = [{"model": name, **best[name]} for name in ("friend-walks", "als", "popular")] + columns
    best["log-linear"] = {"members": members}
    for name, settings in best.items():
        began = time.process_time()
        fitted, validation = validated(name, settings, first)
        again = refit(model_of(name, **settings), fitted, whole, Conditions())
        more: dict[str, Any] = {"settings": dict(again.settings), "validation ndcg@10": validation}
        more["fit_seconds"] = round(time.process_time() - began, 2)
        began = time.process_time()
        evaluation = evaluate(again, test, metrics=METRICS)
        more["evaluate_seconds"] = round(time.process_time() - began, 2)
        print(f"{data} {name:<15}", *(f"{evaluation.value(metric):.4f}" for metric in METRICS), flush=True)
        found[name] = evaluation, more
    return rows(facts, found)


def validated(name: str, settings: dict[str, Any], training: Training) -> tuple[Any, float]:
    """A model fitted on training, and its NDCG@10 on validation."""
    assert training.validation is not None
    fitted = model_of(name, **settings).fit(training)
    found = evaluate(fitted, training.validation, metrics=("ndcg@10",)).value("ndcg@10")
    print(f"  {name} {settings} {found:.4f}", flush=True)
    return fitted, round(found, 4)


def rows(facts: dict[str, Any], found: dict[str, tuple[Evaluation, dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row for each model, with intervals and its difference from the bar."""
    others = [name for name in found if name != BAR]
    bar = found[BAR][0].per_user
    tests = {
        metric: [paired(found[name][0].per_user[metric], bar[metric]) for name in others]
        for metric in METRICS
    }
    p_values = {metric: holm([one.p_value for one in ones]).tolist() for metric, ones in tests.items()}
    made = []
    for name, (evaluation, more) in found.items():
        row = {"model": name} | facts | more
        row |= {"users": evaluation.all.users, "targets": evaluation.counts.targets}
        row["figures"] = {metric: evaluation.intervals[metric].to_json() for metric in METRICS}
        if name != BAR:
            place = others.index(name)
            row[f"against {BAR}"] = {
                metric: tests[metric][place].to_json() | {"p_value_holm": p_values[metric][place]}
                for metric in METRICS
            }
        made.append(row)
    return made


if __name__ == "__main__":
    main()
