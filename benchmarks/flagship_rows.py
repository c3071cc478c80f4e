"""What the flagship's benchmark holds: its runs, their rows, each user's values, and the paired tests between them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results" / "flagship.json"
KEPT = Path.home() / ".cache" / "ensue-benchmarks" / "flagship"
METRICS = ("recall@10", "ndcg@10")
FLAGSHIP, RULES = "accurate", "rules"
CASES = {
    "loo": "leave one out, time-blind, not refitted",
    "aware": "leave one out, time-aware, not refitted",
    "gts": "global temporal split, refitted, warm targets",
    "refitted": "leave one out, time-blind, refitted on training and validation",
    "described": "leave one out, time-blind, not refitted, the items' attributes read as well",
    "ties-1": "leave one out, time-blind, ties shuffled by seed 1",
    "ties-2": "leave one out, time-blind, ties shuffled by seed 2",
    "ties-3": "leave one out, time-blind, ties shuffled by seed 3",
}


@dataclass(frozen=True)
class Run:
    """What one process measures."""

    case: str
    data: str
    model: str
    minutes: float
    seed: int

    @property
    def name(self) -> str:
        """Of the file that keeps each user's values."""
        return f"{self.case}-{self.data}-{self.model}-{self.seed}"


def held() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows and the pairs of the file."""
    if not RESULTS.exists():
        return [], []
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found["rows"], found["pairs"]


def with_row(
    rows: list[dict[str, Any]], pairs: list[dict[str, Any]], found: dict[str, Any], again: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows with one more in place of its earlier self, and pairs without those that spoke of that.

    Args:
        rows: so far.
        pairs: so far.
        found: the new row.
        again: whether it repeats an earlier one, which stays as it was if it came out the same.
    """
    name = run_of(found).name
    earlier = next((row for row in rows if run_of(row).name == name), None)
    if earlier is not None and again:
        if figures_of(earlier) == figures_of(found):
            return rows, pairs
        print(f"{name} was {figures_of(earlier)} at {earlier['machine']['commit']}", flush=True)
    told = [
        pair
        for pair in pairs
        if (pair["case"], pair["data"]) != (found["case"], found["data"])
        or found["model"] not in (pair["against"], FLAGSHIP)
    ]
    return [row for row in rows if row is not earlier] + [found], told


def run_of(row: dict[str, Any]) -> Run:
    """What a row measured."""
    return Run(*(row[key] for key in Run.__dataclass_fields__))


def figures_of(row: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What a row's test gave, by the kind of targets."""
    return {kind: {name: told[name] for name in METRICS} for kind, told in row.get("test", {}).items()}


def write(rows: list[dict[str, Any]], pairs: list[dict[str, Any]] | None = None) -> None:
    """The raw rows, and the tests between them."""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"rows": rows, "pairs": pairs or []}, indent=1), encoding="utf-8")


def keep(run: Run, values: dict[str, Any]) -> None:
    """Each user's values, by the kind of targets."""
    import numpy as np

    KEPT.mkdir(parents=True, exist_ok=True)
    np.savez(KEPT / f"{run.name}.npz", **values)


def paired_tests(rows: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The flagship against each other model, on the same users; of a network's seeds each user's mean counts.

    Args:
        rows: all of them.
        before: pairs that hold still; they stay where each user's values are no longer kept for as many seeds.
    """
    import numpy as np

    from ensue.significance import paired

    pairs = []
    groups = dict.fromkeys((row["case"], row["data"]) for row in rows if "test" in row)
    for case, data in groups:
        own = [row for row in rows if (row["case"], row["data"]) == (case, data) and "test" in row]
        held: dict[str, dict[str, list[Any]]] = {}
        for row in own:
            path = KEPT / f"{run_of(row).name}.npz"
            for targets, values in np.load(path).items() if path.exists() else ():
                held.setdefault(targets, {}).setdefault(row["model"], []).append(values)
        for targets, models in held.items():
            for model in models:
                if model == FLAGSHIP or FLAGSHIP not in models:
                    continue
                a, b = (np.mean(models[name], axis=0) for name in (FLAGSHIP, model))
                found = paired(a, b).to_json()
                pair = {"case": case, "data": data, "targets": targets, "against": model}
                pairs.append(pair | {"seeds": len(models[FLAGSHIP])} | found)
    told = ("case", "data", "targets", "against")
    seeds = Counter((row["case"], row["data"]) for row in rows if row["model"] == FLAGSHIP and "test" in row)
    kept = {tuple(pair[key] for key in told): pair for pair in before}
    for pair in pairs:
        name = tuple(pair[key] for key in told)
        if name not in kept or pair["seeds"] == seeds[pair["case"], pair["data"]]:
            kept[name] = pair
    return list(kept.values())
