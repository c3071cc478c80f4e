"""How long it takes to prepare a log, and in how much memory: beside peers, and alone at 100 million events.

    ENSUE_DATA=folder python benchmarks/preparing.py [ml-1m] [20] [100] [--repeats 3] [--folder /tmp]

A number is a made-up log of so many million events, with users and items as the Netflix Prize has them: user, item,
rating and time in a CSV file. Peers read the same file with pandas, as their documentation does, and go as far as the
sequences that their Transformers train on; they are not asked beyond 20 million events. ensue reads it piece by piece
and writes a folder. What Python loads at first is not timed. Writes benchmarks/results/preparing.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from machine import machine
from measured import FILES

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE / "peers"))

from environments import python_of  # noqa: E402

RESULTS = HERE / "results" / "preparing.json"
NETFLIX = {"events": 100_480_507, "users": 480_189, "items": 17_770}
"""Its sizes, as Bennett and Lanning give them (KDD Cup and Workshop 2007)."""
PEERS = ("rectools", "replay")
ASKED_UP_TO = 20_000_000
"""Events up to which peers are asked."""
AT_ONCE = 5_000_000


def main() -> None:
    """Measures each log in turn, prints the rows and writes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("logs", nargs="*", default=["ml-1m", "20", "100"])
    parser.add_argument("--repeats", type=int, default=3, help="the largest log is measured once")
    parser.add_argument("--folder", type=Path, default=None, help="for the files, about 80 bytes an event")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in asked.logs:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            path = Path(folder) / "log.csv"
            events = _published(name, path) if name in FILES else _made(int(float(name) * 1e6), path)
            few = events <= ASKED_UP_TO
            for repeat in range(asked.repeats if few else 1):
                for peer in ("ensue", *(PEERS if few else ())):
                    python = sys.executable if peer == "ensue" else str(python_of(peer))
                    command = [python, str(HERE / "peers" / f"prepare_{peer}.py"), str(path)]
                    done = subprocess.run(command, capture_output=True, text=True)
                    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
                    found = json.loads(lines[-1]) if lines else {"peer": peer, "fault": done.stderr[-300:]}
                    rows.append({"log": name, "repeat": repeat + 1, "bytes": path.stat().st_size, **found})
                    print(json.dumps(rows[-1]), flush=True)
        _print([row for row in rows if row["log"] == name])
        held = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
        kept = [row for row in held if row["log"] not in asked.logs]
        RESULTS.write_text(
            json.dumps({"machine": machine(2), "rows": kept + rows}, indent=1), encoding="utf-8"
        )


def _print(rows: list[dict[str, Any]]) -> None:
    """Medians, and ratios to ours."""
    medians = {
        peer: [
            statistics.median(row[key] for row in rows if row["peer"] == peer)
            for key in ("seconds", "peak_rss_mb")
        ]
        for peer in dict.fromkeys(row["peer"] for row in rows if "fault" not in row)
    }
    for peer, (seconds, memory) in medians.items():
        ours = medians["ensue"]
        print(
            f"{peer:<10}{seconds:>9.1f} s {seconds / ours[0]:>6.2f}x {memory:>9,.0f} MB {memory / ours[1]:>6.2f}x"
        )


def _published(name: str, path: Path) -> int:
    """A public log as the same CSV file; its number of events."""
    from ensue import read

    log = read(Path(os.environ["ENSUE_DATA"]) / FILES[name])
    seconds = pl.col("time").dt.epoch("s").alias("timestamp")
    log.frame.select("user", "item", pl.col("rating").cast(pl.Int64), seconds).write_csv(path)
    return log.n_events


def _made(events: int, path: Path) -> int:
    """A log of so many events of users who differ much in activity, on items that differ much in popularity."""
    random = np.random.default_rng(0)
    users = max(NETFLIX["users"] * events // NETFLIX["events"], 1000)
    with path.open("wb") as file:
        file.write(b"user,item,rating,timestamp\n")
        for first in range(0, events, AT_ONCE):
            count = min(AT_ONCE, events - first)
            item = np.minimum(random.lognormal(6.5, 1.6, count).astype(np.int64), NETFLIX["items"] - 1)
            pl.DataFrame(
                {
                    "user": (random.random(count) ** 1.7 * users).astype(np.int64) * 5 + 6,
                    "item": item + 1,
                    "rating": random.integers(1, 6, count),
                    "timestamp": random.integers(939_772_800, 1_136_073_600, count),
                }
            ).write_csv(file, include_header=False)
    return events


if __name__ == "__main__":
    main()
