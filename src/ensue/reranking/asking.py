"""One list that is asked about now, in the form of the lists that were learnt from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from ensue.asked import question_of
from ensue.errors import QueryError, nearest
from ensue.moments import microseconds
from ensue.questions import Question
from ensue.reranking.shown import MOST_CANDIDATES, NONE, Events, Shown
from ensue.sequences import MISSING_TIME

KEYS = ("candidates", "shown")
"""What a request in JSON has beside the keys of a question."""

OF_CANDIDATE = ("item", "score", "price")
LARGEST = 16 * 2**20
"""Letters of a request that are read."""


@dataclass(frozen=True)
class Candidate:
    """What an engine proposes.

    Attributes:
        item: its id.
        score: what the engine thinks of it, if it says.
        price: above 0, if there is one.
    """

    item: str
    score: float | None = None
    price: float | None = None


def shown_of(question: Question, candidates: Sequence[Candidate | str], context: Mapping[str, str]) -> Shown:
    """One list, as if it had been read from a log: what follows knows no difference.

    Args:
        question: what was done before, oldest first; all of it comes before the list.
        candidates: at least one, in the order of the engine.
        context: what else is known of the list.

    Raises:
        QueryError: a candidate is named twice or has no id, a number is not finite, or a kind of event is no text.
    """
    listed = [one if isinstance(one, Candidate) else Candidate(one) for one in candidates]
    if len(listed) > MOST_CANDIDATES:
        raise QueryError(f"There are {len(listed):,} candidates; {MOST_CANDIDATES:,} are taken: send fewer.")
    names = [one.item for one in listed]
    for name in names:
        if not name:
            raise QueryError("candidates hold an empty text, which is no id: give ids exactly as in the log.")
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise QueryError(f"candidates name '{twice}' twice: name each once.")
    for one in listed:
        for key, value in (("score", one.score), ("price", one.price)):
            if value is not None and not math.isfinite(value):
                raise QueryError(f"{key} of a candidate is {value}, which is no finite number: leave it out.")
    history = list(question.history)
    ids = sorted({*names, *history} - {""})
    place = {item: number for number, item in enumerate(ids)}
    kinds = list(question.context.get("event") or [None] * len(history))
    for kind in kinds:
        if kind is not None and not isinstance(kind, str):
            raise QueryError(f"context.event holds {kind!r}: kinds of events are text, such as 'click'.")
    at = _moment(question.at)
    time = [_moment(one) for one in question.times] if question.times else [MISSING_TIME] * len(history)
    known = [one for one in time if one != MISSING_TIME]
    zero = np.zeros(1, dtype=np.int64)
    return Shown(
        ids=pl.Series("item", ids, dtype=pl.String),
        items=np.array([place[name] for name in names], dtype=np.int32),
        offsets=np.array([0, len(names)], dtype=np.int64),
        score=np.array([np.nan if one.score is None else one.score for one in listed], dtype=np.float64),
        price=np.array(
            [np.nan if one.price is None or one.price <= 0 else one.price for one in listed], dtype=np.float64
        ),
        chosen=np.array([NONE], dtype=np.int64),
        groups=zero,
        at=np.array([at], dtype=np.int64),
        begins=np.array([known[0] if known else at], dtype=np.int64),
        events=Events(
            np.array([place.get(item, NONE) for item in history], dtype=np.int32),
            pl.Series("kind", kinds, dtype=pl.String),
            np.array(time, dtype=np.int64),
            np.zeros(len(history), dtype=np.int64),
        ),
        starts=zero,
        ends=np.array([len(history)], dtype=np.int64),
        context={name: pl.Series(name, [value], dtype=pl.String) for name, value in context.items()},
    )


def read_request(text: str, where: str) -> tuple[Question, list[Candidate], dict[str, str]]:
    """A question, its candidates, and what is known of their list, of a text in JSON.

    Args:
        text: such as {"candidates": [{"item": "a", "price": 80}, "b"], "shown": {"device": "mobile"}, "history": ["a"],
            "context": {"event": ["click"]}}; all but the first are as `ensue.asked.question_of` has them, and a history
            may be left out.
        where: it stands, for messages.

    Raises:
        QueryError: it is none of these; the key is named.
    """
    if len(text) > LARGEST:
        raise QueryError(f"{where} has more than {LARGEST:,} letters, as no request has.")
    try:
        content = json.loads(text, parse_constant=_refused)
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as fault:
        raise QueryError(f"{where} is no request in JSON: {fault}.") from fault
    if not isinstance(content, dict) or not isinstance(content.get("candidates"), list):
        raise QueryError(f'{where} is no request: write {{"candidates": ["a", "b"], "history": ["c"]}}.')
    asked = {key: value for key, value in content.items() if key not in KEYS}
    about = content.get("shown") or {}
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise QueryError(f'{where}: shown must be an object of texts, such as {{"device": "mobile"}}.')
    candidates = [_candidate(one, place) for place, one in enumerate(content["candidates"])]
    return question_of({"history": [], **asked}), candidates, dict(about)


def _candidate(content: Any, place: int) -> Candidate:
    if isinstance(content, str):
        return Candidate(content)
    where = f"candidates[{place}]"
    if not isinstance(content, dict) or not isinstance(content.get("item"), str):
        raise QueryError(
            f'{where} must be an id, or an object such as {{"item": "a", "score": 1.5, "price": 80}}.'
        )
    for key, value in content.items():
        if key not in OF_CANDIDATE:
            raise QueryError(
                f"{where} has no key '{key}'; known are {', '.join(OF_CANDIDATE)}.{nearest(key, OF_CANDIDATE)}"
            )
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
        if key != "item" and value is not None and not number:
            raise QueryError(f"{where}.{key} must be a number.")
    return Candidate(**content)


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON; leave it out where it is missing")


def _moment(value: datetime | None) -> int:
    """Microseconds since 1970 UTC, `MISSING_TIME` for none."""
    return MISSING_TIME if value is None else microseconds(value)
