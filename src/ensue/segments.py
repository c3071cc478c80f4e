"""Figures of parts of the targets: by history, popularity, age, time, type of event, or any column with few values.

A way of parting is a frozen dataclass with a `word`; writing one is all that it takes for a name to find it. What it
parts by comes from the examples and the catalogue alone; where these do not tell (no times, no such column), there are
no parts.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import ConfigError, nearest
from ensue.examples import Examples
from ensue.figures import Figures, Measured
from ensue.sequences import MISSING_TIME
from ensue.significance import DRAWS

DAY = 86_400_000_000
"""Microseconds."""

FEW = 30
"""An interval over fewer users than this says so."""

NAMED = 5
"""A value of a column is named where at least so many users were asked with it; rarer ones go together."""

MOST_VALUES = 20
"""So many values of a column have figures of their own, the most frequent ones."""

_DRAWN, _LEAST_DRAWS = 20_000_000, 200
"""Users drawn for the intervals of one part, at most, with this many samples at least."""


@dataclass(frozen=True, eq=False)
class Bins:
    """Which part each target is in.

    Attributes:
        labels: of the parts, in the order in which they are shown.
        codes: `[Q]` the part of each target, -1 for none.
    """

    labels: tuple[str, ...]
    codes: Ints


@dataclass(frozen=True, eq=False)
class Segment:
    """The figures of one part of the targets.

    Attributes:
        label: what the part is.
        figures: over its targets; a cold target counts as a miss.
    """

    label: str
    figures: Figures

    def to_json(self) -> dict[str, Any]:
        """The part for programs."""
        return {"label": self.label, **self.figures.to_json()}


@dataclass(frozen=True)
class Segmenting(ABC):
    """A way of parting targets.

    Attributes:
        word: its name.
    """

    word: ClassVar[str]

    @abstractmethod
    def bins(self, examples: Examples, catalogue: Catalogue) -> Bins | None:
        """Which part each target is in; None where the examples do not tell."""


@dataclass(frozen=True)
class History(Segmenting):
    """By the number of known items in the history."""

    word: ClassVar[str] = "history"
    edges: tuple[int, ...] = (0, 1, 6, 11, 21, 51, 101)

    def bins(self, examples: Examples, catalogue: Catalogue) -> Bins:
        """From 0 events to more than 100."""
        return _between(examples.queries.lengths, self.edges, "event")


@dataclass(frozen=True)
class Popularity(Segmenting):
    """By the popularity of the target: tenths of the training events, from the most popular items on.

    The items of decile 1 make up about the first tenth of the events, those of decile 10, by far the most items, the
    last. An item is in the decile that the middle of its own events lies in.
    """

    word: ClassVar[str] = "popularity"

    def bins(self, examples: Examples, catalogue: Catalogue) -> Bins | None:
        """Deciles 1 to 10, then cold targets."""
        counts = catalogue.counts.astype(np.int64)
        total = int(counts.sum())
        if total == 0:
            return None
        order = np.argsort(-counts, kind="stable")
        middle = 2 * np.cumsum(counts[order]) - counts[order]
        decile = np.empty(len(counts), dtype=np.int64)
        decile[order] = np.minimum(10 * middle // (2 * total), 9)
        names = {1: "decile 1 (most popular)", 10: "decile 10 (least popular)"}
        labels = tuple(names.get(number, f"decile {number}") for number in range(1, 11))
        cold = examples.targets == UNKNOWN
        return Bins((*labels, "cold"), np.where(cold, 10, decile[np.maximum(examples.targets, 0)]))


AGES = (0, 1, 7, 30, 90, 365)
"""Days from which on an item or a user belongs to the next part."""


@dataclass(frozen=True)
class ItemAge(Segmenting):
    """By the time from the first event on the target in the log to the question; cold targets are in no part."""

    word: ClassVar[str] = "item_age"

    def bins(self, examples: Examples, catalogue: Catalogue) -> Bins | None:
        """From under a day to over a year."""
        queries = examples.queries
        if queries.at is None or queries.time is None:
            return None
        first = np.full(len(catalogue), np.iinfo(np.int64).max)
        known = queries.time != MISSING_TIME
        np.minimum.at(first, queries.items[known], queries.time[known])
        since = first[np.maximum(examples.targets, 0)]
        told = (examples.targets != UNKNOWN) & (since <= queries.at)
        return _by_age(queries.at, since, told)


@dataclass(frozen=True)
class UserAge(Segmenting):
    """By the time from the first known event of the history to the question; without a known event in no part."""

    word: ClassVar[str] = "user_age"

    def bins(self, examples: Examples, catalogue: Catalogue) -> Bins | None:
        """From under a day to over a year."""
        queries = examples.queries
        if queries.at is None or queries.time is None or len(queries.time) == 0:
            return None
        since = queries.time[np.minimum(queries.starts, len(queries.time) - 1)]
        told = (queries.lengths > 0) & (since != MISSING_TIME)
        return _by_age(queries.at, since, told)


@dataclass(frozen=True)
class Time(Segmenting):
    """By the time of the question: the span from the first to the last, cut into equal parts."""

    word: ClassVar[str] = "time"
    number: int = 4

    def bins(self, examples: Examples, catalogue: Catalogue) -> Bins | None:
        """The parts in order of time."""
        at = examples.queries.at
        if at is None or not (at != MISSING_TIME).any():
            return None
        known = at != MISSING_TIME
        first, last = int(at[known].min()), int(at[known].max())
        span = last - first + 1
        codes = np.where(known, np.where(known, at - first, 0) * self.number // span, -1)
        starts = [first + span * part // self.number for part in range(self.number)]
        return Bins(tuple(f"from {_stamp(start)}" for start in starts), codes)


@dataclass(frozen=True)
class Warmth(Segmenting):
    """By whether the catalogue holds the target, and any item of the history."""

    word: ClassVar[str] = "warmth"

    def bins(self, examples: Examples, catalogue: Catalogue) -> Bins:
        """Warm, cold items, cold users, both."""
        cold_item, cold_user = examples.targets == UNKNOWN, examples.queries.lengths == 0
        labels = ("warm", "cold item", "cold user", "cold item and user")
        return Bins(labels, cold_item.astype(np.int64) + 2 * cold_user)


@dataclass(frozen=True)
class Column(Segmenting):
    """By a column of the target's own event, such as its type: its most frequent values, then all others.

    Attributes:
        column: its name in the log.
    """

    column: str = "event"
    word: ClassVar[str] = "event"

    def bins(self, examples: Examples, catalogue: Catalogue) -> Bins | None:
        """One part for each value that enough users were asked with."""
        values = columns(examples).get(self.column)
        if values is None:
            return None
        frame = pl.DataFrame({"value": values.cast(pl.String), "user": examples.groups})
        counted = frame.drop_nulls("value").group_by("value").agg(pl.len(), users=pl.col("user").n_unique())
        named = counted.filter(pl.col("users") >= NAMED).sort(["len", "value"], descending=[True, False])
        labels = named["value"].head(MOST_VALUES).to_list()
        numbers = pl.DataFrame(
            {"value": labels, "code": range(len(labels))}, {"value": pl.String, "code": pl.Int64}
        )
        joined = frame.join(numbers, on="value", how="left", maintain_order="left")
        code = (
            pl.when(pl.col("value").is_null())
            .then(len(labels) + 1)
            .otherwise(pl.col("code").fill_null(len(labels)))
        )
        return Bins((*labels, "other values", "no value"), joined.select(code).to_series().to_numpy())


DEFAULT = ("history", "popularity", "item_age", "user_age", "time", "event", "warmth")
"""The ways of parting that a report has."""


def columns(examples: Examples) -> Mapping[str, pl.Series]:
    """`[Q]` columns of the targets' own events, by name; none where the examples keep none."""
    return examples.target_context


