"""Profiles against a plain reading of their definition."""

from __future__ import annotations

from math import log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue import artifacts, runtime
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, ModelError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting.profiles import Profiles
from ensue.questions import Question
from ensue.ranking import Recommender
from ensue.sequences import Queries, Sequences

ITEMS = ["a", "b", "c", "d"]


def training_of(columns: dict[str, Any], users: str = "uvwx", items: list[str] = ITEMS) -> Training:
    """One event for each item, and an item table with these columns."""
    table = pl.DataFrame({"item": ITEMS, **columns})
    log_ = EventLog.of(pl.DataFrame({"user": list(users), "item": items}), items=table)
    return Training.of(log_)


def scores_of(fitted: Recommender, *history: str, user: str | None = None) -> dict[str, float]:
    slate = fitted.recommend(Question(list(history), user=user), 10, exclude_seen=False)
    return dict(zip(slate.items, slate.scores, strict=True))


def test_the_rarer_and_the_more_often_a_value_the_more_it_counts() -> None:
    """Of 4 items, x is on 2, y on 1, z on 3: idf ln 2, ln 4, ln 4/3; a has x twice."""
    tags = [["x", "x", "z"], ["x", "y", "z"], ["z"], []]
    found = scores_of(Profiles(decay=1.0).fit(training_of({"tags": tags})), "a")
    a = {"x": (1 + log(2)) * log(2), "z": log(4 / 3)}
    b = {"x": log(2), "y": log(4), "z": log(4 / 3)}
    norms = [sqrt(sum(value**2 for value in one.values())) for one in (a, b)]
    tiny = 1e-9 / 4
    assert found["a"] == pytest.approx(1 + tiny)
    assert found["b"] == pytest.approx((a["x"] * b["x"] + a["z"] * b["z"]) / norms[0] / norms[1] + tiny)
    assert found["c"] == pytest.approx(a["z"] / norms[0] + tiny)
    assert found["d"] == pytest.approx(tiny)


def test_columns_count_alike_and_texts_are_lists_or_words() -> None:
    columns = {"genre": ["x|y", "x", "y|z", "z"], "title": ["Red SUN", "red moon", "Blue sky", "blue"]}
    both = scores_of(Profiles().fit(training_of(columns)), "a")
    genre = scores_of(Profiles(columns=("genre",)).fit(training_of(columns)), "a")
    title = scores_of(Profiles(columns=["title"]).fit(training_of(columns)), "a")  # type: ignore[arg-type]
    for item in ITEMS:
        assert both[item] == pytest.approx((genre[item] + title[item]) / 2)
    # genre: x, y and z are on 2 of 4 each. title: red and blue on 2, sun, moon and sky on 1
    assert genre["b"] == pytest.approx(1 / sqrt(2) + 1e-9 / 4)
    red, sun = log(2), log(4)
    assert title["b"] == pytest.approx(red**2 / (red**2 + sun**2) + 1e-9 / 4)


def test_older_events_count_less() -> None:
    fitted = Profiles(decay=0.5).fit(training_of({"tag": ["x", "y", "x", "y"]}))
    found = scores_of(fitted, "a", "b")
    assert found["c"] == pytest.approx(0.5 / 1.5 + 1e-9 / 4)
    assert found["d"] == pytest.approx(1 / 1.5 + 1e-9 / 4)


def test_a_user_who_is_an_item_is_asked_for_and_others_by_their_history() -> None:
    """Users a and d are items; of d nothing is known."""
    fitted = Profiles().fit(training_of({"tag": [["x"], ["y"], ["x"], []]}))
    assert scores_of(fitted, "b", user="a")["c"] == pytest.approx(1 + 1e-9 / 4)
    for user in ("d", "stranger", None):
        assert scores_of(fitted, "b", user=user)["c"] == pytest.approx(1e-9 / 4)


def test_users_with_and_without_a_profile_in_one_batch_are_answered_as_alone() -> None:
    fitted = Profiles().fit(training_of({"tag": [["x"], ["y"], ["x"], []]}))
    users = pl.Series(["a", None, "d", "a"], dtype=pl.String)
    queries = Queries(
        np.array([1, 0, 2], dtype=np.int32), np.array([0, 0, 1, 2]), np.array([1, 2, 3, 3]), 4, users=users
    )
    whole = fitted.scores(queries)
    for row in range(4):
        assert (fitted.scores(queries[np.array([row])])[0] == whole[row]).all()


def test_an_item_that_nobody_has_taken_is_scored_and_a_saved_one_answers_alike(tmp_path: Path) -> None:
    table = pl.DataFrame({"item": ITEMS, "tag": ["x", "y", "x", "y"]})
    log_ = EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["a", "b"]}), items=table)
    catalogue = Catalogue.fit(log_).extend(table)
    fitted = Profiles().fit(Training(Sequences.of(log_, catalogue), catalogue))
    assert fitted.recommend(["a"], 1).items == ("c",)
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    queries = Queries.of([[0], [1, 0]], 4)
    assert (loaded.scores(queries) == fitted.scores(queries)).all()


def test_what_cannot_be_read_is_refused_where_it_is_named_and_else_left_out() -> None:
    columns = {"price": [1.0, 2.0, 3.0, 4.0], "owner": ["u", "v", "w", "x"]}
    found = scores_of(Profiles().fit(training_of(columns)), "a")
    assert set(found.values()) == {1e-9 / 4}, "numbers and owners say nothing: popularity"
    with pytest.raises(ModelError, match="the column 'price' is Float64: name columns of text"):
        Profiles(columns=("price",)).fit(training_of(columns))
    with pytest.raises(ModelError, match=r"no column 'prize', but item, price, owner.*Did you mean 'price'"):
        Profiles(columns=("prize",)).fit(training_of(columns))
    with pytest.raises(ConfigError, match="decay=0 must lie above 0 up to 1"):
        Profiles(decay=0.0)
