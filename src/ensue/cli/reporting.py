"""The end of a run on the screen: table, samples of recommendations, and what to type next."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ensue.cli import results, slates, terminal

if TYPE_CHECKING:
    from ensue.ladder import Outcome


def report(outcome: Outcome, as_json: bool, k: int) -> None:
    """Shows what a run came to.

    Args:
        outcome: of the run.
        as_json: write one JSON document instead.
        k: how many items each sample has.
    """
    recommender = outcome.recommender
    found = slates.samples(outcome, recommender, k)
    folder = str(outcome.folder)
    if as_json:
        shown = [sample.to_json() for sample in found]
        terminal.emit({"folder": folder, **outcome.to_json(), "recommendations": shown})
        return
    terminal.out()
    results.show(outcome.to_json(), folder)
    terminal.out()
    terminal.out(f"Recommendations of the best model, {outcome.best}:")
    slates.show_samples(found, recommender, k)
    terminal.out()
    terminal.out("Next, type:")
    for sample in found:
        terminal.out(f"  {sample.command}", fold=False)
    terminal.out(f"  ensue compare {shlex.quote(folder)}", fold=False)
