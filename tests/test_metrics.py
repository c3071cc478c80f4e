"""The metrics by arithmetic, and their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log2
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from ensue.errors import ConfigError, DataError
from ensue.metrics import (
    AUC,
    DEFAULT,
    F1,
    MAP,
    MRR,
    NDCG,
    Accuracy,
    GlobalAUC,
    HitRate,
    Metric,
    Precision,
    Ranked,
    Recall,
    families,
    metric,
)
from ensue.ranking import mid_ranks

Floats = NDArray[np.float64]
EVERY: tuple[Metric, ...] = (
    *DEFAULT,
    HitRate(1),
    HitRate(10),
    Recall(1),
    NDCG(1),
    NDCG(3),
    MAP(3),
    MRR(2),
    GlobalAUC(),
)


def ranked(ranks: Sequence[Sequence[float]], candidates: int = 100) -> Ranked:
    """Ranks of the relevant items of each query, as they stand."""
    offsets = np.cumsum([0, *(len(query) for query in ranks)])
    flat = np.array([rank for query in ranks for rank in query], dtype=np.float64)
    return Ranked(flat, offsets, np.full(len(ranks), candidates))


def ranked_by(scores: Floats, relevant: Sequence[Sequence[int]]) -> Ranked:
    """Mid-ranks of the relevant items in `[Q, N]` scores."""
    rows = np.repeat(np.arange(len(relevant)), [len(items) for items in relevant])
    targets = np.array([item for items in relevant for item in items], dtype=np.int32)
    offsets = np.cumsum([0, *(len(items) for items in relevant)])
    return Ranked(mid_ranks(scores[rows], targets), offsets, np.isfinite(scores).sum(axis=1))


def one(found: Metric, ranks: Sequence[float], candidates: int = 100) -> float:
    return float(found.per_query(ranked([ranks], candidates))[0])


# ------------------------------------------------------------------------------------------ arithmetic


def test_one_relevant_item_at_rank_three() -> None:
    assert one(Accuracy(), [3]) == 0
    assert one(Recall(2), [3]) == 0
    assert one(Recall(3), [3]) == 1
    assert one(HitRate(3), [3]) == 1
    assert one(Precision(10), [3]) == pytest.approx(1 / 10)
    assert one(F1(10), [3]) == pytest.approx(2 * (1 / 10) * 1 / (1 / 10 + 1))
    assert one(NDCG(10), [3]) == pytest.approx(1 / log2(1 + 3))
    assert one(NDCG(2), [3]) == 0
    assert one(MRR(10), [3]) == pytest.approx(1 / 3)
    assert one(MRR(2), [3]) == 0
    assert one(MRR(), [3]) == pytest.approx(1 / 3)
    assert one(MAP(10), [3]) == pytest.approx(1 / 3)
    assert one(AUC(), [3], candidates=11) == pytest.approx(8 / 10)


def test_three_relevant_items_of_which_two_are_in_the_first_five() -> None:
    ranks = [4, 1, 9]  # in any order
    assert one(Accuracy(), ranks) == 1
    assert one(Recall(5), ranks) == pytest.approx(2 / 3)
    assert one(Precision(5), ranks) == pytest.approx(2 / 5)
    assert one(F1(5), ranks) == pytest.approx(2 * (2 / 5) * (2 / 3) / (2 / 5 + 2 / 3))
    ideal = 1 / log2(2) + 1 / log2(3) + 1 / log2(4)
    assert one(NDCG(5), ranks) == pytest.approx((1 / log2(2) + 1 / log2(5)) / ideal)
    assert one(MRR(5), ranks) == 1
    assert one(MAP(5), ranks) == pytest.approx((1 / 1 + 2 / 4) / 3)
    assert one(MAP(2), ranks) == pytest.approx((1 / 1) / 2), "divided by min(relevant, k) = 2"
    # above each: 0, 2 and 6 of the 17 others
    assert one(AUC(), ranks, candidates=20) == pytest.approx((17 / 17 + 15 / 17 + 11 / 17) / 3)


def test_a_half_rank_is_a_hit_only_where_the_whole_of_it_fits() -> None:
    assert one(Recall(2), [2.5]) == 0
    assert one(Recall(3), [2.5]) == 1
    assert one(NDCG(10), [2.5]) == pytest.approx(1 / log2(3.5))
    assert one(Accuracy(), [1.5]) == 0


def test_all_scores_tied_reward_nobody() -> None:
    ties = mid_ranks(np.zeros((3, 10)), np.array([0, 5, 9], dtype=np.int32))
    assert ties.tolist() == [1 + 9 / 2] * 3
    table = Ranked.single(ties, np.full(3, 10))
    assert Recall(3).per_query(table).tolist() == [0, 0, 0]
    assert AUC().per_query(table).tolist() == [0.5, 0.5, 0.5]
    assert NDCG(10).per_query(table).tolist() == pytest.approx([1 / log2(6.5)] * 3)


def test_relevant_items_that_tie_share_the_middle_of_their_ties() -> None:
    table = ranked_by(np.zeros((1, 3)), [[0, 1, 2]])
    assert table.ranks.tolist() == [2, 2, 2]
    assert table.places.tolist() == [1, 2, 3]
    assert Precision(2).per_query(table).tolist() == [1]
    assert NDCG(2).per_query(table).tolist() == pytest.approx([1])
    two_of_four = ranked_by(np.zeros((1, 4)), [[3, 0]])
    assert two_of_four.places.tolist() == [2, 3]


def test_what_cannot_be_served_is_a_miss_in_every_metric() -> None:
    table = ranked([[inf]])
    for found in EVERY:
        assert found.per_query(table).tolist() == [0], found.name


def test_auc_counts_the_unservable_as_nought_and_not_as_a_rival() -> None:
    # one of two relevant items is served, on top of 4 others: 1 for it and 0 for the other
    assert one(AUC(), [1, inf], candidates=5) == pytest.approx((4 / 4 + 0) / 2)


def test_auc_of_a_target_without_a_rival_is_one() -> None:
    assert one(AUC(), [1], candidates=1) == 1


def test_global_auc_follows_from_ranks_and_counts_the_unservable_as_below_all() -> None:
    table = Ranked.single(np.array([1.0, 3.0, inf]), np.array([5, 9, 6]))
    weights, values = GlobalAUC().weights(table), GlobalAUC().per_query(table)
    assert weights.tolist() == [5 - 1, 9 - 1, 6]
    assert (values * weights).sum() == pytest.approx((5 - 1) + (9 - 3) + 0)
    assert metric("auc_global") == metric("global_auc") == GlobalAUC()
    assert all(found.weights(table) is None for found in DEFAULT), "the usual ones are means over users"


def test_nothing_relevant_scores_nought_and_leaves_its_neighbours_alone() -> None:
    table = ranked([[], [1], [], [2, 1], []], candidates=10)
    for found in EVERY:
        values = found.per_query(table)
        assert values[[0, 2, 4]].tolist() == [0, 0, 0], found.name
        assert values[1] == one(found, [1], 10)
        assert values[3] == one(found, [1, 2], 10)


def test_no_queries_give_no_values() -> None:
    assert [found.per_query(ranked([])).tolist() for found in EVERY] == [[]] * len(EVERY)


def test_perfect_lists_score_one_whatever_the_number_of_relevant_items() -> None:
    table = ranked([range(1, relevant + 1) for relevant in (1, 2, 12)])
    assert NDCG(10).per_query(table).tolist() == pytest.approx([1, 1, 1])
    assert MAP(10).per_query(table).tolist() == pytest.approx([1, 1, 1])
    assert Recall(10).per_query(table).tolist() == pytest.approx([1, 1, 10 / 12])
    assert Precision(10).per_query(table).tolist() == pytest.approx([1 / 10, 2 / 10, 1])


def test_broken_ranks_are_refused() -> None:
    with pytest.raises(DataError, match="below 1"):
        ranked([[0.5]])
    with pytest.raises(DataError, match="not a number"):
        ranked([[np.nan]])
    with pytest.raises(DataError, match="do not fit"):
        Ranked(np.ones(3), np.array([0, 1, 2]), np.ones(2, dtype=np.int64))


# ------------------------------------------------------------------------------------------- the names


@pytest.mark.parametrize("found", EVERY, ids=lambda found: found.name)
def test_a_name_gives_the_metric_of_that_name(found: Metric) -> None:
    assert metric(found.name) == found


def test_names_may_be_written_in_other_ways() -> None:
    assert metric(" NDCG@10 ") == NDCG(10)
    assert metric("hr@5") == HitRate(5)
    assert metric("acc") == Accuracy()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ndgc@10", "Did you mean 'ndcg@10'?"),
        ("recal@5", "Did you mean 'recall@5'?"),
        ("", "There is no metric ''"),
        ("recall", "needs a cut-off, a whole number from 1 up, as in 'recall@10'"),
        ("recall@0", "whole number from 1 up"),
        ("recall@-1", "whole number from 1 up"),
        ("recall@ten", "whole number from 1 up"),
        ("mrr@", "whole number from 1 up"),
        ("ndcg@²", "whole number from 1 up"),
        ("ndcg@99999999999999999999", "whole number from 1 up"),
        ("auc@10", "write 'auc' instead"),
    ],
)
def test_a_wrong_name_says_what_would_be_right(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        metric(name)


def test_a_metric_cannot_be_made_with_a_wrong_cut_off() -> None:
    for k in (0, -3, True, 2.5):
        with pytest.raises(ConfigError, match="whole number from 1 up"):
            Recall(k)  # type: ignore[arg-type]


def test_a_new_metric_is_one_dataclass() -> None:
    @dataclass(frozen=True)
    class Reachable(Metric):
        """1 if the item can be served at all."""

        word: ClassVar[str] = "reachable"

        def per_query(self, ranked: Ranked) -> Floats:
            return ranked.total(np.isfinite(ranked.places))

    assert families()["reachable"] is Reachable
    assert metric("reachable").per_query(ranked([[inf], [7]])).tolist() == [0, 1]


def test_the_usual_report_names_each_metric_once() -> None:
    names = [found.name for found in DEFAULT]
    assert len(set(names)) == len(names)
    assert {"accuracy", "precision@10", "recall@10", "f1@10", "auc", "ndcg@10", "mrr@10", "map@10"} <= set(
        names
    )
