"""Ragged sequences, and the queries that look into them.

A history is a stretch of a sequence, given by two offsets: a thousand prefixes of one long history share its memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints, Items, pad, ranges
from ensue.catalogue import Catalogue
from ensue.errors import ColumnError, DataError, QueryError
from ensue.events.log import CANONICAL, EventLog

UNITS = ("user", "session")

MISSING_TIME = int(np.iinfo(np.int64).min)
"""The time of an event whose time is not known."""

Context = Mapping[str, pl.Series]
"""`[E]` values of other columns of the events, by name."""


def unit_column(log: EventLog, by: str) -> pl.Series:
    """`[E]` the key of the sequence that each event belongs to: its user, or its user's session.

    Raises:
        ColumnError: sessions are wanted and the log has none.
        DataError: `by` is neither "user" nor "session".
    """
    if by not in UNITS:
        raise DataError(f"Sequences are made by 'user' or by 'session', not by '{by}'.")
    if by == "user":
        return log.frame["user"]
    if "session" not in log.frame.columns:
        raise ColumnError("The log has no sessions: cut them with log.with_sessions(gap_seconds=1800) first.")
    return log.frame["session"]


def run_offsets(keys: pl.Series) -> Ints:
    """`[S+1]` where each run of equal keys begins, and the total at the end."""
    if len(keys) == 0:
        return np.zeros(1, dtype=np.int64)
    starts = np.flatnonzero((keys != keys.shift(1)).fill_null(True).to_numpy())
    return np.append(starts, len(keys)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Units:
    """Which events make up each sequence.

    Attributes:
        order: `[E]` places in the log, sequence by sequence, in the order of the log within each.
        offsets: `[S+1]`; sequence s is `order[offsets[s]:offsets[s+1]]`.
        keys: `[S]` the user (or session) of each sequence.
    """

    order: Ints
    offsets: Ints
    keys: pl.Series

    @property
    def places(self) -> Ints:
        """`[E]` where in `order` each event of the log stands: the inverse of it."""
        places = np.empty(len(self.order), dtype=np.int64)
        places[self.order] = np.arange(len(self.order))
        return places


def units(log: EventLog, by: str) -> Units:
    """The sequences of a log: users, or sessions in the order of their first events.

    Events of a user lie together in a log; those of a session need not, since two sessions of one user may overlap.

    Raises:
        ColumnError: sessions are wanted and the log has none.
        DataError: `by` is neither "user" nor "session".
    """
    keys = unit_column(log, by)
    order = np.arange(len(keys), dtype=np.int64)
    if by != "user":
        first = pl.DataFrame({"key": keys}).with_row_index("row").select(pl.col("row").min().over("key"))
        order = np.argsort(first.to_series().to_numpy(), kind="stable").astype(np.int64)
        keys = keys.gather(order)
    offsets = run_offsets(keys)
    return Units(order, offsets, keys.gather(offsets[:-1]))


@dataclass(frozen=True, eq=False)
class Sequences:
    """`S` sequences of items in time order, end to end in one array.

    Attributes:
        items: `[E]` item indices, `0..N-1`.
        offsets: `[S+1]`; sequence s is `items[offsets[s]:offsets[s+1]]`.
        keys: `[S]` the user (or session) of each sequence.
        n_items: `N`, also the padding index.
        time: `[E]` microseconds since 1970 UTC, or None for a log with order only.
        rating: `[E]` ratings, NaN where missing, or None.
        users: `[S]` the user of each sequence, or None where none is known.
        context: `[E]` other columns of the log (the event's type, ...), by name.
        weight: `[E]` how much each event counts as a target of training, 0 for one that only stands in histories; None
            where all count alike, which is without an objective.
    """

    items: Items
    offsets: Ints
    keys: pl.Series
    n_items: int
    time: Ints | None = None
    rating: NDArray[np.float32] | None = None
    users: pl.Series | None = None
    context: Context = field(default_factory=dict)
    weight: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, log: EventLog, catalogue: Catalogue, by: str = "user") -> Sequences:
        """The sequences of a log in indices of a catalogue.

        Args:
            log: events in the order of the log.
            catalogue: holds every item of the log (fit it on the same events).
            by: "user" or "session".

        Raises:
            DataError: an item is not in the catalogue.
        """
        items = catalogue.encode(log.frame["item"])
        if items.size and items.min() < 0:
            unknown = log.frame["item"][int(np.argmin(items))]
            raise DataError(
                f"Item '{unknown}' is not in the catalogue; fit the catalogue on the same events."
            )
        unit = units(log, by)
        time, rating = times_of(log), ratings_of(log)
        return cls(
            items[unit.order],
            unit.offsets,
            unit.keys,
            len(catalogue),
            None if time is None else time[unit.order],
            None if rating is None else rating[unit.order],
            log.frame["user"].gather(unit.order[unit.offsets[:-1]]),
            {name: values.gather(unit.order) for name, values in context_of(log).items()},
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ints:
        """`[S]` events of each sequence."""
        return np.diff(self.offsets)

    @property
    def n_places(self) -> int:
        """Events that have a predecessor in their sequence: what one epoch reads through."""
        return int(np.maximum(self.lengths - 1, 0).sum())

    @property
    def n_targets(self) -> int:
        """Those of them that count as a target: what one epoch over all positions trains."""
        if self.weight is None:
            return self.n_places
        first = np.zeros(len(self.items) + 1, dtype=bool)
        first[self.offsets] = True
        return int(np.count_nonzero((self.weight > 0) & ~first[:-1]))

    def head(self, n: int) -> Sequences:
        """The first n sequences; the arrays are views.

        Args:
            n: how many at most.
        """
        offsets = self.offsets[: n + 1]
        events = int(offsets[-1])
        return replace(
            self,
            items=self.items[:events],
            offsets=offsets,
            keys=self.keys.head(n),
            time=None if self.time is None else self.time[:events],
            rating=None if self.rating is None else self.rating[:events],
            users=None if self.users is None else self.users.head(n),
            context={name: values.head(events) for name, values in self.context.items()},
            weight=None if self.weight is None else self.weight[:events],
        )

    def queries(self) -> Queries:
        """One query per sequence, with the whole sequence as its history."""
        return Queries(
            self.items,
            self.offsets[:-1],
            self.offsets[1:],
            self.n_items,
            self.time,
            self.rating,
            users=self.users,
            context=self.context,
        )


def times_of(log: EventLog) -> Ints | None:
    """`[E]` microseconds since 1970 UTC, exact, or None for a log with order only."""
    return log.frame["time"].dt.epoch("us").to_numpy().astype(np.int64) if log.has_time else None


def ratings_of(log: EventLog) -> NDArray[np.float32] | None:
    """`[E]` ratings with NaN where missing, or None when the log has no ratings."""
    if "rating" not in log.frame.columns:
        return None
    return log.frame["rating"].cast(pl.Float32).fill_null(float("nan")).to_numpy().astype(np.float32)


def context_of(log: EventLog) -> dict[str, pl.Series]:
    """`[E]` the columns that a model may read beside item, time and rating: type, basket, quantity, free ones."""
    plain = set(CANONICAL) - {"event", "basket", "quantity"}
    return {name: log.frame[name] for name in log.columns if name not in plain}


@dataclass(frozen=True, eq=False)
class Queries:
    """`Q` histories, each a stretch of one shared array: what comes next after these events?

    Attributes:
        items: `[E]` item indices, `0..N-1`, shared by all queries.
        starts: `[Q]` first position of each history.
        ends: `[Q]` position after the last event; an empty history has `starts == ends`.
        n_items: `N`, also the padding index.
        time: `[E]` microseconds since 1970 UTC of the events, or None.
        rating: `[E]` ratings of the events, or None.
        at: `[Q]` the time of each question, where it is known, or None.
        users: `[Q]` who asks, null where unknown, or None.
        context: `[E]` other columns of the events, by name.
    """

    items: Items
    starts: Ints
    ends: Ints
    n_items: int
    time: Ints | None = None
    rating: NDArray[np.float32] | None = None
    at: Ints | None = None
    users: pl.Series | None = None
    context: Context = field(default_factory=dict)

    @classmethod
    def of(cls, histories: Sequence[Sequence[int]] | Sequence[Items], n_items: int) -> Queries:
        """Queries from plain lists of item indices."""
        lengths = np.array([len(history) for history in histories], dtype=np.int64)
        ends = np.cumsum(lengths)
        parts = [np.asarray(history, dtype=np.int32) for history in histories]
        items = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
        if items.size and not 0 <= items.min() <= items.max() < n_items:
            raise QueryError(
                f"A history holds an item index outside 0..{n_items - 1}: encode ids with the catalogue."
            )
        return cls(items, ends - lengths, ends, n_items)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, which: slice | Ints | NDArray[np.bool_]) -> Queries:
        at = None if self.at is None else self.at[which]
        users = None if self.users is None else _chosen(self.users, which)
        return replace(self, starts=self.starts[which], ends=self.ends[which], at=at, users=users)

    @property
    def lengths(self) -> Ints:
        """`[Q]` events of each history."""
        return self.ends - self.starts

    def pairs(self) -> tuple[Ints, Items]:
        """Every event of every history as flat `(rows, items)`."""
        rows, positions = ranges(self.starts, self.ends)
        return rows, self.items[positions]

    def last(self, n: int) -> Items:
        """`[Q, n]` the last n items, most recent first, padded with `N` where the history is shorter."""
        positions = self.ends[:, None] - 1 - np.arange(n, dtype=np.int64)
        held = positions >= self.starts[:, None]
        padded = np.full(positions.shape, self.n_items, dtype=np.int32)
        padded[held] = self.items[positions[held]]
        return padded

    def windows(self, n: int) -> tuple[Items, Ints]:
        """The last n events of each history, `[Q, T]` right-padded with `N`, and their `[Q]` lengths.

        `T` is the longest length in this batch (at least 1), never more than n.
        """
        starts = np.maximum(self.starts, self.ends - n)
        return pad(self.items, starts, self.ends, self.n_items), self.ends - starts


def _chosen(values: pl.Series, which: slice | Ints | NDArray[np.bool_]) -> pl.Series:
    """The values that numpy's way of choosing names."""
    if isinstance(which, slice):
        return values[which]
    return values.filter(pl.Series(which)) if which.dtype == np.bool_ else values.gather(which)
