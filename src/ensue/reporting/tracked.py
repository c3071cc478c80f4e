"""What trackers of experiments are given of a model: figures and learning curves, under names that all of them take."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ensue.reporting.learning import first_fit


def tracked(rung: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """(name, value, step) of what a model reached, took and, by epoch, learnt.

    Args:
        rung: a model of a run.
    """
    rated = rung["ratings"]["warm"]["metrics"] if rung.get("ratings") else {}
    for name, found in (rung["test"]["all"]["metrics"] | rated).items():
        yield f"test/{named(name)}", float(found["value"]), 0
        for end in ("low", "high"):
            yield f"test/{named(name)}_{end}", float(found[end]), 0
    if rung["validation"] is not None:
        yield "validation/chosen_on", float(rung["validation"]), 0
    yield "cost/fit_seconds", float(rung["fit_seconds"]), 0
    for row in first_fit(rung["facts"]).get("history") or ():
        for name in ("loss", "score"):
            if row.get(name) is not None:
                yield f"learning/{name}", float(row[name]), int(row["epoch"])


def named(text: str) -> str:
    """A name that every tracker takes: none of them knows "@".

    >>> named("ndcg@10")
    'ndcg_at_10'
    """
    return re.sub(r"[^\w\-.]", "_", text.replace("@", "_at_"))
