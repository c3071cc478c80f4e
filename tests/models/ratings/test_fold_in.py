"""The user that is solved for is the one of the equations, written out history by history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ensue.batching import Items
from ensue.models.ratings import fold_in
from ensue.models.ratings.fold_in import FactorRatings
from ensue.sequences import Queries

N, WIDTH, SAMPLES = 7, 3, 2


def scoring(rng: np.random.Generator, *, implicit: bool, per_rating: bool) -> FactorRatings:
    roots = rng.normal(size=(SAMPLES, WIDTH, WIDTH))
    return FactorRatings(
        rng.normal(size=(SAMPLES, N, WIDTH)),
        roots @ roots.transpose(0, 2, 1) + np.eye(WIDTH),
        rng.normal(size=(SAMPLES, WIDTH)),
        np.array([0.7, 1.9]),
        3.0,
        1.0,
        5.0,
        rng.normal(size=(SAMPLES, N, WIDTH)) if implicit else None,
        per_rating,
    )


def by_hand(one: FactorRatings, items: Items, ratings: np.ndarray) -> np.ndarray:
    """`[S, D + 1]` the solution of the equations in the docstring, event by event."""
    found = []
    for s in range(SAMPLES):
        left, right, number = np.zeros((WIDTH, WIDTH)), np.zeros(WIDTH), 0
        middle = one.centre[s].copy()
        for item, rating in zip(items, ratings, strict=True):
            if one.implicit is not None:
                middle += one.implicit[s, item] / np.sqrt(len(items))
            if not np.isnan(rating):
                y = np.append(one.factors[s, item, :-1], 1.0)
                left += one.weights[s] * np.outer(y, y)
                right += one.weights[s] * (rating - one.mean - one.factors[s, item, -1]) * y
                number += 1
        prior = one.precision[s] * (max(number, 1) if one.per_rating else 1)
        found.append(np.linalg.solve(left + prior, right + prior @ middle))
    return np.array(found)


@pytest.mark.parametrize("most", [10**6, 40])
@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("per_rating", [True, False])
def test_every_history_by_hand(
    implicit: bool, per_rating: bool, most: int, seeded: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefixes of one sequence, the whole of another, stretches that begin in the middle; in blocks too."""
    monkeypatch.setattr(fold_in, "NUMBERS_AT_ONCE", most)
    one = scoring(seeded, implicit=implicit, per_rating=per_rating)
    items = seeded.integers(0, N, 30).astype(np.int32)
    ratings = seeded.integers(1, 6, 30).astype(np.float32)
    ratings[[2, 11, 12, 13]] = np.nan
    starts = np.array([12, 0, 0, 0, 20, 5, 0, 11, 20])
    ends = np.array([20, 1, 9, 9, 30, 9, 30, 14, 25])
    queries = Queries(items, starts, ends, N, rating=ratings)
    expected = [by_hand(one, items[a:b], ratings[a:b]) for a, b in zip(starts, ends, strict=True)]
    np.testing.assert_allclose(one.users(queries), expected, rtol=0, atol=1e-9)
    scores = [
        np.mean(
            [3 + f[:, -1] + x[-1] + f[:, :-1] @ x[:-1] for f, x in zip(one.factors, user, strict=True)], 0
        )
        for user in expected
    ]
    np.testing.assert_allclose(one.score(queries), np.clip(scores, 1, 5), rtol=0, atol=1e-9)
    targets = np.arange(9, dtype=np.int32) % N
    np.testing.assert_allclose(
        one.expected_of(queries, targets), np.clip(scores, 1, 5)[np.arange(9), targets], rtol=0, atol=1e-9
    )


def test_without_any_rating_the_history_tells_by_what_it_holds(seeded: np.random.Generator) -> None:
    one = scoring(seeded, implicit=True, per_rating=False)
    queries = Queries.of([[1, 1, 4]], N)
    unrated = replace(queries, rating=np.full(3, np.nan, dtype=np.float32))
    assert one.implicit is not None
    middle = one.centre + (2 * one.implicit[:, 1] + one.implicit[:, 4]) / np.sqrt(3)
    for asked in (queries, unrated):
        np.testing.assert_allclose(one.users(asked)[0], middle, rtol=0, atol=1e-9)
