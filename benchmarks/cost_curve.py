"""What an epoch costs as the log grows: seconds and memory, from data that lies in mapped files.

    python benchmarks/cost_curve.py [--events 200000,400000,800000,1600000] [--steps-at 20000000]

Logs are simulated (markov, 2,000 items, 100 events a user) into prepared folders; a small LSTM with a sampled loss
trains one whole epoch of each, and 200 steps of the largest. Memory is what the process holds of its own
(RssAnon: pages of mapped files are the system's cache). Writes benchmarks/results/cost_curve.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results" / "cost_curve.json"
SETTINGS = {
    "width": 32, "length": 50, "epochs": 1, "batch_tokens": 2048, "ema": 0.0,
    "loss": {"name": "sampled-softmax", "negatives": 128},
}  # fmt: skip
LENGTH, STEPS = 100, 200


def main() -> None:
    """Measures every size in a process of its own."""
    from machine import machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", default="200000,400000,800000,1600000")
    parser.add_argument("--steps-at", type=int, default=20_000_000, help="a log of which some steps are made")
    asked = parser.parse_args()
    sizes = [(int(size), 0) for size in asked.events.split(",")] + [(asked.steps_at, STEPS)]
    rows = []
    for events, steps in sizes:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_simulated(Path(folder) / "log", events) | _run(Path(folder) / "log", steps))
        print(json.dumps(rows[-1]), flush=True)
    RESULTS.write_text(
        json.dumps({"machine": machine(), "settings": SETTINGS, "rows": rows}, indent=1), encoding="utf-8"
    )


def _simulated(place: Path, events: int) -> dict[str, Any]:
    """A prepared log of about so many events, and what making it took."""
    began = time.perf_counter()
    command = ["ensue.cli", "data", "simulate", "markov", str(place), "--prepared", "--set", "items=2000"]
    size = ["--users", str(events // LENGTH), "--length", str(LENGTH)]
    subprocess.run(
        [sys.executable, "-m", "ensue", *command[1:], *size], check=True, capture_output=True, text=True
    )
    return {"seconds_to_make": round(time.perf_counter() - began, 1)}


def _run(place: Path, steps: int) -> dict[str, Any]:
    alone = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, __file__, "--one", str(place), str(steps)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=alone)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _one(place: Path, steps: int) -> dict[str, Any]:
    """One epoch, or some steps, of the log in a folder."""
    from ensue.model import Conditions, model_of
    from ensue.prepared import open_training

    training = open_training(place)
    model = model_of("lstm", **SETTINGS)
    before, wall = time.process_time(), time.perf_counter()
    watch = Watch()
    fitted = model.fit(training, Conditions(steps=steps, progress=watch))
    trained = sum(epoch["targets"] for epoch in fitted.facts["history"])
    return {
        "events": len(training.sequences.items),
        "targets": trained,
        "cpu_seconds": round(time.process_time() - before, 1),
        "wall_seconds": round(time.perf_counter() - wall, 1),
        "microseconds_per_target": round((time.process_time() - before) / trained * 1e6, 1),
        "peak_anonymous_megabytes": max(watch.peak, _anonymous()),
    }


class Watch:
    """A progress that looks at the memory after every step."""

    peak = 0

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Watch]:
        """Itself."""
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Looks."""
        self.peak = max(self.peak, _anonymous())

    def say(self, text: str) -> None:
        """Nothing."""


def _anonymous() -> int:
    """What this process holds in memory of its own, in megabytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) // 1024
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(_one(Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        main()
