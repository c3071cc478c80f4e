"""`ensue replay`: a saved model driven through the test as it serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensue.cli.options import (
    Days,
    Json,
    Reading,
    Rule,
    Seed,
    Targets,
    TargetSeed,
    Unit,
    count,
    folder,
    gathered,
)

if TYPE_CHECKING:
    from ensue.events.log import EventLog
    from ensue.replaying import Replay


@gathered
def replay(
    run: Annotated[
        Path,
        typer.Argument(
            parser=folder, metavar="RUN", help="Folder of a run (its best model is taken) or of a model."
        ),
    ],
    reading: Reading,
    log: Annotated[
        str,
        typer.Argument(
            metavar="[LOG]", help="The log to replay. [default: that of the run]", show_default=False
        ),
    ] = "",
    split: Annotated[
        Rule | None, typer.Option(help="Test on the test part of this split. [default: as `ensue evaluate`]")
    ] = None,
    days: Days = None,
    targets: Annotated[
        Targets | None,
        typer.Option(
            help="Ask for every event that is tested, each user's last, or one drawn. [default: as in the run; every "
            "one where that completes baskets]"
        ),
    ] = None,
    target_seed: TargetSeed = None,
    by: Annotated[Unit | None, typer.Option(help="What a sequence is. [default: as in training]")] = None,
    available: Annotated[
        bool,
        typer.Option("--available", help="Ask a second time with items left out until their first event."),
    ] = False,
    k: Annotated[int, typer.Option(parser=count, metavar="K", help="Cut-off of the figures.")] = 10,
    limit: Annotated[
        int,
        typer.Option(parser=count, metavar="N", help="Ask N questions only, evenly spread. [default: all]"),
    ] = 0,
    state: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|redis://...",
            help="Where live histories are kept; it must hold nothing, and keeps them. [default: a file that goes]",
        ),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Replay the test in the order of time, asked as a service is, and compare with what is measured offline.

    A store of live histories is told each event when it happened; before each target the model is asked by the code
    that serves. Offline and online must agree question by question, but for ties; if they do not, the exit status is 2.
    """
    from ensue.cli import progress, terminal
    from ensue.cli.evaluate import asked_for, tested
    from ensue.replaying import replay as drive
    from ensue.rules import Availability, Rules
    from ensue.serving.served import served
    from ensue.splits.completion import COMPLETION

    shown = progress.shown()
    answering = served(run, Rules(), Availability())
    events = _log(run, log, reading, shown.say)
    learnt = answering.recommender.facts.get("learnt") or {}
    parts, warning = tested(events, learnt, split, days, by, shown.say, ())
    if warning:
        shown.say(f"warning: {warning}")
    wanted = asked_for(learnt, targets, target_seed)
    if targets is None and wanted["targets"] == COMPLETION:
        wanted["targets"] = Targets.successive.value
    found = drive(
        answering, parts, k=k, available=available, limit=limit, targets=wanted["targets"],
        target_seed=wanted["seed"], store=state, seed=seed, progress=shown,
    )  # fmt: skip
    if as_json:
        terminal.emit({**found.to_json(), "warning": warning})
    else:
        _show(found, warning)
    found.check()


def _log(run: Path, log: str, reading: Reading, say: Any) -> EventLog:
    """The log that was named, or that of the run.

    Raises:
        ConfigError: no log is named, and the folder is of no run, or it is said how to read one.
    """
    from ensue import ladder
    from ensue.errors import ConfigError
    from ensue.experiment import experiment_of
    from ensue.run_folder import RESULTS, results

    if log:
        data = reading.data(log)
    else:
        if given := reading.given():
            raise ConfigError(
                f"{given[0]} says how a log is read, and a run knows that of its own: name a LOG, or leave it out."
            )
        runs = [place for place in (run, run.resolve().parent.parent) if (place / RESULTS).is_file()]
        if not runs:
            raise ConfigError(f"{run} is no folder of a run that names its log: ensue replay {run} LOG.")
        data = experiment_of({"data": results(runs[0])["experiment"]["data"]}, str(runs[0])).data
    found = ladder.load_log(data, say)
    for line in found.reading.lines():
        say(line)
    return found


def _show(found: Replay, warning: str) -> None:
    """The table, and what it means."""
    from ensue.cli import terminal

    terminal.out(f"{found.offline.model}: {found.offline.protocol}")
    head, *rows = found.rows()
    made = terminal.table(head[0], *((one, {"justify": "right"}) for one in head[1:]))
    for cells in rows:
        terminal.row(made, cells)
    terminal.show(made)
    for line in found.notes()[: None if found.agrees else -1]:
        terminal.out(line)
    if warning:
        terminal.out(f"warning: {warning}")
