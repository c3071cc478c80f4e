"""The contract of every model: a description that fits, the conditions of the fit, and what it learns from.

A model is a frozen dataclass of hyperparameters: it says what it is, and never holds what it has learnt. `fit`
returns another, complete object, the recommender. How a fit goes (seed, device, progress, limits) is kept apart.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, DataError, ModelError, nearest
from ensue.events.log import EventLog
from ensue.objective import NONE, Objective
from ensue.progress import Progress, Silent
from ensue.ranking import Parts, Recommender, Scoring
from ensue.registry import Registry
from ensue.sequences import Sequences
from ensue.spaces import Space
from ensue.splits import Examples

TELLING = "leave it out, or take a model that can, such as rules, neighbours, v-sknn or als"
"""What to do about a model to which all events are alike."""


@dataclass(frozen=True, eq=False)
class Training:
    """What a model learns from.

    Attributes:
        sequences: training sequences in catalogue indices.
        catalogue: fitted on the same events.
        validation: examples that a network stops early on; None trains for the full length.
        exclude_seen: the rule the recommender will answer by, which validation uses too.
        counted: sequences of other users, from which a model that goes on only counts; None where there are none.
        objective: which events are targets, and how much each counts; the sequences have their weights.
    """

    sequences: Sequences
    catalogue: Catalogue
    validation: Examples | None = None
    exclude_seen: bool = True
    counted: Sequences | None = None
    objective: Objective = NONE

    @classmethod
    def of(
        cls,
        log: EventLog,
        by: str = "user",
        exclude_seen: bool = True,
        objective: Objective = NONE,
        cold_items: bool = False,
    ) -> Training:
        """All events of a log as training, with a catalogue fitted on them.

        Args:
            log: the events.
            by: what a sequence is.
            exclude_seen: the rule that is answered by.
            objective: which of the events are targets; without one, all are.
            cold_items: whether items of the log's table of items that have no event come into the catalogue, too, at
                its end: to be scored by what is known of them.

        Raises:
            DataError: none is a target.
        """
        catalogue = Catalogue.fit(log)
        if cold_items and log.items is not None:
            catalogue = catalogue.extend(log.items)
        found = cls(Sequences.of(log, catalogue, by), catalogue, exclude_seen=exclude_seen)
        found = found.towards(objective)
        if objective.typed and not found.sequences.n_targets:
            raise DataError(
                f"None of the {log.n_events:,} training events is a target with another before it "
                f"({objective.words}): there is nothing to learn."
            )
        return found

    def towards(self, objective: Objective) -> Training:
        """The same training towards an objective, with a catalogue that knows of targets."""
        if not objective:
            return self
        counted = None if self.counted is None else objective.weighted(self.counted)
        sequences, catalogue = objective.weighted(self.sequences), self.catalogue
        if sequences.weight is not None and catalogue.targets is None:
            counts = np.bincount(sequences.items, sequences.weight, minlength=len(catalogue))
            catalogue = replace(catalogue, targets=counts.astype(np.float64))
        return replace(self, sequences=sequences, catalogue=catalogue, counted=counted, objective=objective)

    def alike(self, model: str, remedy: str = TELLING) -> Sequences:
        """The sequences, for a model to which every event is like any other.

        Args:
            model: its name.
            remedy: what to do where some events are targets, and others are not.

        Raises:
            ModelError: there is an objective.
        """
        if self.sequences.weight is not None:
            raise ModelError(
                f"{model}: learns from all events alike, and cannot tell targets from what only stands in histories "
                f"({self.objective.words}): {remedy}."
            )
        return self.sequences


@dataclass(frozen=True, eq=False)
class Conditions:
    """How a fit goes, apart from what the model is.

    Attributes:
        seed: same seed, same bits on one machine.
        progress: who is told how far it is.
        device: "cpu", "cuda" or "auto" (a GPU if there is one). Counting models ignore it.
        threads: how many cores a network trains on; 0 leaves the setting alone.
        checkpoints: a folder where a network keeps its state, and goes on from; None keeps none. Going on gives what an
            uninterrupted run gives, bit for bit.
        checkpoint_minutes: how often it does within an epoch; it always does at the end of one, and when told to stop.
        max_minutes: stop training in time with the best state so far; the learning rate falls within them. 0 is no
            limit.
        steps: train exactly this many optimiser steps (a refit); 0 trains by the model's own epochs.
        horizon: over how many steps the learning rate falls; 0 takes those of all epochs. A refit keeps that of
            its first fit.
        tokens_at_once: the most tokens that are computed at once; larger batches are computed in parts whose gradients
            add up. 0 computes every batch whole.
        precision: "single", "bf16", "fp16", or "auto": bf16 on a GPU that has it. Weights and losses stay in 32 bits.
        compile: translate the network with torch.compile first, which takes a while.
        processes: how many processes on this machine train one network together; 0 leaves it, and the threads of each,
            to the kind of network and to how much there is to do (`ensue.suiting.shares`).
        stop: asked after each validation, with how many epochs have been trained and what was scored (the higher the
            better); True ends the training there, with the best state so far. None never does.
    """

    seed: int = 0
    progress: Progress = field(default_factory=Silent)
    device: str = "auto"
    threads: int = 0
    checkpoints: Path | None = None
    checkpoint_minutes: float = 5.0
    max_minutes: float = 0.0
    steps: int = 0
    horizon: int = 0
    tokens_at_once: int = 0
    precision: str = "auto"
    compile: bool = False
    processes: int = 1
    stop: Callable[[int, float], bool] | None = None


@dataclass(frozen=True)
class Model(ABC):
    """A family of models with its hyperparameters; subclasses are frozen dataclasses in `ensue.models`."""

    name: ClassVar[str]
    summary: ClassVar[str]
    space: ClassVar[Space] = {}
    """What tuning may change, see `ensue.spaces`: a family declares its own, empty where there is nothing to tune."""
    goes_on: ClassVar[bool] = False
    """Whether a fitted one can learn further from new events alone, see `go_on`."""
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    @abstractmethod
    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """A recommender that has learnt from `training`."""

    def restore(self, parts: Parts, catalogue: Catalogue) -> Scoring:
        """The scoring of a stored counting model; networks are restored from their graph instead.

        Args:
            parts: settings and arrays, as the scoring gave them.
            catalogue: the items.
        """
        raise TypeError(f"{self.name} is restored from its graph")

    def go_on(self, parts: Parts, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """A recommender that has learnt further, from where a saved one stands.

        Args:
            parts: of the saved one.
            training: new events, over a catalogue that begins with the saved one's.
            conditions: how it goes; steps below 0 learn nothing and only take new items in.
        """
        raise TypeError(f"{self.name} is fitted anew")

    def settings(self) -> dict[str, Any]:
        """The hyperparameters as JSON has them: lists, and no tuples."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


