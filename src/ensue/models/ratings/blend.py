"""Several models of ratings answering together, each with a weight that was chosen on ratings it had not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, ModelError
from ensue.expected_ratings import answers_ratings, rated_places, ratings_by
from ensue.model import Conditions, Model, Training, model_of
from ensue.models.ratings.blend_scoring import MOST, BlendScoring
from ensue.models.ratings.held_out import held_out
from ensue.models.ratings.rating_model import RatingModel, Values
from ensue.ranking import Parts, Recommender
from ensue.spaces import Real, Space


@dataclass(frozen=True)
class Blend(RatingModel):
    """Expected ratings that several models agree on: a weighted sum, by ridge regression on held-out ratings.

    The models are fitted, then their weights are chosen on the validation part, or where there is none on the last
    events of each sequence, after which the models are fitted anew on everything. The regression is pulled towards
    equal weights, so that models which say nearly the same share theirs. Any model that answers with ratings can be of
    it, networks too.

    Attributes:
        of: the models, each a name, or a table with `model` and its settings.
        ridge: how many squared ratings a weight away from its equal share by 1 costs.
        held: share of each sequence, at its end, that weights are chosen on where there is no validation.
        weights: of each model, then a constant; empty chooses them.
        steps: how long each model is trained, 0 where it decides itself; empty lets all decide.
        horizons: over how many steps the learning rate of each falls.

    References:
        Breiman, "Stacked regressions", Machine Learning 24, 1996; Töscher, Jahrer, Bell, "The BigChaos solution to the
        Netflix grand prize", 2009 (ridge regression on a probe set, then retraining on all).
    """

    name: ClassVar[str] = "blend"
    summary: ClassVar[str] = "expected ratings of several models, weighed on held-out ratings"
    space: ClassVar[Space] = {"ridge": Real(0.1, 1000.0, log=True)}

    of: tuple[str | Mapping[str, Any], ...] = ("svdpp", "bayesian")
    ridge: float = 10.0
    held: float = 0.1
    weights: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()
    horizons: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("of", "weights", "steps", "horizons"):  # JSON knows lists alone
            given = getattr(self, name)
            if isinstance(given, str | Mapping):
                raise ConfigError(f"{self.name}: {name}={given!r} must be a list, such as [{given!r}].")
            object.__setattr__(self, name, tuple(given))
        faults = [
            f"{name}={getattr(self, name):g} {rule}"
            for name, holds, rule in (
                ("ridge", 0 < self.ridge < np.inf, "must be a number above 0"),
                ("held", 0 < self.held < 1, "must lie between 0 and 1"),
            )
            if not holds
        ]
        number = len(self.of)
        if not 1 <= number <= MOST:
            faults.append(f"of names {number} models, and must name 1 to {MOST}")
        faults += [
            f"of has the entry {entry!r}, and needs names, or tables with the key 'model'"
            for entry in self.of
            if not isinstance(entry if isinstance(entry, str) else entry.get("model"), str)
        ]
        faults += [
            f"{name} has {len(given)} entries for {number} models, and needs {least} or none"
            for name, given, least in (
                ("weights", self.weights, number + 1),
                ("steps", self.steps, number),
                ("horizons", self.horizons, number),
            )
            if len(given) not in (0, least)
        ]
        if faults:
            raise ConfigError(f"{self.name}: {'; '.join(faults)}.")

    def members(self) -> list[Model]:
        """The models that it is of.

        Raises:
            ConfigError: there is no such model or setting.
            MissingExtraError: this installation may lack one of them.
        """
        found = []
        for entry in self.of:
            told = {"model": entry} if isinstance(entry, str) else dict(entry)
            try:
                found.append(model_of(str(told.pop("model")), **told))
            except ConfigError as fault:
                raise ConfigError(f"{self.name}: {fault}") from fault
        return found

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The models, fitted, with their weights.

        Raises:
            ModelError: there are no ratings, none to choose weights on, or a model does not answer with ratings.
        """
        scale = self.told(training, conditions)
        members, found = self.members(), self
        errors: list[float] = []
        fitted = None
        if not self.weights:
            given = training.validation
            has = given is not None and len(rated_places(given)) > 0
            first = training if has else held_out(training, self.held)
            fitted = self._fitted(members, first, conditions)
            found, errors = self._weighed(fitted, first)
            shares = ", ".join(
                f"{model.name} {share:.2f}" for model, share in zip(members, found.weights, strict=False)
            )
            conditions.progress.say(f"{self.name}: weights by held-out ratings: {shares}")
            fitted = fitted if has else None
        if fitted is None:
            fitted = found._fitted(found.members(), replace(training, validation=None), conditions)
        mean = float(np.nanmean(np.asarray(training.sequences.rating), dtype=np.float64))
        scoring = BlendScoring(
            tuple(one.scoring for one in fitted),
            tuple({"model": one.model, "settings": dict(one.settings)} for one in fitted),
            np.array(found.weights),
            mean,
            scale.lowest,
            scale.highest,
        )
        facts = {"members": [one.model for one in fitted], "rmse_of_members": errors}
        return found.answering(training, scoring, **facts)

    def _fitted(
        self, members: Sequence[Model], training: Training, conditions: Conditions
    ) -> list[Recommender]:
        """The models, fitted for as long as was found best, if that is known.

        Raises:
            ModelError: one of them does not answer with ratings.
        """
        none = (0,) * len(members)
        fitted = []
        for model, steps, horizon in zip(members, self.steps or none, self.horizons or none, strict=True):
            one = model.fit(training, replace(conditions, steps=steps, horizon=horizon, checkpoints=None))
            if not answers_ratings(one):
                raise ModelError(
                    f"{self.name}: {model.name} does not answer with ratings: give a network a loss of ratings, such "
                    "as loss='mean-squared-error', or leave it out."
                )
            fitted.append(one)
        return fitted

    def _weighed(self, fitted: Sequence[Recommender], training: Training) -> tuple[Blend, list[float]]:
        """The blend with what the held-out ratings say, and the RMSE of each model on them."""
        examples = training.validation
        if examples is None:
            raise ValueError("weights are chosen on validation")
        asked = examples[rated_places(examples)]
        given = np.asarray(asked.target_ratings, dtype=np.float64)
        mean = float(np.nanmean(np.asarray(training.sequences.rating), dtype=np.float64))
        answers = np.column_stack([ratings_by(one, asked) for one in fitted])
        errors = [float(error) for error in np.sqrt(((answers - given[:, None]) ** 2).mean(axis=0))]
        chosen = [one.facts.get("chosen") or {} for one in fitted]
        blend = replace(
            self,
            of=tuple({"model": one.model, **one.settings} for one in fitted),
            weights=tuple(stacked(answers - mean, given - mean, self.ridge).tolist()),
            steps=tuple(int(one.get("step", 0)) for one in chosen),
            horizons=tuple(int(one.facts.get("horizon") or 0) for one in fitted),
        )
        return blend, errors

    def restore(self, parts: Parts, catalogue: Catalogue) -> BlendScoring:
        """The stored models."""
        return BlendScoring.restored(parts, catalogue)


def stacked(answers: Values, given: Values, ridge: float) -> Values:
    """`[M + 1]` the weight of each model and a constant, by least squares, pulled towards equal weights.

    Args:
        answers: `[Q, M]` above the mean.
        given: `[Q]` the ratings, above the mean.
        ridge: cost of a weight's square distance from `1 / M`; the constant costs nothing.
    """
    rows, number = answers.shape
    design = np.column_stack([answers, np.ones(rows)])
    equal = np.append(np.full(number, 1 / number), 0.0)
    left = design.T @ design + ridge * np.diag(np.append(np.ones(number), 0.0))
    weights: Values = equal + np.linalg.solve(left, design.T @ (given - design @ equal))
    return weights
