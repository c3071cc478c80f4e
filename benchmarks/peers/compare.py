"""ensue beside its peers: the same data, sizes and loss, in turn, in one run on one machine.

    ENSUE_DATA=folder python benchmarks/peers/compare.py ml-1m [--what training|evaluation] [--peers rectools,keras]
        [--repeats 3] [--seconds 60] [--threads 2]

Each peer runs in an environment of its own, which is made first if it is not there (see `environments.py`). Then ensue
and every peer run one after the other, and all of that again for each repeat. Raw rows go to
benchmarks/results/peers_<what>.json; those of the same data, threads and peers from an earlier run are replaced.

*training* (rectools, replay, recbole, keras): useful targets a second once the first steps are over, and the most
memory of the whole process. *evaluation* (rectools, replay): users a second when the ten best of all items that are
not in the history are made for everybody, how long a thousand users take together, and how long a single request takes
whose history comes with it.

Ratios are of medians, and above 1 in ensue's favour. The Transformers are compared with each other, and the LSTMs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from environments import python_of
from measuring import hold_to
from prepared import DATA, prepare

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

from ensue.cli import MEMORY  # noqa: E402
from machine import machine  # noqa: E402

RESULTS = HERE.parent / "results"
OURS = "ensue"
PEERS = {
    "training": {
        "rectools": "transformer",
        "replay": "transformer",
        "recbole": "transformer",
        "keras": "lstm",
    },
    "evaluation": {"rectools": "transformer", "replay": "transformer"},
}
"""Which of our models each peer is compared with."""
PATIENCE = 3600
"""Seconds after which a runner is given up."""

Row = dict[str, Any]


def main() -> int:
    """Measures what is asked for, writes the rows and prints the table; 1 if something did not run."""
    asked = _asked()
    pythons = {peer: python_of(peer) for peer in asked.peers}
    pythons[OURS] = Path(sys.executable)
    run = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        file = prepare(asked.data, Path(folder))
        hold_to(asked.threads)
        known = {**machine(asked.threads), "run": run}
        for repeat in range(1, asked.repeats + 1):
            for program, model in turns(asked.what, asked.peers):
                before = {"repeat": repeat, "load_before": load()}
                found = measured(asked, pythons[program], program, model, file)
                rows.append(known | found | before)
                told = headline(found) if "fault" not in found else found["fault"]
                print(f"{repeat}/{asked.repeats}  {program:<9} {model:<12} {told}", flush=True)
    write(asked.what, rows)
    print("\n".join(["", *table(asked.what, rows)]))
    return 1 if any("fault" in row for row in rows) else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", choices=DATA)
    parser.add_argument("--what", choices=PEERS, default="training")
    parser.add_argument("--peers", default="", help="names parted by commas; all if none")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="of training that are timed")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    asked.peers = [name for name in asked.peers.split(",") if name] or list(PEERS[asked.what])
    for peer in asked.peers:
        if peer not in PEERS[asked.what]:
            parser.error(
                f"'{peer}' is not compared in {asked.what}: take some of {', '.join(PEERS[asked.what])}"
            )
    return asked


def turns(what: str, peers: list[str]) -> list[tuple[str, str]]:
    """Who runs, in this order: each model of ours just before the peers that it is compared with."""
    found: list[tuple[str, str]] = []
    for model in dict.fromkeys(PEERS[what].values()):
        theirs = [(peer, model) for peer in peers if PEERS[what][peer] == model]
        found += [(OURS, model), *theirs] if theirs else []
    return found


def measured(
    asked: argparse.Namespace, python: Path, program: str, model: str, file: Path, more: Sequence[str] = ()
) -> Row:
    """The row of one runner; what could not run says so, and prints why."""
    data = DATA[asked.data]
    command = [str(python), str(HERE / f"run_{program}.py"), str(file), "--data", asked.data]
    command += ["--length", str(data.length), "--what", asked.what, "--model", model]
    command += ["--seconds", str(asked.seconds), "--threads", str(asked.threads), *more]
    asking = {"peer": program, "data": asked.data, "threads": asked.threads, "what": asked.what}
    asking["against"] = model
    try:
        settled = {**MEMORY, **os.environ} if program == OURS else None
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=settled)
    except subprocess.TimeoutExpired:
        return asking | {"fault": f"not done after {PATIENCE} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        print(done.stderr[-4000:], file=sys.stderr)
        return asking | {"fault": f"ended with status {done.returncode}"}
    return asking | json.loads(lines[-1])


def load() -> float | None:
    """How many programs wanted a core during the last minute, where the system tells."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def write(what: str, rows: list[Row]) -> None:
    """Adds rows to the file of results, in the place of those that they repeat."""
    target = RESULTS / f"peers_{what}.json"
    held: list[Row] = json.loads(target.read_text(encoding="utf-8"))["rows"] if target.exists() else []
    target.parent.mkdir(exist_ok=True)
    merged = {
        "command": f"python benchmarks/peers/compare.py DATA --what {what}",
        "rows": kept(held, rows) + rows,
    }
    target.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")


