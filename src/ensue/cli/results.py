"""The table of a run, from what the run has written: the same at the end of a run and when it is shown anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ensue.cli import terminal
from ensue.experiment import RMSE
from ensue.leading import leading
from ensue.reporting.reading import chosen
from ensue.reporting.reading import shown_metrics as shown_metrics
from ensue.reporting.reading import titled as titled
from ensue.tracks import APART, SAID, by_track

FIT, SPACE = ("fit, s", "p50 ms"), ("param.", "size")
"""Heads of what a model costs; where there is little room, two of them share a column."""

COSTS = (
    "fit: seconds with validation and refit; p50: half of the answers, asked one at a time, took no longer."
)

ROOMY = 116
"""From so many columns on each cost has a column of its own."""


def show(outcome: Mapping[str, Any], folder: str) -> None:
    """Prints the table of all models of a run, one for each track, and how to read it.

    Args:
        outcome: the content of the run's run.json.
        folder: of the run.
    """
    tracks = by_track(outcome["models"])
    for track, rungs in tracks.items():
        if len(tracks) > 1:
            terminal.out(f"{SAID[track].capitalize()}:")
        _table(rungs, outcome["best"], leading(outcome) == RMSE)
        terminal.out()
    for line in notes(outcome, folder):
        terminal.out(line)


def _table(rungs: Sequence[Mapping[str, Any]], best: str, by_rmse: bool) -> None:
    """Prints the table of models of one track, RMSE first where that leads."""
    wide, roomy = terminal.width() >= terminal.NARROW, terminal.width() >= ROOMY
    metrics = shown_metrics(list(rungs[0]["test"]["all"]["metrics"]))
    if by_rmse and not roomy:  # RMSE and its interval take their room; `--json` and the report have them all
        metrics = metrics[: 3 if wide else 2]
    right: dict[str, Any] = {"justify": "right"}
    sure = metrics[: 1 if by_rmse else 2]  # those with their intervals
    heads: list[str | tuple[str, dict[str, Any]]] = [("model", {"overflow": "fold"})]
    heads += [(titled(RMSE), {"justify": "left"})] if by_rmse else []
    heads += [(titled(name), {"justify": "left"} if name in sure else right) for name in metrics]
    heads += [(f"warm\n{titled(metrics[0])}", right)]
    heads += [(head, right) for head in ((*FIT, *SPACE) if roomy else map("\n".join, (FIT, SPACE)))]
    made = terminal.table(*heads)
    for rung in rungs:
        test = rung["test"]
        cells = [f"{rung['label']} *" if rung["label"] == best else rung["label"]]
        cells += [measured(rung["ratings"]["warm"], RMSE, True, wide)] if by_rmse else []
        cells += [measured(test["all"], name, name in sure, wide) for name in metrics]
        cells += [measured(test["warm"], metrics[0])]
        costs = (seconds(rung["fit_seconds"]), answer(rung)), (parameters(rung["facts"]), space(rung))
        cells += [one for pair in costs for one in pair] if roomy else ["\n".join(pair) for pair in costs]
        terminal.row(made, cells, "bold" if rung["label"] == best else "")
    terminal.show(made)


def notes(outcome: Mapping[str, Any], folder: str) -> list[str]:
    """What the table means, in lines."""
    rungs, best = outcome["models"], outcome["best"]
    test, wanted = rungs[0]["test"], outcome["experiment"]["evaluation"]["choose_on"]
    counts = test["counts"]
    value = next(rung["validation"] for rung in rungs if rung["label"] == best)
    why = "* taken as the best: the last of the ladder, since there was nothing to choose on"
    if value is not None:
        why = f"* the best, chosen on validation: {chosen(wanted, value)}"
    unit = outcome["experiment"]["sequences"]["by"]
    where = "beside" if terminal.width() >= terminal.NARROW else "under"
    cold = counts["cold_targets"]
    missed = f"Of them, training never saw {cold:,}: these count as misses, and 'warm' leaves them out."
    if cold and cold == counts["targets"]:
        missed = "Training has seen none of them: all count as misses, and nothing here tells models apart."
    sure = f"each {unit} weighing the same; {where} each figure its 95 % interval."
    if counts["users"] == 1:
        sure = "whose figures tell nothing of others: there is no interval."
    tracks = by_track(rungs)
    said = [f"All models are {SAID[track]}." for track in tracks][:1] if len(tracks) == 1 else [APART]
    lines = [
        why,
        *said,
        f"Headline: all {counts['targets']:,} targets of {counts['users']:,} {unit}{'s' * (counts['users'] != 1)}, "
        f"{sure}",
        missed if cold else "Training has seen all of them, so 'warm' is the same.",
        *(
            f"{rung['label']} expects ratings: {rated(rung['ratings'])}"
            for rung in rungs
            if rung.get("ratings")
        ),
        *([COSTS] if any(rung.get("cost") for rung in rungs) else []),
        *([f"This split leaks: {leaks}."] if (leaks := outcome["split"].get("leaks")) else []),
        *(f"Warning: {rung['label']}: {one}." for rung in rungs for one in rung.get("warnings") or ()),
        f"All models are saved in {folder}/models",
    ]
    return lines + [f"{label} was left out: {reason}" for label, reason in outcome["skipped"].items()]


def rated(found: Mapping[str, Any]) -> str:
    """How far off expected ratings are, beside the baselines, in one line."""
    own = found["warm"]["metrics"]["rmse"]
    others = (
        f"{name} {one['warm']['metrics']['rmse']['value']:.4f}" for name, one in found["baselines"].items()
    )
    beside = "; ".join(others)
    return (
        f"RMSE {own['value']:.4f} ({own['low']:.4f}-{own['high']:.4f}) over {found['warm']['targets']:,} warm targets, "
        f"MAE {found['warm']['metrics']['mae']['value']:.4f}" + (f"; RMSE by {beside}" if beside else "")
    )


def measured(group: Mapping[str, Any] | None, name: str, sure: bool = False, wide: bool = False) -> str:
    """A figure, with its interval if wanted; "-" where there was nothing to measure."""
    if group is None:
        return "-"
    found = group["metrics"][name]
    value = f"{found['value']:.4f}"
    if not sure or found.get("users") == 1:
        return value
    if wide:
        return f"{value} ({found['low']:.4f}-{found['high']:.4f})"
    return f"{value}\n{found['low']:.3f}-{found['high']:.3f}"


def seconds(value: float) -> str:
    """A time for a table."""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def answer(rung: Mapping[str, Any]) -> str:
    """Milliseconds of one answer, half of them being quicker; "-" where they were not measured."""
    cost = rung.get("cost")
    return "-" if cost is None else f"{cost['latency_ms']['p50']:.2f}"


def space(rung: Mapping[str, Any]) -> str:
    """The size of a saved model: "112k", "3.4M" bytes; "-" where it was not measured."""
    cost = rung.get("cost")
    if cost is None:
        return "-"
    size = cost["artifact_bytes"]
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if size >= scale:
            return f"{size / scale:.{1 if size < 10 * scale else 0}f}{unit}"
    return str(size)


def parameters(facts: Mapping[str, Any]) -> str:
    """How many numbers a network has learnt; "-" for a model that counts."""
    number = facts.get("parameters") or facts.get("first_fit", {}).get("parameters")
    if number is None:
        return "-"
    return f"{number:,}" if number < 10_000 else f"{number / 1000:,.0f}k"
