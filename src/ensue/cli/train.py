"""`ensue train`: one model on a whole log."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensue.cli.options import (
    By,
    ExcludeSeen,
    Json,
    Precision,
    Preset,
    Seed,
    SessionGap,
    Source,
    Unit,
    count,
    gathered,
    number,
    settings,
)
from ensue.cli.shaping import Aiming, Shaping
from ensue.cli.sharing import Processes
from ensue.errors import ConfigError

if TYPE_CHECKING:
    from ensue.events.audit import Audit
    from ensue.events.filtering import Filters
    from ensue.events.log import EventLog
    from ensue.model import Conditions, Model, Training
    from ensue.objective import Objective
    from ensue.ranking import Recommender
    from ensue.sequences import Sequences
    from ensue.splits import Split


@gathered
def train(
    source: Source,
    shaping: Shaping,
    aiming: Aiming,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Which model, see `ensue models`. [default: the preset's]")
    ] = "",
    preset: Annotated[
        Preset | None, typer.Option(help="Settings from the data; what --set says comes before them.")
    ] = None,
    settings_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the model; may be given again."),
    ] = None,
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Where the model is saved. [default: trained/MODEL]")
    ] = "",
    by: By = Unit.user,
    session_gap: SessionGap = 0.0,
    exclude_seen: ExcludeSeen = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Keep a network's state here after each epoch, and go on from it."
        ),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            parser=number,
            metavar="MINUTES",
            help="Training time of a network in all; 0 is no limit. [default: the preset's, else 0]",
        ),
    ] = None,
    processes: Processes = None,
    precision: Annotated[
        Precision, typer.Option(help="What a network computes in; auto is bf16 on a GPU.")
    ] = Precision.auto,
    tokens_at_once: Annotated[
        int,
        typer.Option(
            parser=count,
            metavar="N",
            help="Compute larger batches in parts of so many tokens; 0 computes them whole.",
        ),
    ] = 0,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Translate the network with torch.compile first.")
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Fit one model on all events of a log, and save it.

    Nothing is kept apart to test it on. A network first learns how long to train from a part that it leaves out, then
    trains anew on everything. From a folder of `ensue data prepare`, whose events stay on disk, it trains once, and
    stops early on what was kept apart there.
    """
    from ensue import artifacts, ladder, prepared
    from ensue.cli import progress, slates, terminal
    from ensue.events.audit import audit
    from ensue.experiment import described_model
    from ensue.model import Conditions, Training

    shown, shape, objective = progress.shown(), shaping.shape(session_gap), aiming.objective()
    own = settings(settings_ or [])
    if not model and preset is None:
        raise ConfigError(
            "Which model? Name one with --model (`ensue models` lists them), or take --preset fast."
        )
    if model and preset is None:
        known = described_model(model, own).settings()  # faults are told before anything is read
        given = {
            "--checkpoints": checkpoints,
            "--max-minutes": max_minutes,
            "--processes": processes,
            "--precision": precision is not Precision.auto,
            "--tokens-at-once": tokens_at_once,
            "--compile": compiled,
        }
        idle = ", ".join(option for option, value in given.items() if value)
        if idle and "epochs" not in known:
            shown.say(f"{model} is no network, so these change nothing: {idle}")
    conditions = Conditions(
        seed=seed,
        progress=shown,
        max_minutes=max_minutes or 0.0,
        checkpoints=checkpoints,
        processes=processes or 0,
        precision=precision.value,
        tokens_at_once=tokens_at_once,
        compile=compiled,
    )
    if prepared.is_prepared(source.log):
        if objective:
            raise ConfigError(
                f"{source.log} is prepared data, and what it is learnt towards was settled then: leave "
                f"{objective.words} out, or prepare the log anew with it."
            )
        training, learnt = _opened(source, shaping, by, session_gap, exclude_seen, shown.say)
        described, minutes = _described(model, preset, own, training.sequences, shown.say)
        if max_minutes is None:
            conditions = replace(conditions, max_minutes=minutes)
        recommender = described.fit(training, conditions)
        events = len(training.sequences.items)
        last = training.catalogue.decode(training.sequences.items[-2:])
    else:
        log = ladder.load_log(source.data(source.log), shown.say)
        for line in log.reading.lines():
            shown.say(line)
        log = shape.apply(log, shown.say)
        found = audit(log, by.value)
        seen = bool(found.advised("exclude_seen")) if exclude_seen is None else exclude_seen
        if objective:
            objective.check(log)
            for line in objective.lines(log):
                shown.say(line)
            if exclude_seen is None and objective.typed:
                seen, why = objective.exclusion(log, by.value)
                shown.say(f"objective: exclude_seen = {str(seen).lower()}, since {why}")
            log = objective.heard(log)
        kept = shape.filters.learnable(log, shown.say)[0]
        whole = Training.of(kept, found.by, seen, objective)
        described, minutes = _described(model, preset, own, whole.sequences, shown.say)
        if max_minutes is None:
            conditions = replace(conditions, max_minutes=minutes)
        recommender = _fit(described, log, shape.filters, found, whole, conditions)
        learnt = ladder.learnt(log, log, shape.said(by.value), objective=objective)
        learnt |= {"events": kept.n_events}
        events, last = kept.n_events, kept.frame["item"].tail(2).to_list()
    folder = Path(out or f"trained/{described.name}")
    artifacts.save(recommender, folder, facts={"learnt": learnt})
    if as_json:
        terminal.emit({"folder": str(folder), **artifacts.describe(folder)})
        return
    terminal.out(f"{described.name}, fitted on all {events:,} events, is saved in {folder}.")
    terminal.out("It is tested on nothing: `ensue run` tests models before it saves them.")
    terminal.out("Next, type:")
    history = slates.listed(last)
    terminal.out(
        f"  ensue recommend {shlex.quote(str(folder))} --history {shlex.quote(history)} -k 10", fold=False
    )


