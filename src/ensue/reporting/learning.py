"""How the networks of a run learnt: loss and validation by epoch, and the epoch that was kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ensue.report.blocks import Grid, Part, Pictures, Words
from ensue.report.comparing import Series, lines
from ensue.report.page import Html
from ensue.reporting.reading import Absent, Run, titled

FEW = 10
"""Up to so many epochs, each has its place under the axis."""


def learning(run: Run) -> Part | Absent:
    """Learning curves of the first fits: those that validation was looked at in."""
    known = [
        (rung["label"], first) for rung in run.rungs if (first := first_fit(rung["facts"])).get("history")
    ]
    if not known:
        return Absent("Learning curves", "no model of this run learns in epochs")
    drawn: list[Html] = []
    scores = [Series(label, _points(facts["history"], "score")) for label, facts in known]
    judged = next(
        (facts["chosen"]["metric"] for _, facts in known if (facts.get("chosen") or {}).get("metric")), ""
    )
    if any(one.points for one in scores):
        note = f"{titled(judged)} on the validation targets" if judged else "on the validation targets"
        drawn.append(
            lines(
                "Validation by epoch",
                scores,
                across="epoch",
                ticks=_epochs(known),
                note=note,
                from_zero=False,
            )
        )
    drawn += [
        lines(
            f"Training loss of {label}",
            [Series(label, _points(facts["history"], "loss"))],
            across="epoch",
            ticks=_epochs([(label, facts)]),
            note="mean over the targets of an epoch",
            from_zero=False,
        )
        for label, facts in known
    ]
    said = [Words(_kept(label, facts)) for label, facts in known]
    tables = tuple(_table(label, facts["history"]) for label, facts in known)
    return Part("learning", "Learning curves", (*said, Pictures(tuple(drawn), tables)))


def first_fit(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The facts of the fit that was judged on validation: the first, where the model was refitted."""
    found: Mapping[str, Any] = facts.get("first_fit") or facts
    return found


def _epochs(known: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[float, str]]:
    """The epochs under an axis, where they are few: between two of them there is none. Else none, for even steps."""
    found = sorted({float(row["epoch"]) for _, facts in known for row in facts["history"]})
    return [(epoch, f"{epoch:g}") for epoch in found] if len(found) <= FEW else []


def _points(history: Sequence[Mapping[str, Any]], name: str) -> tuple[tuple[float, float], ...]:
    return tuple((float(row["epoch"]), float(row[name])) for row in history if row.get(name) is not None)


def _kept(label: str, facts: Mapping[str, Any]) -> str:
    chosen, epochs = facts.get("chosen") or {}, len(facts["history"])
    if not chosen.get("epoch"):
        return f"{label}: {epochs} epochs, and the last is kept."
    late = " It was still getting better when training ended: more epochs or minutes may help." if (
        chosen["epoch"] == epochs and epochs > 1
    ) else ""  # fmt: skip
    return f"{label}: best on validation after epoch {chosen['epoch']} of {epochs}.{late}"


def _table(label: str, history: Sequence[Mapping[str, Any]]) -> Grid:
    rows = tuple(
        (
            f"{row['epoch']:g}",
            *(f"{row[name]:.4f}" if row.get(name) is not None else "-" for name in ("loss", "score")),
        )
        for row in history
    )
    return Grid(f"{label}, by epoch", ("epoch", "loss", "validation"), rows, (0, 1, 2))
