"""What is searched: models, the settings of each that are fixed, and the space of those that are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from ensue.errors import ConfigError
from ensue.experiment import described_model
from ensue.model import Model
from ensue.spaces import Dimension, OneOf, Real, Space, Value, Whole

if TYPE_CHECKING:
    from optuna.trial import Trial

MODEL = "model"
"""The dimension that says which model, where several are searched."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One model of a search.

    Attributes:
        model: with the settings that stay.
        fixed: those of them that were given.
        space: the dimensions of the others.
    """

    model: Model
    fixed: Mapping[str, Any]
    space: Space

    @classmethod
    def of(cls, label: str, settings: Mapping[str, Any]) -> Candidate:
        """A model with what its space leaves open beside the settings that were given.

        Args:
            label: in the experiment.
            settings: as an experiment has them; they are not searched.

        Raises:
            ConfigError: there is no such model, or its settings have faults.
            MissingExtraError: this installation cannot fit it.
        """
        model = described_model(label, settings)
        fixed = {name: value for name, value in settings.items() if name != MODEL}
        space = {
            name: kept
            for name, dimension in model.space.items()
            if name not in fixed and (kept := _accepted(model, name, dimension)) is not None
        }
        return cls(model, fixed, space)

    @property
    def begin(self) -> dict[str, Value]:
        """The model's own settings, as a point of the space."""
        own = {name: getattr(self.model, name) for name in self.space}
        return {name: value for name, value in own.items() if self.space[name].holds(value)}

    def with_settings(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """The settings of an experiment's table: the model's name, what was fixed, and these."""
        known = {entry.name for entry in fields(self.model)}
        return {MODEL: self.model.name, **self.fixed, **{n: v for n, v in values.items() if n in known}}


@dataclass(frozen=True, eq=False)
class Search:
    """All models of a search.

    Attributes:
        candidates: the models by label.
    """

    candidates: Mapping[str, Candidate]

    @classmethod
    def of(cls, models: Mapping[str, Mapping[str, Any]]) -> Search:
        """The search over some models of an experiment.

        Args:
            models: label -> settings, as in an experiment.

        Raises:
            ConfigError: no model is named, or none of them has anything to be tuned.
            MissingExtraError: this installation cannot fit one of them.
        """
        if not models:
            raise ConfigError(
                "Which model is to be tuned? Name one with --model (`ensue models` lists them)."
            )
        found = {label: Candidate.of(label, settings) for label, settings in models.items()}
        if len(found) == 1 and not any(candidate.space for candidate in found.values()):
            (label,) = found
            why = "all that could be is given" if found[label].model.space else "its space is empty"
            raise ConfigError(f"There is nothing to tune about {label}: {why}. Name another model.")
        return cls(found)

    def begins(self) -> list[dict[str, Value]]:
        """The points that a study begins with: every model as it is."""
        several = len(self.candidates) > 1
        begins: list[dict[str, Value]] = []
        for label, candidate in self.candidates.items():
            own = {f"{label}.{name}": value for name, value in candidate.begin.items()}
            begins.append({MODEL: label, **own} if several else own)
        return begins

    def drawn(self, trial: Trial) -> tuple[str, Model]:
        """The label and the model that a trial is about.

        Args:
            trial: asked for its values; it has no model yet.

        Raises:
            ConfigError: these settings do not go together.
        """
        labels = list(self.candidates)
        label = str(trial.suggest_categorical(MODEL, labels)) if len(labels) > 1 else labels[0]
        candidate = self.candidates[label]
        values = {
            name: _value(trial, f"{label}.{name}", dimension) for name, dimension in candidate.space.items()
        }
        return label, replace(candidate.model, **values)

    def read(self, params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The label of a kept trial, and its settings by their own names.

        Args:
            params: as the study keeps them.
        """
        label = str(params.get(MODEL, next(iter(self.candidates))))
        begins = f"{label}."
        return label, {n.removeprefix(begins): v for n, v in params.items() if n.startswith(begins)}

    def said(self) -> dict[str, Any]:
        """What a study is about, as plain values: one of anything else is not gone on with."""
        return {
            label: {"settings": candidate.model.settings(), "space": {n: str(d) for n, d in candidate.space.items()}}
            for label, candidate in self.candidates.items()
        }  # fmt: skip


def _value(trial: Trial, name: str, dimension: Dimension) -> Value:
    """A trial's value of one dimension."""
    if isinstance(dimension, Whole):
        return trial.suggest_int(name, dimension.low, dimension.high, step=dimension.step, log=dimension.log)
    if isinstance(dimension, Real):
        return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
    value: Value = trial.suggest_categorical(name, list(dimension.values))
    return value


def _accepted(model: Model, name: str, dimension: Dimension) -> Dimension | None:
    """A dimension without the values that do not go with the settings that stay; None if nothing is left to choose."""
    if not isinstance(dimension, OneOf):
        return dimension
    values = tuple(value for value in dimension.values if _goes(model, name, value))
    return OneOf(values) if len(values) > 1 else None


def _goes(model: Model, name: str, value: Value) -> bool:
    """Whether a model takes a value of one of its settings."""
    try:
        replace(model, **{name: value})
    except ConfigError:
        return False
    return True
