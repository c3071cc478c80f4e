"""A ladder of models on one log under one budget of time: several seeds, and less to learn from, where so wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ensue import ladder, reporting
from ensue.errors import ConfigError, EnsueError, MissingExtraError
from ensue.events.log import EventLog
from ensue.experiment import Experiment, described_model
from ensue.ladder.outcome import Outcome
from ensue.ladder.parting import parted
from ensue.ladder.rungs import described, refuse_unknown, trains
from ensue.model import Training
from ensue.presets import PRESETS
from ensue.progress import Progress, Silent, spoken
from ensue.spreads import Spread
from ensue.thinning import WHOLE, Thinned, checked_shares, thinned

LADDER = ("popular", "recent", "markov", "rules", "neighbours", "als", "gru", "lstm", "transformer", "fast")
"""What is compared unless told otherwise; "fast" is the preset of that name."""

MINUTES = 20.0
"""The budget of all networks together, unless told otherwise."""

SEEDS = "seeds"
"""The folder, within that of the run, of the runs of further seeds."""


@dataclass(frozen=True)
class Budget:
    """How the minutes of a comparison are shared out: every training of a network gets as many.

    Attributes:
        minutes: of all networks together.
        networks: labels of those that learn for minutes.
        fits: how often each is trained: once for each seed, and once for each smaller share of the users.
        refit: whether each training is followed by a second one, on training and validation together.
    """

    minutes: float
    networks: tuple[str, ...]
    fits: int = 1
    refit: bool = True

    @property
    def trainings(self) -> int:
        """How many there are in all."""
        return len(self.networks) * self.fits * (2 if self.refit else 1)

    @property
    def each(self) -> float:
        """Minutes of each single training; 0 is no limit."""
        return self.minutes / max(self.trainings, 1)

    def line(self) -> str:
        """The budget in words."""
        if not self.networks:
            return "budget: there is no network among the models, and models that count are not limited"
        if not self.minutes:
            return "budget: no limit"
        each = spoken(self.each)
        again = f", and at most {each} to train anew on all before the test" if self.refit else ""
        count = len(self.networks)
        often = "" if self.fits == 1 else f", each {self.fits} times"
        return (
            f"budget: {spoken(self.minutes)} for {count} network{'s' * (count != 1)}{often}: {each} to train{again}; "
            "models that count are not limited"
        )

    def to_json(self) -> dict[str, Any]:
        """The budget for programs."""
        return {
            "minutes": self.minutes,
            "networks": list(self.networks),
            "fits_of_each": self.fits,
            "minutes_of_each_training": self.each,
        }


@dataclass(frozen=True)
class SeedSpreads:
    """What the networks of a run reached by chance of their seeds.

    Attributes:
        seeds: of the runs, that of the main one first.
        spreads: of the values of all seeds, by label and metric.
    """

    seeds: tuple[int, ...]
    spreads: Mapping[str, Mapping[str, Spread]]

    def to_json(self) -> dict[str, Any]:
        """The spreads for programs."""
        models = {
            label: {name: found.to_json() for name, found in by_metric.items()}
            for label, by_metric in self.spreads.items()
        }
        return {"seeds": list(self.seeds), "models": models}


@dataclass(frozen=True, eq=False)
class Compared:
    """A comparison: the run, and what was asked beside it.

    Attributes:
        outcome: of the run with the first seed.
        budget: how the minutes were shared out.
        spread: over seeds; None for one seed.
        thinned: the curves against less to learn from; None where none were asked for.
    """

    outcome: Outcome
    budget: Budget
    spread: SeedSpreads | None = None
    thinned: Thinned | None = None

    def beside(self) -> dict[str, Any]:
        """What was asked beside the run, for programs."""
        found: dict[str, Any] = {"budget": self.budget.to_json()}
        if self.spread is not None:
            found["seeds"] = self.spread.to_json()
        if self.thinned is not None:
            found["thinned"] = self.thinned.to_json()
        return found

    def to_json(self) -> dict[str, Any]:
        """The run with all that was asked beside it, for programs."""
        return self.outcome.to_json() | self.beside()


def compare(
    experiment: Experiment,
    *,
    minutes: float | None = MINUTES,
    seeds: int = 1,
    thin: Sequence[float] = (),
    names: Sequence[str] = (),
    progress: Progress | None = None,
    log: EventLog | None = None,
) -> Compared:
    """A run of a ladder of models under one budget of time, kept in the folder of the experiment.

    Args:
        experiment: what to do.
        minutes: for all trainings of all networks together, the same for each; 0 is no limit, and None takes the
            `max_minutes` of the experiment for each.
        seeds: how many the networks are run with, from that of the experiment on. Models that count have none.
        thin: shares of the users to learn from, see `ensue.thinning`.
        names: models: labels of the experiment, presets or names of models; none takes those of the experiment, or
            `LADDER` where it has none.
        progress: who is told how far it is.
        log: the events, if they are in memory already.

    Raises:
        ConfigError: a number cannot be.
        EnsueError: nothing could be read, split or fitted; a model that cannot run alone is skipped and named.
    """
    if seeds < 1:
        raise ConfigError(f"seeds={seeds}: take 1 or more.")
    progress = progress or Silent()
    shares = checked_shares(thin) if thin else ()
    for name in names:
        refuse_unknown(name, experiment.models)
    log = ladder.load_log(experiment.data, progress.say) if log is None else log
    wanted = tuple(dict.fromkeys(names)) or (() if experiment.models else LADDER)
    if wanted:
        experiment = replace(experiment, models=_models(wanted, experiment, log))
    further = sum(share < WHOLE for share in shares)
    budget = Budget(minutes or 0.0, networks(experiment), seeds + further, experiment.refit)
    if minutes is None:
        budget = replace(budget, minutes=experiment.max_minutes * budget.trainings)
    else:
        experiment = replace(experiment, max_minutes=budget.each)
    progress.say(budget.line())
    outcome = ladder.run(experiment, progress, log)
    spread = _spread_over(outcome, seeds, progress, log) if seeds > 1 else None
    curves = thinned(outcome, shares, progress, experiment.seed) if shares else None
    found = Compared(outcome, budget, spread, curves)
    _keep(found, progress)
    return found


def _models(wanted: Sequence[str], experiment: Experiment, log: EventLog) -> dict[str, Mapping[str, Any]]:
    """The models to compare, as an experiment has them; presets as they are for what is learnt from."""
    found = {label: experiment.models.get(label, {}) for label in wanted}
    presets = [label for label in wanted if label in PRESETS and label not in experiment.models]
    if presets:
        begun = parted(experiment, log, Silent())
        events = begun.experiment.filters.learnable(begun.split.train)[0]
        known = Training.of(events, experiment.sequences.by, objective=experiment.objective).sequences
        found |= {label: described(label, known) for label in presets}
    return found


def _keep(found: Compared, progress: Progress) -> None:
    """Adds what was asked beside a run to its results, and to its page."""
    folder = found.outcome.folder
    path = folder / ladder.RESULTS
    content = json.loads(path.read_text(encoding="utf-8")) | found.beside()
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    try:
        reporting.keep(folder)
    except (EnsueError, OSError) as fault:  # what was trained is not lost for want of a page
        progress.say(f"no report: {fault}")


def networks(experiment: Experiment) -> tuple[str, ...]:
    """The labels of the models that learn for minutes, of those that this installation can run."""
    found = []
    for label, settings in experiment.models.items():
        try:
            if trains(described_model(label, settings)):
                found.append(label)
        except MissingExtraError:  # it is skipped and named by the run
            continue
    return tuple(found)


def _spread_over(outcome: Outcome, seeds: int, progress: Progress, log: EventLog) -> SeedSpreads | None:
    """The networks of a run with further seeds, each in a run of its own; None if there are no networks."""
    experiment = outcome.experiment
    ran = {rung.label: rung for rung in outcome.rungs if trains(rung.model)}
    if not ran:
        progress.say(
            "seeds: there is no network among the models, and counting gives the same for every seed"
        )
        return None
    first = outcome.figures
    values = {label: {name: [value] for name, value in first[label].items()} for label in ran}
    numbers = [experiment.seed + step for step in range(seeds)]
    for number in numbers[1:]:
        progress.say(f"seed {number}: {', '.join(ran)}")
        again = replace(
            experiment,
            models={label: experiment.models[label] for label in ran},
            seed=number,
            out=str(Path(outcome.folder) / SEEDS / str(number)),
            keep_histories=False,
        )
        for label, own in ladder.run(again, progress, log).figures.items():
            for name, found in values[label].items():
                found.append(own[name])
    return SeedSpreads(
        tuple(numbers),
        {label: {name: Spread(tuple(found)) for name, found in own.items()} for label, own in values.items()},
    )