def families() -> dict[str, type[Segmenting]]:
    """Every way of parting that exists, by its word, in the order of their definition."""
    return {kind.word: kind for kind in _concrete(Segmenting)}


def segmenting(name: str, examples: Examples) -> Segmenting:
    """The way of parting of this name: one of `families()`, or a column of the targets' events.

    Raises:
        ConfigError: there is neither.
    """
    known = families()
    if name in known:
        return known[name]()
    have = [*known, *(column for column in columns(examples) if column not in known)]
    if name not in have:
        raise ConfigError(
            f"Figures cannot be parted by '{name}', but by {', '.join(have)}.{nearest(name, have)}"
        )
    return Column(name)


def segments(
    wanted: Sequence[Segmenting | str], examples: Examples, catalogue: Catalogue, measured: Measured
) -> dict[str, tuple[Segment, ...]]:
    """The figures of every part that holds a target, by the name of the way of parting.

    Args:
        wanted: ways of parting, or their names.
        examples: what was asked.
        catalogue: of the recommender.
        measured: what the metrics gave for each query.

    Returns:
        No entry for a way that the examples cannot be parted by.

    Raises:
        ConfigError: there is no such way, or they are no list.
    """
    if isinstance(wanted, str):
        raise ConfigError(f"segments is the text {wanted!r}: give a list of ways, such as [{wanted!r}].")
    found: dict[str, tuple[Segment, ...]] = {}
    for one in wanted:
        way = segmenting(one, examples) if isinstance(one, str) else one
        name = way.column if isinstance(way, Column) else way.word
        bins = way.bins(examples, catalogue)
        if bins is not None:
            chosen = [(label, bins.codes == code) for code, label in enumerate(bins.labels)]
            found[name] = tuple(
                Segment(label, _over(measured, which)) for label, which in chosen if which.any()
            )
    return found


