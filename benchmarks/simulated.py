"""Every network on logs whose best possible score is known: long memory, and interests that drift.

    python benchmarks/simulated.py [model ...]

Writes benchmarks/results/simulated.json. `long-range`: two keys decide answers that come ten steps later, so that a
first-order chain reaches about half of the optimum. `drifting`: fashions and successors change at three quarters of
the log; a chain that weighs all of the past alike reaches `all-time Markov`. Full ranking, seen items in it.
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

from ensue.catalogue import Catalogue
from ensue.evaluation import evaluate
from ensue.events.simulate import DriftingSource, LongRangeSource
from ensue.model import Training, model_of
from ensue.splits import last_out, temporal
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "simulated.json"
METRIC = "ndcg@10"
COURSE = {"dropout": 0.0, "batch_tokens": 512, "learning_rate": 5e-3, "width": 32}

FAR: dict[str, dict[str, Any]] = {
    "rnn": {"epochs": 9},
    "lstm": {"epochs": 9, "memory": 50},
    "gru": {"epochs": 9},
    "gru4rec": {"epochs": 25, "loss": "cross-entropy", "steps": 20},
    "lru": {"epochs": 14},
    "fpmc": {"epochs": 9, "personal": "none"},
    "transformer": {"epochs": 9},
    "transformer-xl": {"epochs": 20, "segment": 16, "memory": 16, "learning_rate": 2e-3},
    "xlnet": {"epochs": 12},
    "hstu": {"epochs": 9},
    "bert4rec": {"epochs": 30, "last_share": 0.5, "positions": "rotary"},
}
DRIFT: dict[str, dict[str, Any]] = {
    name: {"epochs": 4} | {k: v for k, v in own.items() if k not in ("epochs", "learning_rate")}
    for name, own in FAR.items()
} | {"xlnet": {"epochs": 12}, "bert4rec": FAR["bert4rec"] | {"epochs": 12}}
COUNTING = ("popular", "recent", "markov", "markov-time", "rules", "neighbours", "v-sknn", "stan")


def main() -> None:
    """Measures what is asked for, and prints each score as a share of the optimum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*", help="names of models; all if none")
    asked = parser.parse_args().models or [*COUNTING, *FAR]
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
    for name in asked:
        for log, measured in (("long-range", far), ("drifting", drift)):
            began = time.process_time()
            row = measured(name) | {"log": log, "model": name, "machine": machine()}
            row["cpu_seconds"] = round(time.process_time() - began, 1)
            rows = [old for old in rows if (old["log"], old["model"]) != (log, name)] + [row]
            RESULTS.write_text(json.dumps({"rows": rows}, indent=1), encoding="utf-8")
            print(f"{log:<11} {name:<15} {row['value']:.4f} = {row['share']:.3f} of the optimum", flush=True)


def far(name: str) -> dict[str, Any]:
    """The last event of each user of the long-range log."""
    source = LongRangeSource(keys=8, noise=6)
    parts = last_out(source.log(users=1000, length=50))
    catalogue = Catalogue.fit(parts.train)
    plain = Training.of(parts.train, exclude_seen=False)
    training = replace(plain, validation=parts.examples("validation", catalogue))
    settings = COURSE | FAR[name] | {"ema": 0.0, "patience": 30} if name in FAR else {}
    fitted = model_of(name, **settings).fit(training)
    found = evaluate(fitted, parts.examples("test", catalogue), metrics=(METRIC,)).intervals[METRIC]
    return _row(found, settings, source.optimum(METRIC), {"first order": source.best_first_order(METRIC)})


def drift(name: str) -> dict[str, Any]:
    """The last tenth of the drifting log, all of it after the change."""
    source = DriftingSource()
    parts = temporal(source.log())
    training = Training.of(parts.before_test, exclude_seen=False)
    settings = COURSE | DRIFT[name] if name in DRIFT else {}
    fitted = model_of(name, **settings).fit(training)
    examples = parts.examples("test", training.catalogue)
    found = evaluate(fitted, examples, metrics=(METRIC,)).intervals[METRIC]
    bar = {"all-time Markov": source.all_time_first_order(METRIC)}
    return _row(found, settings, source.optimum(METRIC), bar)


def _row(found: Any, settings: dict[str, Any], optimum: float, bar: dict[str, float]) -> dict[str, Any]:
    shares = {name: round(value / optimum, 3) for name, value in bar.items()}
    return {
        "value": found.value,
        "interval": [found.low, found.high],
        "optimum": optimum,
        "share": round(found.value / optimum, 3),
        "settings": settings,
        **shares,
    }


if __name__ == "__main__":
    main()
