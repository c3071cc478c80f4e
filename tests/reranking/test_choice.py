"""Conditional logit: the maximum is one, weights come back, and scores are sums of their parts."""

from __future__ import annotations

import numpy as np
import pytest

from ensue.errors import ArtifactError, ModelError
from ensue.reranking import per_list
from ensue.reranking.choice import Choice


def lists(n: int, weights: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    offsets = np.cumsum([0, *rng.integers(2, 7, size=n)])
    values = rng.normal(size=(offsets[-1], len(weights))) * [1.0, 10.0, 0.1][: len(weights)]
    chances = per_list.softmax(values @ weights, offsets)
    begins = np.append(0, np.cumsum(per_list.total(chances, offsets)))[:-1]
    lots = np.repeat(rng.random(n) + begins, np.diff(offsets))
    under = per_list.total((np.cumsum(chances) < lots) * 1.0, offsets).astype(int)
    return values, offsets, np.minimum(offsets[:-1] + under, offsets[1:] - 1)


def loss(
    weights: np.ndarray, values: np.ndarray, offsets: np.ndarray, chosen: np.ndarray, strength: float
) -> float:
    apart = per_list.centred(values, offsets)
    scale = np.sqrt((apart**2).mean(axis=0))
    chances = per_list.softmax(values @ weights, offsets)[chosen]
    return float(-np.log(chances).mean() + strength / 2 * ((weights * scale) ** 2).sum())


@pytest.mark.parametrize("strength", [1e-4, 1e-2, 1.0])
def test_no_weight_can_be_moved_for_the_better(strength: float) -> None:
    values, offsets, chosen = lists(200, np.array([1.0, -0.1, 4.0]), 1)
    found = Choice.fit(values, offsets, chosen, strength).weights
    best = loss(found, values, offsets, chosen, strength)
    for place in range(3):
        for step in (0.9, 1.1):
            moved = found.copy()
            moved[place] *= step
            assert loss(moved, values, offsets, chosen, strength) > best


def test_the_weights_that_made_the_choices_come_back() -> None:
    true = np.array([1.0, -0.1, 4.0])
    found = Choice.fit(*lists(6000, true, 2), strength=1e-6).weights
    assert found == pytest.approx(true, rel=0.15)


def test_one_list_of_two_is_the_logarithm_of_the_odds() -> None:
    """Three of four chose the first: its weight is log(3)."""
    values = np.tile([[1.0], [0.0]], (4, 1))
    offsets = np.arange(0, 9, 2)
    found = Choice.fit(values, offsets, np.array([0, 2, 4, 7]), strength=1e-9)
    assert found.weights[0] == pytest.approx(np.log(3), abs=1e-4)


def test_a_stronger_penalty_makes_smaller_weights() -> None:
    data = lists(200, np.array([1.0, -0.1, 4.0]), 3)
    sizes = [
        np.abs(Choice.fit(*data, strength).weights * [1, 10, 0.1]).sum() for strength in (1e-4, 1e-1, 10)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_what_does_not_vary_within_lists_has_no_weight() -> None:
    values, offsets, chosen = lists(100, np.array([1.0]), 4)
    same = np.repeat(np.random.default_rng(0).normal(size=len(offsets) - 1), np.diff(offsets))
    assert Choice.fit(np.column_stack([values, same]), offsets, chosen, 1e-3).weights[1] == 0


def test_parts_sum_to_the_score_and_the_average_candidate_has_none() -> None:
    values, offsets, chosen = lists(50, np.array([1.0, -0.1, 4.0]), 5)
    choice = Choice.fit(values, offsets, chosen, 1e-3)
    scores, parts = choice.scores(values, offsets), choice.parts(values, offsets)
    assert scores == pytest.approx(parts.sum(axis=1))
    assert per_list.total(scores, offsets) == pytest.approx(np.zeros(50), abs=1e-9)
    assert per_list.softmax(scores, offsets) == pytest.approx(
        per_list.softmax(values @ choice.weights, offsets)
    )


def test_what_cannot_be_learnt_from_is_refused() -> None:
    values, offsets, chosen = lists(5, np.array([1.0]), 6)
    with pytest.raises(ModelError, match="no list"):
        Choice.fit(np.zeros((0, 1)), np.array([0]), np.zeros(0, dtype=np.int64), 1e-3)
    values[0] = np.inf
    with pytest.raises(ModelError, match="no finite number"):
        Choice.fit(values, offsets, chosen, 1e-3)
    with pytest.raises(ArtifactError, match="not finite"):
        Choice(np.array([np.nan]))
