"""`ensue compare`: a ladder of models on one log under one budget, with paired tests against the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensue.cli.options import Json, Source, count, gathered, names, number
from ensue.cli.plan import Choices, experiment
from ensue.errors import ConfigError

if TYPE_CHECKING:
    from ensue.significance import Comparison


@gathered
def compare(
    source: Source,
    choices: Choices,
    minutes: Annotated[
        float | None,
        typer.Option(
            parser=number,
            metavar="MINUTES",
            help="For all networks together, shared out evenly; 0 is no limit. [default: 20 for a log]",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(parser=count, metavar="N", help="Run the networks with so many seeds.")
    ] = 1,
    thin: Annotated[
        str,
        typer.Option(
            metavar="SHARE,...", help="Learn from these shares of the users too, such as 1.0,0.5,0.25,0.1."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Compare models on a log, with tests against the best.

    LOG may be an experiment file (.toml), or the folder of a run, whose stored figures are then compared without
    any training. P-values are corrected for all comparisons made (Holm). Models that read when they are asked
    and those that do not are compared among themselves alone. Without --models, which may name presets
    too, it is a ladder from popularity over Markov chains, rules, neighbours and matrix factorisation to networks.
    """
    from ensue import ladder
    from ensue.cli import comparisons, results, terminal
    from ensue.errors import ArtifactError
    from ensue.run_folder import instead
    from ensue.run_folder import results as results_of
    from ensue.tracks import SAID, by_track, track_in

    folder = Path(source.log)
    if (folder / ladder.RESULTS).is_file():
        if thin or seeds != 1 or minutes is not None or choices != Choices() or source.given():
            raise ConfigError(
                f"{folder} is a run that is done, and is compared as it is: options other than --json take a log or an "
                "experiment file."
            )
        outcome = results_of(folder)
    else:
        if (folder / "model.json").is_file():
            raise ArtifactError(
                f"{folder} is one model, and comparing takes a run: give {folder.parent.parent}."
            )
        if other := instead(folder):
            raise ArtifactError(f"{folder} is no run: {other}")
        folder, outcome = _compared(source, choices, minutes, seeds, thin)
    found = {
        track: ladder.comparison(folder, outcome["experiment"]["seed"], [rung["label"] for rung in rungs])
        for track, rungs in by_track(outcome["models"]).items()
    }
    if as_json:
        tests = {track: one.to_json() for track, one in found.items()}
        served = next(track_in(rung) for rung in outcome["models"] if rung["label"] == outcome["best"])
        content = {"comparison": tests[served], "comparisons": tests}
        terminal.emit({"folder": str(folder), **outcome, **content})
        return
    results.show(outcome, str(folder))
    for track, one in found.items():
        terminal.out()
        if len(found) > 1:
            terminal.out(f"{SAID[track].capitalize()}:")
        _show(one, outcome)
    comparisons.show(outcome)


def _compared(
    source: Source, choices: Choices, minutes: float | None, seeds: int, thin: str
) -> tuple[Path, Mapping[str, Any]]:
    """The folder and the results of a comparison that is made now."""
    from ensue import comparing
    from ensue.cli import progress

    shares = [_share(text) for text in names(thin)]
    limited = choices.max_minutes is not None
    if minutes is not None and limited:
        raise ConfigError(
            "--minutes is for all networks together, --max-minutes for each: give one of the two."
        )
    described = limited or choices.config is not None or source.log.endswith(".toml")
    budget = comparing.MINUTES if minutes is None and not described else minutes
    asked = experiment(source, replace(choices, models=""), "-compare")
    done = comparing.compare(
        asked,
        minutes=budget,
        seeds=seeds,
        thin=shares,
        names=names(choices.models),
        progress=progress.shown(),
    )
    return done.outcome.folder, done.to_json()


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--thin: '{text}' is not a number, such as 0.25.") from None


def _show(found: Comparison, outcome: Mapping[str, Any]) -> None:
    """Prints the tests."""
    from ensue.cli import results, terminal

    name, unit = results.titled(found.metric), outcome["experiment"]["sequences"]["by"]
    if not found.others:
        terminal.out(
            f"{found.best} is the only one, {name} {found.value:.4f}: there is nothing to compare it with."
        )
        return
    end, gaps = ("Lowest", "higher by") if found.lowest else ("Highest", "lower by")
    terminal.out(
        f"{end} {name} in the test: {found.best}, {found.value:.4f}. How sure is it of each other model?"
    )
    right: dict[str, Any] = {"justify": "right"}
    made = terminal.table(
        ("model", {"overflow": "fold"}), (name, right), (gaps, right), "95 % interval", ("p (Holm)", right),
        (f"{unit}s that\ndiffer", right),
    )  # fmt: skip
    for other in found.others:
        gap = other.paired.difference
        between = f"{gap.low:.4f} to {gap.high:.4f}"
        cells = [other.model, f"{other.value:.4f}", f"{gap.value:.4f}", between, f"{other.p_value:.2g}"]
        terminal.row(made, [*cells, f"{other.paired.differing:,} of {gap.n:,}"])
    terminal.show(made)
    terminal.out(
        f"p: how often chance alone gives such a gap (paired sign-flip test over {unit}s), Holm-corrected."
    )
    seen = seeable(found, name, unit)
    if seen:
        terminal.out(seen)
    rivals = [found.best, *(other.model for other in found.others)]
    if outcome["best"] in rivals[1:]:
        terminal.out(
            f"The run serves {outcome['best']}, which was best on validation: a choice made on test figures would "
            "flatter itself."
        )


def seeable(found: Comparison, name: str, unit: str) -> str:
    """Which differences from the best are too small for this test, in words; "" where nothing differs.

    Args:
        found: the tests.
        name: of the metric, as it is shown.
        unit: what is counted, "user" or "session".
    """
    known = sorted(
        (other.paired.smallest, other.model, other.paired.difference.n)
        for other in found.others
        if other.paired.smallest
    )
    if not known:
        return ""
    (least, close, users), (most, far, _) = known[0], known[-1]
    between = "" if len(known) == 1 else f", up to {most:.4f} against {far}"
    return (
        f"Differences of {name} below {least:.4f} (against {close}{between}) cannot be told on these {users:,} "
        f"{unit}s: a true one of that size is found four times out of five."
    )
