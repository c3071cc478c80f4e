"""What the product of a state with the table of a large catalogue costs, in each of the ways that `ensue serve` has.

    python benchmarks/large_products.py [--items 1000000] [--width 64] [--tables fp32,fp16,int8] [--states 60]

Each way in a process of its own, on one core: the scores of all items for one state, and the best ten of them. Times
are of the clock and of the processor, which says more where other programs run beside it. Memory is what the process
holds when the table as it was learnt has been let go of, unless the way itself needs it. Vectors are random, which is
the hardest for small integers and for an index: nothing is near anything. Agreement is the share of the best ten that
is the same as with the table as it was learnt. Rows go to results/large_products.json.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ensue.ranking import top_k_rows
from ensue.retrieval import Learnt, measured, product_of
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "large_products.json"
K = 10


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--items", type=int, default=1_000_000)
    options.add_argument("--width", type=int, default=64)
    options.add_argument("--states", type=int, default=60)
    options.add_argument("--tables", default="fp32,fp16,int8")
    options.add_argument("--results", type=Path, default=RESULTS)
    options.add_argument("--one", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        print(json.dumps(row(chosen.one, chosen.items, chosen.width, chosen.states)))
        return
    rows = json.loads(chosen.results.read_text())["rows"] if chosen.results.exists() else []
    for table in chosen.tables.split(","):
        load = os.getloadavg()[0]
        words = [sys.executable, __file__, "--one", table]
        words += [f"--{name}={getattr(chosen, name)}" for name in ("items", "width", "states")]
        found = subprocess.run(words, capture_output=True, text=True, check=True)
        rows = [one for one in rows if (one["table"], one["items"]) != (table, chosen.items)]
        rows.append({**json.loads(found.stdout), "load_before": round(load, 2), **machine(1)})
        print(json.dumps(rows[-1]), flush=True)
    content = {"command": "python benchmarks/large_products.py", "rows": rows}
    chosen.results.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def row(kind: str, items: int, width: int, asked: int) -> dict[str, Any]:
    """What one way shows."""
    rng = np.random.default_rng(0)
    table = rng.standard_normal((items, width), dtype=np.float32) / np.float32(np.sqrt(width))
    states = table[rng.integers(0, items, asked)] + rng.standard_normal((asked, width), dtype=np.float32) / 8
    learnt = Learnt(table)
    began = time.process_time()
    product = product_of(learnt, kind, 1, lambda: states[:1])
    made = time.process_time() - began
    known = measured(product, learnt, states).to_json()
    del learnt, table
    gc.collect()
    wall, processor = [], []
    for state in states:
        clock, busy = time.perf_counter(), time.process_time()
        top_k_rows(product.scores(state[None]), K)
        wall.append(time.perf_counter() - clock)
        processor.append(time.process_time() - busy)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "items": items,
        "width": width,
        **known,
        "seconds_to_make": round(made, 1),
        **{f"{name}_ms": quantiles(times) for name, times in (("clock", wall), ("processor", processor))},
        "resident_mb": round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6),
    }


def quantiles(seconds: list[float]) -> dict[str, float]:
    return {f"p{share}": round(1000 * float(np.quantile(seconds, share / 100)), 2) for share in (10, 50, 90)}


if __name__ == "__main__":
    main()
