"""Next basket and basket completion on public data: what is above the user's own frequency, and how surely.

    ENSUE_DATA=folder python benchmarks/baskets.py [ta-feng] [online-retail] [instacart]

Next basket: the last basket of each user is asked for with what came before it, and each of its items is a target, so
that recall is the share of the basket that is found. Repeats are answered. The settings of each model are the best of
those in GRIDS by NDCG@10 on the last basket but one (of at most 2,000 users); then it is fitted on all before the test.
At most 5,000 users are asked, drawn by a seed; all of them are learnt from.

Completion: one item of the last basket, drawn by a seed, is hidden; the rest of it is open, in no order. What lies in
the open basket is no candidate, everything else is. Settings are those that were chosen for the next basket.

All figures are means over users, with paired tests against `personal` (Holm's correction within a task and metric).
Writes benchmarks/results/baskets.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl

from ensue import read
from ensue.catalogue import Catalogue
from ensue.evaluation import Evaluation, evaluate
from ensue.events.baskets import baskets
from ensue.events.log import EventLog
from ensue.examples import Examples
from ensue.model import Training, model_of
from ensue.models.counting.personal import Taken
from ensue.ranking import Parts, Recommender, Scores, Scoring
from ensue.sequences import Queries, context_of, times_of
from ensue.significance import holm, paired
from ensue.splits import Split, split
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "baskets.json"
FILES = {"ta-feng": "tafeng", "online-retail": "uci-online-retail", "instacart": "instacart-subset"}
METRICS = ("recall@10", "recall@20", "ndcg@10")
BAR = "personal"
TRIED = 2000
"""Users on whom settings are chosen, at most."""
ASKED = 5000
"""Users of a test, at most."""
LONG = 200
"""As far as a basket reaches."""

ANY_ORDER: dict[str, Any] = {"window": LONG, "fade": 1.0, "backward": 1.0, "last": LONG, "decay": 1.0}

GRIDS: dict[str, list[dict[str, Any]]] = {
    "popular": [{}],
    "recent": [{"days": 7.0}, {"days": 30.0}],
    "personal": [{"decay": decay} for decay in (0.6, 0.7, 0.8, 0.9, 0.95, 1.0)],
    "tifu-knn": [
        {"groups": groups, "group_decay": group_decay, "alpha": alpha, "neighbours": neighbours}
        for groups, group_decay, alpha, neighbours in (
            (7, 0.7, 0.7, 300),
            (7, 0.7, 0.2, 100),
            (7, 0.9, 0.7, 300),
            (3, 0.7, 0.7, 300),
            (3, 0.7, 0.9, 900),
            (15, 0.8, 0.5, 300),
        )
    ],
    "up-cf": [
        {"last": last, "alpha": 0.25, "locality": locality}
        for last in (0, 5, 20)
        for locality in (1.0, 5.0, 20.0)
    ],
    "markov": [{}],
    "rules": [{}, {"window": 100, "last": 50, "decay": 0.95}],
    "neighbours": [{}, ANY_ORDER],
    "als": [{}, {"alpha": 2.0}, {"last": 50}, {"factors": 128}],
}


def main() -> None:
    """Measures what is asked for, and writes its rows; those of other data stay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="*", default=list(FILES), help=", ".join(FILES))
    for data in parser.parse_args().data:
        found = measured(data, read(Path(os.environ["ENSUE_DATA"]) / FILES[data]))
        old = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
        rows = [row for row in old if row["data"] != data] + found
        RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


def measured(data: str, log: EventLog) -> list[dict[str, Any]]:
    """Rows of both tasks on one log."""
    parts = split(log, "basket")
    known = Training.of(parts.before_test, exclude_seen=False)
    if "basket" not in known.sequences.context:
        raise SystemExit(
            "The histories of this log do not carry their baskets: nothing here would read them."
        )
    test = of_some_users(parts.examples("test", known.catalogue), ASKED)
    every, begins = completions(parts, known.catalogue)
    alone = of_some_users(replace(every, queries=replace(every.queries, starts=begins)), ASKED)
    hidden = of_some_users(every, ASKED)
    facts = {"data": data, "items": len(known.catalogue), "events": log.n_events, "machine": machine()}
    next_basket: dict[str, tuple[Evaluation, dict[str, Any]]] = {}
    completion: dict[str, tuple[Evaluation, dict[str, Any]]] = {}
    settings = {name: chosen(name, parts) for name in GRIDS if log.has_time or name != "recent"}
    for name, best in settings.items():
        began = time.process_time()
        fitted = model_of(name, **best).fit(known)
        more = {"settings": dict(fitted.settings), "fit_seconds": round(time.process_time() - began, 2)}
        next_basket[name] = asked(fitted, test, more)
        completion[name] = asked(open_basket(fitted), hidden, more)
    by_basket = Training.of(
        replace(parts.before_test, frame=parts.before_test.frame.with_columns(session=pl.col("basket"))),
        by="session",
        exclude_seen=False,
    )
    together = model_of("neighbours", **ANY_ORDER).fit(by_basket)
    more = {"settings": dict(together.settings), "learnt": "baskets", "asked": "the open basket alone"}
    completion["neighbours of baskets"] = asked(open_basket(together), alone, more)
    return rows("next basket", facts, next_basket) + rows("completion", facts, completion)


