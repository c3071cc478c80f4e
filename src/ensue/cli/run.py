"""`ensue run`: what the demo does, for any log."""

from __future__ import annotations

from typing import Annotated

import typer

from ensue.cli.options import Json, Source, count, gathered
from ensue.cli.plan import Choices, experiment


@gathered
def run(
    source: Source,
    choices: Choices,
    k: Annotated[
        int, typer.Option("-k", parser=count, metavar="N", help="Items of each sample recommendation.")
    ] = 5,
    as_json: Json = False,
) -> None:
    """Read a log, train and test models, save them, recommend.

    LOG may be an experiment file (.toml) instead; options given here override it. The best model is chosen on
    validation; all are tested on events that none of them has seen.
    """
    from ensue import ladder
    from ensue.cli import progress, reporting

    outcome = ladder.run(experiment(source, choices), progress.shown())
    reporting.report(outcome, as_json, k)
