"""Live events from JSON: what is taken, what is refused, and that no message tells who it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import DataError
from ensue.serving.events import (
    FIRST,
    LAST,
    MOST_CHARACTERS,
    MOST_COLUMNS,
    MOST_EVENTS,
    LiveEvent,
    read_events,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event(**changed: Any) -> dict[str, Any]:
    return {"user": "u1", "item": "A", **changed}


def test_every_key_is_taken() -> None:
    whole = event(session="s", time=1.5, event="view", rating=4, context={"city": "here", "n": 2}, id="x")
    assert read_events([whole]) == [
        LiveEvent("A", "u1", "s", 1_500_000, "view", 4.0, {"city": "here", "n": 2}, "x")
    ]


def test_keys_may_have_their_usual_names() -> None:
    usual = {"user_id": "u1", "product_id": "A", "timestamp": 100, "event_type": "view"}
    assert read_events(usual) == [LiveEvent("A", "u1", time=100 * 1_000_000, event="view")]


@pytest.mark.parametrize(
    ("written", "microseconds"),
    [
        (1_700_000_000, 1_700_000_000 * 10**6),
        (1_700_000_000.25, 1_700_000_000 * 10**6 + 250_000),
        (1_700_000_000_123, 1_700_000_000_123 * 10**3),
        (1_700_000_000_123_456, 1_700_000_000_123_456),
        (-86_400, -86_400 * 10**6),
        (0, 0),
        ("1970-01-02", 86_400 * 10**6),
        ("1970-01-01T01:00:00.000001Z", 3_600 * 10**6 + 1),
        ("1970-01-01T01:00+01:00", 0),
        ("1970-01-01 00:00:01", 10**6),
    ],
)
def test_a_time_is_exact_whatever_else_is_in_the_batch(written: object, microseconds: int) -> None:
    alone = read_events([event(time=written)])
    among = read_events([event(time=1_700_000_000_000), event(time=written), event(time=5)])
    assert alone[0].time == among[1].time == microseconds


@given(st.integers(FIRST + 86_400 * 10**6, LAST - 86_400 * 10**6), st.integers(-14, 14))
def test_iso_text_is_read_to_the_microsecond(moment: int, hours: int) -> None:
    there = (EPOCH + timedelta(microseconds=moment)).astimezone(timezone(timedelta(hours=hours)))
    assert read_events(event(time=there.isoformat()))[0].time == moment


REFUSED: list[tuple[object, str]] = [
    ("text", "a list of objects"),
    ([5], "events[0]: it is a number"),
    ([event(), {"user": "u1"}], "events[1]: item is missing"),
    ([{"item": "A"}], "user is missing: give a user, a session, or both"),
    ([event(item=7)], "item is a number, and must be text"),
    ([event(item="")], "item has 0 characters"),
    ([event(item="x" * (MOST_CHARACTERS + 1))], "item has 513 characters"),
    ([event(item="\ud800")], "surrogate"),
    ([event(item="a\0b")], "NUL"),
    ([event(user=["u"])], "user is a list"),
    ([event(session=True)], "session is true or false"),
    ([event(id="x" * 513)], "id has 513"),
    ([event(time="yesterday")], 'time is "yesterday", and must be ISO text'),
    ([event(time="20240131")], "time is"),
    ([event(time=True)], "time is true or false"),
    ([event(time=10**18)], "years 1 to 9999"),
    ([event(time=float("nan"))], "no finite number"),
    ([event(rating="5")], 'rating is "5", and must be a number'),
    ([event(rating=float("inf"))], "rating is"),
    ([event(rating=True)], "rating is true"),
    ([event(context=[1])], "context is a list"),
    ([event(context={"city": ["here"]})], "context.city is a list"),
    ([event(context={"rating": 4})], "context.rating is no context"),
    ([event(context={"x" * 65: 4})], "1 to 64 characters"),
    ([event(context={"city": "x" * 513})], "context.city has 513"),
    ([event(context={f"c{n}": n for n in range(MOST_COLUMNS + 1)})], "context has 33 columns"),
    ([event(user_id="u2")], "the user is given twice"),
    ([event(quantity=2)], "there is no key 'quantity'; known are user, session"),
    ([event(ratings=2, raing=3)], "the"),
    ([event(raing=3)], "Did you mean 'rating'?"),
    ([event()] * (MOST_EVENTS + 1), "1,001 events are too many"),
    ([{}] * 7, "And 2 more. None of the batch was taken."),
]


@pytest.mark.parametrize(("content", "message"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_is_refused_is_named(content: object, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_events(content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["user", "session", "id"])
@pytest.mark.parametrize("value", [4711, ["4711"], {"4711": 1}, "4711" * 200, "4711\0", "4711\ud800"])
def test_no_message_tells_who_it_was(key: str, value: object) -> None:
    with pytest.raises(DataError) as caught:
        read_events([event(**{key: value})])
    assert key in str(caught.value)
    assert "4711" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYED = st.dictionaries(
    st.sampled_from(["user", "session", "item", "time", "event", "rating", "context", "id", "x"]), JSON
)


@given(st.lists(KEYED, max_size=3) | JSON)
def test_whatever_json_holds_is_read_or_refused(content: object) -> None:
    try:
        found = read_events(content)
    except DataError:
        return
    assert all(isinstance(one, LiveEvent) for one in found)
    json.dumps([dict(one.context) for one in found], allow_nan=False)
