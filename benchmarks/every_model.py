"""Every model on three public data sets, each network within the same minutes of one core.

    ENSUE_DATA=folder python benchmarks/every_model.py [--minutes 2] [model ...]

Writes benchmarks/results/every_model.json (rows are added as they are measured; rows of other models stay) and the
table in docs/models.md. Settings are the models' defaults; what differs is in SETTINGS below, with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from machine import machine
from measured import FILES, Row, measure

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "every_model.json"
PAGE = ROOT / "docs" / "models.md"
MARK = "<!-- table: benchmarks/every_model.py -->"

SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    # short histories, weak order: a nearer look back, as the independent figures of the rules were taken with
    ("rules", "beauty"): {"window": 10, "last": 5, "decay": 0.5},
}
TIMED = {"markov-time", "stan", "recent", "hstu"}
"""Models that read times: what they are compared with must read them too."""


TIMELESS = {"beauty"}
"""Data sets that know an order and no times."""


def main() -> None:
    """Measures what is asked for, and writes rows and table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*", help="names of models; all if none")
    parser.add_argument("--minutes", type=float, default=2.0, help="of one core, for each network")
    parser.add_argument("--data", default=",".join(FILES), help="data sets, parted by commas")
    parser.add_argument("--table", action="store_true", help="only write the table of what was measured")
    asked = parser.parse_args()
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
    if not asked.table:
        if "ENSUE_DATA" not in os.environ:
            raise SystemExit(
                "This table needs public data sets: set ENSUE_DATA to the folder that holds them."
            )
        from ensue.model import models

        for data in asked.data.split(","):
            for name in asked.models or sorted(models.names()):
                row = Row(name, data, name, SETTINGS.get((name, data), {}), asked.minutes)
                found = measure(row) | {"machine": machine()}
                rows = [old for old in rows if (old["label"], old["data"]) != (name, data)] + [found]
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps({"rows": rows}, indent=1), encoding="utf-8")
                print(f"{data:<9} {name:<15} {found.get('test') or found.get('fault')}", flush=True)
    write_table(rows)


def write_table(rows: list[dict[str, Any]]) -> None:
    """Puts the table of the rows into the page, after its mark."""
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(head + MARK + "\n\n" + "\n".join(table(rows)) + "\n", encoding="utf-8")


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of the table, best first within each data set; networks below the rules are marked."""
    lines: list[str] = []
    for data in FILES:
        own = [row for row in rows if row["data"] == data and "test" in row]
        if not own:
            continue
        bar = next((row["test"]["ndcg@10"] for row in own if row["label"] == "rules"), 0.0)
        first = own[0]
        lines += [
            f"### {data}: {first['users']:,} users, {first['items']:,} items",
            "",
            "| model | HR@10 | NDCG@10 | interval (95 %) | validation | seconds | targets/s | peak MB | parameters | |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row in sorted(own, key=lambda row: -row["test"]["ndcg@10"]):
            interval = row["interval"]
            notes = ["reads times"] if row["model"] in TIMED and data not in TIMELESS else []
            if row["epochs"] and row["test"]["ndcg@10"] < bar:
                notes.append("**below the rules**")
            lines.append(
                f"| {row['label']} | {row['test']['recall@10']:.4f} | {row['test']['ndcg@10']:.4f}"
                f" | {interval['low']:.4f} to {interval['high']:.4f} | {row['validation']['ndcg@10']:.4f}"
                f" | {row['cpu_seconds']:,.1f} | {_number(row['targets_per_second'])} | {row['peak_megabytes']:,}"
                f" | {_number(row['parameters'])} | {', '.join(notes)} |".replace("| , |", "| |")
            )
        faults = [row for row in rows if row["data"] == data and "fault" in row]
        lines += ["", *(f"- {row['label']} did not run: {row['fault']}" for row in faults), ""]
    return lines


def _number(value: int) -> str:
    """A whole number with commas; nothing for 0."""
    return f"{value:,}" if value else ""


if __name__ == "__main__":
    main()
