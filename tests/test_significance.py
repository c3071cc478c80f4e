"""Intervals and paired tests against arithmetic, full enumeration, SciPy, and their laws."""

from __future__ import annotations

import re
import tracemalloc
from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ConfigError, DataError
from ensue.significance import (
    FLIPS,
    Interval,
    best_of,
    holm,
    interval,
    intervals,
    paired,
    smallest_difference,
)

numbers = st.floats(-100, 100, allow_nan=False).map(lambda value: round(value, 3))


# ------------------------------------------------------------------------------------------- intervals


def test_the_error_is_s_over_the_root_of_n() -> None:
    found = interval(np.array([0.0, 0.0, 1.0, 1.0]))
    assert found.value == (0 + 0 + 1 + 1) / 4
    # s^2 = 4 x 0.25 / 3
    assert found.error == pytest.approx((1 / 3) ** 0.5 / 4**0.5)
    assert (found.n, found.level, found.note) == (4, 0.95, "")


def test_the_interval_is_the_middle_of_all_bootstrap_means() -> None:
    values = np.array([0.0, 1.0, 4.2, 10.5, 13.1])
    means = [sum(sample) / 5 for sample in product(values, repeat=5)]  # all 5^5 samples, equally likely
    low, high = np.quantile(means, [0.05, 0.95])
    found = interval(values, level=0.9, draws=20_000)
    assert found.low == pytest.approx(low, abs=0.25)
    assert found.high == pytest.approx(high, abs=0.25)


def test_the_interval_is_that_of_scipy(seeded: np.random.Generator) -> None:
    values = seeded.exponential(size=200)
    found = interval(values, draws=20_000)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    )
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.1 * float(theirs.standard_error))
    assert found.high == pytest.approx(
        theirs.confidence_interval.high, abs=0.1 * float(theirs.standard_error)
    )
    assert found.error == pytest.approx(theirs.standard_error, rel=0.05)


def test_the_interval_holds_the_true_mean_as_often_as_it_says(seeded: np.random.Generator) -> None:
    held = 0
    for seed in range(200):
        found = interval(seeded.normal(size=100), level=0.9, draws=300, seed=seed)
        held += found.low <= 0 <= found.high
    # 180 of 200 expected, with a standard deviation of (200 x 0.9 x 0.1)^0.5 = 4.2
    assert 180 - 4 * 4.2 <= held <= 180 + 4 * 4.2


def test_one_user_has_a_value_and_no_error() -> None:
    assert interval(np.array([0.25])) == Interval(
        0.25, 0.25, 0.25, None, 1, note="one user: nothing can be said about the error"
    )


def test_users_that_are_all_alike_are_named() -> None:
    found = interval(np.full(9, 0.1))
    assert (found.low, found.high, found.error) == (found.value, found.value, 0)
    assert found.note == "all users have the same value"
    assert found.to_json()["note"] == found.note


def test_the_same_seed_gives_the_same_interval_and_another_seed_another(seeded: np.random.Generator) -> None:
    values = seeded.normal(size=50)
    assert interval(values, seed=3) == interval(values, seed=3)
    assert interval(values, seed=3).low != interval(values, seed=4).low


def test_the_random_state_of_the_caller_stays_as_it_is() -> None:
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    values = np.arange(40.0)
    paired(values, values[::-1] ** 0.5)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert str(before) == str(after)


def test_columns_share_the_users_that_are_drawn(seeded: np.random.Generator) -> None:
    values = seeded.normal(size=30)
    found = intervals(np.column_stack([values, 2 * values + 1, seeded.normal(size=30)]))
    assert found[1].low == pytest.approx(2 * found[0].low + 1)
    assert found[1].high == pytest.approx(2 * found[0].high + 1)
    alone = interval(values)
    assert (found[0].low, found[0].high) == pytest.approx((alone.low, alone.high))


