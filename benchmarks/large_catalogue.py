"""How fast the service answers from a catalogue of a million items, how exactly, and in how much memory.

    python benchmarks/large_catalogue.py [--items 1000000] [--run FOLDER] [--seconds 20]

The model is a Transformer of width 64 with 2 blocks and tied vectors, on a synthetic log in which every item is seen
once; it has hardly been trained, so its vectors are nearly as they were drawn, which is the hardest for small integers:
scores lie close together. Each table is served in turn by one process, asked over one connection that is kept alive:
recommend by a history of 50 events in the body. Agreement is the share of the best 10 items that a table in half
floats or small integers has in common with the product in floats: as the service says at its start, and here between
the answers of both services to the same histories. Rows go to results/large_catalogue.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from load import Asked, Running, service, wrk
from machine import machine
from serving import K, libraries, train

RESULTS = Path(__file__).resolve().parent / "results" / "large_catalogue.json"
TABLES = ("fp32", "fp16", "int8")
COMPARED = 100
"""Histories whose answers are compared."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--items", type=int, default=1_000_000)
    options.add_argument("--run", type=Path, help="a model that is there, instead of training one")
    options.add_argument("--seconds", type=int, default=20, help="of each load")
    options.add_argument("--results", type=Path, default=RESULTS)
    chosen = options.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("The load is made by wrk, which is not installed.")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        model = chosen.run or Path(place) / "models" / "a"
        if not chosen.run:
            train(model, chosen.items)
        asked = Asked.of(model, Path(place) / "asked")
        plain: list[list[str]] = []
        for table in TABLES:
            load = os.getloadavg()[0]
            with service(model, 1, table) as running:
                found, answers = measured(running, asked, chosen.seconds)
            plain = plain or answers
            same = sum(len(set(one) & set(other)) for one, other in zip(plain, answers, strict=True))
            first = sum(one == other for one, other in zip(plain, answers, strict=True))
            rows.append(
                {"what": "large catalogue", "items": asked.catalogue, **found}
                | {
                    "same_of_best": round(same / (K * len(plain)), 4),
                    "same_lists": round(first / len(plain), 4),
                }
                | {"load_before": round(load, 2), "libraries": libraries(), **machine(1)}
            )
            print(
                json.dumps({name: value for name, value in rows[-1].items() if name != "libraries"}),
                flush=True,
            )
    content = {"command": "python benchmarks/large_catalogue.py", "rows": rows}
    chosen.results.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def measured(running: Running, asked: Asked, seconds: int) -> tuple[dict[str, Any], list[list[str]]]:
    """What one service shows: its own words, latencies, memory; and its answers to some histories."""
    status, ready = running.ask("GET", "/readyz")
    assert status == 200, ready
    answers, stages = [], []
    for history in asked.histories[:COMPARED]:
        status, answer = running.ask("POST", "/v1/recommend", {"history": history, "k": K, "timings": True})
        assert (status, len(answer["items"])) == (200, K), answer
        answers.append([row["item"] for row in answer["items"]])
        stages.append(answer["milliseconds"])
    found = wrk(running.port, asked, seconds, 1, 0, 1)
    middle = len(stages) // 2
    return {
        **ready["items"],
        "start_seconds": round(running.seconds, 2),
        **found,
        "stages_ms": {name: round(sorted(one[name] for one in stages)[middle], 3) for name in stages[0]},
        "resident_mb": [*running.memory().values()],
    }, answers


if __name__ == "__main__":
    main()
