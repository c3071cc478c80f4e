"""What is known of each candidate, in families: a family is one function, and a number of named columns.

A family sees the list, the events before it, and the tables of training; never the choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.errors import ConfigError, nearest
from ensue.reranking import per_list
from ensue.reranking.shown import NONE, Shown
from ensue.reranking.tables import Tables, opinions
from ensue.reranking.touched import Touched, last_kind
from ensue.sequences import MISSING_TIME

Values = NDArray[np.float64]

KINDS, LEAST_EVENTS = 12, 50
"""The most kinds of events, and the most values of a column of context, that are told apart; and how many events, or
lists, each must have: a rarer one says little, and might point at one person."""


@dataclass(frozen=True)
class Vocabulary:
    """The values that training has.

    Attributes:
        kinds: of events, the most frequent first.
        context: of each column of context, "after" among them: the kind of the event that came last.
    """

    kinds: tuple[str, ...]
    context: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, shown: Shown) -> Vocabulary:
        """The frequent values among the events before lists, and among the lists."""
        held = np.zeros(len(shown.events) + 1, dtype=np.int64)
        np.add.at(held, shown.starts, 1)
        np.add.at(held, shown.ends, -1)
        before = np.cumsum(held[:-1]) > 0
        kinds = _frequent(shown.events.kinds.filter(pl.Series(before)))
        columns = {**shown.context, "after": last_kind(shown)}
        return cls(kinds, {name: _frequent(values) for name, values in sorted(columns.items())})


@dataclass(frozen=True, eq=False)
class Asked:
    """What a family is handed.

    Attributes:
        shown: the lists.
        tables: of training.
        touched: which candidates were touched before.
        vocabulary: the kinds and values that are told apart.
    """

    shown: Shown
    tables: Tables
    touched: Touched
    vocabulary: Vocabulary

    @property
    def offsets(self) -> Ints:
        """`[Q+1]` of the lists."""
        return self.shown.offsets

    def of_list(self, values: NDArray[Any]) -> NDArray[Any]:
        """`[C]` the `[Q]` value of each candidate's list."""
        return np.repeat(values, self.shown.lengths)


Columns = dict[str, Values]


def position(asked: Asked) -> Columns:
    """The engine's place: people look from the top."""
    place = asked.shown.position.astype(np.float64)
    return {"high in the list": -np.log(place), "first": (place == 1) * 1.0, "near the top": 1 / place}


def score(asked: Asked) -> Columns:
    """The engine's own score, beside those of the list."""
    return {"engine's score": per_list.standardised(asked.shown.score, asked.offsets)}


def price(asked: Asked) -> Columns:
    """The price beside those of the list, and beside those of what was touched."""
    shown, offsets = asked.shown, asked.offsets
    known = np.isfinite(shown.price)
    if not known.any():
        return {
            name: np.zeros(len(known)) for name in ("low price", "cheaper", "cheapest", "price as touched")
        }
    level = np.log(shown.price, where=known, out=np.full(len(known), np.nan))
    counts = np.maximum(per_list.total(known * 1.0, offsets), 1)
    mean = per_list.total(np.where(known, level, 0.0), offsets) / counts
    off = np.where(known, asked.of_list(mean) - level, 0.0)
    share = 1 - per_list.shares(shown.price, offsets)
    here = known & (asked.touched.times > 0)
    touched = per_list.total(here * 1.0, offsets)
    paid = per_list.total(np.where(here, level, 0.0), offsets) / np.maximum(touched, 1)
    gap = np.where(known & (asked.of_list(touched) > 0), -np.abs(level - asked.of_list(paid)), 0.0)
    return {"low price": off, "cheaper": share, "cheapest": (share == 1) * 1.0, "price as touched": gap}


def history(asked: Asked) -> Columns:
    """Whether, how, how often and how long ago the candidate was touched, and where it stands to the newest of them."""
    shown, touched, offsets = asked.shown, asked.touched, asked.offsets
    held = touched.times > 0
    rows = shown.rows
    ago = np.where(held, shown.ends[rows] - 1 - touched.last, 0)
    seconds = _since(shown, touched.last)
    order = per_list.ranks(offsets, touched.last.astype(np.float64))
    found = {
        "touched": held * 1.0,
        "touched last": (held & (touched.last == touched.newest[rows])) * 1.0,
        "newest touched": held / order,
        "touched lately": np.where(held, 1 / (1.0 + ago), 0.0),
        "touched minutes ago": np.where(held & (seconds >= 0), 1 / (1.0 + np.maximum(seconds, 0) / 60), 0.0),
        "touched often": np.log1p(touched.times),
    }
    for place, kind in enumerate(asked.vocabulary.kinds):
        found[f"touched: {kind}"] = np.log1p(touched.of_kind[:, place])
    newest = np.maximum.reduceat(touched.last, offsets[:-1])  # of those in the list
    anchor = np.flatnonzero(held & (touched.last == newest[rows]))
    at = np.zeros(len(shown))
    at[rows[anchor]] = shown.position[anchor]
    below = np.where(asked.of_list(at) > 0, shown.position - asked.of_list(at), 0.0)
    found |= {
        "below the newest": (below > 0) * 1.0,
        "just below the newest": (below == 1) * 1.0,
        "near the newest": np.where(below != 0, 1 / np.maximum(np.abs(below), 1), 0.0),
    }
    return found


