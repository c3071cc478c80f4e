"""Each published family against its published figure: MovieLens-1M, leave one out, at most 40 minutes of one core.

    ENSUE_DATA=folder python benchmarks/published.py [--minutes 40] [label ...]

The figures are those that the papers or their repositories report for the whole log (6,040 users, full ranking, not
refitted); reached means within 5 % of the published NDCG@10, or above. Writes benchmarks/results/published.json.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from machine import machine
from measured import Row, measure

RESULTS = Path(__file__).resolve().parent / "results" / "published.json"
SHARE = 0.95
COMMON = {"temperature": 0.05, "learning_rate": 0.002, "batch_tokens": 2048}

FAMILIES: dict[str, tuple[str, dict[str, Any], float, str]] = {
    "sasrec": ("transformer", COMMON, 0.1821, "SASRec+ (arXiv:2308.07192)"),
    "gru4rec": ("gru", COMMON, 0.1679, "GRU4Rec with cross-entropy (arXiv:2308.07192)"),
    "lrurec": ("lru", COMMON, 0.1930, "LRURec (arXiv:2310.02367), ties by item id"),
    "hstu": ("hstu", COMMON, 0.1893, "HSTU-large (arXiv:2402.17152), reads times"),
    "bert4rec": ("bert4rec", COMMON, 0.1618, "BERT4Rec (arXiv:2207.02160)"),
}


def main() -> None:
    """Measures the families that are asked for, one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("labels", nargs="*", help=f"of {', '.join(FAMILIES)}; all if none")
    parser.add_argument("--minutes", type=float, default=40.0, help="of one core, for each")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if "ENSUE_DATA" not in os.environ:
        raise SystemExit("These figures need MovieLens-1M: set ENSUE_DATA to the folder that holds it.")
    for label in asked.labels or FAMILIES:
        model, settings, figure, source = FAMILIES[label]
        row = Row(label, "ml-1m", model, settings, asked.minutes, asked.seed)
        found = measure(row) | {"published": figure, "source": source, "machine": machine()}
        if "test" in found:
            found["reached"] = found["test"]["ndcg@10"] >= SHARE * figure
        rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
        rows = [old for old in rows if (old["label"], old["seed"]) != (label, asked.seed)] + [found]
        RESULTS.write_text(json.dumps({"rows": rows}, indent=1), encoding="utf-8")
        print(
            f"{label:<9} NDCG@10 {found.get('test', found.get('fault'))}"
            f" (published {figure:.4f}, {source}) {found.get('reached')}",
            flush=True,
        )


if __name__ == "__main__":
    main()
