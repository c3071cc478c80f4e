"""Basket completion: what is hidden, what is open, and what was before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from ensue.errors import ColumnError, ConfigError
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.examples import Examples
from ensue.model import Training, model_of
from ensue.open_baskets import open_question
from ensue.questions import Question, queries_of
from ensue.splits import split
from ensue.splits.completion import completions

ITEMS = "abcde"
users = st.lists(
    st.lists(st.text(ITEMS, min_size=1, max_size=4), min_size=1, max_size=5), min_size=1, max_size=5
)


def log_of(users: list[list[str]], times: bool = False) -> EventLog:
    rows = [
        (f"u{u}", item, f"{u}-{n}", n)
        for u, baskets in enumerate(users)
        for n, basket in enumerate(baskets)
        for item in basket
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "basket", "time"], orient="row")
    moment = pl.datetime(2024, 1, 1, time_zone="UTC") + pl.duration(days="time")
    return EventLog.of(frame.with_columns(time=moment) if times else frame.drop("time"))


def told(examples: Examples, ids: list[str]) -> dict[str, tuple[list[str], list[str], str]]:
    """Before, open and hidden, of each user."""
    queries, opened = examples.queries, examples.opened
    assert opened is not None
    return {
        user: (
            [ids[code] for code in queries.items[begin:cut]],
            [ids[code] for code in queries.items[cut:end]],
            target,
        )
        for user, begin, cut, end, target in zip(
            examples.group_ids, queries.starts, opened, queries.ends, examples.target_ids, strict=True
        )
    }


@tries(max_examples=25, deadline=None)
@given(users, st.integers(0, 5))
def test_one_item_is_hidden_and_the_rest_of_its_basket_is_open(users: list[list[str]], seed: int) -> None:
    if all(len(baskets) < 2 for baskets in users):
        return
    parts = split(log_of(users), "basket")
    training = Training.of(parts.log)  # every item is known
    examples = parts.examples("test", training.catalogue, "completion", seed=seed)
    found = told(examples, training.catalogue.ids.to_list())
    several = {f"u{n}": one for n, one in enumerate(users) if len(one) > 1 and len(set(one[-1])) > 1}
    assert found.keys() == several.keys()
    for user, (before, opened, hidden) in found.items():
        baskets = several[user]
        assert before == list("".join(baskets[:-1]))
        assert hidden in baskets[-1]
        assert opened == [item for item in baskets[-1] if item != hidden]
    assert examples.targets.tolist() == training.catalogue.encode(examples.target_ids).tolist()


def test_every_item_of_a_basket_may_be_the_hidden_one_and_the_seed_decides() -> None:
    parts = split(log_of([["ab", "abc"]]), "basket")
    catalogue = Training.of(parts.log).catalogue
    drawn = [
        parts.examples("test", catalogue, "completion", seed=seed).target_ids.to_list() for seed in range(12)
    ]
    assert {target for (target,) in drawn} == {"a", "b", "c"}
    assert drawn[0] == parts.examples("test", catalogue, "completion", seed=0).target_ids.to_list()


def test_validation_asks_for_the_last_basket_but_one_and_knows_nothing_after_it() -> None:
    parts = split(log_of([["a", "bc", "de"]], times=True), "basket")
    training = Training.of(parts.train)
    examples = parts.examples("validation", Training.of(parts.log).catalogue, "completion")
    ids = Training.of(parts.log).catalogue.ids.to_list()
    ((before, opened, hidden),) = told(examples, ids).values()
    assert before == ["a"]
    assert sorted([*opened, hidden]) == ["b", "c"]
    assert examples.queries.at is not None
    assert examples.queries.at.tolist() == [1_704_067_200_000_000 + 86_400_000_000]
    assert "one hidden item" in examples.protocol
    # to a model that knows a alone nothing is open, and nothing is asked
    assert len(parts.examples("validation", training.catalogue, "completion")) == 0


def test_what_is_open_is_no_candidate() -> None:
    """b and c are taken most often; with b open, and c hidden, c is the best of the rest: a and d follow."""
    log = log_of([["bc", "bc", "bc"]])
    parts = split(log, "basket")
    training = Training.of(parts.train, exclude_seen=False)
    fitted = model_of("popular").fit(Training.of(log_of([["bbb", "bc", "a", "d"]]), exclude_seen=False))
    examples = parts.examples("test", fitted.catalogue, "completion")
    found = evaluate(fitted, examples, metrics=("recall@1", "mrr"))
    hidden = examples.target_ids[0]
    assert found.value("recall@1") == (1.0 if hidden == "b" else 0.0)  # c ties with a and d: rank 2
    assert found.value("mrr") == (1.0 if hidden == "b" else pytest.approx(1 / 2))
    without = evaluate(fitted, replace(examples, opened=None), metrics=("mrr",))
    assert without.value("mrr") == (1.0 if hidden == "b" else pytest.approx(1 / 3))
    assert training.exclude_seen is False


def test_examples_that_are_chosen_keep_what_is_open() -> None:
    parts = split(log_of([["a", "bc"], ["a", "bd"], ["a", "cde"]]), "basket")
    examples = parts.examples("test", Training.of(parts.log).catalogue, "completion")
    assert examples.opened is not None
    some = examples[np.array([0, 2])]
    assert some.opened is not None
    assert some.opened.tolist() == examples.opened[[0, 2]].tolist()


def test_ratings_of_the_baskets_before_are_known_and_those_of_the_open_one_are_not() -> None:
    """As in a question about an open basket: a model of ratings knows who asks."""
    log = log_of([["ab", "cd", "bce"]])
    log = EventLog.of(log.frame.select("user", "item", "basket", rating=pl.Series([1.0, 5, 2, 4, 3, 3, 3])))
    catalogue = Training.of(log).catalogue
    found = completions(log, np.arange(log.n_events), catalogue)
    queries = found.queries
    assert queries.rating is not None
    assert found.opened is not None
    begin, cut = int(queries.starts[0]), int(found.opened[0])
    assert queries.rating[begin:cut].tolist() == [1, 5, 2, 4]
    assert np.isnan(queries.rating[cut : queries.ends[0]]).tolist() == [True, True]


def test_of_an_open_basket_no_more_is_known_than_a_question_about_it_tells() -> None:
    """Its items are there when it is asked; what a question cannot tell of them was not known in the test either."""
    day = pl.Series([1, 1, 2, 2, 3, 4, 5]) * 86_400_000_000
    log = EventLog.of(
        pl.DataFrame(
            {
                "user": ["u"] * 7,
                "item": ["a", "b", "c", "d", "a", "b", "c"],
                "basket": ["1", "1", "2", "2", "3", "3", "3"],
                "time": day.cast(pl.Datetime("us", "UTC")),
                "price": [1.0, 2, 3, 4, 5, 6, 7],
            }
        )
    )
    catalogue = Training.of(log).catalogue
    found = completions(log, np.arange(4, 7), catalogue, seed=1)
    queries, ids = found.queries, catalogue.ids
    assert found.opened is not None
    before = log.frame[:4]
    context = {name: before[name].to_list() for name in ("price", "basket")}
    at = datetime(1970, 1, 6, tzinfo=UTC)
    past = Question(before["item"].to_list(), "u", before["time"].to_list(), context=context, at=at)
    basket = ids.gather(queries.items[found.opened[0] :]).to_list()
    told, _ = queries_of([open_question(past, basket, catalogue)], catalogue)
    for name in ("at", "time"):
        np.testing.assert_array_equal(getattr(queries, name), getattr(told, name))
    assert queries.context["price"].to_list() == told.context["price"].to_list() == [1, 2, 3, 4, None, None]
    assert queries.context["basket"].rle_id().to_list() == told.context["basket"].rle_id().to_list()


def test_a_basket_that_overlaps_with_the_last_one_comes_before_it() -> None:
    rows = [("u", "a", "1"), ("u", "b", "2"), ("u", "c", "1"), ("u", "d", "2")]
    log = EventLog.of(pl.DataFrame(rows, schema=["user", "item", "basket"], orient="row"))
    catalogue = Training.of(log).catalogue
    examples = completions(log, np.array([1, 3]), catalogue)
    ((before, opened, hidden),) = told(examples, catalogue.ids.to_list()).values()
    assert before == ["a", "c"]
    assert sorted([*opened, hidden]) == ["b", "d"]


def test_without_baskets_or_for_sessions_nothing_is_completed() -> None:
    log = EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["a", "b"]}))
    catalogue = Training.of(log).catalogue
    with pytest.raises(ColumnError, match="has no baskets"):
        completions(log, np.array([1]), catalogue)
    with pytest.raises(ConfigError, match=r"take sequences\.by = 'user'"):
        completions(log_of([["a", "bc"]]), np.array([1, 2]), catalogue, by="session")