def _over(measured: Measured, which: NDArray[np.bool_]) -> Figures:
    """The figures of one part; its intervals say so where they are over few users."""
    users = len(np.unique(measured.groups[which]))
    draws = int(np.clip(_DRAWN // users, _LEAST_DRAWS, DRAWS))
    figures = measured.over(which, draws)
    if users >= FEW:
        return figures
    rough = f"{users} users: the interval is rough"
    told = {name: replace(one, note=one.note or rough) for name, one in figures.intervals.items()}
    return replace(figures, intervals=told)


def _between(values: Ints, edges: Sequence[int], unit: str) -> Bins:
    """Whole numbers by the range they are in; each edge begins one, the last is open."""
    labels = [
        (f"{low}" if low == high - 1 else f"{low}-{high - 1}") + f" {unit}{'' if high == 2 else 's'}"
        for low, high in pairwise(edges)
    ]
    codes = np.searchsorted(np.asarray(edges), values, side="right").astype(np.int64) - 1
    return Bins((*labels, f"over {edges[-1] - 1} {unit}s"), codes)


def _by_age(at: Ints, since: Ints, told: NDArray[np.bool_]) -> Bins:
    """Targets by the whole days between two times, where they are told."""
    told = told & (at != MISSING_TIME)
    days = np.where(told, at, 0) - np.where(told, since, 0)
    found = _between(days // DAY, AGES, "day")
    return Bins(("under a day", *found.labels[1:]), np.where(told, found.codes, -1))


def _stamp(microseconds: int) -> str:
    """A time for people, in UTC."""
    return str(np.datetime64(microseconds, "us").astype("datetime64[m]")).replace("T", " ") + " UTC"


def _concrete(kind: type[Segmenting]) -> Iterator[type[Segmenting]]:
    """A class and all below it, without those that are only drafts."""
    if not inspect.isabstract(kind):
        yield kind
    for below in kind.__subclasses__():
        yield from _concrete(below)
