"""A mixture of counting models, weighed by what each foresaw of the last baskets of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints, Items
from ensue.blocks import blocks
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, ModelError
from ensue.model import Conditions, Model, Training, model_of, models
from ensue.models.counting.personal import Taken, each_once
from ensue.ranking import SCORES_AT_ONCE, Parts, Recommender, Scores, Scoring
from ensue.sequences import Queries, Sequences
from ensue.spaces import Space

Floats = NDArray[np.float64]

HIDDEN = {"basket": "the last basket", "item": "one item of the last basket"}

STEPS = 300
"""Most steps of expectation and maximisation."""
LEAST = 1e-100
"""What shares are divided by at least."""
STILL = 1e-7
"""So little do weights move when they have been found."""


@dataclass(frozen=True)
class Mixture(Model):
    """What several counting models say, each as a share of the whole, with weights that were learnt.

    Each part divides its scores by their sum over the candidates; the score of an item is the weighted sum of these
    shares, so that it is a probability. Weights are found on training alone: what is asked of each training history
    (see `asks`) is hidden, the parts are fitted on the rest, and the weights make the hidden items likeliest
    (expectation and maximisation, which finds the one best mixture; each user counts once). Then the parts are fitted
    on everything.

    Candidates are all items where repeats are answered, else those that the history does not hold; with asks="item",
    those that the newest basket does not hold.

    Attributes:
        parts: names of counting models, or labels that `settings_of` says more of.
        settings_of: label -> settings of a part; the entry `model` names it where the label does not.
        asks: "basket" hides the last basket of each history, which the next one is asked for; "item" hides one item of
            it, drawn, which an open basket is asked for.
        most: how many histories weights are learnt on, at most; drawn.

    References:
        Dempster, Laird, Rubin, "Maximum likelihood from incomplete data via the EM algorithm", JRSS B 39, 1977, section
        4.3 (finite mixtures); Jelinek, Mercer, "Interpolated estimation of Markov source parameters from sparse data",
        1980 (held-out weights).
    """

    name: ClassVar[str] = "mixture"
    summary: ClassVar[str] = "several counting models in one, weighed by what they foresaw; for baskets"
    space: ClassVar[Space] = {}  # its parts are tuned one by one, its weights are learnt

    parts: tuple[str, ...] = ("repeats", "personal", "tifu-knn", "together", "popular")
    settings_of: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    asks: Literal["basket", "item"] = "basket"
    most: int = 5000

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))  # JSON and TOML give lists
        if not self.parts or len(set(self.parts)) < len(self.parts):
            raise ConfigError(f"mixture: parts={list(self.parts)}: name at least one model, each once.")
        if self.asks not in ("basket", "item"):
            raise ConfigError(f"mixture: asks='{self.asks}': take 'basket' or 'item'.")
        if self.most < 1:
            raise ConfigError(f"mixture: most={self.most} must be at least 1.")
        strange = [label for label in self.settings_of if label not in self.parts]
        if strange:
            raise ConfigError(
                f"mixture: settings_of has '{strange[0]}', which is none of the parts {list(self.parts)}."
            )
        self.described()

    def described(self) -> tuple[Model, ...]:
        """The parts as models.

        Raises:
            ConfigError: one is no counting model, or has no such setting.
        """
        found = []
        for label in self.parts:
            own = dict(self.settings_of.get(label, {}))
            kind = str(own.pop("model", label))
            if not models.get(kind).__module__.startswith("ensue.models.counting.") or kind == self.name:
                raise ConfigError(f"mixture: '{kind}' is no part of a mixture: take counting models.")
            found.append(model_of(kind, **own))
        return tuple(found)

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The parts, fitted on everything, with the weights that were best on what was hidden.

        Raises:
            ModelError: a part cannot be fitted, or gives scores below 0; or there is an objective.
        """
        described = self.described()
        hidden = Hidden.of(training, self.asks, self.most, conditions.seed)
        fitted = [model.fit(hidden.training, conditions).scoring for model in described]
        even = np.full(len(fitted), 1 / len(fitted))
        learner = MixtureScoring(self, tuple(fitted), even, not training.exclude_seen)
        hidden = hidden.only(learner.can_be_answered(hidden))
        weights = even if len(hidden.targets) == 0 else best_weights(learner.foreseen(hidden), hidden.counts)
        parts = tuple(model.fit(training, conditions).scoring for model in described)
        scoring = MixtureScoring(self, parts, weights, not training.exclude_seen)
        facts = {
            "weights": dict(zip(self.parts, weights.round(4).tolist(), strict=True)),
            "hidden": hidden.said,
        }
        return Recommender(
            training.catalogue, scoring, self.name, self.settings(), training.exclude_seen, facts
        )

    def restore(self, parts: Parts, catalogue: Catalogue) -> MixtureScoring:
        """The stored parts, each from its own arrays."""
        own: dict[str, Any] = dict(parts.settings["mixture"])
        model = Mixture(**own)
        weights = np.asarray(parts.settings["weights"], dtype=np.float64)
        found = []
        for place, described in enumerate(model.described()):
            begin = f"{place}."
            arrays = {
                name.removeprefix(begin): array
                for name, array in parts.arrays.items()
                if name.startswith(begin)
            }
            found.append(described.restore(Parts(parts.settings["parts"][place], arrays), catalogue))
        return MixtureScoring(model, tuple(found), weights, bool(parts.settings["repeats"]))


