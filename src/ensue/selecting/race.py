"""A race on validation with early stopping: a short budget for all, a longer one for those that may still win.

It is successive halving with a condition: of the networks, those of the worse half drop out once their validation is
lower than the best one's by more than chance tells. Models that count run first, and are rivals from the beginning.

References:
    Jamieson, Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ensue.errors import MissingExtraError, ModelError
from ensue.evaluation import Evaluation
from ensue.ladder.rungs import FirstFit, first_fit, trains
from ensue.model import Conditions, Model, Training
from ensue.significance import Interval, interval
from ensue.tracks import TIME_AWARE, TIME_BLIND, refuse_mixed, track_of

TWO_ROUNDS = 4
"""Up to so many networks race in two rounds, more of them in three."""

SPENT = 0.95
"""A training that took less than this share of its minutes ended by itself, and would be no other with more."""


@dataclass(frozen=True)
class Dropped:
    """Why a network left the race.

    Attributes:
        after: the round, from 1.
        minutes: that it had been trained for in all.
        leader: who was best then.
        gap: the leader's validation less its own, over users.
    """

    after: int
    minutes: float
    leader: str
    gap: Interval

    def to_json(self) -> dict[str, Any]:
        """The reason for programs."""
        return {
            "after_round": self.after,
            "minutes": round(self.minutes, 3),
            "leader": self.leader,
            "lower_by": self.gap.to_json(),
        }


@dataclass(frozen=True, eq=False)
class Race:
    """What a race came to.

    Attributes:
        fits: the best fit of every model that ran, by its label.
        minutes: that each network was trained for, its trainings added up.
        dropped: the networks that left early.
        skipped: the models that could not run, with the reason.
        rounds: minutes of one training in each round.
        limits: minutes that the fit of each network had at most; 0 is no limit.
    """

    fits: Mapping[str, FirstFit]
    minutes: Mapping[str, float]
    dropped: Mapping[str, Dropped]
    skipped: Mapping[str, str]
    rounds: tuple[float, ...]
    limits: Mapping[str, float]


@dataclass(eq=False)
class Racing:
    """A race that goes on.

    Attributes:
        training: what all learn from, with the validation examples.
        conditions: how fits go; each round has minutes of its own.
        metric: on validation, by which they race.
    """

    training: Training
    conditions: Conditions
    metric: str
    fits: dict[str, FirstFit] = field(default_factory=dict)
    minutes: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, Dropped] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def run(self, label: str, model: Model, minutes: float = 0.0) -> None:
        """Fits a model; of two fits the better on validation is kept.

        Args:
            label: its name.
            model: what is fitted.
            minutes: of training; 0 is no limit.
        """
        self.conditions.progress.say(f"{label}: {model.summary}")
        began = time.monotonic()
        try:
            found = first_fit(
                model, self.training, replace(self.conditions, max_minutes=minutes), self.metric
            )
        except (MissingExtraError, ModelError) as fault:
            self.skipped[label] = str(fault)
            self.conditions.progress.say(f"{label}: left out. {fault}")
            return
        took = (time.monotonic() - began) / 60
        self.minutes[label] = self.minutes.get(label, 0.0) + took
        if label not in self.fits or self.value(label) < validation(found).value(self.metric):
            self.fits[label], self.limits[label] = found, minutes
        trained = float(found.recommender.facts.get("seconds", 0.0)) / 60
        if not minutes or trained < SPENT * minutes:
            self.done.add(label)
        self.conditions.progress.say(f"{label}: {self.metric} {self.value(label):.4f} on validation")

    def value(self, label: str) -> float:
        """The validation of a model, by its best fit so far."""
        return validation(self.fits[label]).value(self.metric)

    def drop(self, alive: list[str], number: int) -> list[str]:
        """The networks that stay: all but those of the worse half that are surely below the best of all models.

        Args:
            alive: the networks that are in the race.
            number: of the round, from 1.
        """
        alive = [label for label in alive if label in self.fits]
        if not alive:
            return []
        leader = max(self.fits, key=self.value)
        ranked = sorted(alive, key=self.value, reverse=True)
        best = validation(self.fits[leader]).per_user[self.metric]
        for label in ranked[-(-len(ranked) // 2) :]:
            own = validation(self.fits[label]).per_user[self.metric]
            gap = interval(best - own, seed=self.conditions.seed)
            if gap.low > 0:
                self.dropped[label] = Dropped(number, self.minutes[label], leader, gap)
                self.conditions.progress.say(
                    f"{label}: out after round {number}, lower than {leader} by {gap.value:.4f} "
                    f"({gap.low:.4f} to {gap.high:.4f})"
                )
        return [label for label in alive if label not in self.dropped]


def race(
    models: Mapping[str, Model], training: Training, conditions: Conditions, metric: str, minutes: float
) -> Race:
    """A race of models on validation.

    A network that ends before its minutes are over is not trained again in a later round; what it leaves goes to the
    others. Each round gives a network about twice the minutes of the one before, and more as others drop out.

    Args:
        models: by label.
        training: what all learn from, with the validation examples.
        conditions: how fits go.
        metric: on validation, by which they race, as evaluations name it.
        minutes: of all networks together; 0 is no limit, and one round.

    Raises:
        ConfigError: some models read when they are asked, and others do not.
    """
    going = Racing(training, conditions, metric)
    alive = [label for label, model in models.items() if trains(model)]
    for label, model in models.items():
        if label not in alive:
            going.run(label, model)
    tracks = {label: track_of(fit.recommender) for label, fit in going.fits.items()}
    tracks |= {label: TIME_BLIND if _asked(models[label]) == "none" else TIME_AWARE for label in alive}
    refuse_mixed(tracks, "A race")
    number = 1 if len(alive) < 2 or not minutes else 2 if len(alive) <= TWO_ROUNDS else 3
    rounds: list[float] = []
    spent = 0.0
    for step in range(number):
        entered = [label for label in alive if label not in going.done]
        if not entered:
            break
        each = of_each(minutes - spent, step, number, len(entered))
        if minutes and not each:
            break
        rounds.append(each)
        for label in entered:
            going.run(label, models[label], each)
        spent = sum(going.minutes.get(label, 0.0) for label in models if trains(models[label]))
        alive = going.drop(alive, step + 1)
    return Race(going.fits, going.minutes, going.dropped, going.skipped, tuple(rounds), going.limits)


def _asked(model: Model) -> str:
    """What a network reads of the moment of a question; "none" for one that has no such setting."""
    return str(getattr(model, "asked", "none"))


def of_each(left: float, step: int, number: int, entered: int) -> float:
    """Minutes of each network in a round: every round has twice the minutes of the one before, in all.

    Args:
        left: minutes that are not spent.
        step: of the round, from 0.
        number: of rounds.
        entered: networks that are trained in it.

    Example:
        >>> of_each(7.0, 0, 3, 4), of_each(6.0, 1, 3, 2), of_each(4.0, 2, 3, 1)
        (0.25, 1.0, 4.0)
    """
    share: float = 2**step / sum(2**later for later in range(step, number))
    return max(left, 0.0) * share / entered


def validation(fit: FirstFit) -> Evaluation:
    """What a fit reached on validation.

    Raises:
        ModelError: there was nothing to reach it on.
    """
    if fit.validation is None:
        raise ModelError(f"{fit.model.name}: there are no validation targets to race on.")
    return fit.validation
