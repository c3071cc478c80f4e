"""Reproduces figures that an independent program measured for popularity, Markov and sequential rules.

    ENSUE_DATA=folder python benchmarks/gates.py [ml-100k ml-1m beauty sports toys]

Every figure must agree to the third digit. Protocols: order by (user, time, row); the whole history is out of the
ranking; tied targets take the middle rank; LOO = leave one out, over all users, a target that training does not hold
is a miss; GTS = global temporal split at the 0.9 quantile, trained on all before it, over warm targets.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ensue import read
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.model import Conditions, Model, Training
from ensue.models.counting.markov import Markov
from ensue.models.counting.popular import Popular
from ensue.models.counting.rules import Rules
from ensue.splits import Split, last_out, temporal

TOLERANCE = 0.0005
Pair = tuple[float, float]
MOVIES, AMAZON = Rules(20, 10, 0.7), Rules(10, 5, 0.5)


@dataclass(frozen=True)
class Gate:
    """One row: a protocol on a log, and HR@10 / NDCG@10 of popularity, Markov and rules (None = not given)."""

    log: str
    protocol: str
    expected: tuple[Pair | None, Pair | None, Pair | None]


GATES = (
    Gate("ml-100k", "LOO train", ((0.0838, 0.0436), (0.1442, 0.0766), (0.2025, 0.1108))),
    Gate("ml-100k", "LOO train+val", ((0.0859, 0.0443), (0.1453, 0.0792), (0.2100, 0.1134))),
    Gate("ml-100k", "GTS successive", ((0.0865, 0.0395), (0.1693, 0.0867), (0.2133, 0.1089))),
    Gate("ml-100k", "GTS last", ((0.0921, 0.0401), (0.1776, 0.0910), (0.1908, 0.1091))),
    Gate("ml-1m", "LOO train", ((0.0369, 0.0180), (0.2144, 0.1259), (0.2740, 0.1606))),
    Gate("ml-1m", "LOO train+val", ((0.0363, 0.0178), (0.2151, 0.1261), (0.2750, 0.1611))),
    Gate("ml-1m-5core", "LOO train", ((0.0369, 0.0180), (0.2144, 0.1259), (0.2743, 0.1608))),
    Gate("ml-1m", "GTS successive", ((0.0461, 0.0235), (0.1553, 0.0892), (0.1950, 0.1091))),
    Gate("ml-1m", "GTS last", ((0.0341, 0.0192), (0.1323, 0.0764), (0.1672, 0.0959))),
    Gate("beauty", "LOO train", ((0.0110, 0.0053), (0.0666, 0.0439), (0.0807, 0.0513))),
    Gate("beauty", "LOO train+val", ((0.0130, 0.0059), (0.0755, 0.0502), (0.0910, 0.0592))),
    Gate("sports", "LOO train", ((0.0091, 0.0052), (0.0369, 0.0234), (0.0440, 0.0277))),
    Gate("sports", "LOO train+val", (None, (0.0410, 0.0259), (0.0500, 0.0314))),
    Gate("toys", "LOO train", ((0.0090, 0.0049), (0.0704, 0.0477), (0.0910, 0.0591))),
    Gate("toys", "LOO train+val", ((0.0090, 0.0052), (0.0820, 0.0554), (0.1035, 0.0677))),
)

FILES = {
    "ml-100k": "ml-100k",
    "ml-1m": "ml-1m",
    "ml-1m-5core": "ml-1m",
    "beauty": "amazon2014-s3rec/Beauty.txt",
    "sports": "amazon2014-s3rec/Sports_and_Outdoors.txt",
    "toys": "amazon2014-s3rec/Toys_and_Games.txt",
}


def main(wanted: list[str]) -> int:
    """Prints every figure beside the expected one; the exit status tells whether all agree."""
    folder = os.environ.get("ENSUE_DATA")
    if not folder:
        print("These gates need public data sets: set ENSUE_DATA to the folder that holds them.")
        return 0
    rows, logs = [], {}
    for gate in GATES:
        if wanted and gate.log not in wanted:
            continue
        if gate.log not in logs:
            logs = {gate.log: read_log(Path(folder), gate.log)}
        for row in measured(gate, logs[gate.log]):
            print(
                f"{row['log']:<12} {row['protocol']:<15} {row['model']:<8}"
                f" HR@10 {row['recall@10']:.4f} ({row['expected'][0]:.4f})"
                f"  NDCG@10 {row['ndcg@10']:.4f} ({row['expected'][1]:.4f})"
                f"  {row['targets']:>6} targets {row['seconds']:6.2f} s  {'ok' if row['agrees'] else 'DIFFERS'}",
                flush=True,
            )
            rows.append(row)
    write(rows)
    wrong = sum(not row["agrees"] for row in rows)
    print(f"{len(rows)} rows, {wrong} differ from the expected figures by {TOLERANCE} or more")
    return 1 if wrong else 0


def read_log(folder: Path, name: str) -> EventLog:
    """The log of a data set; "5core" keeps users and items with five events, again and again until nothing changes."""
    log = read(folder / FILES[name])
    while name.endswith("5core"):
        counts = [pl.len().over(column) >= 5 for column in ("user", "item")]
        kept = log.where(log.frame.select(counts[0] & counts[1]).to_series())
        if kept.n_events == log.n_events:
            break
        log = kept
    return log


def measured(gate: Gate, log: EventLog) -> Iterator[dict[str, object]]:
    """The rows of one gate."""
    split, targets, warm = protocol(gate.protocol, log)
    events = split.train if gate.protocol == "LOO train" else split.before_test
    training = Training.of(events)
    examples = split.examples("test", training.catalogue, targets)
    rules = MOVIES if gate.log.startswith("ml") else AMAZON
    models: tuple[Model, ...] = (Popular(), Markov(), rules)
    for model, expected in zip(models, gate.expected, strict=True):
        if expected is None:
            continue
        began = time.perf_counter()
        found = evaluate(model.fit(training, Conditions()), examples, metrics=("recall@10", "ndcg@10"))
        figures = found.warm if warm and found.warm is not None else found.all
        values = [figures.value("recall@10"), figures.value("ndcg@10")]
        yield {
            "log": gate.log,
            "protocol": gate.protocol,
            "model": model.name,
            "recall@10": values[0],
            "ndcg@10": values[1],
            "expected": expected,
            "agrees": bool(np.abs(np.subtract(values, expected)).max() < TOLERANCE),
            "targets": figures.targets,
            "users": figures.users,
            "seconds": round(time.perf_counter() - began, 2),
        }


def protocol(name: str, log: EventLog) -> tuple[Split, str, bool]:
    """The split, which targets, and whether only warm ones count."""
    if name.startswith("LOO"):
        return last_out(log), "last", False
    return temporal(log), name.split()[1], True


def write(rows: list[dict[str, object]]) -> None:
    """The raw rows with what they were measured on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    record = {
        "command": "python benchmarks/gates.py",
        "commit": commit,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "rows": rows,
    }
    target = Path(__file__).parent / "results" / "gates.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
