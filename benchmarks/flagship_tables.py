"""The tables of docs/flagship.md, from the rows and the paired tests."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from flagship_rows import CASES, FLAGSHIP, METRICS

COPIES = [case for case in CASES if case.startswith("ties")]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "flagship.md"
MARK = "<!-- tables: benchmarks/flagship.py -->"
TARGETS = {"ml-1m": {"loo": (0.345, 0.203), "aware": (0.370, 0.221), "gts": (None, 0.120)}} | {
    data: {"loo": wanted}
    for data, wanted in {"beauty": (0.108, 0.066), "sports": (0.064, 0.0375), "toys": (0.109, 0.068)}.items()
}
"""HR@10 and NDCG@10 that the flagship set out to reach; of GTS for successive targets."""


def filled(rows: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> None:
    """Writes the tables below the mark of the page.

    Args:
        rows: all of them.
        pairs: the tests between them.
    """
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(head + MARK + "\n\n" + "\n".join(tables(rows, pairs)) + "\n", encoding="utf-8")


def tables(rows: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> list[str]:
    """A table for each protocol and data set, best first, with what the flagship is better by."""
    lines: list[str] = []
    for case, data in sorted(
        {(row["case"], row["data"]) for row in rows}, key=lambda one: (one[1], list(CASES).index(one[0]))
    ):
        own = [row for row in rows if (row["case"], row["data"]) == (case, data) and "test" in row]
        for targets in dict.fromkeys(kind for row in own for kind in row["test"]):
            wanted = TARGETS.get(data, {}).get(case)
            if wanted and case == "gts" and targets == "last":
                wanted = (None, 0.105)
            said = f", {targets} targets" if case == "gts" else ""
            lines += [f"### {data}: {CASES[case]}{said}", ""]
            if wanted:
                lines += [
                    "Set out to reach: "
                    + " / ".join("-" if value is None else f"{value:g}" for value in wanted),
                    "",
                ]
            lines += [
                "| model | seeds | HR@10 | NDCG@10 | deviation | flagship better by | p | minutes | peak MB |",
                "|---|---|---|---|---|---|---|---|---|",
            ]
            groups: dict[str, list[dict[str, Any]]] = {}
            for row in own:
                groups.setdefault(row["model"], []).append(row)
            held = [line(model, group, targets, pairs) for model, group in groups.items()]
            lines += [text for _, text in sorted(held, reverse=True)] + [""]
            if case == COPIES[-1]:
                lines += over_copies([row for row in rows if row["data"] == data and "test" in row])
    return lines[:-1]


def over_copies(rows: list[dict[str, Any]]) -> list[str]:
    """Mean and deviation of NDCG@10 over the copies whose ties are shuffled, each of its seeds' mean; no line of none.

    Args:
        rows: of one data set.
    """
    found: dict[str, list[float]] = {}
    for case in COPIES:
        for model in dict.fromkeys(row["model"] for row in rows if row["case"] == case):
            own = [
                row["test"]["last"]["ndcg@10"] for row in rows if (row["case"], row["model"]) == (case, model)
            ]
            found.setdefault(model, []).append(statistics.mean(own))
    said = [
        f"{model} {statistics.mean(values):.4f} (deviation {statistics.stdev(values):.4f})"
        for model, values in found.items()
        if len(values) == len(COPIES)
    ]
    return [f"NDCG@10 over the three copies: {', '.join(said)}.", ""] if said else []


def line(
    model: str, rows: list[dict[str, Any]], targets: str, pairs: list[dict[str, Any]]
) -> tuple[float, str]:
    """NDCG@10, by which lines are ordered, and the line of a model: means over its seeds."""
    hits, found = ([row["test"][targets][name] for row in rows] for name in METRICS)
    asked = {"case": rows[0]["case"], "data": rows[0]["data"], "targets": targets, "against": model}
    pair = next((one for one in pairs if asked.items() <= one.items()), None)
    better, p = "", ""
    if pair is not None:
        gap = pair["difference"]
        better, p = f"{gap['value']:.4f} ({gap['low']:.4f} to {gap['high']:.4f})", f"{pair['p_value']:.2g}"
    name = f"**{model}** ({rows[0]['name']})" if model == FLAGSHIP else model
    cells = (
        name,
        f"{len(rows)}",
        f"{statistics.mean(hits):.4f}",
        f"{statistics.mean(found):.4f}",
        f"{statistics.stdev(found):.4f}" if len(found) > 1 else "",
        better,
        p,
        f"{statistics.mean(row['cpu_seconds'] for row in rows) / 60:.1f}",
        f"{max(row['peak_megabytes'] for row in rows):,}",
    )
    return statistics.mean(found), "| " + " | ".join(cells) + " |"
