"""Windows of sequences, prefixes and sliding ones, against plain Python."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.augment import prefix_windows, sliding_windows
from ensue.batching import windows
from ensue.errors import ConfigError


@given(st.lists(st.integers(0, 12), max_size=6), st.integers(1, 14))
def test_prefix_windows_are_all_prefixes_that_have_a_next_event(lengths: list[int], length: int) -> None:
    offsets = np.cumsum([0, *lengths])
    expected = [
        (max(first, end - length), end)
        for first, last in pairwise(offsets.tolist())
        for end in range(first + 1, last)
    ]
    starts, ends = prefix_windows(offsets, length)
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == expected


@given(st.lists(st.integers(0, 20), max_size=6), st.integers(1, 14), st.data())
def test_sliding_windows_reach_every_input_and_are_strides_apart(
    lengths: list[int], length: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, length))
    offsets = np.cumsum([0, *lengths])
    starts, ends = (array.tolist() for array in sliding_windows(offsets, length, stride))
    found = list(zip(starts, ends, strict=True))
    for first, last in pairwise(offsets.tolist()):
        own = [(start, end) for start, end in found if first <= start < last]
        inputs = set(range(first, last - 1))
        assert set().union(*(range(start, end) for start, end in own)) == inputs
        assert [end for _, end in own] == [last - 1 - stride * n for n in range(len(own))]
        assert all(1 <= end - start <= length for start, end in own)
        assert all(end - start == length for start, end in own[:-1]), "only the oldest may be short"
        assert own[1:] == [] or own[-2][0] > first, "there is none too many"


@given(st.lists(st.integers(0, 20), max_size=6), st.integers(1, 14))
def test_sliding_by_the_whole_length_is_how_training_cuts(lengths: list[int], length: int) -> None:
    offsets = np.cumsum([0, *lengths])
    for one, two in zip(sliding_windows(offsets, length, length), windows(offsets, length), strict=True):
        assert one.tolist() == two.tolist()


def test_windows_that_hold_nothing_or_leave_gaps_are_refused() -> None:
    offsets = np.array([0, 5])
    for stride in (0, 4):
        with pytest.raises(ConfigError, match=f"stride of {stride} must lie between 1 and .* 3"):
            sliding_windows(offsets, 3, stride)
    with pytest.raises(ConfigError, match="window of 0 events holds nothing"):
        prefix_windows(offsets, 0)
