"""From scores to a slate: exclusion, ties and fallback, the same for serving and for evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ensue.catalogue import Catalogue
from ensue.errors import QueryError
from ensue.events.log import EventLog
from ensue.ranking import (
    Parts,
    Recommender,
    Slate,
    check_scores,
    checked_k,
    exclude_histories,
    marked,
    mid_ranks,
    top_k,
    top_k_rows,
)
from ensue.sequences import Queries, Sequences

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bigram:
    """How often each item followed each other one: `[N, N]` counts, read by the last item of a history."""

    follows: Floats

    @classmethod
    def of(cls, sequences: Sequences) -> Bigram:
        """The counts of all pairs of neighbours in training."""
        follows = np.zeros((sequences.n_items, sequences.n_items))
        inside = np.ones(len(sequences.items), dtype=bool)
        inside[sequences.offsets[1:] - 1] = False
        places = np.flatnonzero(inside)
        np.add.at(follows, (sequences.items[places], sequences.items[places + 1]), 1)
        return cls(follows)

    def score(self, queries: Queries) -> Floats:
        """The row of each history's last item."""
        assert (queries.lengths > 0).all(), "a scoring is never asked about an empty history"
        return self.follows[queries.last(1)[:, 0]]

    def parts(self) -> Parts:
        """The counts."""
        return Parts(arrays={"follows": self.follows})


def bigram(log: EventLog, exclude_seen: bool = True) -> Recommender:
    catalogue = Catalogue.fit(log)
    return Recommender(
        catalogue, Bigram.of(Sequences.of(log, catalogue)), "bigram", exclude_seen=exclude_seen
    )


@pytest.fixture(scope="module")
def ring() -> Recommender:
    """A, B, ..., J, A by four walkers, and C more often than any other item."""
    walks = ["ABCDEFGHIJ", "DEFGHIJABC", "IJABCDEFGH", "CDEFGHIJAB", "C"]
    rows = [(f"u{n}", item) for n, walk in enumerate(walks) for item in walk]
    items = pl.DataFrame({"item": ["A", "C"], "title": ["Aurora", "Casablanca"]})
    return bigram(EventLog.of(pl.DataFrame(rows, schema=["user", "item"], orient="row"), items))


# ---------------------------------------------------------------------------------------------- slates


def test_what_followed_the_last_item_comes_first(ring: Recommender) -> None:
    slate = ring.recommend(["A"], 3)
    assert slate.items == ("B", "C", "D"), (
        "B followed A; the rest ties at 0 and comes most popular first, then by id"
    )
    assert slate.scores == (4.0, 0.0, 0.0)
    assert slate.titles == (None, "Casablanca", None)
    assert (slate.fallback, slate.unknown) == (False, ())
    assert ring.recommend(["D", "E", "A"], 1).items == ("B",)


def test_a_slate_for_programs_leaves_out_what_is_not_known(ring: Recommender) -> None:
    assert ring.recommend(["B", "?"], 2).to_json() == {
        "items": [
            {"item": "C", "score": 3.0, "title": "Casablanca"},
            {"item": "A", "score": 0.0, "title": "Aurora"},
        ],
        "fallback": False,
        "unknown": ["?"],
    }


@pytest.mark.parametrize("history", [[], ["new"], ["new", "newer"]])
def test_a_history_without_a_known_item_is_answered_by_popularity_and_says_so(
    ring: Recommender, history: list[str]
) -> None:
    slate = ring.recommend(history, 5)
    assert slate.items == ("C", "A", "B", "D", "E")
    assert slate.scores[:2] == pytest.approx((5 / 41, 4 / 41))
    assert slate.fallback
    assert slate.unknown == tuple(history)


def test_after_one_known_event_the_answer_is_no_fallback_and_leaks_to_nobody(ring: Recommender) -> None:
    before = ring.recommend([], 5)
    after = ring.recommend(["A"], 5)
    assert (after.items[0], after.fallback) == ("B", False)
    assert ring.recommend([], 5) == before


def test_unknown_items_of_a_history_are_left_out_and_named_once(ring: Recommender) -> None:
    slate = ring.recommend(["x", "A", "y", "x"], 3)
    assert slate.unknown == ("x", "y")
    assert (slate.items, slate.fallback) == (ring.recommend(["A"], 3).items, False)


@pytest.mark.parametrize("k", [0, 1, 4, 9, 10, 1000, 10**30, np.int64(4)])
def test_a_slate_has_k_items_or_all_that_can_be_served(ring: Recommender, k: int) -> None:
    slate = ring.recommend(["A"], k)
    assert len(slate) == len(set(slate.items)) == min(k, 10 - 1)
    assert "A" not in slate.items
    assert len(ring.recommend(["A"], k, exclude_seen=False)) == min(k, 10)


