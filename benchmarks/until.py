"""Seconds of training until a given NDCG@10 is reached: ensue beside its peers, one size and loss, in turn.

    ENSUE_DATA=folder python benchmarks/until.py [ml-100k | ml-1m | beauty] [--mark 0.07] [--minutes 5]
        [--peers rectools,replay] [--repeats 1] [--threads 2]

A Transformer of 2 blocks and width 64 with the softmax over all items, or beside Keras the LSTM of its tutorials;
batches, rate and optimiser are what each library takes by itself, or its examples show (`peers/run_*.py`). Training is
on all events but the last two of each user, and judged after each epoch by the last but one, which is to be found among
all items that are not in the user's history. The time that judging takes does not count. Who has not reached the mark
within the minutes, says how far it came. On a machine with other work, processor time says more than the clock.

Adds its rows to benchmarks/results/until.json, in the place of those of the same data, mark, threads and peers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE / "peers"))

from compare import OURS, PEERS, load, measured  # noqa: E402
from environments import python_of  # noqa: E402
from measuring import hold_to  # noqa: E402
from prepared import DATA, prepare  # noqa: E402

from machine import machine  # noqa: E402

RESULTS = HERE / "results" / "until.json"
KINDS = PEERS["training"]
"""Peer -> the model of ours that it is compared with."""


def main() -> int:
    """Trains in turn, writes the rows and prints the table; 1 if something did not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="?", choices=DATA, default="ml-100k")
    parser.add_argument("--mark", type=float, default=0.07, help="NDCG@10 on validation")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, for each of them")
    parser.add_argument("--peers", default="", help="names parted by commas; ensue alone if none")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    asked.what, asked.seconds = "until", 60 * asked.minutes
    programs = [OURS, *(name for name in asked.peers.split(",") if name)]
    kinds = {KINDS[name] for name in programs[1:]} or {"transformer"}
    if len(kinds) > 1:
        raise SystemExit("These peers train different models: ask for Keras by itself.")
    model = kinds.pop()
    pythons = {name: Path(sys.executable) if name == OURS else python_of(name) for name in programs}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        targets = Path(folder) / "targets.csv"
        file = prepare(asked.data, Path(folder), targets)
        hold_to(asked.threads)
        known = machine(asked.threads) | {"run": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        more = ["--mark", str(asked.mark), "--targets", str(targets)]
        for repeat in range(1, asked.repeats + 1):
            for program in programs:
                before = {"repeat": repeat, "load_before": load()}
                row = known | measured(asked, pythons[program], program, model, file, more) | before
                rows.append(row | {"mark": asked.mark, "minutes": asked.minutes, "peers": asked.peers})
                print(f"{repeat}/{asked.repeats}  {program:<9} {told(row)}", flush=True)
    same = ("data", "mark", "threads", "peers")
    place = [rows[0][name] for name in same]
    held = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
    kept = [row for row in held if [row[name] for name in same] != place]
    RESULTS.write_text(json.dumps({"rows": [*kept, *rows]}, indent=1) + "\n", encoding="utf-8")
    print("\n".join(["", *table(rows)]))
    return 1 if any("fault" in row for row in rows) else 0


def told(row: dict[str, Any]) -> str:
    """One training in a few words."""
    if "fault" in row:
        return str(row["fault"])
    seconds, worked, _ = row["curve"][-1]
    spent = f"{len(row['curve'])} epochs, {seconds:.0f} s ({worked:.0f} s of processors)"
    return f"{'reached' if row['reached'] else 'not reached'}: NDCG@10 {row['best']:.4f} in {spent}"


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Medians over the repeats of those that reached the mark, and how many times as long as ours."""
    found: dict[str, tuple[float, float]] = {}
    for program in dict.fromkeys(row["peer"] for row in rows):
        own = [row for row in rows if row["peer"] == program and row.get("reached")]
        if own and len(own) == sum(row["peer"] == program for row in rows):
            by_clock = statistics.median(row["seconds"] for row in own)
            found[program] = by_clock, statistics.median(row["cpu_seconds"] for row in own)
    ours = found.get(OURS)
    lines = [f"{'':<10}{'seconds':>10}{'of processors':>15}{'times ours':>12}"]
    for program, (seconds, worked) in found.items():
        times = "" if ours is None or program == OURS else f"{seconds / ours[0]:.1f}"
        lines.append(f"{program:<10}{seconds:>10.1f}{worked:>15.1f}{times:>12}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
