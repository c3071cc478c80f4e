"""Figures within lists that were shown."""

from __future__ import annotations

from math import log2

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue import impressions as module
from ensue.catalogue import Catalogue
from ensue.errors import ColumnError, DataError
from ensue.events.log import EventLog
from ensue.impressions import Impressions, judge
from ensue.models.counting.popular import PopularScoring
from ensue.ranking import Recommender
from ensue.splits import Split

ITEMS = "abcdef"


def split_of(rows: list[tuple[str, str, str, str]]) -> Split:
    """Rows of user, item, list number, items of the list; every user begins with an event of training on each item."""
    users = dict.fromkeys(row[0] for row in rows)
    first = [(user, item, "", "") for user in users for item in ITEMS]
    frame = pl.DataFrame(first + rows, schema=["user", "item", "impression", "shown"], orient="row")
    log = EventLog.of(frame)
    return Split(log, (log.frame["impression"] != "").cast(pl.UInt8).to_numpy() * np.uint8(2), "given")


def scored(catalogue: Catalogue, scores: dict[str, float]) -> Recommender:
    row = np.array([scores.get(item, 0.0) for item in catalogue.ids.to_list()])
    return Recommender(catalogue, PopularScoring(row), "given")


def lists_of(rows: list[tuple[str, str, str, str]]) -> tuple[Impressions, Catalogue]:
    parts = split_of(rows)
    catalogue = Catalogue.fit(parts.train)
    return Impressions.of(parts.examples("test", catalogue), catalogue), catalogue


ROWS = [
    ("u", "b", "1", "a|b|c|x"),
    ("u", "d", "2", "d|a|e"),
    ("u", "e", "2", "d|a|e"),
    ("v", "f", "1", "f"),
    ("v", "a", "3", "c|a"),
    ("v", "a", "4", "c|b"),
]


def test_clicks_of_one_list_are_one_question_and_lists_without_a_choice_are_left_out() -> None:
    found, catalogue = lists_of(ROWS)
    assert len(found) == 3
    assert found.left_out == 2, "nothing else was shown; and what was clicked was not shown"
    assert found.offsets.tolist() == [0, 4, 7, 9]
    assert [catalogue.ids[int(item)] if item >= 0 else "?" for item in found.items] == list("abc?daeca")
    assert found.clicked.tolist() == [False, True, False, False, True, False, True, False, True]
    assert found.groups.tolist() == [0, 0, 1]
    assert found.queries.lengths.tolist() == [6, 7, 7], "all before the first click of the list"


def test_ranks_are_those_within_the_list_with_ties_in_the_middle() -> None:
    found, catalogue = lists_of(ROWS)
    ranked = found.ranked(scored(catalogue, {"a": 3.0, "b": 2.0, "c": 2.0, "d": 3.0, "e": 1.0}))
    # a > b = c > x, which the model does not know; d = a > e; a > c
    assert ranked.ranks.tolist() == [2.5, 1.5, 3.0, 1.0]
    assert ranked.offsets.tolist() == [0, 1, 3, 4]
    assert ranked.candidates.tolist() == [4, 3, 2]


def test_each_list_counts_once_whoever_was_shown_it() -> None:
    found, catalogue = lists_of(ROWS)
    figures = judge(scored(catalogue, {"a": 3.0, "b": 2.0, "c": 1.0, "d": 2.5, "e": 0.5}), found)
    # b is 2nd of 4, d and e are 2nd and 3rd of 3, a is 1st of 2
    assert figures.value("auc") == pytest.approx((2 / 3 + 0 / 2 + 1) / 3)
    assert figures.value("mrr") == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    ideal = 1 + 1 / log2(3)
    assert figures.value("ndcg@5") == pytest.approx((1 / log2(3) + (1 / log2(3) + 1 / 2) / ideal + 1) / 3)
    assert figures.users == 2


@settings(max_examples=15)
@given(
    st.lists(st.permutations(list(ITEMS)), min_size=1, max_size=6),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
)
def test_the_order_of_the_list_says_nothing(shown: list[list[str]], scores: list[int]) -> None:
    clicked = [row[0] for row in shown]
    given_ = dict(zip(ITEMS, map(float, scores), strict=True))
    values = []
    for lists in (shown, [sorted(row) for row in shown]):
        rows = [
            ("u", item, str(n), "|".join(row))
            for n, (item, row) in enumerate(zip(clicked, lists, strict=True))
        ]
        found, catalogue = lists_of(rows)
        values.append(found.ranked(scored(catalogue, given_)).ranks.tolist())
    plain = [
        1
        + sum(given_[o] > given_[one] for o in ITEMS)
        + (sum(given_[o] == given_[one] for o in ITEMS) - 1) / 2
        for one in clicked
    ]
    assert values[0] == values[1] == plain


def test_blocks_of_lists_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found, catalogue = lists_of(ROWS)
    model = scored(catalogue, {"a": 3.0, "b": 2.0, "e": 1.0})
    whole = found.ranked(model).ranks
    monkeypatch.setattr(module, "SCORES_AT_ONCE", 1)
    assert (found.ranked(model).ranks == whole).all()


def test_what_is_missing_is_named() -> None:
    parts = split_of(ROWS)
    catalogue = Catalogue.fit(parts.train)
    examples = parts.examples("test", catalogue)
    with pytest.raises(ColumnError, match="no column 'lists', but impression, shown"):
        Impressions.of(examples, catalogue, number="lists")
    with pytest.raises(
        DataError, match="No list holds something that was clicked and something that was not"
    ):
        lists_of([("u", "a", "1", "a")])
