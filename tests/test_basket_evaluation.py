"""Figures of whole baskets, by hand and against the evaluation of one target at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ensue.basket_evaluation import evaluate_baskets
from ensue.errors import ConfigError, DataError
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.examples import Examples
from ensue.model import Training, model_of
from ensue.ranking import Recommender
from ensue.splits import split


def log_of(users: dict[str, list[str]]) -> EventLog:
    rows = [
        (user, item, f"{user}{n}")
        for user, baskets in users.items()
        for n, basket in enumerate(baskets)
        for item in basket
    ]
    return EventLog.of(pl.DataFrame(rows, schema=["user", "item", "basket"], orient="row"))


USERS = {"u": ["ab", "ac", "ad"], "v": ["b", "bcd", "e"], "w": ["abcd"]}


@pytest.fixture
def asked() -> tuple[Recommender, Examples]:
    """What the user has taken, counted; the training is all but the last baskets of u and v.

    u: a 2, b 1, c 1, then by popularity (b 3, a 3, c 3, d 2): d.  Asked for a (a repeat) and d (new to u).
    v: b 2, c 1, d 1, then a.  Asked for e, which training does not hold.
    """
    parts = split(log_of(USERS), "basket", validation=False)
    training = Training.of(parts.train, exclude_seen=False)
    return model_of("personal", decay=1.0).fit(training), parts.examples("test", training.catalogue)


def test_a_basket_by_hand(asked: tuple[Recommender, Examples]) -> None:
    found = evaluate_baskets(*asked, metrics=("recall@1", "recall@4", "ndcg@4", "hit@1", "precision@4"))
    # u: a stands first, d fourth: both within four
    ideal, gained = 1 + 1 / np.log2(3), 1 + 1 / np.log2(5)
    assert found.value("recall@1") == pytest.approx((1 / 2 + 0) / 2)
    assert found.value("recall@4") == pytest.approx((2 / 2 + 0) / 2)
    assert found.value("ndcg@4") == pytest.approx((gained / ideal + 0) / 2)
    assert found.value("hit@1") == pytest.approx((1 + 0) / 2)
    assert found.value("precision@4") == pytest.approx((2 / 4 + 0) / 2)
    assert (found.baskets, found.items_a_basket) == (2, (2 + 1) / 2)


def test_repeats_and_new_items_apart(asked: tuple[Recommender, Examples]) -> None:
    found = evaluate_baskets(*asked, metrics=("recall@1", "recall@4", "ndcg@4"))
    assert found.repeats is not None
    assert found.new is not None
    assert found.repeats.users == 1  # u alone takes something again
    assert found.repeats.value("recall@1") == 1
    assert found.new.users == 2
    assert found.new.value("recall@1") == 0
    assert found.new.value("recall@4") == pytest.approx((1 + 0) / 2)  # d of u; e of v is a miss
    assert list(found.new.intervals) == ["recall@1", "recall@4"]
    assert found.repeat_share == pytest.approx((1 / 2 + 0) / 2)
    assert found.listed_repeats == pytest.approx((3 / 4 + 3 / 4) / 2)  # the catalogue holds no more than four
    assert any("25.0% of the items asked for are repeats" in line for line in found.lines())
    assert "u" not in found.to_json()


def test_seen_items_are_out_where_they_are_excluded(asked: tuple[Recommender, Examples]) -> None:
    found = evaluate_baskets(*asked, metrics=("recall@1",), exclude_seen=True)
    assert found.repeats is not None
    assert found.new is not None
    assert found.repeats.value("recall@1") == 0
    assert found.new.value("recall@1") == pytest.approx((1 + 0) / 2)  # d is all that is left of u
    assert found.listed_repeats == 0


def test_recall_is_that_of_one_target_at_a_time_and_memory_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    users = {f"u{n:02}": ["".join(rng.choice(list("abcdefgh"), 3)) for _ in range(4)] for n in range(30)}
    parts = split(log_of(users), "basket")
    training = Training.of(parts.before_test, exclude_seen=False)
    examples = parts.examples("test", training.catalogue)
    fitted = model_of("personal").fit(training)
    whole = evaluate_baskets(fitted, examples, metrics=("recall@3", "ndcg@3"))
    single = evaluate(fitted, examples, metrics=("recall@3",))
    np.testing.assert_allclose(whole.all.per_user["recall@3"], single.per_user["recall@3"])
    cut = evaluate_baskets(fitted, examples, metrics=("recall@3", "ndcg@3"), block_bytes=1)
    for name in ("recall@3", "ndcg@3"):
        np.testing.assert_array_equal(cut.all.per_user[name], whole.all.per_user[name])
    assert (cut.listed_repeats, cut.repeat_share) == (whole.listed_repeats, whole.repeat_share)


def test_items_of_an_open_basket_are_no_candidates(asked: tuple[Recommender, Examples]) -> None:
    """The newest basket of u (a, c) and of v (b, c, d) is said to be open: d is second of u's two candidates."""
    fitted, examples = asked
    ends = examples.queries.ends
    opened = np.array([ends[0] - 2, ends[1] - 2, ends[2] - 3])
    found = evaluate_baskets(fitted, replace(examples, opened=opened), metrics=("recall@1", "recall@2"))
    # u: b, then d; a is open and cannot be had again
    assert found.value("recall@1") == 0
    assert found.value("recall@2") == pytest.approx((1 / 2 + 0) / 2)


def test_nothing_to_ask_for_is_said(asked: tuple[Recommender, Examples]) -> None:
    fitted, examples = asked
    with pytest.raises(DataError, match="nothing to ask for"):
        evaluate_baskets(fitted, examples[np.zeros(0, dtype=np.int64)])
    with pytest.raises(ConfigError, match="No metric"):
        evaluate_baskets(fitted, examples, metrics=())
