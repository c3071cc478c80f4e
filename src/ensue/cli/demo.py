"""`ensue demo`: the whole way on a public data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensue.cli.options import Json, Seed, names

if TYPE_CHECKING:
    from ensue.events.log import EventLog
    from ensue.progress import Progress


def demo(
    data: Annotated[
        str, typer.Option(metavar="ml-100k|simulated|FOLDER", help="What to show it on.")
    ] = "ml-100k",
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Folder of the run.")] = "runs/demo",
    models: Annotated[
        str, typer.Option(metavar="A,B,...", help="Models to run. [default: a ladder of six]")
    ] = "",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Do the whole job on MovieLens-100K, or on simulated data.

    That is: read, audit, split, train, compare, save, recommend. The data set is fetched once and kept. Without a
    network: --data simulated, or --data FOLDER with its files.
    """
    from ensue import ladder
    from ensue.cli import progress, reporting, terminal
    from ensue.experiment import experiment_of

    shown = progress.shown()
    log = _log(data, shown)
    content = {
        "data": {"source": data},
        "out": out,
        "seed": seed,
        "models": {name: {} for name in names(models)},
    }
    outcome = ladder.run(experiment_of(content, "The command line"), shown, log)
    reporting.report(outcome, as_json, k=5)
    if not as_json:
        terminal.out("  ensue run YOUR_LOG.csv")


def _log(data: str, shown: Progress) -> EventLog:
    """The log: fetched, simulated, or from a folder; a folder of MovieLens-100K must be the whole of it."""
    from ensue import ladder
    from ensue.errors import DataError
    from ensue.events import datasets
    from ensue.experiment import Data

    folder, name = Path(data).expanduser(), datasets.ML_100K.name
    if folder.is_dir():
        first = datasets.ML_100K.members[0]
        if (folder / first).is_file() or (folder / name / first).is_file():
            return datasets.fetch(name, folder, say=shown.say)
    elif data not in (*datasets.DATASETS, ladder.SIMULATED):
        raise DataError(f"--data {data} is no folder, and no data set: take {name}, simulated or a folder.")
    return ladder.load_log(Data(source=data), shown.say)
