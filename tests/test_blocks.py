"""Stretches of queries: everything once, within the budget, and cut between groups where that is possible."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ensue.blocks import blocks


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 20), st.booleans())
def test_blocks_hold_everything_once_within_the_budget(costs: list[int], most: int, grouped: bool) -> None:
    groups = np.arange(len(costs)) // 3 if grouped else None
    found = list(blocks(np.array(costs, dtype=np.int64), most, groups))
    assert [place for block in found for place in range(len(costs))[block]] == list(range(len(costs)))
    for block in found:
        assert sum(costs[block]) <= most or block.stop == block.start + 1
        if grouped and block.stop < len(costs) and block.stop % 3:
            assert block.start // 3 == block.stop // 3, "a group is cut only if it does not fit as a whole"


def test_a_block_ends_between_two_groups_where_it_can() -> None:
    groups = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    found = list(blocks(np.ones(8, dtype=np.int64), 4, groups))
    assert found == [slice(0, 3), slice(3, 7), slice(7, 8)], "a group of 5 does not fit"
    assert list(blocks(np.ones(8, dtype=np.int64), 4)) == [slice(0, 4), slice(4, 8)]
