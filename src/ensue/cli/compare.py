"""`ensue compare`: models on one log, with paired tests against the best."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensue.cli.options import Json, Source, gathered
from ensue.cli.plan import Choices, experiment

if TYPE_CHECKING:
    from ensue.significance import Comparison


@gathered
def compare(source: Source, choices: Choices, as_json: Json = False) -> None:
    """Compare models on a log, with tests against the best.

    LOG may be an experiment file (.toml), or the folder of a run, whose stored figures are then compared without
    any training. P-values are corrected for all comparisons made (Holm).
    """
    from ensue import ladder
    from ensue.cli import progress, results, terminal
    from ensue.errors import ArtifactError

    folder = Path(source.log)
    if (folder / ladder.RESULTS).is_file():
        outcome = stored(folder)
    else:
        if (folder / "model.json").is_file():
            raise ArtifactError(
                f"{folder} is one model, and comparing takes a run: give {folder.parent.parent}."
            )
        done = ladder.run(experiment(source, choices, "-compare"), progress.shown())
        folder, outcome = done.folder, done.to_json()
    found = ladder.comparison(folder, outcome["experiment"]["seed"])
    if as_json:
        terminal.emit({"folder": str(folder), **outcome, "comparison": found.to_json()})
        return
    results.show(outcome, str(folder))
    terminal.out()
    _show(found, outcome)


def stored(folder: Path) -> Mapping[str, Any]:
    """The results that a run has written.

    Raises:
        ArtifactError: they are damaged.
    """
    from ensue import ladder
    from ensue.errors import ArtifactError

    path = folder / ladder.RESULTS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not found["models"] or not found["best"] or "seed" not in found["experiment"]:
            raise KeyError("models")
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as fault:
        raise ArtifactError(f"{path} is damaged ({fault}): run the experiment anew.") from fault
    return dict(found)


def _show(found: Comparison, outcome: Mapping[str, Any]) -> None:
    """Prints the tests."""
    from ensue.cli import results, terminal

    name, unit = results.titled(found.metric), outcome["experiment"]["sequences"]["by"]
    terminal.out(
        f"Highest {name} in the test: {found.best}, {found.value:.4f}. How sure is it of each other model?"
    )
    if found.others:
        right: dict[str, Any] = {"justify": "right"}
        made = terminal.table(
            ("model", {"overflow": "fold"}), (name, right), ("lower by", right), "95 % interval", ("p (Holm)", right),
            (f"{unit}s that\ndiffer", right),
        )  # fmt: skip
        for other in found.others:
            gap = other.paired.difference
            between = f"{gap.low:.4f} to {gap.high:.4f}"
            cells = [other.model, f"{other.value:.4f}", f"{gap.value:.4f}", between, f"{other.p_value:.2g}"]
            terminal.row(made, [*cells, f"{other.paired.differing:,} of {gap.n:,}"])
        terminal.show(made)
    terminal.out(
        "p: how often chance alone gives such a gap (paired sign-flip test over users), Holm-corrected."
    )
    if outcome["best"] != found.best:
        terminal.out(
            f"The run serves {outcome['best']}, which was best on validation: a choice made on test figures would "
            "flatter itself."
        )
