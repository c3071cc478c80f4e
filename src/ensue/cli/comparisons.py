"""What a comparison has beside the table of its run: the budget, the spread over seeds, and less to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ensue.cli import results, terminal
from ensue.progress import spoken
from ensue.tracks import by_track

RIGHT: dict[str, Any] = {"justify": "right"}


def show(outcome: Mapping[str, Any]) -> None:
    """Prints what there is.

    Args:
        outcome: the content of the run's run.json.
    """
    tracks = [[rung["label"] for rung in rungs] for rungs in by_track(outcome["models"]).values()]
    if "budget" in outcome:
        terminal.out(budget(outcome))
    if "seeds" in outcome:
        terminal.out()
        _show_seeds(outcome["seeds"], outcome["experiment"]["evaluation"]["choose_on"], tracks)
    for labels in tracks if "thinned" in outcome else ():
        terminal.out()
        _show_thinned(outcome["thinned"], labels)


def budget(outcome: Mapping[str, Any]) -> str:
    """How the minutes were shared out, and what each network took of them."""
    found = outcome["budget"]
    took = {
        rung["label"]: rung["fit_seconds"] / 60
        for rung in outcome["models"]
        if rung["label"] in found["networks"]
    }
    if not took:
        return "No network was among the models, so that there was no budget to share out."
    whole = found["minutes"]
    limit = spoken(whole) if whole else "no limit"
    listed = ", ".join(f"{label} {spoken(minutes)}" for label, minutes in took.items())
    return (
        f"Budget of all networks: {limit}. Time that each took, with its validation and its refit: {listed}."
    )


def _show_seeds(found: Mapping[str, Any], wanted: str, tracks: Sequence[Sequence[str]]) -> None:
    """The spread of the networks over seeds, a table for each track."""
    models = found["models"]
    reported = list(next(iter(models.values())))
    name = wanted if wanted in reported else reported[0]
    titled = results.titled(name)
    seeds = found["seeds"]
    terminal.out(f"The networks with {len(seeds)} seeds, {seeds[0]} to {seeds[-1]}:")
    for labels in (own for own in tracks if not models.keys().isdisjoint(own)):
        made = terminal.table(
            ("model", {"overflow": "fold"}), (f"{titled},\nmean", RIGHT), ("deviation", RIGHT), ("lowest", RIGHT),
            ("highest", RIGHT),
        )  # fmt: skip
        for label in (label for label in models if label in labels):
            own = models[label][name]
            spread = [own["mean"], own["deviation"] or 0.0, min(own["values"]), max(own["values"])]
            terminal.row(made, [label, *(f"{value:.4f}" for value in spread)])
        terminal.show(made)
    terminal.out("The deviation is that of one run; intervals and tests above are those of the first seed.")


def _show_thinned(found: Mapping[str, Any], among: Sequence[str]) -> None:
    """The curves of some models against less to learn from, whole and by the length of the history."""
    points, name = found["points"], found["metric"]
    labels = [label for label in points[0]["models"] if label in among]
    if not labels:
        return
    heads = [(f"{point['share']:g}", RIGHT) for point in points]
    made = terminal.table(("model", {"overflow": "fold"}), *heads)
    for label in labels:
        terminal.row(made, [label, *(_value(point["models"].get(label), name) for point in points)])
    terminal.row(made, ["users learnt from", *(f"{point['users']:,}" for point in points)])
    terminal.row(made, ["their events", *(f"{point['events']:,}" for point in points)])
    terminal.out(
        f"{results.titled(name)} by the share of the users that is learnt from; the test is the same for all:"
    )
    terminal.show(made)
    parts = [part["label"] for part in points[0]["models"][labels[0]]["segments"].get("whole_history", [])]
    if len(parts) < 2:
        return
    made = terminal.table("history", ("model", {"overflow": "fold"}), *heads)
    for part in parts:
        for place, label in enumerate(labels):
            values = [_of_part(point["models"].get(label), part, name) for point in points]
            terminal.row(made, [part if place == 0 else "", label, *values])
    terminal.out("The same by the length of the history, in three parts of about as many targets each:")
    terminal.show(made)


def _of_part(test: Mapping[str, Any] | None, label: str, name: str) -> str:
    """The figure of one part of the targets."""
    parts = [] if test is None else test["segments"].get("whole_history", [])
    found = next((part for part in parts if part["label"] == label), None)
    return "-" if found is None else f"{found['metrics'][name]['value']:.4f}"


def _value(test: Mapping[str, Any] | None, name: str) -> str:
    return "-" if test is None else f"{test['all']['metrics'][name]['value']:.4f}"