def clicks(asked: Asked) -> Columns:
    """How the item did in training: chosen more than its places would bring, chosen often, much done with it."""
    tables, codes = asked.tables, asked.tables.codes(asked.shown)
    return {
        "clicks over expected": tables.rate(codes),
        "chosen often": tables.number(tables.clicks, codes),
        "popular": tables.number(tables.events, codes),
    }


def models(asked: Asked) -> Columns:
    """What models of sequences expect next, beside the others of the list."""
    found = {}
    for name, recommender in asked.tables.models.items():
        scores = opinions(recommender, asked.shown)
        found[f"model {name}"] = per_list.standardised(scores, asked.offsets)
        found[f"model {name}, place"] = per_list.shares(scores, asked.offsets) - 0.5
    return found


def context(asked: Asked) -> Columns:
    """How much place, price and touch count under each value of what is known of the list, and of what came last."""
    shown = asked.shown
    place, cheap = -np.log(shown.position.astype(np.float64)), 1 - per_list.shares(shown.price, asked.offsets)
    held = (asked.touched.times > 0) * 1.0
    columns = {**shown.context, "after": last_kind(shown)}
    found = {}
    for name, values in asked.vocabulary.context.items():
        own = columns.get(name)
        for value in values:
            here = (
                np.zeros(len(place))
                if own is None
                else asked.of_list((own == value).fill_null(False).to_numpy())
            )
            for what, column in (("high", place), ("cheaper", cheap), ("touched", held)):
                found[f"{what} if {name} = {value}"] = column * here
    any_touched = asked.of_list(per_list.total(held, asked.offsets) > 0)
    found["high if any was touched"] = place * any_touched
    return found


FAMILIES: Mapping[str, Callable[[Asked], Columns]] = {
    family.__name__: family for family in (position, score, price, history, clicks, models, context)
}
"""What can be known of a candidate; the names are those of settings and explanations."""


@dataclass(frozen=True, eq=False)
class Features:
    """`[C, F]` numbers with their names, and the family of each."""

    values: Values
    names: tuple[str, ...]
    families: tuple[str, ...]


def features(shown: Shown, tables: Tables, vocabulary: Vocabulary, families: tuple[str, ...]) -> Features:
    """What some families know of each candidate.

    Raises:
        ConfigError: there is no such family.
    """
    for name in families:
        if name not in FAMILIES:
            raise ConfigError(
                f"There is no family of features '{name}'; there are {', '.join(FAMILIES)}.{nearest(name, FAMILIES)}"
            )
    asked = Asked(shown, tables, Touched.of(shown, vocabulary.kinds), vocabulary)
    found = {family: FAMILIES[family](asked) for family in families}
    names = tuple(name for columns in found.values() for name in columns)
    belongs = tuple(family for family, columns in found.items() for _ in columns)
    values = [column for columns in found.values() for column in columns.values()]
    stacked = np.column_stack(values) if values else np.zeros((len(shown.items), 0))
    return Features(stacked, names, belongs)


def _since(shown: Shown, place: Ints) -> Values:
    """`[C]` seconds from an event to the list, -1 where either time is not known."""
    if not len(shown.events):
        return np.full(len(place), -1.0)
    then, now = shown.events.time[np.maximum(place, 0)], shown.at[shown.rows]
    known = (place != NONE) & (then != MISSING_TIME) & (now != MISSING_TIME)
    return np.where(known, (np.where(known, now, 0) - np.where(known, then, 0)) / 1e6, -1.0)


def _frequent(values: pl.Series) -> tuple[str, ...]:
    """The most frequent values, of those that are frequent enough."""
    counted = values.rename("value").drop_nulls().to_frame().group_by("value").len()
    counted = counted.filter(pl.col("len") >= LEAST_EVENTS).sort(["len", "value"], descending=[True, False])
    return tuple(counted["value"].head(KINDS).to_list())
