"""How the best model of a run is chosen on validation: by a metric of rankings, or by how far off its ratings are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from ensue.errors import ConfigError, MissingExtraError, ModelError
from ensue.examples import Examples
from ensue.expected_ratings import rated_places, rates, rmse
from ensue.experiment import AUTO, RMSE, USUAL, Experiment, described_model
from ensue.progress import Progress
from ensue.ranking import Recommender


class Scored(Protocol):
    """A model with its figure on validation."""

    @property
    def label(self) -> str:
        """Its name."""
        ...

    @property
    def validation(self) -> float | None:
        """The figure; None where there was nothing to choose on."""
        ...


def chosen_on(experiment: Experiment, progress: Progress) -> Experiment:
    """The experiment with the metric of its choice: RMSE where all of its models answer with ratings.

    Args:
        experiment: with its models.
        progress: is told of RMSE.
    """
    if experiment.evaluation.choose_on != AUTO:
        return experiment
    kinds = []
    for label, settings in experiment.models.items():
        try:
            kinds.append(bool(getattr(described_model(label, settings), "rates", False)))
        except MissingExtraError:  # it is skipped and named by the run
            continue
    name = RMSE if kinds and all(kinds) else USUAL
    if name == RMSE:
        progress.say(
            "all models answer with ratings: the best is the one with the lowest RMSE on validation "
            "(evaluation.choose_on)"
        )
    return replace(experiment, evaluation=replace(experiment.evaluation, choose_on=name))


def ranking(experiment: Experiment, what: str) -> Experiment:
    """The experiment with a metric of rankings to choose by.

    Args:
        experiment: what was asked for.
        what: chooses by rankings alone, such as "A race".

    Raises:
        ConfigError: it is to be chosen by RMSE.
    """
    if experiment.evaluation.choose_on == RMSE:
        raise ConfigError(
            f"evaluation.choose_on = '{RMSE}': {what} is by a metric of rankings, such as {USUAL}; `ensue run` chooses "
            "among models of ratings by RMSE."
        )
    if experiment.evaluation.choose_on != AUTO:
        return experiment
    return replace(experiment, evaluation=replace(experiment.evaluation, choose_on=USUAL))


def validation_rmse(fitted: Recommender, examples: Examples) -> float | None:
    """How far off the ratings are that a model expects of validation targets; None if no known target was rated.

    Args:
        fitted: the model.
        examples: what it is asked.

    Raises:
        ModelError: it expects no ratings.
    """
    rating = rates(fitted)
    if rating is None:
        raise ModelError(
            f"{fitted.model} expects no ratings, and the best is chosen by RMSE (evaluation.choose_on): leave it out, "
            f"or choose by another metric, such as {USUAL}."
        )
    return rmse(rating, examples) if len(rated_places(examples)) else None


def best(models: Sequence[Scored], name: str) -> str:
    """The label of the model that was best on validation; without a figure of any, the last.

    Args:
        models: at least one, in the order of the experiment.
        name: of the metric; the lowest RMSE is the best.
    """
    sign = -1 if name == RMSE else 1
    scored = [one for one in models if one.validation is not None]
    return max(scored, key=lambda one: sign * (one.validation or 0.0)).label if scored else models[-1].label
