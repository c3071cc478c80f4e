"""`ensue train`: one model on a whole log."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensue.cli.options import Json, Seed, Source, Unit, gathered, number, settings

if TYPE_CHECKING:
    from ensue.events.audit import Audit
    from ensue.events.log import EventLog
    from ensue.model import Conditions, Model
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
    trains anew on everything.
    """
    from ensue import artifacts, ladder
    from ensue.cli import progress, slates, terminal
    from ensue.events.audit import audit
    from ensue.experiment import described_model
    from ensue.model import Conditions

    shown = progress.shown()
    described = described_model(model, settings(settings_ or []))
    folder = Path(out or f"trained/{model}")
    log = ladder.load_log(source.data(source.log), shown.say)
    for line in log.reading.lines():
        shown.say(line)
    if session_gap:
        log = log.with_sessions(session_gap)
    found = audit(log, by.value)
    seen = bool(found.advised("exclude_seen")) if exclude_seen is None else exclude_seen
    conditions = Conditions(seed=seed, progress=shown, max_minutes=max_minutes, checkpoints=checkpoints)
    recommender = _fit(described, log, found, seen, conditions)
    sequences = {"by": by.value, "session_gap": session_gap}
    artifacts.save(recommender, folder, facts={"learnt": ladder.learnt(log, log, sequences)})
    if as_json:
        terminal.emit({"folder": str(folder), **artifacts.describe(folder)})
        return
    terminal.out(f"{described.name}, fitted on all {log.n_events:,} events, is saved in {folder}.")
    terminal.out("It is tested on nothing: `ensue run` tests models before it saves them.")
    terminal.out("Next, type:")
    history = slates.listed(log.frame["item"].tail(2).to_list())
    terminal.out(
        f"  ensue recommend {shlex.quote(str(folder))} --history {shlex.quote(history)} -k 10", fold=False
    )


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
