"""How much of whole baskets the models of a run find, where it asks for the next basket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ensue.basket_evaluation import LISTED
from ensue.report.blocks import Grid, Part, Pictures, Words
from ensue.report.comparing import Estimate, forest
from ensue.report.page import Html
from ensue.report.plots import Mark
from ensue.reporting.reading import Absent, Run, between, titled

LEADING = ("recall@", "ndcg@")
"""The first metric of each of these is drawn, and has its interval in the table."""


def baskets(run: Run) -> Part | Absent:
    """All targets that are asked with one history as the relevant items of one ranking: repeats and new ones apart."""
    found = {rung["label"]: known for rung in run.rungs if (known := rung.get("baskets"))}
    if not found:
        return Absent("Whole baskets", "this run does not ask for a next basket (split.rule = 'basket')")
    first = next(iter(found.values()))
    metrics = list(first["all"]["metrics"])
    leading = [name for word in LEADING for name in [n for n in metrics if n.startswith(word)][:1]]
    recalls = list(dict.fromkeys(name for one in found.values() for name in _parts(one)))
    drawn = [_forest(titled(name), name, found, "all", run.unit) for name in leading]
    for name in recalls[:1]:
        drawn += [
            _forest(f"{titled(name)} of {said}", name, found, part, run.unit)
            for part, said in (("repeats", "repeats"), ("new", "new items"))
        ]
    drawn.append(
        forest(
            f"Repeats among the first {LISTED}",
            [
                Estimate(
                    label, one["listed_repeats"], one["listed_repeats"], one["listed_repeats"], "untested"
                )
                for label, one in found.items()
            ],
            mark=Mark(float(first["repeat_share"]), "share of repeats in the baskets"),
        )
    )
    heads = ("model", *(titled(name) for name in metrics))
    rows = tuple(
        (
            label,
            *(
                between(one["all"]["metrics"][name])
                if name in leading
                else f"{one['all']['metrics'][name]['value']:.4f}"
                for name in metrics
            ),
        )
        for label, one in found.items()
    )
    said = (
        f"{first['baskets']:,} baskets of {first['all']['users']:,} {run.unit}s, {first['items_a_basket']:.1f} items "
        f"each; {first['repeat_share']:.1%} of what is asked for are repeats, which the history holds. All items of a "
        "basket are the relevant ones of one ranking; a cold one is a miss. The other parts of this page ask for one "
        "item at a time."
    )
    return Part(
        "baskets",
        "Whole baskets",
        (
            Words(said),
            Grid("Whole baskets", heads, rows, tuple(range(1, len(heads)))),
            Pictures(tuple(drawn), (_apart(run, found, recalls),)),
        ),
    )


def _parts(one: Mapping[str, Any]) -> list[str]:
    """The metrics of repeats and of new items."""
    return [name for part in ("repeats", "new") if one[part] for name in one[part]["metrics"]]


def _forest(caption: str, name: str, found: Mapping[str, Mapping[str, Any]], part: str, unit: str) -> Html:
    """A metric of all models, of whole baskets or of a part of them."""
    estimates = [
        Estimate(label, known["value"], known["low"], known["high"], "untested")
        for label, one in found.items()
        if one[part] and (known := one[part]["metrics"].get(name))
    ]
    return forest(caption, estimates, note=f"with 95 % intervals over {unit}s")


def _apart(run: Run, found: Mapping[str, Mapping[str, Any]], recalls: list[str]) -> Grid:
    """Repeats and new items apart."""
    heads = ["model"]
    rows = [[label] for label in found]
    for part, said in (("repeats", "repeats"), ("new", "new items")):
        for name in recalls:
            heads.append(f"{titled(name)} of {said}")
            for row, one in zip(rows, found.values(), strict=True):
                known = one[part]["metrics"].get(name) if one[part] else None
                row.append("-" if known is None else between(known))
        heads.append(f"{run.unit}s who have {said}")
        for row, one in zip(rows, found.values(), strict=True):
            row.append(f"{one[part]['users']:,}" if one[part] else "0")
    heads.append(f"repeats among the first {LISTED}")
    for row, one in zip(rows, found.values(), strict=True):
        row.append(f"{one['listed_repeats']:.1%}")
    return Grid("Repeats and new items", tuple(heads), tuple(map(tuple, rows)), tuple(range(1, len(heads))))
