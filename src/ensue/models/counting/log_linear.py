"""A log-linear mix of counting models, whose weights are learnt on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import ArtifactError, ConfigError
from ensue.examples import Examples
from ensue.model import Conditions, Model, Training, model_of
from ensue.ranking import Parts, Recommender, Scores, Scoring, exclude_histories
from ensue.sequences import Queries
from ensue.spaces import Space

Floats = NDArray[np.float64]

SCORES_LEARNT = 4_000_000
"""The most scores of each member that weights are learnt from."""

SMALL = 1.0
"""Weight of the penalty on squared weights, in units of one target."""

STEPS = 60
"""The most steps of the search for weights."""


@dataclass(frozen=True)
class LogLinear(Model):
    """A weighted sum of what several models say, each on one scale: score = sum over members of w_m x f_m.

    The scale of a member: its scores of one query less the least of them, in units of their mean, and `f = ln(1 + x)`
    of that, so that neither the unit nor one very high score decides. The weights are those, from 0 up, under which
    the validation targets are likeliest, with `P(i) = softmax over the candidates of the score`: a convex problem, by
    L-BFGS. They become the setting `weights`, and a refit keeps them. Without validation all weights are 1.

    Attributes:
        members: models that count, each with its settings, as an entry of `[models]` has them with `model`.
        weights: of the members; none learns them.

    References:
        McFadden, "Conditional logit analysis of qualitative choice behavior", 1974 (the likelihood).
    """

    name: ClassVar[str] = "log-linear"
    summary: ClassVar[str] = "several counting models, with weights learnt on validation"
    space: ClassVar[Space] = {}

    members: tuple[Mapping[str, Any], ...] = ({"model": "markov"}, {"model": "popular"})
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(dict(member) for member in self.members))
        object.__setattr__(self, "weights", tuple(float(weight) for weight in self.weights))
        if not self.members:
            raise ConfigError("log-linear: members names no model: give some, such as [{model = 'rules'}].")
        for model in self.models:
            if any(entry.name == "epochs" for entry in fields(model)) or isinstance(model, LogLinear):
                raise ConfigError(
                    f"log-linear: {model.name} is no model that counts: name others as members."
                )
        if self.weights and len(self.weights) != len(self.members):
            raise ConfigError(
                f"log-linear: {len(self.weights)} weights for {len(self.members)} members: give one for each."
            )
        if not all(0 <= weight < float("inf") for weight in self.weights):
            raise ConfigError(f"log-linear: weights={list(self.weights)} must be numbers from 0 up.")

    @property
    def models(self) -> tuple[Model, ...]:
        """The members.

        Raises:
            ConfigError: one names no model, or one that does not exist.
        """
        return tuple(_member(one) for one in self.members)

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """All members, and their weights."""
        fitted = [model.fit(training, conditions) for model in self.models]
        weights = self.weights
        if not weights and training.validation is not None and len(training.validation):
            weights = _learnt(fitted, training.validation, training.exclude_seen, conditions.seed)
            shown = ", ".join(
                f"{one.model} {weight:.2f}" for one, weight in zip(fitted, weights, strict=True)
            )
            conditions.progress.say(f"{self.name}: weights learnt on validation: {shown}")
        weights = weights or (1.0,) * len(fitted)
        scoring = LogLinearScoring(tuple(one.scoring for one in fitted), np.array(weights))
        settings = replace(self, weights=weights).settings()
        return Recommender(training.catalogue, scoring, self.name, settings, training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> LogLinearScoring:
        """The stored members.

        Raises:
            ArtifactError: they are not as many as the settings name.
        """
        said = parts.settings["members"]
        if len(said) != len(self.members) or len(self.weights) != len(said):
            raise ArtifactError(
                "The stored members are not those of the mix: the artifact is damaged, save it anew."
            )
        held: list[dict[str, NDArray[Any]]] = [{} for _ in said]
        for name, array in parts.arrays.items():
            place, _, own = name.partition(".")
            held[int(place)][own] = array
        members = (
            model.restore(Parts(one, arrays), catalogue)
            for model, one, arrays in zip(self.models, said, held, strict=True)
        )
        return LogLinearScoring(tuple(members), np.array(self.weights))


@dataclass(frozen=True, eq=False)
class LogLinearScoring:
    """Scores of a mix.

    Attributes:
        members: the scorings.
        weights: of each.
    """

    members: tuple[Scoring, ...]
    weights: Floats

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of events that a member wants beside the items."""
        return tuple(dict.fromkeys(name for member in self.members for name in getattr(member, "reads", ())))

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` weighted sums."""
        total = np.zeros((len(queries), queries.n_items))
        for member, weight in zip(self.members, self.weights.tolist(), strict=True):
            if weight:
                total += weight * scaled(member.score(queries))
        return total

    def parts(self) -> Parts:
        """Those of the members, each with its place before its names."""
        parts = [member.parts() for member in self.members]
        arrays = {
            f"{place}.{name}": array for place, one in enumerate(parts) for name, array in one.arrays.items()
        }
        return Parts({"members": [dict(one.settings) for one in parts]}, arrays)


def scaled(scores: Scores) -> Floats:
    """`[Q, N]` scores of each query from 0 up: `ln(1 + (s - least) / mean of (s - least))`."""
    found = scores.astype(np.float64) - scores.min(axis=1, keepdims=True)
    mean = found.mean(axis=1, keepdims=True)
    found /= np.where(mean > 0, mean, 1.0)
    logged: Floats = np.log1p(found)
    return logged


def _member(described: Mapping[str, Any]) -> Model:
    own = dict(described)
    name = own.pop("model", None)
    if not isinstance(name, str):
        raise ConfigError(
            f"log-linear: the member {dict(described)} names no model, such as {{model = 'rules'}}."
        )
    return model_of(name, **own)


def _learnt(
    fitted: Sequence[Recommender], examples: Examples, seen_out: bool, seed: int
) -> tuple[float, ...]:
    """The weights under which the targets are likeliest.

    Args:
        fitted: the members.
        examples: validation targets; at most so many are drawn as their scores may be held. Of no use are those that
            are no candidates.
        seen_out: whether items of the history are no candidates.
        seed: of the draw.
    """
    from scipy.optimize import minimize

    n_items = examples.queries.n_items
    usable = np.flatnonzero((examples.targets != UNKNOWN) & (examples.queries.lengths > 0))
    most = max(SCORES_LEARNT // n_items, 1)
    some = np.sort(np.random.default_rng(seed).permutation(usable)[:most])
    if not len(some):
        return (1.0,) * len(fitted)
    queries, targets = examples.queries[some], examples.targets[some]
    out = np.zeros((len(some), n_items), dtype=np.bool_)
    said: list[Floats] = []
    for one in fitted:
        scores = one.scores(queries)
        out |= np.isneginf(scores)
        said.append(scaled(one.scoring.score(queries)))
    if seen_out:
        out |= np.isneginf(exclude_histories(np.zeros(out.shape), queries))
    answered = ~out[np.arange(len(some)), targets]
    if not answered.any():
        return (1.0,) * len(fitted)
    out, targets, said = out[answered], targets[answered], [one_said[answered] for one_said in said]
    rows = np.arange(len(targets))
    for one_said in said:
        one_said[out] = 0.0

    def loss(weights: Floats) -> tuple[float, Floats]:
        total = np.where(out, -np.inf, 0.0)
        for weight, one_said in zip(weights.tolist(), said, strict=True):
            total += weight * one_said
        total -= total.max(axis=1, keepdims=True)
        chance = np.exp(total, out=total)
        chance /= chance.sum(axis=1, keepdims=True)
        value = -np.log(np.maximum(chance[rows, targets], 1e-300)).sum() + SMALL / 2 * weights @ weights
        chance[rows, targets] -= 1.0
        slope = np.array([np.vdot(chance, one_said) for one_said in said])
        return float(value), slope + SMALL * weights

    start = np.ones(len(fitted))
    bounds = [(0.0, None)] * len(fitted)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS})
    return tuple(round(float(weight), 4) for weight in found.x)
