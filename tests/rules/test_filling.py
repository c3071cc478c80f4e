"""A mixed list is that of the published rule, also where vectors point away from each other."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from ensue.rules.filling import fill


def plain_mmr(scores: np.ndarray, vectors: np.ndarray, relevance: float, k: int) -> list[int]:
    """Carbonell, Goldstein (1998), section 2, as it is written: one place after the other."""
    scaled = (scores - scores[-1]) / ((scores[0] - scores[-1]) or 1.0)
    chosen: list[int] = []
    while len(chosen) < min(k, len(scores)):
        best, most = -1, -np.inf
        for place in range(len(scores)):
            if place in chosen:
                continue
            like = max((float(vectors[place] @ vectors[other]) for other in chosen), default=0.0)
            value = relevance * scaled[place] - (1 - relevance) * like
            if value > most + 1e-12:
                best, most = place, value
        chosen.append(best)
    return chosen


@given(st.integers(1, 12), st.integers(1, 3), st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 10**6))
def test_a_mixed_list_is_that_of_the_published_rule(n: int, width: int, relevance: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = -np.sort(-rng.normal(size=n))
    found = fill(scores, 6, mix=(sp.csr_array(vectors), relevance))
    assert found.tolist() == plain_mmr(scores, vectors, relevance, 6)


@pytest.mark.parametrize(("relevance", "expected"), [(0.5, [0, 2, 1]), (1.0, [0, 1, 2])])
def test_what_points_away_is_more_different_than_what_is_unrelated(
    relevance: float, expected: list[int]
) -> None:
    vectors = sp.csr_array(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    assert fill(np.array([1.0, 0.5, 0.4]), 3, mix=(vectors, relevance)).tolist() == expected