def chosen(name: str, parts: Split) -> dict[str, Any]:
    """The settings of the grid that are best on the last basket but one."""
    grid = GRIDS[name]
    if len(grid) == 1:
        return grid[0]
    training = Training.of(parts.train, exclude_seen=False)
    some = of_some_users(parts.examples("validation", training.catalogue), TRIED)
    scored = []
    for settings in grid:
        found = evaluate(model_of(name, **settings).fit(training), some, metrics=("ndcg@10",))
        scored.append(found.value("ndcg@10"))
        print(f"  {name} {settings} {scored[-1]:.4f}", flush=True)
    return grid[int(np.argmax(scored))]


def of_some_users(examples: Examples, most: int, seed: int = 0) -> Examples:
    """The examples of so many users, drawn."""
    users = np.random.default_rng(seed).permutation(len(examples.group_ids))[:most]
    some = examples[np.flatnonzero(np.isin(examples.groups, users))]
    found, groups = np.unique(some.groups, return_inverse=True)
    return replace(some, groups=groups, group_ids=some.group_ids.gather(found))


def asked(fitted: Recommender, examples: Examples, more: dict[str, Any]) -> tuple[Evaluation, dict[str, Any]]:
    """What was found, and what is said of it."""
    began = time.process_time()
    found = evaluate(fitted, examples, metrics=METRICS)
    print(f"{fitted.model:<12}", *(f"{found.value(metric):.4f}" for metric in METRICS), flush=True)
    return found, more | {"evaluate_seconds": round(time.process_time() - began, 1)}


def rows(
    task: str, facts: dict[str, Any], found: dict[str, tuple[Evaluation, dict[str, Any]]]
) -> list[dict[str, Any]]:
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
        row = {"task": task, "model": name} | facts | more
        row |= {"users": evaluation.all.users, "targets": evaluation.counts.targets}
        row["figures"] = {metric: evaluation.intervals[metric].to_json() for metric in METRICS}
        if name != BAR:
            place = others.index(name)
            row["against personal"] = {
                metric: tests[metric][place].to_json() | {"p_value_holm": p_values[metric][place]}
                for metric in METRICS
            }
        made.append(row)
    return made


@dataclass(frozen=True, eq=False)
class OpenBasket:
    """Scores of another scoring, without the items of the newest basket as candidates."""

    scoring: Scoring

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` minus infinity for what lies in the basket."""
        scores = np.array(self.scoring.score(queries))
        taken = Taken.of(queries)
        open_ = taken.ago == 0
        scores[taken.rows[open_], taken.items[open_]] = -np.inf
        return scores

    def parts(self) -> Parts:
        """Those of the other."""
        return self.scoring.parts()


def open_basket(fitted: Recommender) -> Recommender:
    """The recommender, with what lies in the open basket taken out of its ranking."""
    return replace(fitted, scoring=OpenBasket(fitted.scoring))


def completions(parts: Split, catalogue: Catalogue, seed: int = 0) -> tuple[Examples, np.ndarray]:
    """One hidden item of each user's last basket, asked for with all before it and the rest of it.

    Returns:
        The examples, and `[Q]` where the open basket begins in each history.
    """
    log = parts.log
    found = baskets(log)
    frame = log.frame.select(
        "user",
        "item",
        code=pl.Series(catalogue.encode(log.frame["item"])),
        last=pl.Series((found.later == 0) & (found.of_user >= 2)),
        again=pl.Series(found.again),
        place=pl.int_range(pl.len()),
        drawn=pl.Series(np.random.default_rng(seed).random(log.n_events)),
    )
    # of each last basket the item with the least drawn number, each item once
    lots = frame.filter(pl.col("last") & ~pl.col("again")).sort("drawn")
    hidden = lots.group_by("user", maintain_order=True).agg(
        hidden=pl.col("item").first(), target=pl.col("code").first()
    )
    frame = frame.join(hidden, on="user", how="inner", maintain_order="left")
    kept = frame.filter((pl.col("code") >= 0) & ~(pl.col("last") & (pl.col("item") == pl.col("hidden"))))
    # the last basket goes last, even where another one overlaps with it
    kept = kept.with_row_index("at").sort(pl.col("user").rank("dense"), "last", "at", maintain_order=True)
    kept = kept.filter(pl.col("last").any().over("user"))
    size = kept.group_by("user", maintain_order=True).agg(
        events=pl.len(),
        opened=pl.col("last").sum(),
        hidden=pl.col("hidden").first(),
        target=pl.col("target").first(),
    )
    ends = size["events"].to_numpy().astype(np.int64).cumsum()
    starts = ends - size["events"].to_numpy()
    place = kept["place"].to_numpy()
    time = times_of(log)
    queries = Queries(
        kept["code"].to_numpy().astype(np.int32),
        starts,
        ends,
        len(catalogue),
        None if time is None else time[place],
        users=size["user"],
        context={name: values.gather(place) for name, values in context_of(log).items()},
    )
    examples = Examples(
        queries=queries,
        targets=size["target"].to_numpy().astype(np.int32),
        groups=np.arange(len(size)),
        group_ids=size["user"],
        target_ids=size["hidden"],
        protocol=f"one hidden item of the last basket (seed {seed}), the rest of it open",
    )
    return examples, ends - size["opened"].to_numpy()


if __name__ == "__main__":
    main()
