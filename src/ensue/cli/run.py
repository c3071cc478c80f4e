"""`ensue run`: what the demo does, for any log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ensue.cli.options import Json, Source, count, gathered
from ensue.cli.plan import Choices, experiment
from ensue.cli.sharing import Processes

if TYPE_CHECKING:
    from ensue.experiment import Experiment


@gathered
def run(
    source: Source,
    choices: Choices,
    processes: Processes = None,
    k: Annotated[
        int, typer.Option("-k", parser=count, metavar="N", help="Items of each sample recommendation.")
    ] = 5,
    as_json: Json = False,
) -> None:
    """Read a log, train and test models, save them, recommend.

    LOG may be an experiment file (.toml) instead; options given here override it. The best model is chosen on
    validation; all are tested on events that none of them has seen. Without --models it is a ladder of six, from
    popularity to a Transformer.
    """
    from ensue import ladder
    from ensue.cli import progress, reporting

    asked = experiment(source, choices)
    if processes is not None:
        asked = replace(asked, processes=processes)
    if asked.split.windows and not asked.split.window:
        _backtest(asked, as_json)
        return
    reporting.report(ladder.run(asked, progress.shown()), as_json, k)


def _backtest(asked: Experiment, as_json: bool) -> None:
    """One run for each window, and what they come to together."""
    from ensue.backtesting import backtest
    from ensue.cli import progress, terminal

    done = backtest(asked, progress.shown())
    if as_json:
        terminal.emit({"folder": str(done.folder), **done.to_json()})
        return
    for line in done.lines():
        terminal.out(line)
    terminal.out(f"Each window is a run of its own: {done.folder}/window-1 to window-{len(done.windows)}")
