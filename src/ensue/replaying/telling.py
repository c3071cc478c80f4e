"""What a store is told of a log: each event when it happened, and which items had come by then."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from ensue.batching import Ints
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import ColumnError
from ensue.events.log import EventLog
from ensue.rules import Availability
from ensue.sequences import MISSING_TIME, context_of, times_of, unit_column
from ensue.serving.events import MOST_EVENTS, LiveEvent
from ensue.serving.state import Store

OWN = ("user", "item", "time", "event", "rating")
_ROWS = 4_096
"""Events that are made ready at once."""


def in_time(log: EventLog) -> Ints:
    """`[E]` places in the log by time, then user, then row; in the order of the log where there are no times."""
    time = times_of(log)
    return np.arange(log.n_events) if time is None else np.argsort(time, kind="stable").astype(np.int64)


class Telling:
    """Tells a store the events of a log in the order in which they happened.

    Args:
        log: the events.
        by: under what they are filed, "user" or "session".
        store: is told.
        columns: of the events, beside the usual ones, that the model reads.
    """

    def __init__(self, log: EventLog, by: str, store: Store, columns: Collection[str]) -> None:
        self._log, self._by, self._store = log, by, store
        self._turn = in_time(log)
        self._context = [name for name in context_of(log) if name in columns and name not in OWN]
        self._told = self.ahead = 0
        self._events = iter(())  # type: Iterator[LiveEvent]

    def keep(self, count: int) -> None:
        """Takes the first events over at once, as a service takes over the histories of its run.

        Args:
            count: how many; they are the first that the store hears of.
        """
        if self._by == "user":
            names = [name for name in OWN if name in self._log.frame.columns]
            places = np.sort(self._turn[:count])  # the order of the log
            histories = self._log.frame.select(*names, *self._context)[places]
            if count:
                self._store.keep(histories, f"the first {count} events of {self._log.fingerprint()}")
            self._told = count
        self._events = self._live(self._told)
        self.until(count)

    def until(self, count: int) -> None:
        """Files the events that are next, up to so many in all.

        Args:
            count: of the log in the order of time.
        """
        while self._told < count:
            batch = list(islice(self._events, min(count - self._told, MOST_EVENTS)))
            self.ahead += self._store.append(batch).ahead
            self._told += len(batch)

    def _live(self, first: int) -> Iterator[LiveEvent]:
        """The events from one on, each with an id of its own: what a log holds twice has happened twice."""
        frame = self._log.frame
        keys, time = unit_column(self._log, self._by), times_of(self._log)
        for begin in range(first, len(self._turn), _ROWS):
            places = self._turn[begin : begin + _ROWS]
            part = frame[places]
            n = part.height
            types = part["event"].cast(pl.String).to_list() if "event" in part.columns else [None] * n
            ratings = part["rating"].to_list() if "rating" in part.columns else [None] * n
            moments: list[int | None] = [None] * n if time is None else time[places].tolist()
            context = {name: _plain(part[name]) for name in self._context}
            rows = zip(
                keys.gather(places).to_list(),
                part["item"].to_list(),
                part["row"].to_list(),
                moments,
                types,
                ratings,
                strict=True,
            )
            for place, (key, item, row, moment, kind, rating) in enumerate(rows):
                yield LiveEvent(
                    item,
                    user=key if self._by == "user" else None,
                    session=key if self._by == "session" else None,
                    time=moment,
                    event=kind,
                    rating=None if rating is None or math.isnan(rating) else rating,
                    context={name: values[place] for name, values in context.items()},
                    id=str(row),
                )


def _plain(values: pl.Series) -> list[Any]:
    """Values as JSON has them, like those of kept histories."""
    if values.dtype.is_float():
        return values.fill_nan(None).to_list()
    plain = values.dtype.is_numeric() or values.dtype == pl.Boolean
    return (values if plain else values.cast(pl.String)).to_list()


class Arriving:
    """Withdraws the items that have not come yet, and lets each in at the time of its first event.

    An item without any event is there from the beginning.

    Args:
        log: all events.
        catalogue: of the model.
        start: microseconds; what has come by then is there.

    Raises:
        ColumnError: the log has no times.
    """

    def __init__(self, log: EventLog, catalogue: Catalogue, start: int) -> None:
        time = times_of(log)
        if time is None:
            raise ColumnError(
                "This log has no times, so nothing tells which items were there: leave --available out."
            )
        codes = catalogue.encode(log.frame["item"])
        known = codes != UNKNOWN
        first = np.full(len(catalogue), np.iinfo(np.int64).max)
        np.minimum.at(first, codes[known], time[known])
        first[first == np.iinfo(np.int64).max] = MISSING_TIME
        order = np.argsort(first, kind="stable")
        self._first = first[order]
        self._here = int(np.searchsorted(self._first, start, side="right"))
        self._ids = catalogue.decode(order)
        self.withdrawn = len(order) - self._here
        self.availability = Availability(self._ids[self._here :])

    def now(self, time: int) -> None:
        """Lets in what has come by a time, in microseconds."""
        here = int(np.searchsorted(self._first, time, side="right"))
        if here > self._here:
            self.availability.restore(*self._ids[self._here : here])
            self._here = here

    def missing(self, items: Collection[str]) -> bool:
        """Whether one of these items has not come yet."""
        return not self.availability.state[1].isdisjoint(items)
