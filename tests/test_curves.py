"""Curves over the cut-off against the metrics at each cut-off."""

from __future__ import annotations

from math import inf, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.curves import curves
from ensue.errors import ConfigError
from ensue.metrics import NDCG, Ranked, Recall


def single(ranks: list[float]) -> Ranked:
    return Ranked.single(np.array(ranks), np.full(len(ranks), 50))


def test_each_point_is_a_mean_over_users() -> None:
    # one user has ranks 1 and 3, another rank 2.5, which is a hit from k = 3 on, a third a target that is cold
    found = curves(single([1, 3, 2.5, inf]), np.array([0, 0, 4, 7]), most=4)
    assert found.values["recall"].tolist() == pytest.approx(
        [(1 / 2 + 0 + 0) / 3, (1 / 2 + 0 + 0) / 3, (2 / 2 + 1 + 0) / 3, (2 / 2 + 1 + 0) / 3]
    )
    first = (1 / log2(2)) / 2 / 3
    third = ((1 / log2(2) + 1 / log2(4)) / 2 + 1 / log2(3.5)) / 3
    assert found.values["ndcg"].tolist() == pytest.approx([first, first, third, third])
    assert found.value("ndcg", 3) == pytest.approx(third)
    assert curves(single([4]), np.array([0]), most=4).values["recall"].tolist() == [0, 0, 0, 1]
    assert found.to_json() == {word: found.values[word].tolist() for word in ("recall", "ndcg")}


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.one_of(st.just(inf), st.integers(2, 260).map(lambda n: n / 2))),
        min_size=1,
    )
)
def test_the_curve_is_the_metric_at_every_cut_off(told: list[tuple[int, float]]) -> None:
    told.sort(key=lambda pair: pair[0])
    ranked, groups = single([rank for _, rank in told]), np.array([group for group, _ in told])
    found = curves(ranked, groups)
    users = np.unique(groups)
    for k in (1, 2, 10, 37, 99, 100):
        for metric in (Recall(k), NDCG(k)):
            values = metric.per_query(ranked)
            mean = np.mean([values[groups == user].mean() for user in users])
            assert found.value(metric.word, k) == pytest.approx(mean, abs=1e-12), metric.name


def test_a_point_that_is_not_on_a_curve_is_refused() -> None:
    found = curves(single([1]), np.array([0]), most=5)
    for k in (0, 6):
        with pytest.raises(ConfigError, match=f"from k=1 to 5, not to k={k}"):
            found.value("recall", k)
    with pytest.raises(ConfigError, match=r"no curve of 'ndgc', but of recall, ndcg\. Did you mean 'ndcg'"):
        found.value("ndgc", 3)
    with pytest.raises(ConfigError, match="one relevant item each"):
        curves(Ranked(np.array([1.0, 2.0]), np.array([0, 2]), np.array([5])), np.array([0]))
