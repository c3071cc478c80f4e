"""From a request to a question: what of an event is read, and what a moment may be written as."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from pydantic import ValidationError

from ensue.errors import QueryError
from ensue.objective import NONE, Objective
from ensue.questions import Question
from ensue.serving.asking import asking
from ensue.serving.schemas import Step, Who
from ensue.serving.served import Served
from ensue.serving.settings import Bounds
from ensue.serving.state import Store


@dataclass
class Reader:
    """As much of a model as a history that comes along needs."""

    objective: Objective = NONE
    timed: bool = False
    numbers: frozenset[str] = frozenset()


def asked(body: str) -> Question:
    """The question of a request whose history comes along."""
    return asking(Who.model_validate_json(body), cast(Served, Reader()), cast(Store, None), Bounds()).question


def test_events_may_be_told_in_full_or_by_their_item_alone() -> None:
    question = asked(
        '{"history": ["a", {"item": "b", "time": 60, "rating": 4.5, "event": "buy"},'
        ' {"item": "c", "event": "view", "context": {"event": "of the context", "shop": 7}},'
        ' {"item": "d", "context": {"event": "cart"}}], "at": "1970-01-01T00:02Z"}'
    )
    assert list(question.history) == ["a", "b", "c", "d"]
    minute = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert question.times == [None, minute, None, None]
    assert question.ratings == [None, 4.5, None, None]
    assert question.context == {"event": [None, "buy", "view", "cart"], "shop": [None, None, 7, None]}
    assert question.at == datetime(1970, 1, 1, 0, 2, tzinfo=UTC)
    plain = asked('{"history": ["a", {"item": "b"}]}')
    assert (plain.times, plain.ratings, plain.context) == (None, None, {})


def test_whole_numbers_stay_whole() -> None:
    """Microseconds have more digits than a fraction keeps; and what is written with a point is a fraction."""
    moment = 1_700_000_000_123_457
    read = Who.model_validate_json(f'{{"history": ["a"], "at": {moment}}}')
    assert (read.at, type(read.at)) == (moment, int)
    assert type(Who.model_validate_json('{"history": ["a"], "at": 5.0}').at) is float


def test_the_page_of_the_service_tells_what_is_taken_where_nothing_is_said() -> None:
    properties = Step.model_json_schema()["properties"]
    assert {name: one["default"] for name, one in properties.items() if name != "item"} == {
        "time": None,
        "rating": None,
        "event": None,
        "context": {},
    }


def test_no_two_events_share_their_context() -> None:
    first, second = Step(item="a"), Step(item="b")
    first.context["shop"] = 1
    assert second.context == {}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1700000000", 1_700_000_000),
        ("1700000000.0", 1_700_000_000),
        ("1700000000.25", 1_700_000_000.25),
        ("1700000000250", 1_700_000_000.25),
        ('"2023-11-14T22:13:20Z"', 1_700_000_000),
        ('"2023-11-14T23:13:20+01:00"', 1_700_000_000),
        ('"2023-11-14T22:13:20"', 1_700_000_000),
    ],
)
def test_a_moment_is_a_number_or_a_text(written: str, read: float) -> None:
    question = asked(f'{{"history": [{{"item": "a", "time": {written}}}], "at": {written}}}')
    assert question.at is not None
    assert question.at.timestamp() == read
    assert question.times == [question.at]


@pytest.mark.parametrize("written", ["true", "[1]", "{}"])
def test_what_is_neither_is_refused(written: str) -> None:
    body: Any = f'{{"history": [{{"item": "a", "time": {written}}}]}}'
    with pytest.raises(ValidationError, match="time"):
        Who.model_validate_json(body)


@pytest.mark.parametrize("written", ['"noon"', "1e300", "99999999999999999999"])
def test_a_moment_that_is_none_is_told(written: str) -> None:
    with pytest.raises(QueryError, match="time is"):
        asked(f'{{"history": [{{"item": "a", "time": {written}}}]}}')
