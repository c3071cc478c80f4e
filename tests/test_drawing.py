"""Distinct items from streams of chances: the chances themselves, and the law by which missing items are completed."""

from __future__ import annotations

import numpy as np
import pytest

from ensue.drawing import chances, distinct


def test_chances_are_those_of_splitmix64_and_evenly_spread() -> None:
    def mixed(state: int) -> int:
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
        return state ^ (state >> 31)

    step = 0x9E3779B97F4A7C15
    seed, query, draw = 11, 4, 6
    stream = mixed((mixed((seed + step) % 2**64) + (query + 1) * step) % 2**64)
    expected = (mixed((stream + (draw + 1) * step) % 2**64) >> 11) / 2**53
    found = chances(seed, np.arange(5), 0, 7)
    assert found[query, draw] == expected
    assert chances(seed, np.array([query]), draw, 1).tolist() == [[expected]]
    values = chances(0, np.arange(300), 0, 300)
    assert np.abs(np.histogram(values, 10, (0, 1))[0] / values.size - 0.1).max() < 4.5 * 0.3 / 300
    assert abs(np.corrcoef(values[:-1].ravel(), values[1:].ravel())[0, 1]) < 4.5 / 300
    assert abs(np.corrcoef(values[:, :-1].ravel(), values[:, 1:].ravel())[0, 1]) < 4.5 / 300


def test_what_single_draws_leave_missing_is_completed_by_the_same_law() -> None:
    """One item of 60 has 99.9 % of the weight, so that 22 draws hardly ever give 3 distinct items."""
    n, queries = 60, 6000
    weights = np.array([59_000.0] + [1.0] * 58 + [10.0])
    banned = np.zeros((queries, n), dtype=bool)
    items = distinct(3, banned, np.arange(queries), 5, weights, 2**20)
    assert (items < n).all()
    assert (items[:, 0] == 0).mean() > 0.99
    share = 10 / 68
    second = float((items[:, 1] == n - 1).mean())
    assert second == pytest.approx(share, abs=4.5 * np.sqrt(share * (1 - share) / queries))
    third = 58 / 68 * 10 / 67
    assert float((items[:, 2] == n - 1).mean()) == pytest.approx(
        third, abs=4.5 * np.sqrt(third * (1 - third) / queries)
    )
