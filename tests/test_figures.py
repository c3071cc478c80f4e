"""Means over users and pooled figures, with what a bootstrap over users says of both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ConfigError
from ensue.figures import Measured, asked, shares
from ensue.significance import interval


def test_a_mean_over_users_and_a_pooled_figure_part_where_users_differ() -> None:
    groups = np.array([0, 0, 0, 5])
    values = np.array([1.0, 0.0, 1.0, 0.0])
    weights = np.array([2.0, 1.0, 1.0, 4.0])
    found = Measured(groups, {"mean": values, "pooled": values}, {"pooled": weights}).over(
        np.ones(4, dtype=bool)
    )
    assert found.value("mean") == pytest.approx((2 / 3 + 0) / 2)
    assert found.value("pooled") == pytest.approx((2 * 1 + 1 * 0 + 1 * 1 + 4 * 0) / (2 + 1 + 1 + 4))
    assert (found.users, found.targets, found.groups.tolist()) == (2, 4, [0, 5])
    assert found.per_user["mean"].tolist() == pytest.approx([2 / 3, 0])


def test_chosen_targets_alone_count() -> None:
    values = np.array([1.0, 0.0, 0.5])
    measured = Measured(
        np.array([0, 0, 1]), {"mean": values, "pooled": values}, {"pooled": np.ones(3)}, seed=3
    )
    found = measured.over(np.array([True, True, False]))
    assert (found.value("mean"), found.value("pooled"), found.users) == (1 / 2, 1 / 2, 1)


def test_a_pooled_figure_without_any_weight_is_a_mean_over_users() -> None:
    values = np.array([1.0, 1.0])
    found = Measured(np.array([0, 1]), {"pooled": values}, {"pooled": np.zeros(2)}).over(
        np.ones(2, dtype=bool)
    )
    assert found.value("pooled") == 1


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0.1, 9)), min_size=2, max_size=20))
def test_the_mean_of_shares_is_the_ratio(pairs: list[tuple[float, float]]) -> None:
    sums, totals = np.array(pairs).T
    assert shares(sums, totals).mean() == pytest.approx(sums.sum() / totals.sum(), abs=1e-9)


def test_the_interval_of_a_pooled_figure_is_that_of_the_ratio_over_drawn_users() -> None:
    rng = np.random.default_rng(2)
    totals = rng.integers(1, 20, 400).astype(np.float64)
    sums = totals * rng.random(400)
    found = interval(shares(sums, totals))
    drawn = rng.integers(0, 400, size=(2000, 400))
    ratios = sums[drawn].sum(axis=1) / totals[drawn].sum(axis=1)
    assert found.low == pytest.approx(np.quantile(ratios, 0.025), abs=0.004)
    assert found.high == pytest.approx(np.quantile(ratios, 0.975), abs=0.004)
    assert found.error == pytest.approx(ratios.std(), rel=0.1)


def test_a_metric_that_was_not_measured_is_named_with_those_that_were() -> None:
    assert asked("NDCG@10", {"ndcg@10": 1}) == "ndcg@10"
    with pytest.raises(ConfigError, match="does not report 'recall@5', but ndcg@10"):
        asked("recall@5", {"ndcg@10": 1})
