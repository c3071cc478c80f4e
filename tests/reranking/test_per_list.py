"""Figures within lists are those of each list alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.reranking import per_list

NUMBER = st.one_of(st.integers(-3, 3).map(float), st.just(float("nan")))
LISTS = st.lists(st.lists(NUMBER, min_size=1, max_size=6), min_size=1, max_size=5)


def flat(lists: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([x for one in lists for x in one]), np.cumsum([0, *map(len, lists)])


@given(LISTS)
def test_each_list_is_standardised_by_itself(lists: list[list[float]]) -> None:
    wanted = []
    for one in lists:
        held = np.array([x for x in one if x == x])
        spread = held.std() if len(held) else 0.0
        wanted += [(x - held.mean()) / spread if x == x and spread > 0 else 0.0 for x in one]
    assert per_list.standardised(*flat(lists)) == pytest.approx(wanted)


@given(LISTS)
def test_a_share_counts_the_lower_ones_and_half_of_the_equal_ones(lists: list[list[float]]) -> None:
    wanted = []
    for one in lists:
        for place, x in enumerate(one):
            others = [y for other, y in enumerate(one) if other != place and y == y]
            below = sum(y < x for y in others) + sum(y == x for y in others) / 2
            wanted.append(below / len(others) if others and x == x else 0.5)
    assert per_list.shares(*flat(lists)) == pytest.approx(wanted)


@given(st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=6), min_size=1, max_size=5))
def test_ranks_go_down_by_value_and_leave_equals_in_their_order(lists: list[list[int]]) -> None:
    values, offsets = flat([[float(x) for x in one] for one in lists])
    wanted = []
    for one in lists:
        order = sorted(range(len(one)), key=lambda place, one=one: (-one[place], place))  # type: ignore[misc]
        wanted += [order.index(place) + 1 for place in range(len(one))]
    assert per_list.ranks(offsets, values).tolist() == wanted


def test_a_later_key_parts_equals_of_the_first() -> None:
    offsets = np.array([0, 3])
    assert per_list.ranks(offsets, np.array([1.0, 1.0, 2.0]), np.array([0.0, 5.0, 0.0])).tolist() == [3, 2, 1]


def test_a_softmax_is_of_its_list_and_does_not_overflow() -> None:
    found = per_list.softmax(np.array([1000.0, 1000.0, 3.0]), np.array([0, 2, 3]))
    assert found.tolist() == [0.5, 0.5, 1.0]


def test_centred_values_have_no_mean_in_any_list() -> None:
    found = per_list.centred(np.array([[1.0, 2.0], [3.0, 2.0], [7.0, 1.0]]), np.array([0, 2, 3]))
    assert found.tolist() == [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]
