"""What training says of items: clicks beside those that their places would bring, events, and the scores of models.

All of it is fitted on the lists and events of training alone. For lists that are learnt from, it is fitted on the
sessions of other folds (`crossed`), so that no list meets its own choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints, Items
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import ArtifactError, ModelError
from ensue.model import Training, model_of
from ensue.ranking import SCORES_AT_ONCE, Recommender, check_scores
from ensue.reranking.shown import NONE, Events, Shown
from ensue.sequences import MISSING_TIME, Queries, Sequences, run_offsets

Values = NDArray[np.float64]

PRIOR = 5.0
"""Clicks as expected that every item is taken to have had besides: they hold back what little is known of it."""

PLACES = 50
"""Places that have a rate of their own; those below share one."""

FOLDS = 5

FEW_IDS = 1000
"""Up to so many ids are looked up one by one."""


@dataclass(frozen=True, eq=False)
class Tables:
    """What is known of the `N` items of a catalogue.

    Attributes:
        catalogue: items of training, most frequent among its events and lists first.
        rates: `[PLACES]` share of the lists whose choice stood at each place, of those that had one.
        clicks: `[N]` how often an item was chosen.
        expected: `[N]` how often items at the places where it was shown are chosen.
        events: `[N]` events on it.
        models: recommenders by name, each asked what comes next after the history.
    """

    catalogue: Catalogue
    rates: Values
    clicks: Values
    expected: Values
    events: Values
    models: Mapping[str, Recommender]

    def __post_init__(self) -> None:
        sizes = [len(self.clicks), len(self.expected), len(self.events)]
        if set(sizes) != {len(self.catalogue)} or len(self.rates) != PLACES:
            raise ArtifactError("The tables of a re-ranker do not fit its items: save it anew.")
        for values in (self.rates, self.clicks, self.expected, self.events):
            if not (np.isfinite(values) & (values >= 0)).all():
                raise ArtifactError("A table of a re-ranker holds what is no count: save it anew.")

    @classmethod
    def fit(cls, shown: Shown, events: Events, models: Mapping[str, str | Recommender]) -> Tables:
        """What lists with their choices, and events, say.

        Args:
            shown: lists of training.
            events: events of training.
            models: by name, one of the registry to be fitted on the events, or a recommender that is there already.
        """
        n = len(shown.ids)
        on_item = events.items[events.items != NONE]
        done = np.bincount(on_item, minlength=n).astype(np.float64)
        listed = np.bincount(shown.items, minlength=n).astype(np.float64)
        held = shown.chosen != NONE
        chosen = shown.items[shown.chosen[held]]
        clicks = np.bincount(chosen, minlength=n).astype(np.float64)
        place = np.minimum(shown.position, PLACES) - 1
        picked = np.bincount(place[shown.chosen[held]], minlength=PLACES)
        offered = np.bincount(place[np.repeat(held, shown.lengths)], minlength=PLACES)
        rates = picked / np.maximum(offered, 1)
        worth = rates[place] * np.repeat(held, shown.lengths)
        expected = np.bincount(shown.items, worth, minlength=n).astype(np.float64)
        ids = shown.ids.to_numpy()
        order = np.lexsort((ids, -(done + listed)))
        order = order[(done + listed)[order] > 0]
        catalogue = Catalogue(pl.Series("item", ids[order]), (done + listed)[order].astype(np.int64))
        fitted = _fitted(models, shown.ids, events)
        return cls(catalogue, rates, clicks[order], expected[order], done[order], fitted)

    def codes(self, shown: Shown) -> Items:
        """`[C]` places in the catalogue, `UNKNOWN` for items that training did not have."""
        return codes_of(self.catalogue, shown.ids)[shown.items]

    def rate(self, codes: Items) -> Values:
        """`[C]` logarithm of clicks over those that the places would bring, held back by `PRIOR`; 0 is as expected.

        References:
            Zhang & Jones, "Comparing click logs and editorial labels for training query rewriting", workshop on
            query log analysis, WWW 2007 (clicks over expected clicks).
        """
        known = codes != UNKNOWN
        found = np.zeros(len(codes))
        own = codes[known]
        found[known] = np.log((self.clicks[own] + PRIOR) / (self.expected[own] + PRIOR))
        return found

    def number(self, counts: Values, codes: Items) -> Values:
        """`[C]` log(1 + count), 0 for an item that is not known."""
        return np.where(codes != UNKNOWN, np.log1p(counts[codes]), 0.0)


def codes_of(catalogue: Catalogue, ids: pl.Series) -> Items:
    """`[N]` where a catalogue has each of some ids; the few of one request are looked up one by one."""
    return catalogue.encode(ids if len(ids) > FEW_IDS else ids.to_list())


def opinions(recommender: Recommender, shown: Shown) -> Values:
    """`[C]` the scores of a recommender after the events before each list, NaN for items that it does not know.

    Events on the same item that follow each other count as one. A list without a known event has no opinion.
    """
    queries = _histories(recommender.catalogue, shown)
    codes = codes_of(recommender.catalogue, shown.ids)[shown.items]
    found = np.full(len(codes), np.nan)
    asked = np.flatnonzero(queries.lengths > 0)
    block = max(SCORES_AT_ONCE // len(recommender.catalogue), 1)
    for begin in range(0, len(asked), block):
        some = asked[begin : begin + block]
        scores = recommender.scores(queries[some])
        check_scores(scores)
        row = np.full(len(shown), NONE, dtype=np.int64)
        row[some] = np.arange(len(some))
        here = np.flatnonzero((row[shown.rows] != NONE) & (codes != UNKNOWN))
        found[here] = scores[row[shown.rows[here]], codes[here]]
    return found


def crossed(
    shown: Shown,
    events: Events,
    models: Mapping[str, str | Recommender],
    ask: Callable[[Shown, Tables], Values],
    folds: int = FOLDS,
) -> Values:
    """`[C, F]` what is asked of lists, each answered by tables of which its session was no part.

    Args:
        shown: lists of training.
        events: events of training.
        models: as for `Tables.fit`.
        ask: `[C, F]` for some lists, by some tables.
        folds: into how many parts the sessions are dealt.

    Raises:
        ModelError: there are fewer than two sessions.
    """
    sessions, number = np.unique(shown.groups, return_inverse=True)
    if len(sessions) < 2:
        raise ModelError("One session is nothing to learn an order from: read more lists.")
    folds = min(folds, len(sessions))
    fold = number % folds
    named = sessions[:, None].ravel()
    at = np.searchsorted(named, events.groups).clip(0, len(named) - 1)
    of_event = np.where(named[at] == events.groups, at % folds, NONE)
    answers: list[Values] = []
    places: list[Ints] = []
    for one in range(folds):
        mine, others = np.flatnonzero(fold == one), np.flatnonzero(fold != one)
        kept = of_event != one
        rest = Events(
            events.items[kept], events.kinds.filter(pl.Series(kept)), events.time[kept], events.groups[kept]
        )
        part = shown[mine]
        answers.append(ask(part, Tables.fit(shown[others], rest, models)))
        places.append(np.flatnonzero(fold[shown.rows] == one))
    found = np.empty((len(shown.items), answers[0].shape[1]))
    found[np.concatenate(places)] = np.concatenate(answers)
    return found


def _visits(ids: pl.Series, events: Events) -> Training:
    """The events on items as training, session by session; those on one item that follow each other are one."""
    on_item = np.flatnonzero(events.items != NONE)
    items, groups = events.items[on_item], events.groups[on_item]
    first = np.ones(len(items), dtype=bool)
    first[1:] = (items[1:] != items[:-1]) | (groups[1:] != groups[:-1])
    items, groups, time = items[first], groups[first], events.time[on_item][first]
    counts = np.bincount(items, minlength=len(ids))
    text = ids.to_numpy()
    order = np.lexsort((text, -counts))
    order = order[counts[order] > 0]
    catalogue = Catalogue(pl.Series("item", text[order], dtype=pl.String), counts[order].astype(np.int64))
    place = np.full(len(ids), UNKNOWN, dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    keys = pl.Series("session", groups)
    offsets = run_offsets(keys)
    timed = not (time == MISSING_TIME).any()
    sequences = Sequences(
        place[items],
        offsets,
        keys.gather(offsets[:-1]).cast(pl.String),
        len(catalogue),
        time if timed else None,
    )
    return Training(sequences, catalogue, exclude_seen=False)


def _fitted(
    models: Mapping[str, str | Recommender], ids: pl.Series, events: Events
) -> dict[str, Recommender]:
    """Recommenders by name; those that are there already stay as they are."""
    found: dict[str, Recommender] = {}
    training = None
    for name, model in models.items():
        if isinstance(model, Recommender):
            found[name] = model
            continue
        training = training or _visits(ids, events)
        found[name] = model_of(model).fit(training)
    return found


def _histories(catalogue: Catalogue, shown: Shown) -> Queries:
    """`[Q]` the known items before each list; those that follow each other on one item are one."""
    events = shown.events
    codes = np.where(events.items == NONE, UNKNOWN, codes_of(catalogue, shown.ids)[events.items])
    known = np.flatnonzero(codes != UNKNOWN)
    items, groups = codes[known], events.groups[known]
    first = np.ones(len(items), dtype=bool)
    first[1:] = (items[1:] != items[:-1]) | (groups[1:] != groups[:-1])
    place = known[first]
    timed = not (events.time == MISSING_TIME).any()
    return Queries(
        items[first].astype(np.int32),
        np.searchsorted(place, shown.starts),
        np.searchsorted(place, shown.ends),
        len(catalogue),
        events.time[place] if timed else None,
        at=shown.at if timed and not (shown.at == MISSING_TIME).all() else None,
    )
