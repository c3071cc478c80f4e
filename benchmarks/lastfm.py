"""HetRec Last.fm: counts of listening without times, and tags of artists; which artist is missing?

    ENSUE_DATA=folder python benchmarks/lastfm.py

The counts have no times and no order, and nothing of them can say what comes next. What can be asked is which artist of
a listener's fifty is missing: rows are shuffled by a seed, the last of each listener is hidden and asked for among all
artists that the listener is not known to hear. Tags are features of artists (the ten most frequent ones of each), by
which popularity is parted; the count is the quantity of an event: a listener's artists are taken in as often as its
weight says in the rows "by quantity", in the logarithm. Writes benchmarks/results/lastfm.json.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl

from ensue import read
from ensue.evaluation import Evaluation, evaluate
from ensue.events.log import EventLog
from ensue.model import Training, model_of
from ensue.significance import holm, paired
from ensue.splits import split
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "lastfm.json"
METRICS = ("recall@10", "recall@50", "ndcg@10")
BAR = "popular"
ANY_ORDER: dict[str, Any] = {"window": 50, "fade": 1.0, "backward": 1.0, "last": 50, "decay": 1.0}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "popular": ("popular", {}),
    "popular by tags": ("popular", {"category": "tags"}),
    "neighbours, any order": ("neighbours", ANY_ORDER),
    "als": ("als", {}),
}
TAGS = 10
"""Tags of an artist that are kept, the most frequent ones."""


def main() -> None:
    """Measures, and writes the rows."""
    folder = Path(os.environ["ENSUE_DATA"]) / "hetrec2011-lastfm-2k"
    log = tagged(read(folder), read(folder / "user_taggedartists.dat"))
    log = replace(log, frame=shuffled(log.frame))
    parts = split(log, "last", validation=False)
    found: dict[str, tuple[Evaluation, dict[str, Any]]] = {}
    for weighed in (False, True):
        training = Training.of(by_quantity(parts.train) if weighed else parts.train)
        # the same histories, whatever is learnt from
        examples = parts.examples("test", training.catalogue)
        for name, (model, settings) in MODELS.items():
            began = time.process_time()
            fitted = model_of(model, **settings).fit(training)
            asked = evaluate(fitted, examples, metrics=METRICS)
            label = f"{name}, by quantity" if weighed else name
            seconds = round(time.process_time() - began, 1)
            print(f"{label:<34}", *(f"{asked.value(one):.4f}" for one in METRICS), seconds, flush=True)
            found[label] = asked, {"settings": dict(fitted.settings), "seconds": seconds}
    facts = {
        "data": "hetrec2011-lastfm-2k",
        "users": log.n_users,
        "items": log.n_items,
        "events": log.n_events,
    }
    rows = compared(facts | {"machine": machine()}, found)
    RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


def tagged(log: EventLog, tags: EventLog) -> EventLog:
    """The log, with the most frequent tags of each artist as a feature."""
    counted = tags.frame.group_by("item", "tag").len().sort("len", "tag", descending=[True, False])
    kept = counted.group_by("item", maintain_order=True).agg(tags=pl.col("tag").head(TAGS).str.join("|"))
    items = log.frame.select("item").unique(maintain_order=True) if log.items is None else log.items
    return replace(log, items=items.join(kept, on="item", how="left", maintain_order="left"))


def shuffled(frame: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """The rows of each user in a drawn order: that of the file says nothing, and could be learnt."""
    drawn = pl.Series(np.random.default_rng(seed).random(len(frame)))
    return frame.with_columns(drawn=drawn).sort(pl.col("user").rle_id(), "drawn").drop("drawn")


def by_quantity(log: EventLog) -> EventLog:
    """Each event as often as log10 of its quantity says, once at least."""
    often = (pl.col("quantity").cast(pl.Float64).log10().floor().clip(0, 5).fill_null(0) + 1).cast(pl.Int64)
    places = log.frame.select(pl.int_range(pl.len()).repeat_by(often).explode()).to_series()
    return replace(log, frame=log.frame[places.to_numpy()])


def compared(
    facts: dict[str, Any], found: dict[str, tuple[Evaluation, dict[str, Any]]]
) -> list[dict[str, Any]]:
    """One row for each model, with intervals and its difference from the bar."""
    bar, others = found[BAR][0], [name for name in found if name != BAR]
    tests = {
        one: [paired(found[name][0].per_user[one], bar.per_user[one]) for name in others] for one in METRICS
    }
    p_values = {one: holm([test.p_value for test in ones]).tolist() for one, ones in tests.items()}
    rows = []
    for name, (asked, more) in found.items():
        row = {"model": name} | facts | more | {"targets": asked.counts.targets}
        row["figures"] = {one: asked.intervals[one].to_json() for one in METRICS}
        if name != BAR:
            place = others.index(name)
            row[f"against {BAR}"] = {
                one: tests[one][place].to_json() | {"p_value_holm": p_values[one][place]} for one in METRICS
            }
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