@pytest.mark.parametrize("k", [-1, "ten", 2.5, True, False, None, "10", 3.0, np.bool_(True)])
def test_a_k_that_is_no_number_of_items_is_refused_with_its_value(ring: Recommender, k: Any) -> None:
    with pytest.raises(QueryError) as refused:
        ring.recommend(["A"], k)
    assert f"k={k!r}" in str(refused.value)
    assert "whole number from 0 up" in str(refused.value)
    with pytest.raises(QueryError):
        checked_k(k)


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        (["B"], ["C", "D", "E"]),
        (["B", "C", "D", "no such item"], ["E", "F", "G"]),
        (["B", "B", "A", "B"], ["C", "D", "E"]),
        ({"B", "C"}, ["D", "E", "F"]),
        (list("ABCDEFGHIJ"), []),
        (["no such item"], ["B", "C", "D"]),
    ],
)
def test_excluded_items_make_room_for_others(
    ring: Recommender, exclude: list[str], expected: list[str]
) -> None:
    slate = ring.recommend(["A"], 3, exclude=exclude)
    assert list(slate.items) == expected
    assert slate.unknown == (("no such item",) if "no such item" in exclude else ())
    assert not slate.fallback


def test_seen_items_are_excluded_by_the_rule_of_the_recommender_unless_asked_otherwise(
    ring: Recommender,
) -> None:
    whole = list("ABCDEFGHI")
    assert ring.recommend(whole, 10).items == ("J",)
    assert ring.recommend([*whole, "J"], 10).items == ()
    assert ring.recommend([*whole, "J"], 1, exclude_seen=False).items == ("A",)
    repeating = Recommender(ring.catalogue, ring.scoring, "bigram", exclude_seen=False)
    assert repeating.recommend([*whole, "J"], 1).items == ("A",)
    assert repeating.recommend(whole, 10, exclude_seen=True).items == ("J",)


def test_exclusion_covers_the_whole_history_and_not_a_window_of_it(ring: Recommender) -> None:
    slate = ring.recommend(["B"] + ["A"] * 5000, 10)
    assert "B" not in slate.items
    assert len(slate) == 10 - 2


def test_many_answers_are_those_of_one_by_one(ring: Recommender) -> None:
    asked = [["A"], [], ["new"], ["C", "x", "A"], list("ABCDEFGHIJ"), ["B"] * 40]
    assert ring.recommend_many(asked, 4) == [ring.recommend(history, 4) for history in asked]
    assert ring.recommend_many([], 4) == []


@pytest.mark.parametrize("history", ["A", "ABC", [1], ["A", None], [["A"]], b"A"])
def test_a_history_that_is_no_list_of_ids_is_refused(ring: Recommender, history: Any) -> None:
    with pytest.raises(QueryError, match="history"):
        ring.recommend(history)
    with pytest.raises(QueryError, match="exclude"):
        ring.recommend(["A"], exclude=history)


@pytest.mark.parametrize("history", [None, 5])
def test_a_history_that_is_no_list_at_all_is_refused(ring: Recommender, history: Any) -> None:
    with pytest.raises(QueryError, match="history"):
        ring.recommend(history)


def test_queries_of_another_catalogue_are_refused(ring: Recommender) -> None:
    with pytest.raises(QueryError, match="count 3 items, the catalogue 10"):
        ring.scores(Queries.of([[0]], 3))


def test_scores_of_a_batch_keep_each_history_in_its_row(ring: Recommender) -> None:
    queries = Queries.of([[0], [], [1, 2], []], 10)
    scores = ring.scores(queries)
    assert scores.shape == (4, 10)
    for row in range(4):
        assert scores[row].tolist() == ring.scores(queries[row : row + 1])[0].tolist()
    assert scores[1].tolist() == ring.catalogue.share.tolist()


def test_broken_scores_are_not_served(ring: Recommender) -> None:
    broken = Recommender(ring.catalogue, Bigram(np.full((10, 10), np.nan)), "broken")
    with pytest.raises(QueryError, match="not finite"):
        broken.recommend(["A"], 3)


def test_a_slate_is_what_it_shows() -> None:
    slate = Slate(("a",), (0.5,), (None,))
    assert len(slate) == 1
    assert slate.to_json() == {"items": [{"item": "a", "score": 0.5}], "fallback": False, "unknown": []}


# ----------------------------------------------------------------------------------------------- ranks


def test_a_tied_target_has_the_middle_of_its_ties() -> None:
    scores = np.array([[0.9, 0.8, 0.5, 0.5, 0.5, 0.1]])
    rank = [mid_ranks(scores, np.array([item], dtype=np.int32))[0] for item in range(6)]
    # the three at 0.5 share the places 3, 4 and 5
    assert rank == [1, 2, 1 + 2 + 2 / 2, 1 + 2 + 2 / 2, 1 + 2 + 2 / 2, 6]


def test_what_cannot_be_served_has_no_rank() -> None:
    scores = np.array([[1.0, -np.inf, 0.0]] * 3)
    assert mid_ranks(scores, np.array([-1, 1, 2], dtype=np.int32)).tolist() == [np.inf, np.inf, 2]
    nothing = np.full((1, 3), -np.inf)
    assert mid_ranks(nothing, np.array([0], dtype=np.int32)).tolist() == [np.inf]