@dataclass(frozen=True, eq=False)
class MixtureScoring:
    """Scores of a mixture: probabilities.

    Attributes:
        model: its settings.
        scorings: the fitted parts.
        weights: one of each, together 1.
        repeats: whether what the history holds is a candidate.
    """

    model: Mixture
    scorings: tuple[Scoring, ...]
    weights: Floats
    repeats: bool

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of events that any of the parts wants beside the items."""
        names = [name for one in self.scorings for name in getattr(one, "reads", ())]
        return tuple(dict.fromkeys(names))

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` the weighted shares; of an item that is no candidate, what it would have beside them."""
        asked, which = each_once(queries)
        scores = np.zeros((len(asked), queries.n_items))
        rows, items = self._no_candidates(asked)
        for weight, scoring in zip(self.weights, self.scorings, strict=True):
            if weight > 0:
                found = np.array(scoring.score(asked), dtype=np.float64)
                scores += weight * found / self._sums(found, rows, items)
        return scores[which]

    def can_be_answered(self, hidden: Hidden) -> NDArray[np.bool_]:
        """`[M]` whether each hidden item is a candidate: what the ranking leaves out says nothing of the parts."""
        rows, items = self._no_candidates(hidden.queries)
        n_items = hidden.queries.n_items
        owner = np.repeat(np.arange(len(hidden.counts)), hidden.counts)
        return ~np.isin(owner * n_items + hidden.targets, rows * n_items + items)

    def foreseen(self, hidden: Hidden) -> Floats:
        """`[M, parts]` the share that each part gives each hidden item.

        Raises:
            ModelError: a part gives scores below 0.
        """
        queries, shares = hidden.queries, np.zeros((len(hidden.targets), len(self.scorings)))
        offsets = np.append(0, np.cumsum(hidden.counts))
        for block in blocks(np.full(len(queries), queries.n_items, dtype=np.int64), SCORES_AT_ONCE):
            asked = queries[block]
            rows, items = self._no_candidates(asked)
            mine = slice(offsets[block.start], offsets[block.start + len(asked)])
            target_rows = np.repeat(np.arange(len(asked)), hidden.counts[block])
            for place, scoring in enumerate(self.scorings):
                found = np.array(scoring.score(asked), dtype=np.float64)
                if found.min() < 0:
                    raise ModelError(
                        f"mixture: '{self.model.parts[place]}' gives scores below 0, which are no shares: leave it out."
                    )
                found /= self._sums(found, rows, items)
                shares[mine, place] = found[target_rows, hidden.targets[mine]]
        return shares

    def _no_candidates(self, queries: Queries) -> tuple[Ints, Items]:
        """Row and item of what cannot be answered."""
        if self.model.asks == "basket" and self.repeats:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)
        taken = Taken.of(queries)
        gone = np.ones(len(taken.rows), dtype=bool) if not self.repeats else taken.ago == 0
        cells = np.unique(taken.rows[gone] * queries.n_items + taken.items[gone])
        return cells // queries.n_items, (cells % queries.n_items).astype(np.int32)

    @staticmethod
    def _sums(scores: Scores, rows: Ints, items: Items) -> Floats:
        """`[Q, 1]` the sum over the candidates; never 0."""
        if len(rows):
            # a difference of sums would keep nothing of small scores beside large ones
            scores = scores.copy()
            scores[rows, items] = 0.0
        whole = scores.sum(axis=1)
        found: Floats = np.maximum(whole, LEAST)[:, None]
        return found

    def parts(self) -> Parts:
        """The arrays of all parts, each under its place, and the settings."""
        parts = [one.parts() for one in self.scorings]
        arrays = {
            f"{place}.{name}": array for place, one in enumerate(parts) for name, array in one.arrays.items()
        }
        settings = {
            "mixture": self.model.settings(),
            "weights": self.weights.tolist(),
            "repeats": self.repeats,
            "parts": [dict(one.settings) for one in parts],
        }
        return Parts(settings, arrays)


