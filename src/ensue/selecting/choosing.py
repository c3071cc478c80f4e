"""The choice of a model for a log: facts, a race on validation, the front, and one look at the test."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ensue import artifacts, ladder, runtime
from ensue.errors import ConfigError, DataError, MissingExtraError, ModelError
from ensue.events.log import EventLog
from ensue.experiment import Experiment, described_model
from ensue.ladder.choosing import ranking
from ensue.ladder.costs import folder_bytes, latency
from ensue.ladder.learnable import Learnable
from ensue.ladder.outcome import Rung, shown
from ensue.ladder.parting import parted
from ensue.ladder.rungs import described, finished, refuse_unknown, validated
from ensue.metrics import metric
from ensue.model import Conditions, Model, Training
from ensue.progress import Progress, Silent
from ensue.run_folder import MODELS, SELECTION
from ensue.selecting import words
from ensue.selecting.facts import Entrant, Facts, entrants, facts, left_out
from ensue.selecting.front import Choice, Limits, Standing, choose, within
from ensue.selecting.race import Race, race, validation
from ensue.sequences import Sequences
from ensue.toml_text import toml_of

MINUTES = 10.0
"""The budget of the race, all networks together, unless told otherwise."""

FINALISTS, SELECTED = "finalists", "selected.toml"
"""In the folder: the models of the end of the race, and the experiment of the one that is taken."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Which model is taken for a log, and why no other.

    Attributes:
        experiment: of the model that is taken, complete: `ensue run` repeats it.
        facts: what the training part of the log is like.
        entered: the models that were worth a race, each with its reason.
        metric: on validation, by which they raced.
        race: what the race came to.
        standings: accuracy, latency and size of the models that ran to its end.
        broken: which limits a model breaks.
        choice: which model is taken.
        rung: the one that is taken, refitted and tested.
        folder: where it all lies.
        skipped: models that could not run, with the reason.
        note: what was left out of the race, in words.
    """

    experiment: Experiment
    facts: Facts
    entered: tuple[Entrant, ...]
    metric: str
    race: Race
    standings: tuple[Standing, ...]
    broken: Mapping[str, str]
    choice: Choice
    rung: Rung
    folder: Path
    skipped: Mapping[str, str]
    note: str = ""

    @property
    def reasons(self) -> dict[str, str]:
        """Why each model is taken or not, in words; the one that is taken first."""
        known = {one.label: one for one in self.standings if one.label not in self.broken}
        found = {self.choice.taken: words.taken(self.choice, known, self.metric)}
        for label in known:
            if label != self.choice.taken:
                found[label] = words.not_taken(label, self.choice, known, self.metric)
        found |= {label: f"{label}: over a limit: {why}" for label, why in self.broken.items()}
        found |= {label: words.dropped(label, gone, self.metric) for label, gone in self.race.dropped.items()}
        return found | {label: f"{label}: could not run: {why}" for label, why in self.skipped.items()}

    def to_json(self) -> dict[str, Any]:
        """The choice for programs; no user's id is in it."""
        return {
            "taken": self.choice.taken,
            "metric": self.metric,
            "facts": self.facts.to_json(),
            "entrants": [{"label": one.label, "reason": one.reason} for one in self.entered],
            "race": {
                "minutes_of_one_training": list(self.race.rounds),
                "minutes": {label: round(spent, 3) for label, spent in self.race.minutes.items()},
                "dropped": {label: gone.to_json() for label, gone in self.race.dropped.items()},
            },
            "standings": [one.to_json() for one in self.standings],
            "front": list(self.choice.front),
            "over_a_limit": dict(self.broken),
            "gains": {label: found.to_json() for label, found in self.choice.gains.items()},
            "reasons": self.reasons,
            "test": self.rung.to_json(),
            "skipped": dict(self.skipped),
            "note": self.note,
            "experiment": shown(self.experiment),
        }


