"""Faults that users of recommenders have met in explanations: scores other than in the list, reasons made up.

Users walk round a ring of ten items. For the list after A, B: its first item is explained, an item further down, an
answer for nobody, and an item that does not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import polars as pl
import pytest

from ensue.errors import QueryError
from ensue.events.log import EventLog
from ensue.explaining import Explanation, explain
from ensue.model import fit
from ensue.ranking import Recommender

RING = "ABCDEFGHIJ"
POPULARITY = ("popular", "recent")
ADDING_UP = ("markov", "markov-time", "rules", "neighbours", "v-sknn", "stan")
NETWORKS = ("gru", pytest.param("transformer", marks=pytest.mark.slow))
SMALL: dict[str, Any] = {
    "width": 16,
    "length": 12,
    "epochs": 12,
    "batch_tokens": 64,
    "learning_rate": 0.02,
    "dropout": 0.0,
}

Made = Callable[[str], Recommender]


@pytest.fixture(scope="module")
def made() -> Made:
    """A model of each kind that has learnt the ring."""
    rows = [
        (f"u{user:02d}", RING[(user + step) % 10], 1_600_000_000_000_000 + 60_000_000 * (1440 * user + step))
        for user in range(22)
        for step in range(8)
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    log = EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))

    @cache
    def model(name: str) -> Recommender:
        return fit(name, log, **(SMALL if name in ("gru", "transformer") else {}))

    return model


def check(found: Explanation, recommender: Recommender) -> None:
    """The score is that of the list, only A and B are reasons, and what is said to add up does."""
    listed = recommender.recommend(["A", "B"], 10)
    assert found.score == pytest.approx(listed.scores[listed.items.index(found.item)], abs=1e-5)
    assert found.place == listed.items.index(found.item) + 1
    assert {reason.item for reason in found.reasons} <= {"A", "B"}
    assert all("AB"[reason.event] == reason.item for reason in found.reasons)
    if found.without is not None:
        assert set(found.without.items) <= {"A", "B"}
    if found.adds_up:
        assert found.base is not None
        assert found.others is not None
        total = found.base + found.others + sum(reason.part for reason in found.reasons)
        assert total == pytest.approx(found.score, abs=1e-4)


@pytest.mark.parametrize("name", [*POPULARITY, *ADDING_UP, *NETWORKS])
def test_reasons_are_of_this_history_and_the_score_is_that_of_the_list(made: Made, name: str) -> None:
    recommender = made(name)
    best = recommender.recommend(["A", "B"], 3).items[0]
    for item in (best, "H"):
        found = explain(recommender, ["A", "B"], item, 3)
        check(found, recommender)
        assert found.adds_up == (name in POPULARITY + ADDING_UP)
        said = "\n".join(found.lines())
        if name in POPULARITY:
            assert not found.reasons
            assert "popular items" in said
        elif found.adds_up:
            assert "the parts add up to the score" in said
        else:
            assert "do not add up" in said
    if name not in POPULARITY:
        first = explain(recommender, ["A", "B"], best, 3)
        assert best == "C"
        assert first.reasons[0].item == "B", "B is always followed by C"


@pytest.mark.parametrize("name", [*POPULARITY, *ADDING_UP, *NETWORKS])
def test_a_fallback_is_popular_items_and_no_reasons_are_made_up(made: Made, name: str) -> None:
    found = explain(made(name), [], "C", 3)
    assert found.reasons == ()
    assert found.without is None
    assert "popular items" in "\n".join(found.lines())
    assert found.score == made(name).recommend([], 10).scores[found.place - 1]


@pytest.mark.parametrize("name", [*POPULARITY, *ADDING_UP, *NETWORKS])
def test_an_unknown_item_is_a_clear_error(made: Made, name: str) -> None:
    with pytest.raises(QueryError, match="knows no item 'ZZZ'"):
        explain(made(name), ["A"], "ZZZ")
