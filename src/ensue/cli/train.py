"""`ensue train`: one model on a whole log."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensue.cli.options import Json, Seed, Source, Unit, gathered, number, settings
from ensue.errors import ConfigError

if TYPE_CHECKING:
    from ensue.events.audit import Audit
    from ensue.events.log import EventLog
    from ensue.model import Conditions, Model, Training
    from ensue.ranking import Recommender


@gathered
def train(
    source: Source,
    model: Annotated[str, typer.Option(metavar="NAME", help="Which model, see `ensue models`.")],
    settings_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the model; may be given again."),
    ] = None,
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Where the model is saved. [default: trained/MODEL]")
    ] = "",
    by: Annotated[Unit, typer.Option(help="What a sequence is.")] = Unit.user,
    session_gap: Annotated[
        float,
        typer.Option(parser=number, metavar="SECONDS", help="Cut sessions where more time passes than this."),
    ] = 0.0,
    exclude_seen: Annotated[
        bool | None,
        typer.Option(
            "--exclude-seen/--include-seen",
            help="Leave items of the history out of the answers. [default: as the audit advises]",
        ),
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Keep a network's state here after each epoch, and go on from it."
        ),
    ] = None,
    max_minutes: Annotated[
        float,
        typer.Option(parser=number, metavar="MINUTES", help="Training time of a network; 0 is no limit."),
    ] = 0.0,
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
    from ensue.model import Conditions

    shown = progress.shown()
    described = described_model(model, settings(settings_ or []))
    folder = Path(out or f"trained/{model}")
    conditions = Conditions(seed=seed, progress=shown, max_minutes=max_minutes, checkpoints=checkpoints)
    if prepared.is_prepared(source.log):
        training, learnt = _opened(source, by, session_gap, exclude_seen, shown.say)
        recommender = described.fit(training, conditions)
        events = len(training.sequences.items)
        last = training.catalogue.decode(training.sequences.items[-2:])
    else:
        log = ladder.load_log(source.data(source.log), shown.say)
        for line in log.reading.lines():
            shown.say(line)
        if session_gap:
            log = log.with_sessions(session_gap)
        found = audit(log, by.value)
        seen = bool(found.advised("exclude_seen")) if exclude_seen is None else exclude_seen
        recommender = _fit(described, log, found, seen, conditions)
        learnt = ladder.learnt(log, log, {"by": by.value, "session_gap": session_gap})
        events, last = log.n_events, log.frame["item"].tail(2).to_list()
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
    source: Source, by: Unit, session_gap: float, seen: bool | None, say: Callable[[str], None]
) -> tuple[Training, dict[str, Any]]:
    """What a prepared folder holds to learn from, and what a model says of it.

    Raises:
        ConfigError: an option says how to read a log, or what a sequence is: that was settled when it was prepared.
    """
    from ensue import prepared

    said = prepared.describe(source.log)
    learnt = {**said["facts"].get("learnt", {}), "prepared": said["fingerprint"]}
    settled = [f"--{name.replace('_', '-')}" for name in source.content()]
    settled += ["--session-gap"] if session_gap else []
    settled += ["--by"] if by is Unit.session and learnt.get("sequences", {}).get("by") != "session" else []
    if settled:
        raise ConfigError(
            f"{source.log} is prepared data, so {', '.join(settled)} cannot be changed: leave it out, or prepare the "
            "log anew with it."
        )
    training = prepared.open_training(source.log)
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


def _fit(model: Model, log: EventLog, found: Audit, seen: bool, conditions: Conditions) -> Recommender:
    """The model fitted on the whole log; a network stops early on a part of it first, to learn for how long."""
    from ensue.model import Training, refit

    whole = Training.of(log, found.by, seen)
    if "patience" not in model.settings():
        return model.fit(whole, conditions)
    parts = _parts(log, found)
    training = Training.of(parts.train, found.by, seen)
    validation = parts.examples("test", training.catalogue)
    if not len(validation):
        conditions.progress.say("no event is left to stop early on: the network trains for all its epochs")
        return model.fit(whole, _in(conditions, "whole"))
    conditions.progress.say(
        f"{model.name}: how long to train is found on {len(validation):,} events left out"
    )
    first = model.fit(replace(training, validation=validation), _in(conditions, "part"))
    return refit(model, first, whole, _in(conditions, "whole"))


def _parts(log: EventLog, found: Audit) -> Any:
    """The log in two: what a first fit learns from, and what it stops early on (the test part of a split)."""
    from ensue.splits import last_out, temporal

    if found.advised("split") == "temporal":
        return temporal(log, test=0.1, validation=0.0, by=found.by)
    return last_out(log, validation=False, by=found.by)


def _in(conditions: Conditions, name: str) -> Conditions:
    """The conditions with a folder of checkpoints for one of the two fits."""
    kept = conditions.checkpoints
    return replace(conditions, checkpoints=None if kept is None else kept / name)
