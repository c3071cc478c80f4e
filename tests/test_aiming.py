"""Targets further ahead: which events they are, and how often each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.aiming import NEXT, Aiming
from ensue.batching import ranges
from ensue.errors import ConfigError
from ensue.model import model_of


def test_the_next_event_draws_nothing() -> None:
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert NEXT.places(np.array([0]), np.array([3]), np.array([9]), rng) is None
    assert rng.bit_generator.state == before


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(1, 6)), min_size=1, max_size=5),
    st.integers(2, 8),
    st.floats(0.01, 1),
    st.integers(0, 99),
)
def test_a_target_is_never_behind_too_far_or_of_somebody_else(
    rows: list[tuple[int, int, int]], most: int, share: float, seed: int
) -> None:
    starts = np.cumsum([0, *(sum(row) for row in rows[:-1])]) + np.array([row[0] for row in rows])
    ends = starts + np.array([row[1] for row in rows])
    limits = ends + np.array([row[2] for row in rows])
    places = Aiming(most, share).places(starts, ends, limits, np.random.default_rng(seed))
    assert places is not None
    row, following = ranges(starts + 1, ends + 1)
    assert len(places) == len(following)
    assert ((places >= following) & (places < following + most) & (places < limits[row])).all()


def test_nearer_events_are_drawn_more_often() -> None:
    """With three events left: 1, 1/2 and 1/3 of 11/6 for half of the targets, and the next for the other half."""
    n = 60_000
    starts = np.arange(n) * 4
    places = Aiming(5, 0.5).places(starts, starts + 1, starts + 4, np.random.default_rng(1))
    assert places is not None
    found = np.bincount(places - starts - 1, minlength=3) / n
    expected = 0.5 * np.array([6, 3, 2]) / 11 + np.array([0.5, 0, 0])
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_what_guesses_masked_events_takes_no_other_targets() -> None:
    with pytest.raises(ConfigError, match="ahead=5 is for networks that read left to right"):
        model_of("bert4rec", ahead=5)
    with pytest.raises(ConfigError, match="ahead=0 must be at least 1"):
        model_of("lstm", ahead=0)
    with pytest.raises(ConfigError, match="ahead_share=0 must lie above 0"):
        model_of("lstm", ahead=2, ahead_share=0.0)
