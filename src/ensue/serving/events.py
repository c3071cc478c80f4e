"""Live events: what has just happened, checked to the last value before anything is written down."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeGuard

from ensue.errors import DataError, nearest
from ensue.events.columns import usual
from ensue.events.numerals import legible_numbers
from ensue.moments import microseconds
from ensue.questions import NO_NUMBER

Value = str | int | float | bool | None

KEYS = ("user", "session", "item", "time", "event", "rating", "context", "id")
"""What an event in JSON may hold; an item, and a user or a session, it must."""

MOST_EVENTS = 1_000
"""Events in one batch."""

MOST_CHARACTERS = 512
"""Characters of an id, of a type, of a text in the context."""

MOST_COLUMNS, MOST_NAME = 32, 64
"""Columns of the context of one event, and characters of their names."""

FIRST, LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Microseconds at both ends of the years 1 to 9999, which is all that a calendar shows."""

_SHOWN_FAULTS = 5
_PER_UNIT = ((10**11, 1_000_000), (10**14, 1_000), (10**17, 1))
"""A number below 1e11 is seconds, below 1e14 milliseconds, below 1e17 microseconds, as in a log."""

_IDS = ("user", "session", "item", "event", "id")


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """One user, or one session, did something with one item.

    Attributes:
        item: its id, exactly as in the log.
        user: who, if it is known.
        session: where it belongs; a user or a session is needed, both may be given.
        time: microseconds since 1970 UTC; None is when it arrives.
        event: its type.
        rating: a finite number.
        context: other columns of the event by name.
        id: the same for every delivery of this event and for no other; without one, user (or session), item, time and
            type tell whether it is the same.

    Raises:
        DataError: a value is missing, too long or of a wrong kind; the message holds no id of a user.
    """

    item: str
    user: str | None = None
    session: str | None = None
    time: int | None = None
    event: str | None = None
    rating: float | None = None
    context: Mapping[str, Value] = field(default_factory=dict)
    id: str | None = None

    def __post_init__(self) -> None:
        for name in _IDS:
            _check_text(name, getattr(self, name), needed=name == "item")
        if self.user is None and self.session is None:
            raise DataError("user is missing: give a user, a session, or both.")
        if self.time is not None and not (_is_whole(self.time) and FIRST <= self.time <= LAST):
            raise DataError(f"time is {_shown(self.time)}, and must lie in the years 1 to 9999.")
        if self.rating is not None and not is_number(self.rating):
            raise DataError(f"rating is {_shown(self.rating)}, and must be a number or null.")
        _check_context(self.context)


def read_events(content: object) -> list[LiveEvent]:
    """The events of a value of JSON: a list of objects, or one object.

    An object has the keys of `KEYS`, or their usual names in logs, such as `user_id` and `timestamp`. A time is ISO
    text, or a number of seconds, milliseconds or microseconds by its size; without an offset it is UTC.

    Args:
        content: what the JSON held.

    Raises:
        DataError: something is wrong with an event, named by its place; then none of the batch is taken.

    Example:
        >>> read_events([{"user": "n1", "item": "A", "timestamp": 100}])[0].time
        100000000
    """
    listed = [content] if isinstance(content, dict) else content
    if not isinstance(listed, list):
        raise DataError('events are a list of objects such as [{"user": "u1", "item": "i1"}].')
    if len(listed) > MOST_EVENTS:
        raise DataError(f"{len(listed):,} events are too many for one batch: send at most {MOST_EVENTS:,}.")
    found, faults = [], []
    for place, one in enumerate(listed):
        try:
            found.append(_event_of(one))
        except DataError as fault:
            faults.append(f"events[{place}]: {fault}")
    _refuse(faults)
    return found


def check_numbers(events: Sequence[LiveEvent], numbers: Collection[str]) -> None:
    """Lets pass only events that can be read.

    Args:
        events: of one batch.
        numbers: columns of the context that are read as numbers.

    Raises:
        DataError: a value there is none; it is named by its place.
    """
    _refuse(
        [
            f"events[{place}]: context.{name} {NO_NUMBER}"
            for name in sorted(numbers)
            for place in legible_numbers([event.context.get(name) for event in events])[1]
        ]
    )


def listed(faults: Sequence[str]) -> str:
    """The first faults, and how many there are more."""
    more = f" And {len(faults) - _SHOWN_FAULTS:,} more." if len(faults) > _SHOWN_FAULTS else ""
    return f"{' '.join(faults[:_SHOWN_FAULTS])}{more}"