@dataclass(frozen=True, eq=False)
class Hidden:
    """What is hidden of training, and what is left to learn from.

    Attributes:
        training: the rest of it.
        queries: `[Q]` the histories before what was hidden, in the rest.
        targets: `[M]` the hidden items, query by query.
        counts: `[Q]` how many of each query.
        said: how it was hidden, in words.
    """

    training: Training
    queries: Queries
    targets: Items
    counts: Ints
    said: str

    @classmethod
    def of(cls, training: Training, asks: str, most: int, seed: int) -> Hidden:
        """Hides the last basket of each history that has one before it, or one drawn item of it.

        Args:
            training: everything.
            asks: "basket" or "item".
            most: how many histories at most.
            seed: of the draws.
        """
        sequences = training.alike("mixture")
        taken, rng = Taken.of(sequences.queries()), np.random.default_rng([seed, 17])
        n = len(sequences)
        newest = (taken.ago == 0) & (taken.baskets[taken.rows] >= 2)
        once = np.unique(taken.rows[newest] * taken.n_items + taken.items[newest])  # ascending by history
        if asks == "item":
            of = once // taken.n_items
            drawn = once[np.lexsort((rng.random(len(once)), of))]
            several = np.bincount(of, minlength=n)[of] >= 2
            first = np.append(True, of[1:] != of[:-1]) if len(of) else np.zeros(0, dtype=bool)
            once = drawn[first & several]
        hides = np.isin(taken.rows * taken.n_items + taken.items, once) & newest
        owners, counts = np.unique(once // taken.n_items, return_counts=True)
        rest = left(sequences, ~hides)
        asked = np.sort(rng.permutation(len(owners))[:most])
        chosen = np.isin(once // taken.n_items, owners[asked])
        return cls(
            training=replace(training, sequences=rest, catalogue=_counted(training.catalogue, rest)),
            queries=rest.queries()[owners[asked]],
            targets=(once[chosen] % taken.n_items).astype(np.int32),
            counts=counts[asked],
            said=f"{HIDDEN[asks]} of {len(asked):,} histories",
        )

    def only(self, kept: NDArray[np.bool_]) -> Hidden:
        """Some of the hidden items, and the histories that they are of.

        Args:
            kept: `[M]` which.
        """
        owner = np.repeat(np.arange(len(self.counts)), self.counts)
        counts: Ints = np.bincount(owner[kept], minlength=len(self.counts))
        some = np.flatnonzero(counts)
        return replace(self, queries=self.queries[some], targets=self.targets[kept], counts=counts[some])


def left(sequences: Sequences, kept: NDArray[np.bool_]) -> Sequences:
    """The sequences with some of their events.

    Args:
        sequences: all.
        kept: `[E]` which events stay; every sequence keeps one at least.
    """
    places = np.flatnonzero(kept)
    return replace(
        sequences,
        items=sequences.items[places],
        offsets=np.append(0, np.cumsum(kept))[sequences.offsets],
        time=None if sequences.time is None else sequences.time[places],
        rating=None if sequences.rating is None else sequences.rating[places],
        context={name: values.filter(pl.Series(kept)) for name, values in sequences.context.items()},
    )


def _counted(catalogue: Catalogue, sequences: Sequences) -> Catalogue:
    """The same items, counted in these sequences."""
    return replace(catalogue, counts=np.bincount(sequences.items, minlength=len(catalogue)).astype(np.int64))


def best_weights(shares: Floats, counts: Ints | Sequence[int]) -> Floats:
    """The weights of a mixture that make what happened likeliest.

    Args:
        shares: `[M, parts]` the probability that each part gave to each of M items.
        counts: `[Q]` how many of these items belong to each history, which count once together.
    """
    each = np.repeat(1.0 / np.asarray(counts, dtype=np.float64), counts)
    known = shares.sum(axis=1) > 0
    shares, each = shares[known], each[known]
    weights = np.full(shares.shape[1], 1.0 / shares.shape[1])
    if not len(shares):
        return weights
    for _ in range(STEPS):
        part = shares * weights
        new = (part / part.sum(axis=1, keepdims=True) * each[:, None]).sum(axis=0) / each.sum()
        moved, weights = np.abs(new - weights).max(), new
        if moved < STILL:
            break
    return np.asarray(weights, dtype=np.float64)
