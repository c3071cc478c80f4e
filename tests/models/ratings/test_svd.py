"""SVD and SVD++: the objective by hand, its gradient, and what it comes to beside a descent rating by rating."""

from __future__ import annotations

import numpy as np
import pytest

from ensue.model import Training
from ensue.models.ratings.rating_model import Rated
from ensue.models.ratings.svd import SVD, SquaredError, SVDPlusPlus
from ensue.sequences import Sequences
from ensue.splits import Split


@pytest.fixture(scope="module")
def sequences(parts: Split) -> Sequences:
    return Training.of(parts.train).sequences.head(6)


@pytest.mark.parametrize("implicit", [False, True])
def test_the_objective_by_hand_and_its_gradient_by_differences(
    implicit: bool, sequences: Sequences, seeded: np.random.Generator
) -> None:
    rated = Rated.of(sequences)
    error = SquaredError(rated, 2, 0.3, implicit)
    flat = seeded.normal(size=sum(int(np.prod(shape)) for shape in error.shapes.values()))
    at = error.blocks(flat)
    total = 0.0
    for s in range(6):
        begin, end = sequences.offsets[s : s + 2]
        had = sequences.items[begin:end]
        said = at["chosen"][had].sum(axis=0) / np.sqrt(len(had)) if implicit else 0.0
        for event in range(begin, end):
            item, rating = sequences.items[event], float(sequences.rating[event])  # type: ignore[index]
            p, q = at["users"][s], at["items"][item]
            off = rated.mean + at["user biases"][s] + at["item biases"][item] + (p + said) @ q - rating
            squares = p @ p + q @ q + at["user biases"][s] ** 2 + at["item biases"][item] ** 2
            squares += (at["chosen"][had] ** 2).sum() if implicit else 0.0
            total += (off**2 + 0.3 * squares) / 2
    value, gradient = error(flat)
    assert value == pytest.approx(total)
    for place in seeded.choice(len(flat), 25, replace=False):
        step = np.zeros_like(flat)
        step[place] = 1e-5
        assert gradient[place] == pytest.approx(
            (error(flat + step)[0] - error(flat - step)[0]) / 2e-5, abs=1e-4
        )


def test_what_is_solved_for_is_what_the_descent_comes_to(parts: Split) -> None:
    """The user from the history, given the items, is the user at the minimum; no vector of it was kept."""
    training = Training.of(parts.train)
    fitted = SVD(factors=2, iterations=400, regularization=0.3).fit(training)
    rated = Rated.of(training.sequences)
    error = SquaredError(rated, 2, 0.3, False)
    found = error.least(400, np.random.default_rng(0), lambda: None)
    users = fitted.scoring.users(training.sequences.queries())[:, 0]  # type: ignore[attr-defined]
    np.testing.assert_allclose(users, np.column_stack([found["users"], found["user biases"]]), atol=5e-3)


def by_gradient_descent(rated: Rated, implicit: bool, epochs: int, rate: float, reg: float) -> float:
    """The objective that is reached rating by rating, as the papers describe it."""
    rng = np.random.default_rng(1)
    n, m = rated.chosen.shape
    p, q = rng.normal(0, 0.1, (n, 2)), rng.normal(0, 0.1, (m, 2))
    y, b, c = np.zeros((m, 2)), np.zeros(n), np.zeros(m)
    had = [rated.chosen[u].indices for u in range(n)]
    for _ in range(epochs):
        for event in rng.permutation(len(rated.above)):
            u, i = rated.users[event], rated.items[event]
            said = y[had[u]].sum(axis=0) / np.sqrt(len(had[u])) if implicit else 0.0
            off = rated.above[event] - b[u] - c[i] - (p[u] + said) @ q[i]
            p_old = p[u] + said
            b[u] += rate * (off - reg * b[u])
            c[i] += rate * (off - reg * c[i])
            p[u] += rate * (off * q[i] - reg * p[u])
            if implicit:
                y[had[u]] += rate * (off * q[i] / np.sqrt(len(had[u])) - reg * y[had[u]])
            q[i] += rate * (off * p_old - reg * q[i])
    blocks = {"users": p, "user biases": b, "items": q, "item biases": c} | (
        {"chosen": y} if implicit else {}
    )
    error = SquaredError(rated, 2, reg, implicit)
    return error(np.concatenate([blocks[name].ravel() for name in error.shapes]))[0]


@pytest.mark.parametrize("model", [SVD, SVDPlusPlus])
def test_all_at_once_goes_as_low_as_rating_by_rating(
    model: type[SVD] | type[SVDPlusPlus], parts: Split
) -> None:
    rated = Rated.of(Training.of(parts.train).sequences.head(15))
    reference = by_gradient_descent(rated, model.implicit, 100, 0.03, 0.1)
    error = SquaredError(rated, 2, 0.1, model.implicit)
    found = error.least(100, np.random.default_rng(0), lambda: None)
    lowest = error(np.concatenate([found[name].ravel() for name in error.shapes]))[0]
    assert lowest < 1.02 * reference
    assert reference < 1.25 * lowest
