"""What is learnt from after fitted filters: each part by its own fit, or all by that of training without a refit."""

from __future__ import annotations

import polars as pl
import pytest

from ensue.errors import DataError
from ensue.events.filtering import Filters
from ensue.events.log import EventLog
from ensue.experiment import Experiment
from ensue.ladder.learnable import Learnable
from ensue.progress import Silent

TRAIN = [("u", "a"), ("v", "a"), ("u", "b")]
AFTER = [("w", "b"), ("w", "a")]


def log_of(pairs: list[tuple[str, str]]) -> EventLog:
    """Events in this order within each user."""
    return EventLog.of(pl.DataFrame(pairs, schema=["user", "item"], orient="row"))


def items(log: EventLog) -> list[str]:
    """The items of a log, sorted."""
    return sorted(log.frame["item"])


@pytest.mark.parametrize(
    ("refit", "before", "fits"),
    [(True, ["a", "a", "a", "b", "b"], ["train", "before_test"]), (False, ["a", "a"], ["train"])],
)
def test_filters_are_fitted_on_what_is_learnt_from(refit: bool, before: list[str], fits: list[str]) -> None:
    """Item b has one event in training and two before the test; user w has none in training."""
    told: list[str] = []

    class Told(Silent):
        def say(self, text: str) -> None:
            told.append(text)

    asked = Experiment(filters=Filters(min_item_events=2), refit=refit)
    found = Learnable.of(asked, log_of(TRAIN), log_of(TRAIN + AFTER), Told())
    assert items(found.train) == ["a", "a"]
    assert items(found.before_test) == before
    assert list(found.filtered) == fits
    assert [line.partition(":")[0] for line in told] == [name.replace("_", " ") for name in fits]
    cold, away = (0, 1) if refit else (1, 1)
    assert found.tested(log_of([("x", "b")])) == (
        f"test: {cold} events are on items that are not learnt from, and misses; {away} are of users that are not "
        "learnt from, and asked about by their histories"
    )


def test_without_filters_all_is_learnt_from_and_nothing_is_said() -> None:
    train, before = log_of(TRAIN), log_of(TRAIN + AFTER)
    found = Learnable.of(Experiment(), train, before)
    assert found.train is train
    assert found.before_test is before
    assert not found.filtered
    assert found.tested(before) == ""


def test_one_call_fits_tells_and_takes_out() -> None:
    told: list[str] = []
    kept, fitted = Filters(min_item_events=2).learnable(log_of(TRAIN), told.append)
    assert items(kept) == ["a", "a"]
    assert told == fitted.lines() != []
    with pytest.raises(DataError, match="leaves nothing"):
        Filters(min_item_events=9).learnable(log_of(TRAIN))
