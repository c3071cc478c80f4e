"""Questions as JSON asks them, checked to the last entry: what files and programs hand in."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

import polars as pl

from ensue import moments
from ensue.errors import ConfigError, QueryError, nearest
from ensue.events import times
from ensue.questions import Question

KEYS = ("history", "user", "times", "ratings", "context", "at")
"""What a question in JSON may hold; a history it must."""

OWN = {"user": "user", "item": "history", "time": "times", "rating": "ratings"}
"""Columns of events that a question has keys of their own for."""


def read_question(text: str, where: str) -> Question:
    """The question of a text in JSON, see `question_of`.

    Args:
        text: the JSON.
        where: where it stands, for messages.

    Raises:
        QueryError: it is no JSON, or not a question.
    """
    try:
        content = json.loads(text, object_pairs_hook=_once, parse_constant=_refused)
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as fault:
        raise QueryError(f"{where} is no question in JSON: {fault}.") from fault
    try:
        return question_of(content)
    except QueryError as fault:
        raise QueryError(f"{where}: {fault}") from fault


def question_of(content: object) -> Question:
    """The question that a value of JSON asks, checked to the last entry.

    Args:
        content: an object with `history` (ids, oldest first) and, where they are known, `user` (an id), `times` (ISO
            texts), `ratings` (numbers), `context` (other columns of the events by name) and `at` (an ISO text). Lists
            have one entry for each event of the history, null where an event has none.

    Raises:
        QueryError: a key or a value is none of these; it is named.

    Example:
        >>> asked = question_of({"history": ["a", "b"], "ratings": [4, None], "at": "2024-01-31T08:00Z"})
        >>> asked.ratings, asked.at.isoformat()
        ([4.0, None], '2024-01-31T08:00:00+00:00')
    """
    if not isinstance(content, dict):
        raise QueryError(f'a question is an object such as {{"history": ["a", "b"]}}, not {_shown(content)}.')
    for key in content:
        if key not in KEYS:
            raise QueryError(
                f"there is no key '{key}' in a question; known are {', '.join(KEYS)}.{nearest(key, KEYS)}"
            )
    if "history" not in content:
        raise QueryError("history is missing: give the ids of the items so far, [] for somebody new.")
    given = {key: value for key, value in content.items() if value is not None}
    history = _list("history", content["history"])
    for place, value in enumerate(history):
        if not isinstance(value, str):
            raise _wrong(f"history[{place}]", value, "an id, which is text exactly as in the log")
    for key in ("user", "at"):
        if not isinstance(given.get(key, ""), str):
            raise _wrong(key, given[key], "text")
    return Question(
        history,
        given.get("user"),
        _times(_list("times", given["times"])) if "times" in given else None,
        _ratings(_list("ratings", given["ratings"])) if "ratings" in given else None,
        _context(given.get("context", {})),
        moment(given["at"], "at") if "at" in given else None,
    )


def moment(text: str, option: str) -> datetime:
    """A time as it is typed, in ISO form; without an offset it is UTC.

    Raises:
        QueryError: it is none.
    """
    try:
        return moments.moment(times.moment(text, option))
    except ConfigError as fault:
        raise QueryError(str(fault)) from fault


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, none of whose keys may stand twice: the second would silently replace the first."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key '{key}' stands twice in one object")
        found[key] = value
    return found


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON; write null for a value that is missing")


def _shown(value: object) -> str:
    """A value as JSON has it, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _wrong(key: str, value: object, needed: str) -> QueryError:
    return QueryError(f"{key} is {_shown(value)}, and must be {needed}.")


def _list(key: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(key, value, "a list with one entry for each event of the history")
    return value


def _times(values: list[Any]) -> list[Any]:
    """Times from ISO texts, None where there is none."""
    for place, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            raise _wrong(f"times[{place}]", value, 'a time as ISO text, such as "2024-01-31T08:00Z", or null')
    texts = pl.Series("times", values, dtype=pl.String)
    found = times.parse(texts, "iso", pl.Series(range(len(values)), dtype=pl.Int64), "the question").values
    for place in (found.is_null() & texts.is_not_null()).arg_true().to_list():
        moment(values[place], f"times[{place}]")  # says what is wrong with it
    return found.to_list()


def _ratings(values: list[Any]) -> list[float | None]:
    """Ratings as numbers, None where there is none."""
    for place, value in enumerate(values):
        if value is not None and not _is_number(value):
            raise _wrong(f"ratings[{place}]", value, "a number or null")
    return [None if value is None else float(value) for value in values]


def _context(columns: object) -> dict[str, list[Any]]:
    """Other columns of the events; values of several kinds may stand together."""
    if not isinstance(columns, dict):
        raise _wrong("context", columns, 'an object of columns, such as {"city": ["here", null]}')
    found = {}
    for name, listed in columns.items():
        key = f"context.{name}"
        if name in OWN:
            raise QueryError(f"{key} is no context: a question has the key '{OWN[name]}' for it.")
        values = _list(key, listed)
        for place, value in enumerate(values):
            if not (value is None or isinstance(value, str | bool) or _is_number(value)):
                raise _wrong(f"{key}[{place}]", value, "text, a number, true, false or null")
        found[name] = values
    return found


def _is_number(value: object) -> bool:
    """Whether a value of JSON is a finite number that 64 bits can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value)
