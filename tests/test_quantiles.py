"""Quantiles of numbers that come in parts: those of numpy, however few are sorted at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue import quantiles

NUMBERS = st.lists(
    st.lists(st.integers(-(2**52), 2**52) | st.sampled_from([0, 1, 7, 7, 8]), max_size=12),
    min_size=1,
    max_size=4,
).filter(any)


@given(parts=NUMBERS, share=st.floats(0, 1), held=st.integers(1, 6), bins=st.sampled_from([2, 3, 64]))
def test_the_same_as_of_all_at_once(parts: list[list[int]], share: float, held: int, bins: int) -> None:
    arrays = [np.array(part, dtype=np.int64) for part in parts]
    whole = np.concatenate(arrays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantiles, "GATHERED", held)
        patch.setattr(quantiles, "_BINS", bins)
        assert quantiles.quantile(lambda: arrays, share, len(whole)) == float(np.quantile(whole, share))
        rank = int(share * (len(whole) - 1))
        assert quantiles.order_statistics(lambda: arrays, [rank]) == [int(np.sort(whole)[rank])]
