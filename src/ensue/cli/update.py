"""`ensue update`: a saved model goes on with new events."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ensue.cli.options import Json, Reading, Seed, folder, gathered, number


@gathered
def update(
    run: Annotated[
        Path,
        typer.Argument(
            parser=folder, metavar="RUN", help="Folder of a run (its best model is taken) or of a model."
        ),
    ],
    events: Annotated[str, typer.Option(metavar="LOG", help="The new events.")],
    reading: Reading,
    out: Annotated[
        str,
        typer.Option(metavar="FOLDER", help="Where the new model is saved. [default: updated/NAME OF RUN]"),
    ] = "",
    max_minutes: Annotated[
        float,
        typer.Option(parser=number, metavar="MINUTES", help="Training time of a network; 0 is no limit."),
    ] = 0.0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Go on from a saved model with new events and new items, in place of training anew.

    Old items keep their place. Events that are not later than what the model has learnt from are left out. A network
    learns further from its weights; a counting model counts kept histories and new events together. The saved model
    stays as it is: the new one is saved beside it, with the histories where the run kept any, so that it can go on
    again. It has been tested on nothing.
    """
    from ensue import artifacts, ladder
    from ensue.cli import progress, terminal
    from ensue.model import Conditions
    from ensue.updating import update as go_on

    shown = progress.shown()
    log = ladder.load_log(reading.data(events), shown.say)
    for line in log.reading.lines():
        shown.say(line)
    found = go_on(run, log, Conditions(seed=seed, progress=shown, max_minutes=max_minutes))
    place = Path(out or f"updated/{run.resolve().name}")
    artifacts.save(found.recommender, place)
    if found.histories is not None:
        found.histories.write_parquet(place / ladder.HISTORIES)
    if as_json:
        terminal.emit({"folder": str(place), "update": found.to_json(), **artifacts.describe(place)})
        return
    terminal.out(f"{found.recommender.model}, gone on from {run}, is saved in {place}.")
    for line in found.lines():
        terminal.out(line)
    terminal.out("Next, type:")
    terminal.out(f"  ensue recommend {shlex.quote(str(place))} --history ID,ID,... -k 10", fold=False)
