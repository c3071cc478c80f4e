"""From a request to a question: whose history it is, and what of it the model reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ensue.errors import DataError, QueryError
from ensue.moments import moment
from ensue.questions import NO_NUMBER, Question, legible
from ensue.serving.events import is_number, listed, time_of
from ensue.serving.problems import Problem
from ensue.serving.schemas import Step, Who
from ensue.serving.served import Served
from ensue.serving.settings import Bounds
from ensue.serving.state import Store
from ensue.serving.visits import going_on

DEFAULT_K = 10


@dataclass(frozen=True)
class Asking:
    """Somebody's question.

    Attributes:
        question: as a recommender takes it.
        who: user or session, None for a history that names nobody.
        revision: of the history that was looked up; None where it came along.
        known: whether there is any event of who asks.
    """

    question: Question
    who: str | None
    revision: int | None
    known: bool


def asking(
    asked: Who, served: Served, store: Store, bounds: Bounds, also: frozenset[str] = frozenset()
) -> Asking:
    """The question of a request.

    Args:
        asked: the request.
        served: who is to answer it.
        store: of the histories.
        bounds: how long a history may be.
        also: columns of the events that are read beside those of the model.

    Raises:
        Problem: the history that came along is too long.
        QueryError: a time is none, or a value of a column that is read as numbers.
        StateError: the histories cannot be read.
    """
    at = _moment(asked.at) if asked.at is not None else datetime.now(UTC) if served.timed else None
    if asked.history is not None:
        if len(asked.history) > bounds.history:
            raise Problem(
                413, "too-long", f"A history may hold {bounds.history:,} events: send the newest.", "history"
            )
        read, odd = legible(_given(asked.history, asked.user, at), served.numbers)
        if odd:
            raise QueryError(listed([f"history[{place}].context.{name} {NO_NUMBER}" for name, place in odd]))
        given = served.objective.question(read)
        return Asking(given, asked.user, None, bool(given.history))
    return looked_up(served, store, asked.user, asked.session, at, also)


def looked_up(
    served: Served,
    store: Store,
    user: str | None,
    session: str | None,
    at: datetime | None,
    also: frozenset[str] = frozenset(),
) -> Asking:
    """The question after a history that was told: of a model of sessions the one that goes on, of its event types.

    What is stored and cannot be read, since another model answered when it was told, counts as missing.

    Args:
        served: who is to answer it.
        store: of the histories.
        user: whose, or None for that of the session.
        session: which, or None for that of the user.
        at: when it is asked.
        also: columns of the events that are read beside those of the model.

    Raises:
        StateError: the histories cannot be read.
    """
    found = store.history(user=user, session=session)
    if served.by == "session" and user is not None:
        found = going_on(found, served.sessions)
    question, _ = legible(found.question(user, at, served.reads | also), served.numbers)
    question = served.objective.question(question)
    return Asking(question, user or session, found.revision, len(question.history) > 0)


def _given(history: list[str | Step], user: str | None, at: datetime | None) -> Question:
    """A history that came along.

    Raises:
        QueryError: a time or a number is none.
    """
    plain = [one for one in history if isinstance(one, str)]
    if len(plain) == len(history):
        return Question(plain, user, at=at)
    steps = [Step.model_construct(item=one) if isinstance(one, str) else one for one in history]
    times = [None if step.time is None else _moment(step.time) for step in steps]
    ratings = [step.rating for step in steps]
    columns: dict[str, list[Any]] = {}
    for place, step in enumerate(steps):
        if step.event is not None:
            columns.setdefault("event", [None] * len(steps))[place] = step.event
        for name, value in step.context.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and not is_number(value):
                raise QueryError(
                    f"history[{place}].context.{name} is no finite number of 64 bits: give one, text or null."
                )
            if name != "event" or step.event is None:
                columns.setdefault(name, [None] * len(steps))[place] = value
    return Question(
        [step.item for step in steps],
        user,
        times if any(time is not None for time in times) else None,
        ratings if any(rating is not None for rating in ratings) else None,
        columns,
        at,
    )


def _moment(value: str | int | float) -> datetime:
    try:
        return moment(time_of(value) or 0)
    except (DataError, OverflowError) as fault:
        raise QueryError(f"A {fault}") from None


def wanted_k(k: int | None, bounds: Bounds) -> int:
    """How many items are wanted, within the bound.

    Raises:
        Problem: more than are given at once.
    """
    found = DEFAULT_K if k is None else k
    if found > bounds.k:
        raise Problem(
            422, "too-many", f"k={found} is more than {bounds.k:,}, the most that are given at once.", "k"
        )
    return found
