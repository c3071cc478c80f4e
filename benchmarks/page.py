"""The page of results: plots and tables made from the raw rows of all benchmarks, and from nothing else.

    python benchmarks/page.py [FILE]

Writes docs/benchmarks.html (or another file), which needs no network. What has not been measured is not on it.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ensue.report.page import Html, element, page, paragraph, section, table
from ensue.report.plots import bars, line

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.html"

Row = dict[str, Any]


def main() -> None:
    """Writes the page."""
    parts = [made for build in SECTIONS if (made := build()) is not None]
    about = paragraph(
        "Every figure comes from a row in benchmarks/results, with the commit and machine it was taken on; ratios are "
        "of runs in turn on one machine. docs/log.md says what was tried and what fell short.",
        kind="soft",
    )
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(page("ensue, measured", about, *parts), encoding="utf-8")


def held(name: str) -> dict[str, Any]:
    """A file of results; empty if that was not measured."""
    path = HERE / "results" / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def rows_of(name: str) -> list[Row]:
    """The rows that were measured without a fault."""
    return [row for row in held(name).get("rows", []) if "fault" not in row]


def peers(name: str, value: str, unit: str) -> list[Html]:
    """A plot for each data set and model of ours: medians of everybody, and ratios to ours of the same runs."""
    found = rows_of(name)
    plots, lines = [], []
    for data, against in dict.fromkeys((row["data"], row["against"]) for row in found):
        own = [row for row in found if (row["data"], row["against"]) == (data, against)]
        speed = medians(own, lambda row: row["peer"], value)
        memory = medians(own, lambda row: row["peer"], "peak_rss_mb")
        plots.append(bars(f"{data}, {against}", list(speed.items()), note=f"{unit}, median"))
        for peer, rate in speed.items():
            version = next(row["version"] for row in own if row["peer"] == peer)
            runs = sum(row["peer"] == peer for row in own)
            together = {row["run"] for row in own if row["peer"] == peer}
            ours = medians([row for row in own if row["run"] in together], lambda row: row["peer"], value)
            ratio = "" if peer == "ensue" else f"{ours['ensue'] / rate:.1f}"
            lines.append((data, f"{peer} {version}", f"{rate:,.0f}", ratio, f"{memory[peer]:,.0f}", runs))
    if not plots:
        return []
    heads = ("data", "program", unit, "ensue is so many times as fast", "peak memory, MB", "runs")
    return [element("div", *plots, class_="plots"), table(heads, lines, numbers=(2, 3, 4, 5))]


def medians(rows: Iterable[Row], key: Callable[[Row], str], value: str) -> dict[str, float]:
    """The median of a value for each key, in the order in which they come."""
    own: dict[str, list[float]] = {}
    for row in rows:
        own.setdefault(key(row), []).append(float(row[value]))
    return {name: statistics.median(values) for name, values in own.items()}


def training() -> Html | None:
    """Training beside peers."""
    parts = peers("peers_training", "targets_per_second", "useful targets a second")
    return section("Training, beside peers", where(rows_of("peers_training")), *parts) if parts else None


def until() -> Html | None:
    """How long training takes to reach a mark, beside peers."""
    found = rows_of("until")
    if not found:
        return None
    plots = [
        line(
            f"{row['data']}, {row['peer']} {row['version']}",
            [(f"{seconds:.0f} s", score) for _, seconds, score in row["curve"]],
            note="NDCG@10 by epoch, and seconds of processors",
        )
        for row in found
    ]
    lines = [
        (
            row["data"],
            f"{row['peer']} {row['version']}",
            f"{row['mark']:g}",
            f"{row['cpu_seconds']:,.0f}" if row["reached"] else f"not within {row['curve'][-1][1]:,.0f}",
            f"{row['best']:.4f}",
        )
        for row in found
    ]
    heads = ("data", "program", "NDCG@10 to reach", "seconds of processors", "best")
    known = table(heads, lines, numbers=(2, 3, 4))
    return section("Training until a mark", where(found), element("div", *plots, class_="plots"), known)


def answering() -> Html | None:
    """Answers beside peers."""
    found = rows_of("peers_evaluation")
    parts = peers("peers_evaluation", "users_per_second", "users a second")
    if not parts:
        return None
    lines = []
    for data in dict.fromkeys(row["data"] for row in found):
        own = [row for row in found if row["data"] == data]
        for peer, typical in medians(own, lambda row: row["peer"], "p50_ms").items():
            rare = medians([row for row in own if row["peer"] == peer], lambda row: row["peer"], "p99_ms")[
                peer
            ]
            lines.append((data, peer, f"{typical:.2f}", f"{rare:.2f}"))
    heads = ("data", "program", "median, ms", "99th percentile, ms")
    alone = table(heads, lines, numbers=(2, 3))
    return section("Ten best of all items for every user, and a single request", where(found), *parts, alone)


def preparing() -> Html | None:
    """From a log to sequences."""
    found = rows_of("preparing")
    if not found:
        return None
    plots, lines = [], []
    for log in dict.fromkeys(row["log"] for row in found):
        own = [row for row in found if row["log"] == log]
        name = log if not log.replace(".", "").isdigit() else f"{float(log):g} million events, made up"
        seconds = medians(own, lambda row: row["peer"], "seconds")
        memory = medians(own, lambda row: row["peer"], "peak_rss_mb")
        plots.append(bars(name, list(seconds.items()), note="seconds"))
        lines += [(name, peer, f"{seconds[peer]:,.1f}", f"{memory[peer]:,.0f}") for peer in seconds]
    known = table(("log", "program", "seconds", "peak memory, MB"), lines, numbers=(2, 3))
    return section(
        "From a log to sequences",
        where([held("preparing")["machine"]]),
        element("div", *plots, class_="plots"),
        known,
    )


def cost() -> Html | None:
    """Cost by the number of events."""
    found = rows_of("cost_curve")
    if not found:
        return None
    by = [(f"{row['events'] / 1e6:.2g}M", row) for row in found]
    plots = [
        line(
            "Time of a target",
            [(n, row["microseconds_per_target"]) for n, row in by],
            note="microseconds, by events",
        ),
        line(
            "Memory", [(n, row["peak_anonymous_megabytes"]) for n, row in by], note="anonymous, MB, by events"
        ),
    ]
    return section(
        "Cost by the number of events",
        where([held("cost_curve")["machine"]]),
        element("div", *plots, class_="plots"),
    )


def arithmetic() -> Html | None:
    """The share of the machine's arithmetic."""
    found = rows_of("arithmetic")
    if not found:
        return None
    heads = (
        "tokens a batch",
        "threads",
        "targets a second",
        "useful GFLOP/s",
        "of a large product",
        "of the product with the table",
    )
    lines = [
        (
            f"{row['tokens']:,}",
            "2 processes" if "processes" in row else row["threads"],
            f"{row['targets_per_second']:,.0f}",
            row["useful_gflops"],
            f"{row['share_of_large_product']:.0%}",
            f"{row['share_of_table_product']:.0%}",
        )
        for row in found
    ]
    return section(
        "Useful arithmetic of training",
        where([held("arithmetic")["machine"]]),
        table(heads, lines, numbers=range(6)),
    )


