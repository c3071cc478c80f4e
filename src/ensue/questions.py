"""Questions in the asker's own ids, and the queries in indices that are made of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import Any

import numpy as np
import polars as pl

from ensue.batching import Items
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import QueryError
from ensue.events.numerals import column, legible_numbers
from ensue.moments import microseconds
from ensue.sequences import MISSING_TIME, Queries

NO_NUMBER = (
    "is no finite number, and the model reads numbers there: give a number, as such or as text, or null."
)
"""What is wrong with a value that `legible` leaves out; it is not repeated, since it may tell of a person."""


@dataclass(frozen=True)
class Question:
    """What comes next after these events?

    Attributes:
        history: item ids, oldest first, exactly as in the log.
        user: who asks, for models that know users; None is nobody they know.
        times: of each event of the history, None where it is not known; a time without a zone is UTC.
        ratings: of each event, None for one that has none.
        context: other columns of the events by name, one value each, None where missing; text, numbers and truths may
            stand together, see `ensue.events.numerals.column`.
        at: when the question is asked.
    """

    history: Sequence[str]
    user: str | None = None
    times: Sequence[datetime | None] | None = None
    ratings: Sequence[float | None] | None = None
    context: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    at: datetime | None = None

    def __post_init__(self) -> None:
        ids_of(self.history, "history")
        columns = {"times": self.times, "ratings": self.ratings, **self.context}
        for name, values in columns.items():
            if values is not None and len(values) != len(self.history):
                raise QueryError(
                    f"{name} has {len(values)} values for a history of {len(self.history)}: give one for each event."
                )


def ids_of(values: object, name: str) -> list[str]:
    """A list of ids, once it is known to be one.

    Raises:
        QueryError: it is not.
    """
    if isinstance(values, str):
        raise QueryError(f"{name} is the text {values!r}; give a list of item ids, such as ['{values}'].")
    if not isinstance(values, Iterable):
        raise QueryError(f"{name} is {values!r}; give a list of item ids, exactly as in the log.")
    ids = list(values)
    if set(map(type, ids)) <= {str}:
        return ids
    for value in ids:
        if not isinstance(value, str):
            raise QueryError(
                f"{name} holds {value!r}, which is not text; ids are text exactly as in the log."
            )
    return ids


def legible(asked: Question, numbers: Collection[str]) -> tuple[Question, list[tuple[str, int]]]:
    """A question without the values of its context that cannot be read, and where these stand: column and place.

    Args:
        asked: the question.
        numbers: names of the columns that are read as numbers.
    """
    read: dict[str, Sequence[Any]] = {}
    odd: list[tuple[str, int]] = []
    for name in numbers:
        if name in asked.context:
            values, places = legible_numbers(asked.context[name])
            odd += [(name, place) for place in places]
            if values is not asked.context[name]:
                read[name] = values
    return (replace(asked, context={**asked.context, **read}) if read else asked), odd


def queries_of(questions: Sequence[Question], catalogue: Catalogue) -> tuple[Queries, list[Items]]:
    """The queries of some questions, events of unknown items left out; and the codes of all events, by question.

    Raises:
        QueryError: a time, rating or other value is of a wrong kind.
    """
    codes = catalogue.encode(list(chain.from_iterable(question.history for question in questions)))
    ends = np.cumsum([len(question.history) for question in questions], dtype=np.int64)
    coded = np.split(codes, ends[:-1]) if questions else []
    events = codes != UNKNOWN
    before = np.concatenate([[0], np.cumsum(events)])[np.concatenate([[0], ends])]
    queries = Queries(codes[events], before[:-1], before[1:], len(catalogue))
    names = dict.fromkeys(name for question in questions for name in question.context)
    asked = any(question.at is not None for question in questions)
    users = [question.user for question in questions]
    return (
        Queries(
            queries.items,
            queries.starts,
            queries.ends,
            queries.n_items,
            time=_times(questions, events),
            rating=_ratings(questions, events),
            at=_microseconds([question.at for question in questions]) if asked else None,
            users=pl.Series("user", users, dtype=pl.String) if any(users) else None,
            context={name: _column(name, questions, events) for name in names},
        ),
        coded,
    )


def _times(questions: Sequence[Question], events: Any) -> Any:
    if all(question.times is None for question in questions):
        return None
    flat: list[datetime | None] = []
    for question in questions:
        flat += question.times if question.times is not None else [None] * len(question.history)
    return _microseconds(flat)[events]


def _microseconds(times: list[datetime | None]) -> Any:
    """`[n]` int64 microseconds, `MISSING_TIME` for None."""
    try:
        counted = [MISSING_TIME if time is None else microseconds(time) for time in times]
        return np.array(counted, dtype=np.int64)
    except (TypeError, AttributeError, ValueError, OverflowError) as fault:
        raise QueryError("times must be datetimes, one for each event of the history.") from fault


def _ratings(questions: Sequence[Question], events: Any) -> Any:
    if all(question.ratings is None for question in questions):
        return None
    flat: list[float | None] = []
    for question in questions:
        flat += question.ratings if question.ratings is not None else [None] * len(question.history)
    try:
        series = pl.Series("rating", flat, dtype=pl.Float32)
    except (TypeError, pl.exceptions.PolarsError) as fault:
        raise QueryError("ratings must be numbers, or None for an event that has none.") from fault
    return series.fill_null(float("nan")).to_numpy()[events]


def _column(name: str, questions: Sequence[Question], events: Any) -> pl.Series:
    flat: list[Any] = []
    for question in questions:
        flat += question.context[name] if name in question.context else [None] * len(question.history)
    try:
        return column(name, flat).filter(pl.Series(events))
    except (TypeError, OverflowError, pl.exceptions.PolarsError) as fault:
        raise QueryError(
            f"The values of '{name}' cannot be one column: give text, numbers of 64 bits, true, false, or None."
        ) from fault
