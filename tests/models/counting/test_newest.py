"""What came last: ages by the time of the question."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue import artifacts, runtime
from ensue.errors import ArtifactError, ConfigError, ModelError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting.newest import Newest
from ensue.questions import Question
from ensue.ranking import Parts, Recommender

DAYS = [datetime(2024, 1, day, tzinfo=UTC) for day in range(1, 10)]
TINY = 1e-9


def training_of(items: pl.DataFrame | None = None, timed: bool = True) -> Training:
    """a on the 1st and the 5th, b on the 3rd."""
    frame = pl.DataFrame(
        {"user": ["u", "u", "u"], "item": ["a", "b", "a"], "time": [DAYS[0], DAYS[2], DAYS[4]]}
    )
    return Training.of(EventLog.of(frame if timed else frame.drop("time"), items=items))


def scores_of(fitted: Recommender, at: datetime | None, times: list[Any] | None = None) -> dict[str, float]:
    slate = fitted.recommend(Question(["b"], at=at, times=times), 5, exclude_seen=False)
    return dict(zip(slate.items, slate.scores, strict=True))


def test_an_item_is_there_since_its_first_event() -> None:
    fitted = Newest(half_life=2.0).fit(training_of())
    found = scores_of(fitted, DAYS[6])
    assert found["a"] == pytest.approx(0.5 ** (6 / 2) * (1 + TINY * 2 / 3))
    assert found["b"] == pytest.approx(0.5 ** (4 / 2) * (1 + TINY / 3))


def test_what_is_not_there_yet_has_nothing() -> None:
    found = scores_of(Newest().fit(training_of()), DAYS[1])
    assert found["a"] == pytest.approx(0.5)
    assert 0 < found["b"] < 1e-200


@pytest.mark.parametrize(
    "column",
    [
        [DAYS[1], None],
        [DAYS[1].replace(tzinfo=None), None],
        [date(2024, 1, 2), None],
        ["2024-01-02T00:00:00", "no time"],
    ],
)
def test_the_table_of_items_says_it_better(column: list[Any]) -> None:
    items = pl.DataFrame({"item": ["a", "b"], "first_seen": column})
    found = scores_of(Newest().fit(training_of(items)), DAYS[3])
    assert found["a"] == pytest.approx(0.5**2 * (1 + TINY * 2 / 3))
    assert 0 < found["b"] < 1e-200


def test_old_items_are_ordered_by_age_too_and_equal_ages_by_popularity() -> None:
    """After some weeks less is left of an item than any share of popularity that could be added."""
    ages = {"old, popular": 90, "older": 120, "less old": 60, "as old": 90, "not yet": -1}
    asked = datetime(2024, 6, 1, tzinfo=UTC)
    items = pl.DataFrame(
        {"item": list(ages), "first_seen": [asked - timedelta(days=age) for age in ages.values()]}
    )
    taken = ["old, popular"] * 9 + ["older"] * 8 + ["not yet"] * 7 + ["less old", "as old"]
    frame = pl.DataFrame({"user": [f"u{n}" for n in range(len(taken))], "item": taken})
    fitted = Newest().fit(Training.of(EventLog.of(frame, items=items)))
    slate = fitted.recommend(Question(["older"], at=asked), 5, exclude_seen=False)
    assert slate.items == ("less old", "old, popular", "as old", "older", "not yet")


def test_a_question_without_a_time_is_asked_at_its_last_event_or_when_the_last_item_came() -> None:
    fitted = Newest().fit(training_of())
    assert scores_of(fitted, None, [DAYS[4]])["b"] == pytest.approx(0.5**2)
    assert scores_of(fitted, None)["b"] == pytest.approx(1.0), "b came last, on the 3rd"
    assert fitted.scoring.reads == ("time",)  # type: ignore[attr-defined]


def test_a_saved_one_answers_alike_and_other_times_are_refused(tmp_path: Path) -> None:
    fitted = Newest(3.0).fit(training_of())
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    assert scores_of(loaded, DAYS[7]) == scores_of(fitted, DAYS[7])
    with pytest.raises(ArtifactError, match="do not fit their items"):
        Newest().restore(Parts({}, {"since": np.zeros(5, dtype=np.int64)}), fitted.catalogue)


def test_without_any_time_there_is_nothing_new() -> None:
    with pytest.raises(ModelError, match="neither the events have times nor the items a column 'first_seen'"):
        Newest().fit(training_of(timed=False))
    items = pl.DataFrame({"item": ["a", "b"], "first_seen": [DAYS[1], DAYS[2]]})
    assert Newest().fit(training_of(items, timed=False)).recommend(["a"], 1).items == ("b",)
    with pytest.raises(ConfigError, match="half_life=0 must be a number of days above 0"):
        replace(Newest(), half_life=0.0)
