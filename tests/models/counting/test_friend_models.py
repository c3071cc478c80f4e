"""Mutual friends and walks against a plain reading of their definitions."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue import artifacts, runtime
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.model import Model, Training
from ensue.models.counting.friend_walks import FriendWalks
from ensue.models.counting.friendships import friendships
from ensue.models.counting.mutual_friends import MutualFriends
from ensue.ranking import Recommender
from ensue.sequences import Queries

PEOPLE = "abcdef"
rows = st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)), min_size=1, max_size=14)
a_history = st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=5)


def training_of(friends: list[tuple[str, str]]) -> Training:
    """Friendships as they are written, in one direction or both."""
    return Training.of(EventLog.of(pl.DataFrame(friends, schema=["user", "item"], orient="row")))


def scores_of(recommender: Recommender, history: list[str]) -> dict[str, float]:
    known = [one for one in history if one in set(recommender.catalogue.ids)]
    if not known:
        return {}
    codes = recommender.catalogue.encode(known)
    row = recommender.scores(Queries.of([codes], len(recommender.catalogue)))[0]
    return dict(zip(recommender.catalogue.ids, row.tolist(), strict=True))


def neighbours(friends: list[tuple[str, str]]) -> dict[str, set[str]]:
    """Who is whose friend, among those who stand as an item somewhere."""
    held = {b for _, b in friends}
    found: dict[str, set[str]] = {one: set() for one in held}
    for a, b in friends:
        if a != b and a in held:
            found[a].add(b)
            found[b].add(a)
    return found


def share(friends: list[tuple[str, str]], one: str) -> float:
    return sum(b == one for _, b in friends) / len(friends)


@settings(max_examples=15)
@given(rows, a_history)
def test_every_measure_is_its_definition(friends: list[tuple[str, str]], history: list[str]) -> None:
    n = neighbours(friends)
    mine = {one for one in history if one in n}
    weight: dict[str, Any] = {
        "common": lambda z: 1.0,
        "adamic-adar": lambda z: 1 / log(max(len(n[z]), 2)),
        "allocation": lambda z: 1 / len(n[z]),
    }
    for measure in ("common", "adamic-adar", "allocation", "jaccard"):
        fitted = MutualFriends(measure=measure).fit(training_of(friends))
        for one, score in scores_of(fitted, history).items():
            shared = mine & n[one]
            if measure == "jaccard":
                expected = len(shared) / max(len(mine | n[one]), 1)
            else:
                expected = sum(weight[measure](z) for z in shared)
            assert score == pytest.approx(expected + 1e-9 * share(friends, one), rel=1e-9)


@settings(max_examples=15)
@given(rows, a_history, st.integers(1, 4), st.sampled_from([0.3, 0.85, 1.0]))
def test_walks_are_added_up_step_by_step(
    friends: list[tuple[str, str]], history: list[str], steps: int, keep: float
) -> None:
    n = neighbours(friends)
    mine = {one for one in history if one in n}
    reached = dict.fromkeys(n, 0.0)
    at = {one: (1 / len(mine) if one in mine else 0.0) for one in n}
    for _ in range(steps):
        at = {one: sum(keep * at[z] / len(n[z]) for z in n[one]) for one in n}
        reached = {one: reached[one] + at[one] for one in n}
    fitted = FriendWalks(steps, keep).fit(training_of(friends))
    for one, score in scores_of(fitted, history).items():
        assert score == pytest.approx(reached[one] + 1e-9 * share(friends, one), rel=1e-9)


def test_a_friend_of_a_friend_of_a_friend_is_reached_by_walks_alone() -> None:
    chain = [pair for a, b in zip("abcd", "bcde", strict=True) for pair in ((a, b), (b, a))]
    training = training_of(chain)
    mutual = scores_of(MutualFriends().fit(training), ["b"])
    walks = scores_of(FriendWalks(steps=2).fit(training), ["b"])
    assert mutual["c"] > 0.1 > mutual["d"]
    assert walks["d"] == pytest.approx(0.85**2 / (2 * 2) + 1e-9 * share(chain, "d"))


def test_a_friendship_told_once_or_twice_is_one() -> None:
    once, twice = training_of([("a", "b"), ("b", "c"), ("c", "a")]), training_of([("a", "b"), ("b", "a")] * 2)
    assert (friendships(once).toarray() == np.ones((3, 3)) - np.eye(3)).all()
    assert (friendships(twice).toarray() == np.ones((2, 2)) - np.eye(2)).all()


@pytest.mark.parametrize("model", [MutualFriends("jaccard"), FriendWalks(2, 0.5)])
def test_a_saved_one_answers_alike(model: Model, tmp_path: Path) -> None:
    fitted = model.fit(training_of([("a", "b"), ("b", "a"), ("b", "c"), ("c", "b"), ("d", "c")]))
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    queries = Queries.of([[0], [1, 2], [0, 0]], len(fitted.catalogue))
    assert (loaded.scores(queries) == fitted.scores(queries)).all()


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"steps": 0}, {"keep": 0.0}, {"keep": 1.5}):
        with pytest.raises(ConfigError, match="steps is at least 1, keep lies above 0 up to 1"):
            FriendWalks(**wrong)
