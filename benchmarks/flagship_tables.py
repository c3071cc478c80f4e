"""The tables of docs/flagship.md, from the rows and the paired tests."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from flagship_rows import CASES, FLAGSHIP, METRICS, RULES

COPIES = [case for case in CASES if case.startswith("ties")]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "flagship.md"
MARK = "<!-- tables: benchmarks/flagship.py -->"
Pair = tuple[float | None, float]
LAST, SUCCESSIVE = "last", "successive"
TARGETS: dict[tuple[str, str, str], Pair] = {
    ("loo", "ml-1m", LAST): (0.345, 0.203),
    ("aware", "ml-1m", LAST): (0.370, 0.221),
    ("gts", "ml-1m", SUCCESSIVE): (None, 0.120),
    ("gts", "ml-1m", LAST): (None, 0.105),
    ("loo", "beauty", LAST): (0.108, 0.066),
    ("loo", "sports", LAST): (0.064, 0.0375),
    ("loo", "toys", LAST): (0.109, 0.068),
}
"""HR@10 and NDCG@10 that the flagship set out to reach, by case, data and targets."""
PUBLISHED: dict[tuple[str, str, str], tuple[float | None, float, str]] = {
    ("loo", "ml-1m", LAST): (0.3264, 0.1930, "LRURec"),
    ("aware", "ml-1m", LAST): (0.3642, 0.2164, "HSTU-large in RecTools"),
    ("gts", "ml-1m", SUCCESSIVE): (None, 0.1142, "SASRec+"),
    ("gts", "ml-1m", LAST): (None, 0.0948, "SASRec+"),
    ("loo", "beauty", LAST): (0.1002, 0.0610, "BSARec"),
    ("loo", "sports", LAST): (0.0631, 0.0367, ""),
    ("loo", "toys", LAST): (0.1078, 0.0663, ""),
}
"""The best published of a single model that we know of, chosen by NDCG@10, with its name where we know it."""


def filled(rows: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> None:
    """Writes the tables below the mark of the page.

    Args:
        rows: all of them.
        pairs: the tests between them.
    """
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(head + MARK + "\n\n" + "\n".join(tables(rows, pairs)) + "\n", encoding="utf-8")


def tables(rows: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> list[str]:
    """What was reached; then a table for each protocol and data set, best first, with the lead of the flagship."""
    lines = [*reached(rows), ""]
    for case, data in sorted(
        {(row["case"], row["data"]) for row in rows}, key=lambda one: (one[1], list(CASES).index(one[0]))
    ):
        own = [row for row in rows if (row["case"], row["data"]) == (case, data) and "test" in row]
        for targets in dict.fromkeys(kind for row in own for kind in row["test"]):
            wanted = TARGETS.get((case, data, targets))
            said = f", {targets} targets" if case == "gts" else ""
            lines += [f"### {data}: {CASES[case]}{said}", ""]
            if wanted:
                lines += [f"Set out to reach: {both(wanted)}", ""]
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


def reached(rows: list[dict[str, Any]]) -> list[str]:
    """What was set out for, what was reached, and what stands beside it."""
    lines = [
        "### Reached",
        "",
        "| data, protocol | set out for | flagship | | best published | best of our others | rules |",
        "|---|---|---|---|---|---|---|",
    ]
    for (case, data, targets), wanted in TARGETS.items():
        own = [row for row in rows if (row["case"], row["data"]) == (case, data) and "test" in row]
        means = {
            model: mean([row for row in own if row["model"] == model], targets)
            for model in dict.fromkeys(row["model"] for row in own)
        }
        flagship, rules = means.pop(FLAGSHIP, None), means.pop(RULES, None)
        if flagship is None:
            continue
        other = max(means, key=lambda model: means[model][1], default="")
        told = PUBLISHED[case, data, targets]
        name = f"{CASES[case]}, {targets} targets" if case == "gts" else CASES[case]
        enough = all(value is None or at >= value for at, value in zip(flagship, wanted, strict=True))
        cells = (
            f"{data}: {name}",
            both(wanted),
            f"**{both(flagship)}**",
            "reached" if enough else "not reached",
            f"{both(told[:2])} {told[2]}".rstrip(),
            f"{both(means[other])} {other}" if other else "",
            both(rules) if rules else "",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def mean(rows: list[dict[str, Any]], targets: str) -> Pair:
    """HR@10 and NDCG@10 over the seeds of a model."""
    hits, found = ([row["test"][targets][name] for row in rows] for name in METRICS)
    return statistics.mean(hits), statistics.mean(found)


def both(pair: Pair) -> str:
    """Two figures in a cell."""
    return " / ".join("-" if value is None else f"{value:.4f}" for value in pair)


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