models: Registry[Model] = Registry(
    ("ensue.models.counting", "ensue.models.ratings", "ensue.models.neural"), Model, "ensue.models"
)
"""Every model by name: a file in one of these folders adds to it, and so does an entry point of "ensue.models"."""


def model_of(described: str | Model, **settings: Any) -> Model:
    """A model from its name and settings; a model as it is.

    Args:
        described: a name in the registry ("markov", "transformer", ...) or a model.
        settings: hyperparameters that differ from the defaults.

    Raises:
        ConfigError: there is no such model or setting.
    """
    if isinstance(described, Model):
        return replace(described, **settings) if settings else described
    kind = models.get(described)
    known = [field.name for field in fields(kind)]
    for name in settings:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"The model {described} has no setting '{name}'; {has}.{nearest(name, known)}")
    return kind(**settings)


def fit(
    model: str | Model,
    log: EventLog,
    *,
    by: str = "user",
    exclude_seen: bool = True,
    objective: Objective = NONE,
    conditions: Conditions | None = None,
    **settings: Any,
) -> Recommender:
    """A recommender that has learnt from all events of a log.

    Args:
        model: a name ("popular", "markov", "rules", "lstm", "transformer", ...) or a model.
        log: training events only; take `split.train` or `split.before_test` to keep a test apart.
        by: what a sequence is, "user" or "session".
        exclude_seen: leave items of the history out of its answers.
        objective: which events stand in histories, and which are learnt to be predicted; without one, all are both.
        conditions: seed, progress, device and limits.
        settings: hyperparameters that differ from the model's defaults.

    Raises:
        ConfigError: there is no such model or setting.
        ModelError: the model cannot be fitted on this log, or knows no objective.
    """
    objective.check(log)
    training = Training.of(objective.heard(log), by, exclude_seen, objective)
    return model_of(model, **settings).fit(training, conditions or Conditions())


def refit(model: Model, first: Recommender, training: Training, conditions: Conditions) -> Recommender:
    """The same model fitted anew on more events, for as long as its first fit found best.

    Args:
        model: as it was fitted first.
        first: what that fit gave; a network's says at which step validation was best.
        training: the events to learn from now, usually training and validation together.
        conditions: as for the first fit.

    Returns:
        The new recommender; the facts of the first fit are kept under "first_fit".
    """
    chosen = first.facts.get("chosen") or {}
    again = replace(conditions, steps=chosen.get("step", 0), horizon=first.facts.get("horizon", 0))
    if chosen:
        conditions.progress.say(
            f"{model.name}: anew on {len(training.sequences.items):,} events, {again.steps:,} steps"
        )
    fitted = replace(model, **first.settings).fit(training, again)
    return replace(fitted, facts={**fitted.facts, "first_fit": dict(first.facts)})
