"""A whole experiment: read, audited, split, every model fitted and tested, all of it kept in a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl

from ensue import artifacts, reporting
from ensue.errors import ConfigError, EnsueError, MissingExtraError, ModelError
from ensue.events.log import EventLog
from ensue.events.readers.sql import name_of
from ensue.experiment import RMSE, Data, Experiment, described_model
from ensue.inputs import TIME
from ensue.ladder import choosing
from ensue.ladder.learnable import Learnable
from ensue.ladder.logs import load_log
from ensue.ladder.outcome import Outcome, Rung
from ensue.ladder.parting import parted
from ensue.ladder.rungs import rung
from ensue.progress import Progress, Silent
from ensue.run_folder import FIGURES, HISTORIES, MODELS, RESULTS
from ensue.splits import TEST
from ensue.suiting import TYPE


def run(
    experiment: Experiment | str | Path, progress: Progress | None = None, log: EventLog | None = None
) -> Outcome:
    """Reads, audits and splits a log, fits and tests the ladder of models, and saves them all.

    The best is chosen on validation; test figures are taken through the saved artifacts, by the code that serves.

    Args:
        experiment: what to do; a path stands for the default experiment on that log, kept in "runs/<its name>".
        progress: who is told how far it is.
        log: the events, if they are in memory already.

    Raises:
        EnsueError: nothing could be read, split or fitted; a model that cannot run alone is skipped and named.
    """
    if not isinstance(experiment, Experiment):
        name = name_of(str(experiment)) or "log"
        experiment = Experiment(data=Data(source=str(experiment)), out=f"runs/{name}")
    progress = progress or Silent()
    log = load_log(experiment.data, progress.say) if log is None else log
    ready = parted(experiment, log, progress)
    experiment = choosing.chosen_on(ready.experiment, progress)
    log, found, parts = ready.log, ready.audit, ready.split
    learnable = Learnable.of(experiment, parts.train, parts.before_test, progress)
    if told := learnable.tested(parts.log.where(parts.part == TEST)):
        progress.say(told)
    folder = _folder(experiment)
    rungs: list[Rung] = []
    skipped: dict[str, str] = {}
    _clear(folder, experiment)
    for label, settings in experiment.models.items():
        try:
            model = described_model(label, settings)
            rungs.append(rung(label, model, experiment, parts, learnable, folder, progress))
        except (MissingExtraError, ModelError) as fault:
            skipped[label] = str(fault)
            progress.say(f"{label}: left out. {fault}")
    if not rungs:
        raise ModelError("No model of this experiment could run: " + "; ".join(skipped.values()))
    best = choosing.best(rungs, experiment.evaluation.choose_on)
    outcome = Outcome(experiment, log, found, parts, tuple(rungs), best, folder, skipped, learnable.filtered)
    if experiment.keep_histories:
        _kept(parts.log, rungs, experiment).write_parquet(folder / HISTORIES)
    _figures(rungs, experiment.evaluation.choose_on).write_parquet(folder / FIGURES)
    content = {**outcome.to_json(), "samples": _samples(outcome), "made": reporting.provenance()}
    (folder / RESULTS).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    try:
        reporting.keep(folder)
    except (EnsueError, OSError) as fault:  # what was trained is not lost for want of a page
        progress.say(f"no report: {fault}")
    return outcome


def _samples(outcome: Outcome) -> list[dict[str, Any]]:
    """Answers of the best model to look at in the report; none if no histories are to be kept."""
    if not outcome.experiment.keep_histories:
        return []
    served = outcome.recommender
    return reporting.samples(served, outcome.split.examples("test", served.catalogue, "last"))


def _folder(experiment: Experiment) -> Path:
    """The folder of the run: new, empty, or of an earlier run."""
    if not experiment.out:
        raise ConfigError('The experiment names no folder for its results: give out = "runs/NAME" or --out.')
    folder = Path(experiment.out)
    if (
        folder.is_dir()
        and any(folder.iterdir())
        and not (folder / RESULTS).exists()
        and not (folder / MODELS).exists()
    ):
        raise ConfigError(
            f"{folder} holds something other than a run: choose another folder, or empty it first."
        )
    (folder / MODELS).mkdir(parents=True, exist_ok=True)
    return folder


def _clear(folder: Path, experiment: Experiment) -> None:
    """Takes the models of an earlier run out of the folder, those that this one does not write anew."""
    for place in (folder / MODELS).iterdir():
        if place.name not in experiment.models and (place / artifacts.DESCRIPTION).is_file():
            shutil.rmtree(place)


def _kept(log: EventLog, rungs: list[Rung], experiment: Experiment) -> pl.DataFrame:
    """What a run keeps of its users' histories: items, times, and what its models read beside them; nothing more.

    Times tell, when new events come, which of them are new. With an objective, types tell which of them are targets.
    Of sessions, what the rule goes by tells whether one goes on.
    """
    wanted = {name for rung in rungs for name in rung.reads} | {TIME}
    if experiment.sequences.by == "session":
        wanted |= {"session", *experiment.shape.sessions.columns}
    wanted |= {TYPE} if experiment.objective.typed else set()
    known = set(log.columns) - (set() if log.has_time else {TIME})
    return log.frame.select("user", "item", *(name for name in log.columns if name in wanted & known))


def _figures(rungs: list[Rung], metric: str) -> pl.DataFrame:
    """One column for each model: its value for each tested user, in an order that does not tell who they are.

    Of RMSE these are the shares that the users have in it, which are over the users with warm ratings alone.
    """
    rated = {rung.label: rung.ratings.warm.shares for rung in rungs if rung.ratings is not None}
    if metric == RMSE and len(rated) == len(rungs):
        columns = {f"{label} {metric}": shares for label, shares in rated.items()}
    else:
        name = metric if metric in rungs[0].test.metrics else rungs[0].test.metrics[0]
        columns = {f"{rung.label} {name}": rung.test.per_user[name] for rung in rungs}
    return pl.DataFrame(columns).sort(list(columns))
