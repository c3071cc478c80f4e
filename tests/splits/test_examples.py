"""The examples of a split: every target with all that came before it, its times, its rating, and one at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.test_splits import cut, events, histories, log_of

from ensue.catalogue import Catalogue
from ensue.events.log import EventLog
from ensue.splits import PARTS, Split, at_times, last_out


@dataclass(frozen=True)
class Asked:
    """One example as plain Python reads it."""

    user: str
    history: list[str]
    target: str


def asked_by_hand(log: EventLog, found: Split, code: int, last: bool) -> list[Asked]:
    """Every target of a part with all events before it in its sequence."""
    users, items = log.frame["user"].to_list(), log.frame["item"].to_list()
    by_hand = []
    for place, part in enumerate(found.part.tolist()):
        before = [other for other in range(place) if users[other] == users[place]]
        later = [
            p for p in range(place + 1, len(users)) if users[p] == users[place] and found.part[p] == code
        ]
        if part == code and before and not (last and later):
            by_hand.append(Asked(users[place], [items[other] for other in before], items[place]))
    return by_hand


@pytest.mark.parametrize("rule", ["temporal", "last", "ratio"])
@pytest.mark.parametrize("targets", ["successive", "last"])
@pytest.mark.parametrize("part", ["validation", "test", "train"])
@settings(max_examples=20)
@given(rows=events)
def test_examples_are_those_that_plain_python_finds(
    rule: str, targets: str, part: str, rows: list[tuple[str, str, int]]
) -> None:
    log = log_of(rows)
    found = cut(log, rule)
    if found is None:
        return
    catalogue = Catalogue.fit(found.train)
    examples = found.examples(part, catalogue, targets)
    expected = asked_by_hand(log, found, PARTS[part], targets == "last")
    assert examples.target_ids.to_list() == [asked.target for asked in expected]
    assert examples.targets.tolist() == catalogue.encode(examples.target_ids).tolist()
    assert examples.group_ids.gather(examples.groups).to_list() == [asked.user for asked in expected]
    assert np.unique(examples.groups).tolist() == list(range(len(examples.group_ids)))
    known = [[item for item in asked.history if catalogue.encode([item])[0] >= 0] for asked in expected]
    assert histories(examples, catalogue) == known
    all_lengths, lengths = sum(len(asked.history) for asked in expected), sum(map(len, known))
    assert examples.left_out == all_lengths - lengths
    assert len(examples) == len(expected)


def test_an_example_carries_the_times_of_its_history_and_of_its_question() -> None:
    log = log_of(
        [("u", "a", 10), ("u", "new", 20), ("u", "a", 30), ("v", "a", 5), ("u", "b", 40), ("v", "b", 6)]
    )
    found = at_times(log, 40)
    catalogue = Catalogue.fit(found.train.where(pl.col("item") != "new"))
    examples = found.examples("test", catalogue)
    queries = examples.queries
    assert histories(examples, catalogue) == [["a", "a"]]
    assert examples.left_out == 1
    assert queries.time is not None
    assert queries.at is not None
    assert queries.time[queries.starts[0] : queries.ends[0]].tolist() == [10, 30]
    assert queries.at.tolist() == [40]


def test_events_without_a_history_are_counted() -> None:
    log = log_of([("u", "a", 1), ("u", "b", 2), ("v", "a", 9), ("v", "b", 10)])
    cut = float(log.frame["time"].dt.epoch("us").to_list()[2])
    examples = at_times(log, cut).examples("test", Catalogue.fit(log))
    assert (len(examples), examples.without_history) == (1, 1)


# ------------------------------------------------------------------------------------------- ratings


def rated_log() -> EventLog:
    """Two users whose events lie mixed in time, one of them without a rating."""
    rows = [
        ("u", "a", 1, 5.0),
        ("v", "b", 2, 1.0),
        ("u", "b", 3, 4.0),
        ("v", "a", 4, None),
        ("u", "c", 5, 2.5),
    ]
    schema = {"user": pl.String, "item": pl.String, "time": pl.Int64, "rating": pl.Float64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))


def test_an_example_carries_the_rating_of_its_target() -> None:
    log = rated_log()
    catalogue = Catalogue.fit(log)
    examples = at_times(log, 3).examples("test", catalogue)
    assert examples.target_ratings is not None
    assert examples.target_ratings.dtype == np.float32
    found = dict(zip(zip(examples.group_ids.gather(examples.groups), examples.target_ids, strict=True),
                     examples.target_ratings.tolist(), strict=True))  # fmt: skip
    assert list(found) == [("u", "b"), ("u", "c"), ("v", "a")]
    assert (found["u", "b"], found["u", "c"]) == (4.0, 2.5)
    assert np.isnan(found["v", "a"])
    last = at_times(log, 3).examples("test", catalogue, "last").target_ratings
    assert last is not None
    assert last[0] == 2.5
    assert np.isnan(last[1])
    plain = EventLog.of(log.frame.drop("rating"))
    assert at_times(plain, 3).examples("test", catalogue).target_ratings is None


def test_ratings_follow_overlapping_sessions() -> None:
    rows = [
        ("u", "a", 1, "s"),
        ("u", "x", 2, "t"),
        ("u", "b", 3, "s"),
        ("u", "y", 4, "t"),
        ("u", "c", 5, "s"),
    ]
    log = log_of([row[:3] for row in rows])
    frame = log.frame.with_columns(
        session=pl.Series([r[3] for r in rows]), rating=pl.Series([1.0, 2, 3, 4, 5])
    )
    examples = last_out(EventLog.of(frame), by="session").examples("test", Catalogue.fit(log))
    assert examples.target_ratings is not None
    assert dict(zip(examples.target_ids, examples.target_ratings.tolist(), strict=True)) == {
        "c": 5.0,
        "y": 4.0,
    }


def test_some_of_the_examples_keep_all_that_belongs_to_them() -> None:
    log = rated_log()
    catalogue = Catalogue.fit(log)
    examples = at_times(log, 3).examples("test", catalogue)
    some = examples[np.array([0, 2])]
    assert len(some) == 2
    assert some.target_ids.to_list() == ["b", "a"]
    assert catalogue.decode(some.targets) == ["b", "a"]
    assert histories(some, catalogue) == [["a"], ["b"]]
    assert some.group_ids.gather(some.groups).to_list() == ["u", "v"]
    assert some.queries.users is not None
    assert some.queries.users.to_list() == ["u", "v"]
    assert some.target_ratings is not None
    assert some.target_ratings[0] == 4.0
    assert np.isnan(some.target_ratings[1])
    plain = at_times(EventLog.of(log.frame.drop("rating")), 3).examples("test", catalogue)
    assert plain[np.array([1])].target_ratings is None


# ------------------------------------------------------------------------------------ random targets


@given(rows=events, seed=st.integers(0, 9))
def test_a_random_target_is_one_of_those_of_its_sequence(rows: list[tuple[str, str, int]], seed: int) -> None:
    log = log_of(rows)
    found = cut(log, "temporal")
    if found is None:
        return
    catalogue = Catalogue.fit(log)
    every = found.examples("test", catalogue)
    one = found.examples("test", catalogue, "random", seed=seed)
    assert one.groups.tolist() == list(range(len(every.group_ids)))
    assert one.group_ids.equals(every.group_ids)
    told = set(zip(every.groups.tolist(), every.targets.tolist(), every.queries.ends.tolist(), strict=True))
    assert set(zip(one.groups.tolist(), one.targets.tolist(), one.queries.ends.tolist(), strict=True)) <= told
    again = found.examples("test", catalogue, "random", seed=seed)
    assert again.queries.ends.tolist() == one.queries.ends.tolist()


def test_random_targets_reach_every_event_of_a_part_and_the_seed_is_told() -> None:
    log = log_of([("u", "abcdefgh"[time], time) for time in range(8)])
    found = at_times(log, 4)
    catalogue = Catalogue.fit(log)
    drawn = {
        found.examples("test", catalogue, "random", seed=seed).target_ids.to_list()[0] for seed in range(60)
    }
    assert drawn == set("efgh")
    assert found.examples("test", catalogue, "random", seed=7).protocol.endswith("random targets (seed 7)")
