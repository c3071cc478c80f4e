"""Popularity of all time and of late."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ConfigError, ModelError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting.popular import Popular, Recent
from ensue.sequences import Queries

DAY = 86_400_000_000


def log_of(items: str, times: list[int] | None) -> EventLog:
    """One user's events; times in microseconds."""
    time = pl.Series("time", times, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    frame = pl.DataFrame({"user": ["u"] * len(items), "item": list(items)})
    return EventLog.of(frame if times is None else frame.with_columns(time))


def scores_of(model: Popular | Recent, log: EventLog) -> dict[str, float]:
    fitted = model.fit(Training.of(log))
    row = fitted.scores(Queries.of([[0]], len(fitted.catalogue)))[0]
    return dict(zip(fitted.catalogue.ids, row.tolist(), strict=True))


def test_popularity_is_the_share_of_events() -> None:
    assert scores_of(Popular(), log_of("abacab", None)) == {"a": 3 / 6, "b": 2 / 6, "c": 1 / 6}


def test_popularity_is_asked_nothing_about_the_history() -> None:
    fitted = Popular().fit(Training.of(log_of("aabbcd", None), exclude_seen=False))
    assert fitted.recommend(["d"], 4).items == fitted.recommend(["a", "c"], 4).items == ("a", "b", "c", "d")


def test_recent_popularity_counts_the_last_days_and_orders_the_rest_by_all_time() -> None:
    log = log_of("aaaabbc", [0, 0, 0, 0, 8 * DAY, 8 * DAY, 9 * DAY])
    found = scores_of(Recent(days=2), log)
    assert found == pytest.approx({"a": 0 + 4e-9 / 7, "b": 2 / 3 + 2e-9 / 7, "c": 1 / 3 + 1e-9 / 7}, abs=0)


@pytest.mark.parametrize(
    ("age", "counted"), [(7 * DAY - 1, True), (7 * DAY, False), (7 * DAY + 1, False), (0, True)]
)
def test_the_window_of_seven_days_ends_with_the_last_event(age: int, counted: bool) -> None:
    last = 1_700_000_000_000_000
    found = scores_of(Recent(days=7), log_of("ab", [last - age, last]))
    assert found == pytest.approx(
        {"a": (0.5 if counted else 0) + 5e-10, "b": (0.5 if counted else 1) + 5e-10}, rel=1e-12
    )


@pytest.mark.parametrize("days", [1e-300, 1e-9, 1e300, float("inf")])
def test_windows_of_any_length_hold_the_last_event(days: float) -> None:
    found = scores_of(Recent(days=days), log_of("aab", [0, 1, 10 * DAY]))
    assert found["b"] == pytest.approx(1 if days < 1 else 1 / 3)
    assert sum(found.values()) == pytest.approx(1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), min_size=1, max_size=30))
def test_recent_popularity_is_that_of_plain_python(events: list[tuple[str, int]]) -> None:
    last = max(day for _, day in events)
    late = [item for item, day in events if last - day < 7]
    found = scores_of(
        Recent(days=7), log_of("".join(item for item, _ in events), [day * DAY for _, day in events])
    )
    for item in {item for item, _ in events}:
        all_time = sum(other == item for other, _ in events) / len(events)
        assert found[item] == pytest.approx(late.count(item) / len(late) + 1e-9 * all_time)


def test_without_times_nothing_is_recent() -> None:
    with pytest.raises(ModelError, match="recent: this log has no times, so nothing in it is recent"):
        Recent().fit(Training.of(log_of("ab", None)))


@pytest.mark.parametrize("days", [0, -1.0, float("nan")])
def test_a_window_must_have_a_length(days: float) -> None:
    with pytest.raises(ConfigError, match="is no window: take a number above 0, such as 7"):
        Recent(days=days)


def test_scores_are_a_row_for_each_query() -> None:
    fitted = Popular().fit(Training.of(log_of("aab", None)))
    scores = fitted.scores(Queries.of([[0], [1], [0, 1]], 2))
    np.testing.assert_array_equal(scores, np.array([[2 / 3, 1 / 3]] * 3))