def _refuse(faults: Sequence[str]) -> None:
    """Takes none of a batch that has faults."""
    if faults:
        raise DataError(f"{listed(faults)} None of the batch was taken.")


def _event_of(content: object) -> LiveEvent:
    if not isinstance(content, dict):
        raise DataError(f"it is {_kind(content)}, and must be an object.")
    given: dict[str, Any] = {}
    for written, value in content.items():
        key = written if written in KEYS else usual(str(written)[:MOST_NAME])
        if key not in KEYS:
            raise DataError(
                f"there is no key '{_shortened(written)}'; known are {', '.join(KEYS)}, and other columns go into "
                f"context.{nearest(_shortened(written), KEYS)}"
            )
        if key in given:
            raise DataError(f"the {key} is given twice, by '{_shortened(written)}' too.")
        given[key] = value
    if not isinstance(given.get("context") or {}, dict):
        raise DataError(f"context is {_kind(given['context'])}, and must be an object of columns.")
    rating = given.get("rating")
    return LiveEvent(
        given.get("item"),  # type: ignore[arg-type]  # checked there
        given.get("user"),
        given.get("session"),
        time_of(given.get("time")),
        given.get("event"),
        float(rating) if isinstance(rating, int) and is_number(rating) else rating,
        dict(given.get("context") or {}),
        given.get("id"),
    )


def time_of(value: object) -> int | None:
    """Microseconds since 1970 UTC; each value is judged alone, so that it means the same in every batch."""
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        try:
            if text[4:5] != "-" or len(text) > MOST_NAME:
                raise ValueError
            return microseconds(datetime.fromisoformat(text))
        except ValueError:
            raise DataError(
                f'time is {_shown(value)}, and must be ISO text such as "2024-01-31T08:00Z", or a number of seconds.'
            ) from None
    if not is_number(value):
        raise DataError(f"time is {_kind(value)}, and must be ISO text, a number of seconds, or null.")
    for below, microseconds_each in _PER_UNIT:
        if abs(value) < below:
            if isinstance(value, int):
                return value * microseconds_each
            whole = math.trunc(value)
            return whole * microseconds_each + round((value - whole) * microseconds_each)
    raise DataError(f"time is {_shown(value)}, and must lie in the years 1 to 9999: send seconds since 1970.")


def _check_text(name: str, value: object, *, needed: bool) -> None:
    if value is None and not needed:
        return
    if value is None:
        raise DataError(f"{name} is missing.")
    if not isinstance(value, str):
        raise DataError(f"{name} is {_kind(value)}, and must be text, exactly as in the log.")
    if not 0 < len(value) <= MOST_CHARACTERS:
        raise DataError(f"{name} has {len(value):,} characters, and must have 1 to {MOST_CHARACTERS}.")
    _check_encodable(name, value)


def _check_encodable(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(f"{name} holds half a surrogate pair, which is no text.") from None
    if "\0" in value:
        raise DataError(f"{name} holds the character NUL, which is no text.")


def _check_context(columns: Mapping[Any, object]) -> None:
    if len(columns) > MOST_COLUMNS:
        raise DataError(f"context has {len(columns):,} columns, and may have {MOST_COLUMNS}.")
    for name, value in columns.items():
        if not isinstance(name, str) or not 0 < len(name) <= MOST_NAME:
            raise DataError(f"context has a column whose name is not text of 1 to {MOST_NAME} characters.")
        _check_encodable("the name of a column of the context", name)
        key = f"context.{name}"
        if name in KEYS:
            raise DataError(f"{key} is no context: an event has the key '{name}' for it.")
        if isinstance(value, str):
            if len(value) > MOST_CHARACTERS:
                raise DataError(f"{key} has {len(value):,} characters, and may have {MOST_CHARACTERS}.")
            _check_encodable(key, value)
        elif value is not None and not isinstance(value, bool) and not is_number(value):
            raise DataError(f"{key} is {_kind(value)}, and must be text, a number, true, false or null.")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a finite number that 64 bits can hold."""
    if isinstance(value, int):
        return abs(value) < 2**63 and not isinstance(value, bool)
    return isinstance(value, float) and math.isfinite(value)


def _kind(value: object) -> str:
    """What a value is, without the value, which may tell of a person."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number" if is_number(value) else "no finite number of 64 bits"
    for kind, name in ((str, "text"), (list, "a list"), (dict, "an object")):
        if isinstance(value, kind):
            return name
    return "of an unknown kind"


def _shortened(text: object) -> str:
    shown = str(text)[:41].encode("unicode_escape").decode()
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def _shown(value: object) -> str:
    return _shortened(json.dumps(value, default=_kind))