def test_memory_is_one_block_of_draws_however_many_users_there_are() -> None:
    values = np.arange(100_000, dtype=np.float64)  # 1,000 draws of them at once would be 800 MB
    tracemalloc.start()
    interval(values, draws=40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20


@given(st.lists(numbers, min_size=1, max_size=30), st.integers(0, 5))
def test_an_interval_is_finite_ordered_and_within_the_values(values: list[float], seed: int) -> None:
    found = interval(np.array(values), draws=50, seed=seed)
    slack = 1e-9
    assert min(values) - slack <= found.low <= found.high <= max(values) + slack
    assert np.isfinite([found.value, found.low, found.high]).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "no user"),
        ([1.0, np.nan, np.inf], "2 of 3 users have values that are not finite"),
    ],
)
def test_values_that_give_no_figure_are_refused(values: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        interval(np.array(values))


def test_a_level_outside_nought_to_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("level=95")):
        interval(np.ones(3), level=95)


# -------------------------------------------------------------------------------------- paired tests


@given(st.lists(numbers, min_size=1, max_size=7))
def test_few_users_are_tested_by_every_choice_of_signs(differences: list[float]) -> None:
    found = paired(np.array(differences), np.zeros(len(differences)))
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    observed = abs(sum(differences)) - 1e-6
    assert found.p_value == pytest.approx(sum(abs(total) >= observed for total in sums) / len(sums))


def test_five_users_of_one_mind_are_the_two_extreme_of_32_choices() -> None:
    found = paired(np.array([0.3, 0.2, 0.4, 0.1, 0.5]), np.zeros(5))
    assert found.p_value == pytest.approx(2 / 2**5)
    assert found.difference.value == pytest.approx((0.3 + 0.2 + 0.4 + 0.1 + 0.5) / 5)


def test_many_users_are_tested_as_scipy_does(seeded: np.random.Generator) -> None:
    a = seeded.normal(size=60)
    b = a + seeded.normal(0.2, 1.0, size=60)
    theirs = scipy.stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=9999,
        vectorized=True,
        rng=np.random.default_rng(2),
    )
    # both are drawn: the standard error of p is (p (1 - p) / 9999)^0.5 for each
    error = float(2 * theirs.pvalue * (1 - theirs.pvalue) / 9999) ** 0.5
    assert paired(a, b).p_value == pytest.approx(theirs.pvalue, abs=4 * error)


def test_users_on_whom_both_agree_do_not_change_the_test(seeded: np.random.Generator) -> None:
    a, b = seeded.random(20), seeded.random(20)
    same = seeded.random(500)
    alone, padded = paired(a, b), paired(np.append(a, same), np.append(b, same))
    assert padded.p_value == alone.p_value
    assert padded.differing == alone.differing == 20


def test_a_clear_difference_is_never_impossible() -> None:
    found = paired(np.ones(100), np.zeros(100))
    assert found.p_value == 1 / (FLIPS + 1)
    assert (found.difference.low, found.difference.high) == (1, 1)


def test_equal_models_do_not_differ() -> None:
    found = paired(np.full(30, 0.5), np.full(30, 0.5))
    assert (found.p_value, found.differing, found.difference.value) == (1, 0, 0)


