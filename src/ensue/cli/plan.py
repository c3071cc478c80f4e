"""An experiment from the command line: a TOML file if there is one, and the options over it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensue.cli.options import Days, Rule, Source, Targets, TargetSeed, Unit, count, names, number
from ensue.cli.shaping import Aiming, Shaping
from ensue.errors import ConfigError

if TYPE_CHECKING:
    from ensue.experiment import Experiment


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an experiment does with a shaped log; what is not given is as in the file, or the default."""

    config: Annotated[
        Path | None, typer.Option(metavar="TOML", help="Experiment file; options given here override it.")
    ] = None
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Folder of the run. [default: runs/NAME]")] = ""
    models: Annotated[
        str,
        typer.Option(metavar="A,B,...", help="Models to run, see `ensue models`. [default: see above]"),
    ] = ""
    by: Annotated[Unit | None, typer.Option(help="What a sequence is. [default: user]")] = None
    session_gap: Annotated[
        float | None,
        typer.Option(parser=number, metavar="SECONDS", help="Cut sessions where more time passes than this."),
    ] = None
    split: Annotated[Rule | None, typer.Option(help="How the log is split. [default: auto]")] = None
    days: Days = None
    windows: Annotated[
        int | None,
        typer.Option(
            parser=count,
            metavar="N",
            help="Of `ensue run`: test N times, in tests that follow each other, each model trained on what lies "
            "before.",
        ),
    ] = None
    targets: Annotated[
        Targets | None,
        typer.Option(
            help="Test every event of the test part, each user's last, one drawn, or one hidden item of each user's "
            "last basket, the rest of it open (completion). [default: successive]"
        ),
    ] = None
    target_seed: TargetSeed = None
    exclude_seen: Annotated[
        bool | None,
        typer.Option(
            "--exclude-seen/--include-seen",
            help="Leave items of the history out of the answers. [default: as the audit advises]",
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(parser=count, metavar="N", help="Same seed, same bits on one machine. [default: 0]"),
    ] = None
    max_minutes: Annotated[
        float | None,
        typer.Option(parser=number, metavar="MINUTES", help="Training time of one network. [default: 10]"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Choices(Shaping, Aiming, Plan):
    """All that an experiment does with a log."""


def experiment(source: Source, choices: Choices, suffix: str = "") -> Experiment:
    """The experiment that was asked for, checked as a whole.

    Args:
        source: the log, or an experiment file in its place.
        choices: what to do with it.
        suffix: ends the name of the run's folder, where none is given.

    Raises:
        ConfigError: a file or an option is wrong; all faults of the options are listed.
    """
    from ensue.events.readers.sql import name_of
    from ensue.experiment import experiment_of, read_experiment

    file, log = choices.config, source.log
    if log.endswith(".toml"):
        if file is not None:
            raise ConfigError(f"Both {log} and --config {file} are experiment files: give one of them.")
        file, log = Path(log), ""
    content = {} if file is None else read_experiment(file).to_json()
    _put(content, "data", {"source": log} if log else {})
    given = source.content()
    if "columns" in given:  # one column more, or another for one of them; the rest of the file's stay
        given["columns"] = {**content["data"].get("columns", {}), **given["columns"]}
    _put(content, "data", given)
    if not content["data"].get("source"):
        raise ConfigError(f'{file} names no log: add source = "events.csv" under [data].')
    _put(content, "sequences", _given(by=choices.by, session_gap=choices.session_gap))
    if choices.sessions:  # a rule takes the place of the file's
        content["sessions"] = {}
        _put(content, "sequences", {"session_gap": choices.session_gap or 0.0})
    for table, values in choices.content().items():
        _put(content, table, values)
    if aims := choices.aims():
        _put(content, "objective", aims)
    _put(content, "split", _given(rule=choices.split, days=choices.days, windows=choices.windows))
    _put(content, "evaluation", _given(targets=choices.targets, target_seed=choices.target_seed))
    _put(content, "evaluation", _given(exclude_seen=choices.exclude_seen))
    content |= _given(seed=choices.seed, max_minutes=choices.max_minutes, out=choices.out or None)
    if choices.models:
        described = content.get("models") or {}
        content["models"] = {label: described.get(label, {}) for label in names(choices.models)}
    if not content.get("out"):
        named = name_of(str(file or content["data"]["source"])) or "log"
        content["out"] = f"runs/{named}{suffix}"
    return experiment_of(content, "The command line")


def _put(content: dict[str, Any], name: str, given: dict[str, Any]) -> None:
    content[name] = {**content.get(name, {}), **given}


def _given(**values: Any) -> dict[str, Any]:
    """The values that were given, enumerations as their text."""
    return {name: getattr(value, "value", value) for name, value in values.items() if value is not None}
