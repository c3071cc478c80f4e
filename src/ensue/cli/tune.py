"""`ensue tune`: the settings of models, searched for on validation."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensue.cli.options import Json, Source, count, gathered, number
from ensue.cli.plan import Choices, experiment
from ensue.errors import ConfigError
from ensue.progress import spoken

if TYPE_CHECKING:
    from ensue.tuning import Tried, Tuned

SHOWN = 10
"""How many trials the table has."""


@gathered
def tune(
    source: Source,
    choices: Choices,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A model to tune; may be given again, as --models A,B says it too."
        ),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(parser=count, metavar="N", help="Trials in all, those of earlier commands included."),
    ] = 30,
    minutes: Annotated[
        float,
        typer.Option(
            parser=number,
            metavar="MINUTES",
            help="Search for so long; each trial has an equal share. 0 is no limit.",
        ),
    ] = 20.0,
    workers: Annotated[
        int, typer.Option(parser=count, metavar="N", help="Processes that run trials side by side.")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Search the settings of models on validation, and write the best as an experiment.

    LOG may be an experiment file (.toml) instead: its models are tuned, but for the settings that it gives. The test
    part is in no trial. The same command goes on with the study in its folder. Then: ensue run FOLDER/tuned.toml. A log
    takes --model or --models; there is no default.
    """
    from ensue import tuning
    from ensue.cli import progress, terminal

    if model and choices.models:
        raise ConfigError("--model and --models both say what is tuned: give one of them.")
    if model:
        choices = replace(choices, models=",".join(model))
    asked = experiment(source, choices, "-tune")
    found = tuning.tune(asked, trials=trials, minutes=minutes, workers=workers, progress=progress.shown())
    if as_json:
        terminal.emit(found.to_json())
        return
    _show(found)


def _show(found: Tuned) -> None:
    """Prints the best trials, what mattered, and what to type next."""
    from ensue.cli import results, terminal
    from ensue.tracks import APART, SAID
    from ensue.tuning import TUNED

    name, tracks = results.titled(found.metric), found.tracks
    terminal.out()
    for track, ranked in tracks.items():
        if len(tracks) > 1:
            terminal.out(f"{SAID[track].capitalize()}:")
        _table(ranked, name, len(found.experiment.models) > 1)
        terminal.out()
    for line in [*notes(found), *([APART] if len(tracks) > 1 else [])]:
        terminal.out(line)
    terminal.out()
    terminal.out("Next, type:")
    terminal.out(f"  ensue run {shlex.quote(str(found.folder / TUNED))}", fold=False)


def _table(ranked: Sequence[Tried], name: str, several: bool) -> None:
    """Prints the best trials of one track."""
    from ensue.cli import results, terminal

    right: dict[str, Any] = {"justify": "right"}
    heads: list[str | tuple[str, dict[str, Any]]] = [("trial", right)]
    heads += [("model", {"no_wrap": True})] if several else []
    made = terminal.table(
        *heads, (name, right), ("epochs", right), ("sec.", right), ("settings", {"overflow": "fold"})
    )
    for trial in ranked[:SHOWN]:
        cells = [str(trial.number), *([trial.label] if several else []), f"{trial.value:.4f}"]
        cells += [str(trial.epochs or "-"), results.seconds(trial.seconds or 0.0), written(trial)]
        terminal.row(made, cells, "bold" if trial is ranked[0] else "")
    terminal.show(made)


def notes(found: Tuned) -> list[str]:
    """What the table means, in lines.

    Args:
        found: the tuning.
    """
    counts = Counter(trial.state for trial in found.trials)
    said = ", ".join(f"{number} {state}" for state, number in counts.most_common())
    lines = [
        f"{len(found.trials)} trials ({said}), compared on validation; the test part is in none of them."
    ]
    for best, *_ in found.tracks.values():
        first = found.began(best)
        if first is best:
            lines.append(f"Nothing did better than {best.label} as it is.")
            continue
        gain = (best.value or 0.0) - (first.value or 0.0)
        lines.append(
            f"{best.label} began at {first.value:.4f} (trial {first.number}); the best is {gain:.4f} above it, and the "
            "best of many flatters itself: what it is worth, the test of the run below tells."
        )
    if found.minutes and any(trial.epochs for trial in found.trials):
        lines.append(
            f"A network had {spoken(found.minutes)} in each trial, and has as long in the tuned experiment."
        )
    for label, shares in found.importance.items():
        told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        lines.append(f"What made trials of {label} good: {told}")
    faults = {trial.fault: trial for trial in found.trials if trial.fault}
    return lines + [f"Trial {trial.number} failed: {fault}" for fault, trial in faults.items()]


def written(trial: Tried) -> str:
    """The settings of a trial as --set takes them.

    Args:
        trial: which one.
    """
    return ", ".join(f"{name}={_value(value)}" for name, value in trial.settings.items()) or "as it is"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