def test_chance_is_called_significant_as_rarely_as_it_says(seeded: np.random.Generator) -> None:
    p = [paired(seeded.normal(size=30), np.zeros(30), draws=2, flips=199, seed=s).p_value for s in range(300)]
    # 0.1 x 300 = 30 expected, with a standard deviation of (300 x 0.1 x 0.9)^0.5 = 5.2
    assert 30 - 4 * 5.2 <= sum(value <= 0.1 for value in p) <= 30 + 4 * 5.2


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30))
def test_swapping_the_models_turns_the_difference_round(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    one, other = paired(a, b, draws=20, flips=99), paired(b, a, draws=20, flips=99)
    assert one.difference.value == pytest.approx(-other.difference.value)
    assert one.p_value == other.p_value
    assert 0 < one.p_value <= 1


def test_a_test_needs_the_same_users_on_both_sides() -> None:
    with pytest.raises(DataError, match="there are 3 and 4"):
        paired(np.ones(3), np.ones(4))


# ------------------------------------------------------------------------------------------------ holm


def test_holm_by_hand() -> None:
    # ascending 0.01, 0.02, 0.03, 0.20 times 4, 3, 2, 1, never falling
    assert holm([0.02, 0.20, 0.01, 0.03]).tolist() == pytest.approx([3 * 0.02, 0.20, 4 * 0.01, 3 * 0.02])
    assert holm([0.4, 0.7]).tolist() == pytest.approx([0.8, 0.8])
    assert holm([0.9, 0.6]).tolist() == [1, 1]
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_corrects_upwards_within_bonferroni_and_keeps_the_order(p: list[float]) -> None:
    corrected = holm(p)
    bonferroni = np.minimum(np.array(p) * len(p), 1)
    assert (corrected >= np.array(p)).all()
    assert (corrected <= bonferroni.max() + 1e-12).all()
    assert corrected.min() == pytest.approx(bonferroni.min())
    order = np.argsort(p, kind="stable")
    assert (np.diff(corrected[order]) >= 0).all()


# ------------------------------------------------------------------------------------------ the best of


def test_the_best_is_tested_against_each_other(seeded: np.random.Generator) -> None:
    weak, strong = seeded.random(40) * 0.5, seeded.random(40) * 0.5 + 0.3
    even = strong - np.tile([0.01, -0.01], 20)
    found = best_of({"weak": weak, "strong": strong, "even": even}, "ndcg@10")
    assert (found.metric, found.best) == ("ndcg@10", "strong")
    assert [other.model for other in found.others] == ["even", "weak"]
    raw = [paired(strong, even).p_value, paired(strong, weak).p_value]
    assert [other.p_value for other in found.others] == holm(raw).tolist()
    assert found.others[0].p_value > 0.5
    assert found.others[1].p_value < 0.01
    assert found.others[1].paired.difference.value == pytest.approx(strong.mean() - weak.mean())
    assert found.lines()[0] == f"strong has the best ndcg@10: {strong.mean():.4f}"
    assert found.to_json()["others"][1]["model"] == "weak"


def test_the_first_of_equals_is_the_best_and_one_model_stands_alone() -> None:
    values = np.array([0.1, 0.2])
    assert best_of({"b": values, "a": values}, "auc").best == "b"
    assert best_of({"b": values}, "auc").others == ()
    with pytest.raises(DataError, match="no model"):
        best_of({}, "auc")


# ------------------------------------------------------------------------ what a test is too small to see


def test_the_smallest_difference_is_2_8_standard_errors() -> None:
    differences = np.array([0.0, 0.0, 1.0, 1.0])  # s^2 = 4 x 0.25 / 3
    assert smallest_difference(differences) == pytest.approx((1.959964 + 0.841621) * (1 / 3) ** 0.5 / 4**0.5)
    assert smallest_difference(differences, level=0.01, power=0.9) == pytest.approx(
        (2.575829 + 1.281552) * (1 / 3) ** 0.5 / 4**0.5
    )


def test_a_true_difference_of_that_size_is_found_four_times_out_of_five(seeded: np.random.Generator) -> None:
    users, found = 200, 0
    true = (1.959964 + 0.841621) / users**0.5
    for seed in range(300):
        differences = seeded.normal(true, 1.0, users)
        assert smallest_difference(differences) == pytest.approx(true, rel=0.25)
        found += paired(differences, np.zeros(users), draws=2, flips=399, seed=seed).p_value < 0.05
    # 240 of 300 expected, with a standard deviation of (300 x 0.8 x 0.2)^0.5 = 6.9
    assert 240 - 4 * 6.9 <= found <= 240 + 4 * 6.9


def test_a_paired_comparison_says_what_it_is_too_small_to_see() -> None:
    a, b = np.array([1.0, 0.0, 1.0, 1.0]), np.zeros(4)
    found = paired(a, b)
    assert found.smallest == smallest_difference(a - b)
    assert found.to_json()["smallest_difference"] == found.smallest
    assert paired(a[:1], b[:1]).smallest is None


def test_what_a_test_can_see_takes_two_users_and_shares() -> None:
    for values in (np.array([1.0]), np.array([1.0, np.nan])):
        with pytest.raises(DataError, match="two users or more"):
            smallest_difference(values)
    with pytest.raises(ConfigError, match=re.escape("power=1.0 is not a share")):
        smallest_difference(np.array([0.0, 1.0]), power=1.0)
    with pytest.raises(ConfigError, match=re.escape("level=0 is not a share")):
        smallest_difference(np.array([0.0, 1.0]), level=0)
