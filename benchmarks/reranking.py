"""Re-ranking of the hotel lists that trivago showed: above the engine's order, and by what.

    ENSUE_DATA=folder python benchmarks/reranking.py

Lists of the click-outs of the session log, with prices and choices. Sessions are split by when they began: the last
fifth is the test, looked at once; settings are chosen on the last fifth of what lies before it; weights are then learnt
anew on all before the test. Figures are means over sessions, paired tests against each other order (Holm's correction
within a metric). Two accounts of what is known before a list:

    choice     all that was done before the choice, as the challenge had it: what was done on the list itself too
    display    only what lies before the last search, filter or change of order: no list can have been shown earlier

Without each family of features in turn, measured on validation. Writes benchmarks/results/reranking.json.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from ensue.reranking import FAMILIES, Order, Reranking, Shown, fit, read_shown
from ensue.reranking.choice import Choice
from ensue.reranking.evaluating import reciprocal
from ensue.reranking.features import Vocabulary, features
from ensue.reranking.fitting import parted
from ensue.reranking.tables import Tables, crossed
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "reranking.json"
ACCOUNTS: tuple[Literal["choice", "display"], ...] = ("choice", "display")


def main() -> None:
    """Measures both accounts, and writes their rows."""
    folder = Path(os.environ["ENSUE_DATA"]) / "trivago-100k"
    rows: list[dict[str, Any]] = []
    for known in ACCOUNTS:
        shown = read_shown(folder, known=known)
        began = time.process_time()
        found = fit(shown, say=print)
        facts = {
            "data": "trivago-100k",
            "known": known,
            "lists": len(shown),
            "set_aside": dict(shown.set_aside),
            "learnt": dict(found.reranker.facts),
            "seconds": round(time.process_time() - began, 1),
            "machine": machine(),
        }
        print("\n".join(["\t".join(cells) for cells in found.test.table()] + found.test.lines()), flush=True)
        rows.append({"part": "test"} | facts | found.test.to_json())
        rows.append({"part": "validation", "strengths": dict(found.validation)} | facts)
        without = ablated(shown, float(found.reranker.facts["strength"]))
        rows.append({"part": "validation, without a family", "mrr": without} | facts)
        print(json.dumps(without, indent=1), flush=True)
    command = "ENSUE_DATA=folder python benchmarks/reranking.py"
    RESULTS.write_text(json.dumps({"command": command, "rows": rows}, indent=1) + "\n", encoding="utf-8")


def ablated(shown: Shown, strength: float) -> dict[str, float]:
    """Mean reciprocal rank on validation, with all families and without each."""
    how = Reranking()
    before = parted(shown, how.test).before
    part = parted(before, how.validation)
    vocabulary, models = Vocabulary.of(part.before), {name: name for name in how.models}

    def ask(lists: Shown, tables: Tables) -> np.ndarray:
        return features(lists, tables, vocabulary, how.families).values

    learnt = crossed(part.before, part.events, models, ask)
    asked = features(part.after, Tables.fit(part.before, part.events, models), vocabulary, how.families)
    found = {}
    for left_out in ("", *FAMILIES):
        kept = np.array([family != left_out for family in asked.families])
        choice = Choice.fit(learnt[:, kept], part.before.offsets, part.before.chosen, strength)
        scores = choice.scores(asked.values[:, kept], part.after.offsets)
        found[left_out or "all"] = reciprocal(Order("re-ranker", (scores,)), part.after)
    return found


if __name__ == "__main__":
    main()
