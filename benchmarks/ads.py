"""Ads: click probability beside the click rates, and what a policy is worth by the log of another.

    ENSUE_DATA=folder python benchmarks/ads.py [DATA ...]      all of them, or those that are named

Each click model is learnt on the earlier three quarters of the impressions, its penalty and calibration chosen on the
last fifth of those, and judged on the last quarter. Criteo has no times: the order of its rows is taken. Avazu's
sample repeats each of its 499 impressions six times; the first of each is taken. The six logs of Open Bandit are put
together (the item of a campaign is an ad of its own, and the campaign is read), since each alone has about 45 clicks;
of the affinities of a person that to the item shown is read. MIND's lists of news stand in for ads, since people who
are known are shown them: each news of a list is an impression.

Value: each log of Open Bandit is asked what the policy of its pair brings (Thompson sampling from the uniform log by
the shares at each position, uniform choice from the log of Thompson sampling), beside what that brought in its own log.

Simulated value: uniform choice, whose true value is known in a log without fatigue and kindling, and choice by value,
by a click model that was learnt on the earlier half; in clicks, and in bids of what was clicked.

Writes benchmarks/results/ads.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl

from ensue import read
from ensue.ads import (
    AdSource,
    ByValue,
    ClickModel,
    Exploration,
    Halves,
    Impressions,
    Past,
    Shares,
    Uniform,
    impressions_of,
    judged,
    on_policy,
    run_ads,
    value_of,
)
from ensue.events.log import EventLog
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "ads.json"
CAMPAIGNS = ("all", "men", "women")
AFFINITY = "user-item_affinity_*"
PAIRS = (("random", "bts"), ("bts", "random"))
CLIP = 50.0


def main() -> None:
    """Measures what is asked for, and writes its rows; those of other data stay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="*", default=list(TASKS), help=", ".join(TASKS))
    for data in parser.parse_args().data:
        began = time.process_time()
        found = TASKS[data]()
        facts = {"data": data, "cpu_seconds": round(time.process_time() - began, 1), "machine": machine()}
        old = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
        rows = [row for row in old if row["data"] != data] + [facts | row for row in found]
        RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


def clicks(shown: Impressions, model: ClickModel) -> list[dict[str, Any]]:
    """One row of a click model beside the rates."""
    done = run_ads(shown, model)
    for row in done.judged.rows:
        print(
            f"{row.name:<26}", *(f"{name} {one.value:.4f}" for name, one in row.metrics.items()), flush=True
        )
    return [{"settings": model.settings()} | done.to_json()]


def simulated() -> list[dict[str, Any]]:
    """The log whose truth is known, which stands beside the models."""
    made = AdSource().drawn(users=2000, visits=30)
    shown = impressions_of(made.log)
    done = run_ads(shown, ClickModel())
    truth = made.log.frame.select("row", chance=pl.Series(made.chance))
    chance = done.test.frame.join(truth, on="row", how="left", maintain_order="left")["chance"].to_numpy()
    own = done.clicks.probabilities(done.test.frame, done.past)
    known = judged({"click model with history": own, "truth": chance}, done.test.clicked, done.test.groups)
    return [{"settings": ClickModel().settings()} | done.to_json() | {"truth": known["truth"].to_json()}]


def criteo() -> list[dict[str, Any]]:
    """The sample for training alone: the labels of the two others contradict each other on the same rows."""
    frame = pl.read_csv(folder() / "criteo-sample" / "train.csv", infer_schema=False)
    log = EventLog.of(frame.rename({"Label": "event", "Id": "user"}).with_columns(item=pl.col("user")))
    return clicks(impressions_of(log), ClickModel(numbers=("I*",)))


def avazu() -> list[dict[str, Any]]:
    """Each impression once; the addresses and ids of devices are not read."""
    log = read(
        folder() / "avazu-sample",
        format="delimited",
        columns={"user": "id", "item": "C14", "event": "click", "time": ""},
    )
    model = ClickModel(without=("hour", "device_id", "device_ip"))
    return clicks(impressions_of(log, distinct=True), model)


def open_bandit() -> list[dict[str, Any]]:
    """All six logs as one."""
    frames = []
    for policy in ("random", "bts"):
        for campaign in CAMPAIGNS:
            one = read(bandit(policy, campaign))
            assert one.items is not None
            known = one.frame.join(one.items, on="item", how="left").drop("row", "propensity_score")
            known = known.with_columns(affinity=_affinity(known)).drop(pl.col(f"^{AFFINITY[:-1]}.*$"))
            frames.append(
                known.with_columns(
                    item=pl.lit(f"{campaign}/") + pl.col("item"),
                    user=pl.lit(f"{policy} {campaign} ") + pl.col("user"),
                    page=pl.lit(campaign),
                )
            )
    log = EventLog.of(pl.concat(frames, how="diagonal"))
    return clicks(impressions_of(log), ClickModel(numbers=("affinity",)))