def published() -> Html | None:
    """Published families and their figures."""
    found = rows_of("published")
    if not found:
        return None
    heads = ("family", "NDCG@10", "published", "reached within 5 %", "minutes of one core", "source")
    lines = [
        (
            row["label"],
            f"{row['test']['ndcg@10']:.4f}",
            f"{row['published']:.4f}",
            "yes" if row["reached"] else "no",
            f"{row['cpu_seconds'] / 60:.0f}",
            row["source"],
        )
        for row in found
    ]
    title = "Published families on MovieLens-1M, leave one out, not refitted"
    return section(title, where(row["machine"] for row in found), table(heads, lines, numbers=(1, 2, 4)))


def every_model() -> Html | None:
    """Every model, within the same minutes."""
    found = rows_of("every_model")
    if not found:
        return None
    parts: list[Html] = []
    for data in dict.fromkeys(row["data"] for row in found):
        own = sorted((row for row in found if row["data"] == data), key=lambda row: -row["test"]["ndcg@10"])
        parts.append(
            bars(data, [(row["label"], row["test"]["ndcg@10"]) for row in own], note="NDCG@10 on test")
        )
    note = paragraph("The table with seconds, memory and parameters is in docs/models.md.", kind="soft")
    return section(
        "Every model within the same minutes of one core", note, element("div", *parts, class_="plots")
    )


def flagship() -> Html | None:
    """The flagship beside the rules and other networks, under each protocol."""
    found = rows_of("flagship")
    parts: list[Html] = []
    for case, data in dict.fromkeys((row["case"], row["data"]) for row in found):
        own = [row for row in found if (row["case"], row["data"]) == (case, data)]
        for targets in own[0]["test"]:
            by: dict[str, list[float]] = {}
            for row in own:
                by.setdefault(row["model"], []).append(row["test"][targets]["ndcg@10"])
            means = sorted(
                ((name, statistics.mean(values)) for name, values in by.items()), key=lambda one: -one[1]
            )
            parts.append(bars(f"{data}, {case}, {targets}", means, note="NDCG@10 on test, mean over seeds"))
    if not parts:
        return None
    note = paragraph(
        "Protocols, intervals, paired tests, minutes and memory are in docs/flagship.md.", kind="soft"
    )
    taken = where(row["machine"] for row in found)
    return section("The flagship", note, taken, element("div", *parts, class_="plots"))


def where(rows: Iterable[Row]) -> Html:
    """On which commits and machines rows were taken."""
    names = ("processor", "vectors", "cores", "threads", "torch", "commit")
    known: Sequence[str] = list(
        dict.fromkeys(", ".join(f"{name} {row[name]}" for name in names if name in row) for row in rows)
    )
    return paragraph(f"Taken on: {'; '.join(known)}.", kind="soft")


SECTIONS = (training, until, answering, preparing, cost, arithmetic, published, every_model, flagship)

if __name__ == "__main__":
    main()
