"""A split that comes with the data: whose history is what, and what is refused."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ensue.catalogue import Catalogue
from ensue.errors import ColumnError, DataError
from ensue.events.log import EventLog
from ensue.splits import check, check_learnt
from ensue.splits.given import given, together

Rows = list[tuple[str, str, int, float]]


def log_of(rows: Rows, **more: list[str]) -> EventLog:
    frame = pl.DataFrame(rows, schema=["user", "item", "time", "rating"], orient="row")
    typed = frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
    return EventLog.of(typed.with_columns(*(pl.Series(name, values) for name, values in more.items())))


BASE = log_of(
    [("u", "c", 9, 3.0), ("u", "a", 2, 1.0), ("v", "a", 5, 4.0), ("u", "b", 4, 2.0), ("v", "b", 6, 5.0)]
)
TEST = log_of([("u", "d", 1, 5.0), ("u", "a", 3, 2.0), ("v", "c", 1, 1.0), ("w", "a", 1, 1.0)])


def test_the_whole_base_of_a_user_is_the_history_of_all_its_test_events() -> None:
    """Later or earlier: u's base lies at 2, 4 and 9, and its test at 1 and 3."""
    parts = given(together(BASE, TEST), validation=0)
    catalogue = Catalogue.fit(parts.before_test)
    examples = parts.examples("test", catalogue)
    asked = [
        (examples.target_ids[q], catalogue.decode(examples.queries.items[a:b]))
        for q, (a, b) in enumerate(zip(examples.queries.starts, examples.queries.ends, strict=True))
    ]
    assert asked == [("d", ["a", "b", "c"]), ("a", ["a", "b", "c"]), ("c", ["a", "b"])]
    assert examples.target_ratings is not None
    assert examples.target_ratings.tolist() == [5.0, 2.0, 1.0]
    assert examples.without_history == 1
    assert examples.queries.at is None
    assert parts.sizes == {"train": 5, "validation": 0, "test": 4}
    assert "part" not in parts.log.columns
    assert "may be later" in parts.leaks
    check(parts)
    check_learnt(parts, catalogue)


def test_validation_is_drawn_from_training_and_stands_in_no_history_of_its_own() -> None:
    base = log_of([(f"u{n % 20:02d}", f"i{n // 20:02d}", n, 1.0) for n in range(600)])
    test = log_of([(f"u{n:02d}", "i00", 0, 1.0) for n in range(20)])
    log = together(base, test)
    parts = given(log, validation=0.2, seed=1)
    assert 80 < parts.sizes["validation"] < 160
    assert parts.sizes["train"] + parts.sizes["validation"] == 600
    catalogue = Catalogue.fit(parts.train)
    found = parts.examples("validation", catalogue)
    learnt = dict(parts.train.frame.group_by("user").len().rows())
    assert {
        (found.group_ids[int(group)], length)
        for group, length in zip(found.groups, found.queries.lengths.tolist(), strict=True)
    } == {(user, learnt[user]) for user in found.group_ids}
    assert set(parts.examples("test", catalogue).queries.lengths) == {30}
    assert (given(log, validation=0.2, seed=2).part != parts.part).any()
    np.testing.assert_array_equal(given(log, validation=0.2, seed=1).part, parts.part)


def test_validation_that_the_column_names_is_taken_as_it_is() -> None:
    rows: Rows = [("u", "a", 1, 1.0), ("u", "b", 2, 1.0), ("u", "c", 3, 1.0), ("u", "d", 4, 1.0)]
    log = log_of(rows, fold=["train", "validation", "test", "train"])
    parts = given(log, column="fold", validation=0.9)
    assert dict(zip(parts.log.frame["item"], parts.part.tolist(), strict=True)) == {
        "a": 0, "d": 0, "b": 1, "c": 2,
    }  # fmt: skip


def test_parts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ColumnError, match="differ in their columns: city"):
        together(BASE, log_of([("u", "a", 1, 1.0)], city=["x"]))
    with pytest.raises(ColumnError, match=r"no column .part..*rating"):
        given(BASE)
    with pytest.raises(ColumnError, match="says 'tests' of an event, and must say one of train, validation"):
        given(log_of([("u", "a", 1, 1.0)], part=["tests"]))
    with pytest.raises(DataError, match="No event can be asked for"):
        given(log_of([("u", "a", 1, 1.0)], part=["train"]), validation=0)
    with pytest.raises(DataError, match="No event can be learnt from"):
        given(log_of([("u", "a", 1, 1.0)], part=["test"]))