def test_the_caller_keeps_his_scores() -> None:
    scores = np.arange(6.0).reshape(2, 3)
    queries = Queries.of([[0, 0, 2], []], 3)
    excluded = exclude_histories(scores, queries)
    assert excluded.tolist() == [[-np.inf, 1, -np.inf], [3, 4, 5]]
    assert scores.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    scores = np.zeros((3, 4), dtype=np.float32)
    scores[1, 2] = bad
    with pytest.raises(QueryError, match="1 of 3 queries have scores that are not finite"):
        check_scores(scores)
    with pytest.raises(QueryError, match="not finite"):
        mid_ranks(scores, np.zeros(3, dtype=np.int32))


@pytest.mark.parametrize("n", [1, 7, 8, 9, 64, 1_000])
def test_marks_are_counted_row_by_row(n: int, seeded: np.random.Generator) -> None:
    marks = seeded.random((5, n)) < 0.4
    marks[0], marks[1] = True, False
    assert marked(marks).tolist() == [sum(row) for row in marks.tolist()]


row = st.lists(st.one_of(st.integers(0, 4), st.just(None)), min_size=1, max_size=12)


def scores_of(values: list[int | None]) -> Floats:
    return np.array([-np.inf if value is None else value for value in values], dtype=np.float64)


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 5), st.integers(1, 700)),
        elements=st.sampled_from([-np.inf, 0, 1, 2, 3.5]),
    ),
    st.integers(0, 12),
    st.integers(0, 2**32 - 1),
)
def test_rows_of_top_k_are_stable_sorts(values: np.ndarray, k: int, seed: int) -> None:
    """Of many ties and of hardly any, of few items and of more than one stretch."""
    noise = np.random.default_rng(seed).random(values.shape).astype(np.float32)
    for scores in (values, values + noise):
        rows = top_k_rows(scores, k)
        assert rows.shape == (len(scores), k)
        for row, found in zip(scores, rows.tolist(), strict=True):
            order = [item for item in np.argsort(-row, kind="stable").tolist() if row[item] > -np.inf][:k]
            assert found == order + [len(row)] * (k - len(order))


@given(row, st.integers(0, 15))
def test_top_k_is_a_stable_sort_without_what_is_excluded(values: list[int | None], k: int) -> None:
    scores = scores_of(values)
    order = sorted(range(len(values)), key=lambda item: -scores[item])  # stable: ties in catalogue order
    assert top_k(scores, k).tolist() == [item for item in order if scores[item] > -np.inf][:k]


@given(row)
def test_an_untied_item_is_served_in_k_places_if_and_only_if_its_rank_is_at_most_k(
    values: list[int | None],
) -> None:
    scores = scores_of(values)
    ranks = mid_ranks(np.tile(scores, (len(scores), 1)), np.arange(len(scores), dtype=np.int32))
    for item, value in enumerate(values):
        if values.count(value) == 1 or value is None:
            for k in range(len(values) + 2):
                assert (ranks[item] <= k) == (item in top_k(scores, k))


@given(row)
def test_the_ranks_of_all_items_are_those_of_a_sort_with_ties_averaged(values: list[int | None]) -> None:
    scores = scores_of(values)
    ranks = mid_ranks(np.tile(scores, (len(scores), 1)), np.arange(len(scores), dtype=np.int32))
    order = sorted(range(len(values)), key=lambda item: -scores[item])
    for item, value in enumerate(values):
        places = [place for place, other in enumerate(order, 1) if values[other] == value]
        assert ranks[item] == (np.inf if value is None else sum(places) / len(places))


@given(st.lists(st.lists(st.integers(0, 5), max_size=8), min_size=1, max_size=5))
def test_no_item_of_a_history_is_ever_served_and_every_other_one_is(lists: list[list[int]]) -> None:
    scores = np.random.default_rng(0).random((len(lists), 6))
    kept = exclude_histories(scores, Queries.of(lists, 6))
    for history, row in zip(lists, kept, strict=True):
        assert sorted(top_k(row, 6).tolist()) == sorted(set(range(6)) - set(history))


@given(st.data())
def test_float32_scores_are_ranked_and_served_alike(data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=10))
    scores = np.array([values], dtype=np.float32)
    targets = np.array([data.draw(st.integers(0, len(values) - 1))], dtype=np.int32)
    assert mid_ranks(scores, targets).tolist() == mid_ranks(scores.astype(np.float64), targets).tolist()
    assert top_k(scores[0], 5).tolist() == top_k(scores[0].astype(np.float64), 5).tolist()


def test_a_slate_of_few_items_has_as_many_scores_and_titles(ring: Recommender) -> None:
    kept = ring.catalogue.ids.to_list()[:2]
    (slate,) = ring.recommend_many(
        [kept[:1]], 5, exclude=ring.catalogue.ids.to_list()[2:], exclude_seen=False
    )
    assert sorted(slate.items) == sorted(kept)
    assert len(slate.scores) == len(slate.titles) == 2
    assert all(np.isfinite(slate.scores))