def mind() -> list[dict[str, Any]]:
    """Lists of news that were shown to people: with and without how many stood in the list."""
    names = ["id", "user", "time", "history", "shown"]
    lists = pl.read_csv(
        folder() / "mind-small-subset" / "behaviors.tsv",
        separator="\t",
        has_header=False,
        new_columns=names,
        infer_schema=False,
        quote_char=None,
    )
    shown = pl.col("shown").str.split(" ")
    frame = (
        lists.select(
            "user",
            pl.col("time").str.to_datetime("%m/%d/%Y %I:%M:%S %p", time_zone="UTC", time_unit="us"),
            shown.alias("shown"),
            read=pl.col("history").fill_null("").str.split(" ").list.len().cast(pl.Float64),
            places=shown.list.len().cast(pl.Float64),
        )
        .explode("shown")
        .with_columns(
            item=pl.col("shown").str.split("-").list.get(0), event=pl.col("shown").str.split("-").list.get(1)
        )
        .drop("shown")
    )
    found = impressions_of(EventLog.of(frame))
    return [
        {"places": told} | row
        for told in (True, False)
        for row in clicks(found, ClickModel(without=() if told else ("places",)))
    ]


def _affinity(frame: pl.DataFrame) -> pl.Series:
    """How often the person looked at the item that was shown, of the columns for all items."""
    names = [name for name in frame.columns if name.startswith(AFFINITY[:-1])]
    table = frame.select(pl.col(names).cast(pl.Float64)).to_numpy()
    return pl.Series(table[np.arange(len(frame)), frame["item"].cast(pl.Int64).to_numpy()])


def value() -> list[dict[str, Any]]:
    """Each log of Open Bandit about the policy of its pair."""
    rows = []
    for campaign in CAMPAIGNS:
        logs = {policy: impressions_of(read(bandit(policy, campaign))) for policy in ("random", "bts")}
        for here, there in PAIRS:
            shown, other = logs[here], logs[there]
            past = Past.of(shown)
            asked = Uniform() if there == "random" else Shares.of(other.frame, "position", there)
            estimate = Halves.fit(ClickModel(without=(AFFINITY,)), shown, past)
            truth = on_policy(other.clicked.astype(float), other.groups)
            for clip in (np.inf, CLIP) if here == "bts" else (np.inf,):
                own, (found,) = value_of([asked], shown, past, estimate, clip=clip)
                print(campaign, here, there, clip, found.to_json(), truth.value, flush=True)
                rows.append(
                    {
                        "campaign": campaign,
                        "log": here,
                        "policy": there,
                        "clip": None if np.isinf(clip) else clip,
                        "own": own.to_json(),
                        "found": found.to_json(),
                        "in_its_own_log": truth.to_json(),
                    }
                )
    return rows


def simulated_value() -> list[dict[str, Any]]:
    """Uniform choice, whose value is known, and choice by value, in clicks and in money."""
    made = AdSource(fatigue=0.0, kindling=0.0).drawn(users=3000, visits=15)
    shown = impressions_of(made.log)
    past = Past.of(shown)
    train, test = shown.parted(0.5)
    estimate = ClickModel().fit(train, past)
    policies: list[Any] = [
        Uniform(),
        ByValue(estimate, Exploration(0.1), name="by value, epsilon 0.1"),
        ByValue(estimate, Exploration(draws=50), name="by value, 50 draws"),
    ]
    rows = []
    for bids in (False, True):
        own, found = value_of(policies, test, past, estimate, bids=bids)
        for one in found:
            print(bids, one.to_json(), own.value, made.uniform, flush=True)
            rows.append(
                {"bids": bids, "own": own.to_json(), "found": one.to_json(), "uniform_truth": made.uniform}
            )
    return rows


def folder() -> Path:
    """Of the public data sets."""
    return Path(os.environ["ENSUE_DATA"])


def bandit(policy: str, campaign: str) -> Path:
    """One log of Open Bandit."""
    return folder() / "open-bandit-zozotown" / policy / campaign


TASKS = {
    "simulated": simulated,
    "criteo": criteo,
    "avazu": avazu,
    "open-bandit": open_bandit,
    "mind": mind,
    "value": value,
    "simulated-value": simulated_value,
}

if __name__ == "__main__":
    main()
