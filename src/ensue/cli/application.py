"""The `ensue` command with its verbs. Nothing heavy is imported here: each verb imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from ensue.cli import (
    ads,
    compare,
    data,
    demo,
    doctor,
    evaluate,
    models,
    recommend,
    replay,
    report,
    rerank,
    run,
    runs,
    select,
    serve,
    train,
    tune,
    update,
)
from ensue.version import __version__

# Plain help rather than rich's: it takes a third of the time, and reads the same in a file.
app = typer.Typer(
    name="ensue",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with: ensue demo, or ensue run YOUR_LOG.csv",
)

for verb in (
    demo.demo,
    run.run,
    recommend.recommend,
    evaluate.evaluate,
    replay.replay,
    compare.compare,
    select.select,
    report.report,
    train.train,
    tune.tune,
    update.update,
    serve.serve,
):
    app.command()(verb)
app.add_typer(ads.app, name="ads")
app.add_typer(runs.app, name="runs")
app.add_typer(data.app, name="data")
app.add_typer(rerank.app, name="rerank")
app.add_typer(serve.keys, name="keys")
for verb in (models.models, doctor.doctor):
    app.command()(verb)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ensue {__version__}")
        raise typer.Exit


@app.callback()
def ensue(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where a fault arose; ENSUE_DEBUG=1 does the same.")
    ] = False,
) -> None:
    """From an event log to a recommender of what comes next: read, audit, split, train, evaluate, recommend."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