def kept(held: list[Row], rows: list[Row]) -> list[Row]:
    """The earlier rows that stay: of other data, threads or peers, and ours of each run with such a peer."""
    again = {_place(row) for row in rows}
    theirs = [row for row in held if row["peer"] != OURS and _place(row) not in again]
    runs = {(row["run"], row["against"], row["data"]) for row in theirs}
    return [row for row in held if row in theirs or (row["peer"] == OURS and _key(row) in runs)]


def _place(row: Row) -> tuple[Any, ...]:
    return row["peer"], row["data"], row["threads"], row["against"]


def _key(row: Row) -> tuple[Any, ...]:
    return row["run"], row["against"], row["data"]


def headline(row: Row) -> str:
    """One run in a few words."""
    used = f"cores {row['cpu_seconds'] / (row['seconds'] * row['threads']):.0%} used"
    if row["what"] == "training":
        return (
            f"{row['targets_per_second']:>10,.0f} targets/s  {row['peak_rss_mb']:>7,.0f} MB  {row['steps']} steps in"
            f" {row['seconds']:.0f} s, {used}"
        )
    return f"{row['users_per_second']:>10,.0f} users/s  {row['p50_ms']:.2f} / {row['p99_ms']:.2f} ms a request, {used}"


def table(what: str, rows: list[Row]) -> list[str]:
    """Medians over the repeats, each peer's beside ours of the same run, with the ratios."""
    columns = TRAINING if what == "training" else EVALUATION
    if what == "evaluation" and all("together" in row for row in rows if "fault" not in row):
        columns = [*columns, TOGETHER]
    lines = [f"{'':<10}{'model':<13}{'n':>3}" + "".join(f"{name:>16}{'ratio':>8}" for name, _, _ in columns)]
    for model in dict.fromkeys(row["against"] for row in rows):
        own = [row for row in rows if row["against"] == model and "fault" not in row]
        ours = [row for row in own if row["peer"] == OURS]
        for peer in dict.fromkeys(row["peer"] for row in own):
            theirs = [row for row in own if row["peer"] == peer]
            line = f"{peer:<10}{theirs[0]['model']:<13}{len(theirs):>3}"
            for _, value, better in columns:
                median = statistics.median(map(value, theirs))
                line += f"{median:>16,.1f}"
                if peer == OURS or not ours:
                    line += f"{'':>8}"
                    continue
                reference = statistics.median(map(value, ours))
                line += f"{reference / median if better == 'more' else median / reference:>8.2f}"
            lines.append(line)
    return lines


Column = tuple[str, Callable[[Row], float], str]

TRAINING: list[Column] = [
    ("targets/s", lambda row: float(row["targets_per_second"]), "more"),
    ("peak MB", lambda row: float(row["peak_rss_mb"]), "less"),
]
EVALUATION: list[Column] = [
    ("users/s", lambda row: float(row["users_per_second"]), "more"),
    ("p50 ms", lambda row: float(row["p50_ms"]), "less"),
    ("p99 ms", lambda row: float(row["p99_ms"]), "less"),
    ("peak MB", lambda row: float(row["peak_rss_mb"]), "less"),
]
TOGETHER: Column = ("ms for 1,000", lambda row: 1000 * float(row["together_seconds"]), "less")
"""What the tables show, and whether more or less of it is better."""


if __name__ == "__main__":
    sys.exit(main())