def _opened(
    source: Source,
    shaping: Shaping,
    by: Unit,
    session_gap: float,
    seen: bool | None,
    say: Callable[[str], None],
) -> tuple[Training, dict[str, Any]]:
    """What a prepared folder holds to learn from, and what a model says of it.

    Raises:
        ConfigError: an option says how to read a log, or what a sequence is: that was settled when it was prepared.
    """
    from ensue import prepared
    from ensue.objective import Objective

    said = prepared.describe(source.log)
    learnt = {**said["facts"].get("learnt", {}), "prepared": said["fingerprint"]}
    settled = source.given() + shaping.given()
    settled += ["--session-gap"] if session_gap else []
    settled += ["--by"] if by is Unit.session and learnt.get("sequences", {}).get("by") != "session" else []
    if settled:
        raise ConfigError(
            f"{source.log} is prepared data, so {', '.join(settled)} cannot be changed: leave it out, or prepare the "
            "log anew with it."
        )
    objective = Objective.learnt(learnt)
    training = prepared.open_training(source.log).towards(objective)
    if objective:
        say(f"objective: {objective.words}")
    asked = training.validation
    say(
        f"prepared: {said['events']:,} events of {said['sequences']:,} sequences on {said['items']:,} items "
        f"({said['split']}), "
        + (
            f"{len(asked):,} targets kept apart to stop early on"
            if asked
            else "nothing kept apart to stop early on"
        )
    )
    return (training if seen is None else replace(training, exclude_seen=seen)), learnt


def _described(
    model: str, preset: Preset | None, own: dict[str, Any], sequences: Sequences, say: Callable[[str], None]
) -> tuple[Model, float]:
    """The model that was named, with the settings of the preset where it has them, and the preset's minutes.

    Raises:
        ConfigError: the model is none that a preset is for.
    """
    from ensue.experiment import described_model
    from ensue.presets import preset as preset_of

    if preset is None:
        return described_model(model, own), 0.0
    found = preset_of(preset.value, sequences)
    name = model or found.model
    known = described_model(name, {}).settings()
    if "epochs" not in known:
        raise ConfigError(f"--preset is for networks, and {name} is none: leave it out.")
    for line in found.reasons if name == found.model else found.reasons[1:]:
        say(line)
    taken = {key: value for key, value in found.settings.items() if key in known}
    return described_model(name, taken | own), found.minutes


def _fit(
    model: Model, log: EventLog, filters: Filters, found: Audit, whole: Training, conditions: Conditions
) -> Recommender:
    """The model fitted on the whole log; a network stops early on a part of it first, to learn for how long.

    Both fits together keep to the minutes.
    """
    from ensue.model import Training, refit

    if "patience" not in model.settings():
        return model.fit(whole, conditions)
    parts = _parts(log, found, whole.objective)
    kept = filters.learnable(parts.train)[0]
    training = Training.of(kept, found.by, whole.exclude_seen, whole.objective)
    validation = parts.examples("test", training.catalogue)
    if not len(validation):
        conditions.progress.say("no event is left to stop early on: the network trains for all its epochs")
        return model.fit(whole, _in(conditions, "whole"))
    conditions.progress.say(
        f"{model.name}: how long to train is found on {len(validation):,} events left out"
    )
    conditions = replace(conditions, max_minutes=conditions.max_minutes / 2)
    first = model.fit(replace(training, validation=validation), _in(conditions, "part"))
    return refit(model, first, whole, _in(conditions, "whole"))


def _parts(log: EventLog, found: Audit, objective: Objective) -> Split:
    """The log in two: what a first fit learns from, and what it stops early on (the test part of a split)."""
    rule = "temporal" if found.advised("split") == "temporal" else "last"
    return objective.split(log, {"rule": rule, "test": 0.1, "validation": 0.0}, found.by)


def _in(conditions: Conditions, name: str) -> Conditions:
    """The conditions with a folder of checkpoints for one of the two fits."""
    kept = conditions.checkpoints
    return replace(conditions, checkpoints=None if kept is None else kept / name)
