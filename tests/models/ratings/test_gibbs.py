"""Draws of one side of a table: from the very distribution that the equations give."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from ensue.model import Training
from ensue.models.ratings.bayesian import Bayesian
from ensue.models.ratings.gibbs import Side, _wishart
from ensue.splits import Split

DRAWS = 4000


def sides(rng: np.random.Generator, features: sp.csr_matrix | None = None) -> tuple[Side, Side]:
    counts = sp.csr_matrix(np.array([[1.0, 0, 1], [0, 1, 0], [0, 0, 0]]))
    ratings = sp.csr_matrix(np.array([[0.5, 0, -1.0], [0, 2.0, 0], [0, 0, 0]]))
    return (
        Side(ratings, counts, features, 1, rng),
        Side(sp.csr_matrix(ratings.T), sp.csr_matrix(counts.T), None, 1, rng),
    )


def test_vectors_are_drawn_with_the_mean_and_spread_of_the_equations(seeded: np.random.Generator) -> None:
    """User 0 rated items 0 and 2, user 1 item 1, and user 2, who rated nothing, is as everybody is expected to be."""
    users, items = sides(seeded)
    items.vectors = np.array([[1.0, 0.2], [-0.5, 0.1], [0.3, -0.4]])
    users.centre = np.array([0.3, -0.2])
    users.precision = np.array([[2.0, 0.5], [0.5, 1.0]])
    drawn = []
    for _ in range(DRAWS):
        users.draw(items, 1.5)
        drawn.append(users.vectors)
    found = np.array(drawn)
    prior = users.precision
    for user, rated in enumerate([[(0, 0.5), (2, -1.0)], [(1, 2.0)], []]):
        left, right = prior.copy(), prior @ users.centre
        for item, above in rated:
            y = np.array([items.vectors[item, 0], 1.0])
            left += 1.5 * np.outer(y, y)
            right += 1.5 * (above - items.vectors[item, 1]) * y
        spread = np.linalg.inv(left)
        error = 4 * np.sqrt(np.diag(spread) / DRAWS)
        assert (np.abs(found[:, user].mean(axis=0) - np.linalg.solve(left, right)) < error).all()
        np.testing.assert_allclose(np.cov(found[:, user].T), spread, atol=0.12 * spread.max())


def test_a_wishart_draw_has_its_mean(seeded: np.random.Generator) -> None:
    scale = np.array([[0.5, 0.2], [0.2, 0.3]])
    mean = np.mean([_wishart(scale, 7.0, seeded) for _ in range(DRAWS)], axis=0)
    np.testing.assert_allclose(mean, 7 * scale, atol=0.15)


def test_what_features_share_is_drawn_around_the_ridge_of_the_vectors(seeded: np.random.Generator) -> None:
    features = sp.csr_matrix(np.array([[1.0, 0.0], [1.0, 2.0], [0.0, 1.0]]))
    users, _ = sides(seeded, features)
    fixed = np.array([[1.0, 0.0], [2.0, -1.0], [0.5, 0.5]])
    found = []
    for _ in range(DRAWS):
        users.vectors, users.sharing_precision = fixed, 0.8
        users.precision, users.centre = np.eye(2), np.zeros(2)
        users._draw_precision = lambda: setattr(users, "_mean", np.zeros(2))  # type: ignore[method-assign]
        users.believe()
        centred = fixed - users.centre
        x = features.toarray()
        ridge = np.linalg.solve(x.T @ x + 0.8 * np.eye(2), x.T @ centred)
        assert users.sharing is not None
        found.append(users.sharing - ridge)
    beyond = np.array(found)
    spread = np.linalg.inv(x.T @ x + 0.8 * np.eye(2))
    assert np.abs(beyond.mean(axis=0)).max() < 4 * np.sqrt(spread.max() / DRAWS)
    np.testing.assert_allclose(np.cov(beyond[:, :, 0].T), spread, atol=0.12 * spread.max())


def test_the_weight_of_a_rating_is_that_of_the_noise(parts: Split) -> None:
    """Ratings are rounded after noise of 0.3: together a variance of about 0.3^2 + 1/12."""
    fitted = Bayesian(factors=3, draws=60, kept=5).fit(Training.of(parts.before_test))
    assert fitted.facts["rating_precision"] == pytest.approx(1 / (0.3**2 + 1 / 12), rel=0.35)


@pytest.mark.parametrize("implicit", ["both", "users", "items", "none"])
def test_what_a_user_had_is_stored_only_where_it_tells(implicit: str, parts: Split) -> None:
    training = Training.of(parts.train)
    model = Bayesian(factors=2, draws=6, kept=2, implicit=implicit, most=5)
    arrays = model.fit(training).scoring.parts().arrays
    assert ("implicit" in arrays) == (implicit in ("both", "users"))
    if "implicit" in arrays:
        assert (arrays["implicit"][:, 5:] == 0).all()
        assert (arrays["implicit"][:, :5] != 0).all()
    assert not any("user" in name for name in arrays)


def test_draws_are_kept_after_the_burn_in(parts: Split) -> None:
    training = Training.of(parts.train)
    kept = Bayesian(factors=2, draws=10, burn_in=0.5, kept=100).fit(training)
    assert kept.facts["draws"] == 5
    late = Bayesian(factors=2, draws=10, burn_in=0.9, kept=100).fit(training)
    np.testing.assert_array_equal(
        late.scoring.parts().arrays["factors"][0], kept.scoring.parts().arrays["factors"][-1]
    )
