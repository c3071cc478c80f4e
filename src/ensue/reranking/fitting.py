"""`fit`: a re-ranker from lists, chosen on validation, fitted anew before the test, and tested once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ensue.errors import ConfigError, DataError, LeakError
from ensue.model import models as known_models
from ensue.moments import microseconds, moment
from ensue.ranking import Recommender
from ensue.reranking.choice import Choice
from ensue.reranking.evaluating import Evaluation, Order, evaluate, reciprocal
from ensue.reranking.features import FAMILIES, Vocabulary, features
from ensue.reranking.reranker import Reranker
from ensue.reranking.shown import NONE, Events, Shown, known_before
from ensue.reranking.tables import Tables, crossed
from ensue.sequences import MISSING_TIME

STRENGTHS = (1e-4, 1e-3, 1e-2)
MOST_LISTS = 100_000
"""The most lists that weights are learnt from, the newest: each feature of each of their candidates takes 16 bytes."""

MANY = 0.2
"""The share of lists in no part from which on it is said what would help."""


@dataclass(frozen=True)
class Reranking:
    """How a re-ranker is made.

    Attributes:
        families: which families of features it reads, of `features.FAMILIES`.
        models: what is asked what comes next: names of the registry, fitted on the events of training, or folders of
            saved models.
        strengths: of the penalty on weights; the best on validation is taken.
        test: share of the sessions that are the test, those that begin last.
        validation: share of the sessions before it that settings are chosen on.
        most_lists: that weights are learnt from.
        seed: of the draw where sessions have no times.
    """

    families: tuple[str, ...] = tuple(FAMILIES)
    models: tuple[str, ...] = ("rules", "neighbours")
    strengths: tuple[float, ...] = STRENGTHS
    test: float = 0.2
    validation: float = 0.2
    most_lists: int = MOST_LISTS
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("test", "validation"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} is no share between 0 and 1, such as 0.2.")
        if not self.strengths or min(self.strengths) <= 0:
            raise ConfigError(f"strengths={self.strengths}: give numbers above 0, such as 0.001.")
        if self.most_lists < 2:
            raise ConfigError(f"most_lists={self.most_lists}: give 2 or more.")


@dataclass(frozen=True, eq=False)
class Fitted:
    """A re-ranker and what its test says.

    Attributes:
        reranker: fitted on all that lies before the test.
        test: measured once.
        validation: mean reciprocal rank of each strength, and of the engine, on validation.
        notes: what was decided.
    """

    reranker: Reranker
    test: Evaluation
    validation: Mapping[str, float]
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """All of it for programs."""
        return {
            "facts": dict(self.reranker.facts),
            "validation": dict(self.validation),
            "test": self.test.to_json(),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, eq=False)
class Part:
    """What may be learnt from before a cut, and the lists after it.

    Attributes:
        before: lists of sessions that began before, and were shown before.
        events: that were before.
        after: lists of sessions that began at the cut or later.
        cut: the time, or None where sessions were drawn.
    """

    before: Shown
    events: Events
    after: Shown
    cut: int | None


def fit(shown: Shown, how: Reranking | None = None, say: Callable[[str], None] = lambda text: None) -> Fitted:
    """A re-ranker that has learnt from lists, and how good it is on later ones.

    Args:
        shown: lists with their choices.
        how: what to read, and how to split.
        say: is told how far it is.

    Raises:
        DataError: there are too few sessions to split.
        LeakError: a saved model has learnt from the time of the test.
    """
    how = how or Reranking()
    told = bool((shown.events.items != NONE).any())
    given, sources = _models(how.models if told else ())
    outer = parted(shown, how.test, how.seed)
    _refuse_leaks(given, outer.cut)
    inner = parted(outer.before, how.validation, how.seed)
    say(
        f"learning from {len(inner.before):,} lists, choosing on {len(inner.after):,}, testing on {len(outer.after):,}"
    )
    between = len(shown) - len(inner.before) - len(inner.after) - len(outer.after)
    crossing = (
        f"{between:,} of {len(shown):,} lists are in none of these parts: they were shown after a cut, in sessions "
        "that began before it"
    )
    if between > MANY * len(shown):
        crossing += "; sessions that are shorter, such as one for each visit of a user, leave fewer out"
    if between:
        say(crossing)
    first = _Learnt.of(inner.before, inner.events, given, how)
    validation = {"engine": reciprocal(Order("engine", ()), inner.after)}
    for strength in how.strengths:
        tried = first.reranker(strength, {}, sources)
        validation[f"{strength:g}"] = reciprocal(
            Order("re-ranker", (tried.scores(inner.after),)), inner.after
        )
        say(f"strength {strength:g}: mrr {validation[f'{strength:g}']:.4f} on validation")
    best = max(how.strengths, key=lambda strength: validation[f"{strength:g}"])
    facts = {
        "lists": min(len(outer.before), how.most_lists),
        "sessions": outer.before.sessions,
        "until": None if outer.cut is None else _iso(outer.cut),
        "strength": best,
        "models": list(given),
    }
    reranker = _Learnt.of(outer.before, outer.events, given, how).reranker(best, facts, sources)
    notes = (
        [*shown.notes]
        if told
        else [*shown.notes, "no event is on an item: no model is asked what comes next"]
    )
    if outer.cut is None:
        untimed = len(np.unique(shown.groups[shown.begins == MISSING_TIME]))
        notes.append(
            f"{untimed:,} of {shown.sessions:,} sessions have no times: those of the test were drawn (seed {how.seed})"
        )
    else:
        notes.append(
            f"the test is of sessions that began at {_iso(outer.cut)} or later; nothing later was learnt from"
        )
    notes += [crossing] if between else []
    return Fitted(reranker, evaluate(reranker, outer.after, seed=how.seed), validation, tuple(notes))


@dataclass(frozen=True, eq=False)
class _Learnt:
    """What comes before the weights."""

    values: np.ndarray
    lists: Shown
    names: tuple[str, ...]
    tables: Tables
    vocabulary: Vocabulary
    families: tuple[str, ...]

    @classmethod
    def of(
        cls, lists: Shown, events: Events, given: Mapping[str, str | Recommender], how: Reranking
    ) -> _Learnt:
        vocabulary = Vocabulary.of(lists)
        names: list[tuple[str, ...]] = []

        def ask(part: Shown, tables: Tables) -> np.ndarray:
            found = features(part, tables, vocabulary, how.families)
            names.append(found.names)
            return found.values

        newest = np.sort(np.argsort(lists.at, kind="stable")[-how.most_lists :])
        learnt = lists[newest] if len(newest) < len(lists) else lists
        values = crossed(learnt, events, given, ask)
        return cls(values, learnt, names[0], Tables.fit(lists, events, given), vocabulary, how.families)

    def reranker(self, strength: float, facts: Mapping[str, Any], sources: Mapping[str, Path]) -> Reranker:
        choice = Choice.fit(self.values, self.lists.offsets, self.lists.chosen, strength)
        return Reranker(choice, self.names, self.tables, self.vocabulary, self.families, facts, sources)


def parted(shown: Shown, share: float, seed: int = 0) -> Part:
    """Lists split by the time at which their sessions began; without times, by a draw of sessions.

    What a session that began before the cut holds after it is neither learnt from nor asked about.

    Raises:
        DataError: a part is empty.
    """
    if (shown.begins == MISSING_TIME).any():
        sessions, number = np.unique(shown.groups, return_inverse=True)
        drawn = np.random.default_rng(seed).permutation(len(sessions))
        late = drawn[number] >= round(len(sessions) * (1 - share))
        early, cut = ~late, None
        events = shown.events
        kept = ~np.isin(events.groups, shown.groups[late])
        past = Events(
            events.items[kept], events.kinds.filter(pl.Series(kept)), events.time[kept], events.groups[kept]
        )
    else:
        groups, first = np.unique(shown.groups, return_index=True)
        cut = int(np.sort(shown.begins[first])[min(int(len(groups) * (1 - share)), len(groups) - 1)])
        late = shown.begins >= cut
        early = ~late & (shown.at < cut)
        past = known_before(shown, cut)
    if not early.any() or not late.any():
        raise DataError(
            f"{shown.sessions:,} sessions cannot be split into training and a share of {share:g}: read more, or "
            "ones that do not all begin at one time."
        )
    return Part(shown[early], past, shown[late], cut)


def _models(wanted: tuple[str, ...]) -> tuple[dict[str, str | Recommender], dict[str, Path]]:
    """Models by name, and where those lie that are there already."""
    from ensue import run_folder

    found: dict[str, str | Recommender] = {}
    sources: dict[str, Path] = {}
    for one in wanted:
        place = Path(one).expanduser()
        if not place.is_dir():
            known_models.get(one)  # refuses what is no model either, and says what there is
            found[one] = one
            continue
        folder = run_folder.model_folder(place)
        name = folder.resolve().name
        if name in found:
            raise ConfigError(f"Two models are called '{name}': give their folders different names.")
        found[name], sources[name] = run_folder.load(folder), folder
    return found, sources


def _refuse_leaks(given: Mapping[str, str | Recommender], cut: int | None) -> None:
    for name, model in given.items():
        if isinstance(model, str) or cut is None:
            continue
        until = (model.facts.get("learnt") or {}).get("until")
        if until is None:
            continue
        if microseconds(datetime.fromisoformat(until)) >= cut:
            raise LeakError(
                f"The model {name} has learnt from events up to {until}, and the test begins at {_iso(cut)}: train it "
                "on what lies before."
            )


def _iso(time: int) -> str:
    return moment(time).isoformat()
