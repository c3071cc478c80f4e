"""Similar items, which views put in place of others: by hand, and against plain Python."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.test_augment import N, batches, ragged

from ensue import augment
from ensue.augment import NONE, similar_items


def test_items_are_similar_by_the_sequences_they_share() -> None:
    # 0 and 1 share two sequences, of 2 and of 3 different items; 0 and 2 one of 3, 2 and 3 one of 2
    table = similar_items(ragged([[0, 1, 0], [2, 0, 1], [3, 2], [4], []]), 6, most=3)
    of_two, of_three = 1 / log(1 + 2), 1 / log(1 + 3)
    zero_one = (of_two + of_three) / sqrt(2 * 2)
    zero_two = of_three / sqrt(2 * 2)
    three_two = of_two / sqrt(1 * 2)
    assert zero_one > zero_two
    assert three_two > zero_two
    assert table.dtype == np.int32
    assert table.tolist() == [
        [1, 2, NONE],
        [0, 2, NONE],
        [3, 0, 1],  # 0 and 1 are equal to it, and stand in the order of the catalogue
        [2, NONE, NONE],
        [NONE] * 3,
        [NONE] * 3,
    ]


def test_a_long_sequence_says_less_than_a_short_one() -> None:
    fillers = list(range(3, 11))
    table = similar_items(ragged([[0, 1], [1], [0, 2, *fillers], [0, 2, *fillers]]), 11, most=1)
    once, twice = (1 / log(1 + 2)) / sqrt(3 * 2), (2 / log(1 + 10)) / sqrt(3 * 2)
    assert once > twice
    assert table[0].tolist() == [1]


def test_equal_similarities_stay_equal_in_whatever_order_they_are_summed() -> None:
    sizes = [4, 3, 6]
    fresh = iter(range(3, 100))
    sequences = [
        [0, other, *(next(fresh) for _ in range(size - 2))]
        for other, order in ((1, sizes), (2, sizes[::-1]))
        for size in order
    ]
    a, b, c = (1 / log(1 + size) for size in sizes)
    assert (a + b) + c < (c + b) + a, "the last binary digit would put 2 before 1"
    assert similar_items(ragged(sequences), 100, most=2)[0].tolist() == [1, 2]


@given(batches, st.integers(1, 5), st.sampled_from([1, 7, 10**6]))
def test_similar_items_are_those_of_plain_python_however_few_pairs_are_held(
    lists: list[list[int]], most: int, pairs: int
) -> None:
    held = [set(one) for one in lists]
    users = [sum(item in one for one in held) for item in range(N)]
    expected = []
    for i in range(N):
        score = {
            j: round(sum(1 / log(1 + len(one)) for one in held if {i, j} <= one) / sqrt(users[j]), 9)
            for j in range(N)
            if j != i and any({i, j} <= one for one in held)
        }
        best = sorted(score, key=lambda j: (-score[j], j))[:most]
        expected.append(best + [NONE] * (most - len(best)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augment, "PAIRS_AT_ONCE", pairs)
        assert similar_items(ragged(lists), N, most).tolist() == expected
