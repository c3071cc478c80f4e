"""The question what else, as it is asked of every model."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from ensue.errors import QueryError
from ensue.events.log import EventLog
from ensue.model import Training, model_of
from ensue.open_baskets import open_question
from ensue.questions import Question

ROWS = [("u", "a", "1"), ("u", "b", "1"), ("u", "a", "2"), ("v", "c", "3"), ("v", "d", "3"), ("v", "a", "4")]
LOG = EventLog.of(pl.DataFrame(ROWS, schema=["user", "item", "basket"], orient="row"))
CATALOGUE = Training.of(LOG).catalogue


def test_the_order_of_the_basket_says_nothing_and_each_item_stands_once() -> None:
    """a is the most frequent and stands last; an unknown item stands first."""
    asked = open_question(Question(["d"]), ["a", "c", "x", "a"], CATALOGUE)
    assert list(asked.history) == ["d", "c", "a", "x"] or list(asked.history) == ["d", "x", "c", "a"]
    assert asked.history == open_question(Question(["d"]), ["x", "c", "a"], CATALOGUE).history
    assert list(asked.context["basket"]) == [None, "open", "open", "open"]


def test_what_was_before_keeps_its_baskets_times_and_columns() -> None:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    past = Question(
        ["a", "b"], "u", [moment, None], [1.0, 2.0], {"basket": ["1", "open"], "city": ["x", "y"]}, moment
    )
    asked = open_question(past, ["c"], CATALOGUE)
    assert list(asked.history) == ["a", "b", "c"]
    assert (asked.user, asked.at) == ("u", moment)
    assert asked.times == [moment, None, moment]
    assert asked.ratings == [1.0, 2.0, None]
    assert asked.context == {"basket": ["1", "open before", "open"], "city": ["x", "y", None]}


def test_what_lies_in_it_is_there_when_it_is_asked() -> None:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    assert open_question(Question([], at=moment), ["a", "c"], CATALOGUE).times == [moment, moment]
    assert open_question(Question([]), ["a", "c"], CATALOGUE).times == [None, None]
    assert open_question(Question(["d"], at=moment), ["a"], CATALOGUE).times is None  # those before have none


def test_a_model_of_baskets_sees_that_the_items_lie_together() -> None:
    """Of c and d one basket says something, and only if both are in the newest basket do they count alike."""
    fitted = model_of("together", shrinkage=0.0, popularity=0.0).fit(Training.of(LOG, exclude_seen=False))
    slate = fitted.recommend(open_question(Question([]), ["b", "d"], CATALOGUE), 2, exclude=["b", "d"])
    # a shared the one basket of b, c that of d: each weighs 1/2 of 1; a is the more frequent
    assert slate.items == ("a", "c")
    assert slate.scores == pytest.approx([1 / 2, 1 / 2], abs=1e-8)


def test_a_text_is_no_basket() -> None:
    with pytest.raises(QueryError, match="basket is the text 'ab'"):
        open_question(Question([]), "ab", CATALOGUE)