def select(
    experiment: Experiment,
    *,
    minutes: float = MINUTES,
    names: Sequence[str] = (),
    limits: Limits | None = None,
    progress: Progress | None = None,
    log: EventLog | None = None,
) -> Selection:
    """The smallest model for a log that no bigger one surely beats, by a race on validation.

    Facts and race see training and validation alone. The test is looked at once, for the one that is taken, refitted
    on all before it. It all lies in the folder of the experiment.

    Args:
        experiment: how the log is read, split and asked; its `choose_on` is what they race by. Its models, if it has
            any, are those of the race.
        minutes: of the networks' trainings, together; 0 is no limit.
        names: models of the race: labels of the experiment, presets or names of models; none takes those of the
            experiment, or those that the facts speak for.
        limits: what a model may cost.
        progress: who is told how far it is.
        log: the events, if they are in memory already.

    Raises:
        DataError: there is nothing to validate on.
        ConfigError: a model does not exist, none stays within the limits, or the race is to be by RMSE.
        EnsueError: nothing could be read, split or fitted.
    """
    progress = progress or Silent()
    asked = dict(experiment.models)
    experiment = ranking(experiment, "A race")
    name = metric(experiment.evaluation.choose_on).name
    for one in names:
        refuse_unknown(one, asked)
    begun = parted(
        experiment, ladder.load_log(experiment.data, progress.say) if log is None else log, progress
    )
    experiment, parts = begun.experiment, begun.split
    events = Learnable.of(experiment, parts.train, parts.before_test)
    training = validated(events.train, parts, experiment)
    if training.validation is None:
        raise DataError(
            f"{parts.name}: the validation part asks for nothing, so that there is nothing to choose on: take "
            "split.validation above 0, or another split."
        )
    folder = _folder(experiment)
    by, seen = experiment.sequences.by, bool(experiment.evaluation.exclude_seen)
    found = facts(
        events.train, training.sequences, by, exclude_seen=seen, progress=progress, seed=experiment.seed
    )
    for line in found.lines():
        progress.say(line)
    entered = _entered(found, training.sequences, asked, names)
    note = "" if asked or names else left_out(found)
    for line in [f"{one.label}: in the race: {one.reason}" for one in entered if one.reason] + [note] * bool(
        note
    ):
        progress.say(line)
    models, skipped = _models(entered, progress)
    conditions = Conditions(seed=experiment.seed, progress=progress, processes=experiment.processes)
    ran = race(models, training, conditions, name, minutes)
    skipped |= ran.skipped
    ended = {label: fit for label, fit in ran.fits.items() if label not in ran.dropped}
    if not ended:
        raise ModelError("No model could run: " + "; ".join(skipped.values()))
    standings = tuple(_standing(label, ran, training, folder, name) for label in ended)
    allowed, broken = within(standings, limits or Limits())
    if not allowed:
        raise ConfigError(
            "No model stays within the limits: " + "; ".join(f"{a}: {b}" for a, b in broken.items())
        )
    choice = choose(allowed, experiment.seed)
    fit = ended[choice.taken]
    chosen = replace(
        experiment,
        models={choice.taken: _described(choice.taken, fit.model)},
        max_minutes=float(f"{ran.limits[choice.taken]:.3g}"),  # none that is left would be no limit
        out="selected",
    )
    progress.say(f"{choice.taken}: fitted anew on all before the test, and tested")
    rung = finished(choice.taken, fit, experiment, parts, events, folder, conditions)
    selection = Selection(
        chosen, found, entered, name, ran, standings, broken, choice, rung, folder, skipped, note
    )
    (folder / SELECTED).write_text(toml_of(_from(folder, chosen)), encoding="utf-8")
    text = json.dumps(selection.to_json(), indent=1, ensure_ascii=False)
    (folder / SELECTION).write_text(text, encoding="utf-8")
    return selection


def _folder(experiment: Experiment) -> Path:
    """The folder of the selection: new, empty, or of an earlier one."""
    if not experiment.out:
        raise ConfigError('The experiment names no folder for its results: give out = "runs/NAME" or --out.')
    folder = Path(experiment.out)
    ours = (folder / SELECTION).exists() or (folder / FINALISTS).exists()
    if folder.is_dir() and any(folder.iterdir()) and not ours:
        raise ConfigError(
            f"{folder} holds something other than a selection: choose another folder, or empty it first."
        )
    for place in (*(folder / FINALISTS).glob("*"), *(folder / MODELS).glob("*")):  # of an earlier selection
        if (place / artifacts.DESCRIPTION).is_file():
            shutil.rmtree(place)
    (folder / FINALISTS).mkdir(parents=True, exist_ok=True)
    return folder


def _entered(
    found: Facts, sequences: Sequences, asked: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> tuple[Entrant, ...]:
    """The models of the race: those that are named, those of the experiment, or those that the facts speak for."""
    if not names:
        own = tuple(Entrant(label, settings) for label, settings in asked.items())
        return own or entrants(found, sequences)
    return tuple(
        Entrant(name, asked[name] if name in asked else described(name, sequences))
        for name in dict.fromkeys(names)
    )


def _models(entered: Sequence[Entrant], progress: Progress) -> tuple[dict[str, Model], dict[str, str]]:
    """The models of the race, and those that this installation cannot run."""
    models: dict[str, Model] = {}
    skipped: dict[str, str] = {}
    for one in entered:
        try:
            models[one.label] = described_model(one.label, one.settings)
        except MissingExtraError as fault:
            skipped[one.label] = str(fault)
            progress.say(f"{one.label}: left out. {fault}")
    return models, skipped


def _standing(label: str, ran: Race, training: Training, folder: Path, name: str) -> Standing:
    """A model of the end of the race, saved, and measured as it would be served."""
    fit = ran.fits[label]
    place = artifacts.save(fit.recommender, folder / FINALISTS / label, facts={"label": label})
    evaluation, examples = validation(fit), training.validation
    if examples is None:
        raise DataError("there is nothing to validate on")
    timed = latency(runtime.load(place), examples)
    return Standing(label, evaluation.per_user[name], evaluation.intervals[name], timed, folder_bytes(place))


def _described(label: str, model: Model) -> dict[str, Any]:
    """A model as an experiment describes it: its name where the label is another, and what is not as by default."""
    plain = type(model)().settings()
    own = {name: value for name, value in model.settings().items() if value != plain[name]}
    return own if label == model.name else {"model": model.name, **own}


def _from(folder: Path, experiment: Experiment) -> dict[str, Any]:
    """An experiment as a file in a folder has it: a source that is a path is meant from there."""
    content = shown(experiment)
    source = experiment.data.source
    if source and Path(source).exists():
        content["data"]["source"] = os.path.relpath(source, folder)
    return content
