"""Where an event is filed: under which names, at which time, and how a second delivery of it is known."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ensue.serving.events import LiveEvent
from ensue.serving.state.names import SIZE, Names

AHEAD = 5 * 60 * 1_000_000
"""Microseconds by which a client's clock may be ahead of the server's. What lies further ahead is placed at its
arrival: nothing arrives before it happens, and one wrong clock must not keep an event the latest for years."""


@dataclass(frozen=True, slots=True)
class Filing:
    """One event in one history.

    Attributes:
        name: of the history.
        primary: whether this filing speaks for the event; one of a user that is also filed under a session has two.
        user: the name of the user whose event is filed under a session here, for later erasure.
        time: microseconds since 1970 UTC.
        known: what tells that it is the same event, within the history, if an event there has it as its id.
        id: what it is known by later; None is by item, time and type.
        ahead: whether its time lay too far ahead, and it was placed at its arrival.
        session: the same for the events of one session, in a user's history.
        more: the context as JSON, None for none.
    """

    name: bytes
    primary: bool
    user: bytes | None
    time: int
    known: bytes
    id: bytes | None
    ahead: bool
    item: str
    type: str | None
    rating: float | None
    session: int | None
    more: str | None


def filings(events: Iterable[LiveEvent], names: Names, now: int) -> list[Filing]:
    """The filings of some events: under the user, under the session, or under both, the user first.

    Args:
        events: in the order of their arrival.
        names: of the store.
        now: microseconds since 1970 UTC.
    """
    found = []
    for event in events:
        user = None if event.user is None else names.user(event.user)
        session = None if event.session is None else names.session(event.session)
        ahead = event.time is not None and event.time > now + AHEAD
        time = now if event.time is None or ahead else event.time
        more = _json(dict(event.context)) if event.context else None
        known = _identity(event, names)
        own = ahead or event.id is not None or event.time is None
        rest = (time, known, known if own else None, ahead, event.item, event.event, event.rating)
        if user is not None:
            code = None if session is None else int.from_bytes(session[:6], "big")
            found.append(Filing(user, True, None, *rest, code, more))
        if session is not None:
            found.append(Filing(session, user is None, user, *rest, None, more))
    return found


def _identity(event: LiveEvent, names: Names) -> bytes:
    if event.id is not None:
        return names.event(event.id)
    if event.time is None:  # nothing tells a second delivery from a second event
        return secrets.token_bytes(SIZE)
    # What is placed at its arrival is placed elsewhere when it comes again, so what was sent has to tell.
    return names.sent(_json([event.item, event.time, event.event]))


def _json(value: Sequence[object] | dict[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
