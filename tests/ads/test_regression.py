"""The regression against scikit-learn, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from ensue.ads.calibrating import Calibration
from ensue.ads.regression import fitted, noise
from ensue.errors import ModelError


def _data(seed: int = 0, n: int = 400, d: int = 12) -> tuple[sparse.csr_matrix, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = sparse.csr_matrix(rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.4))
    y = rng.random(n) < expit(x.toarray() @ rng.normal(size=d) - 1)
    return x, y


@pytest.mark.parametrize("l2", [0.5, 20.0])
def test_the_weights_are_those_of_scikit_learn(l2: float) -> None:
    x, y = _data()
    found = fitted(x, y, l2)
    theirs = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=1000).fit(x, y)
    np.testing.assert_allclose(found.weights, theirs.coef_[0], atol=2e-4)
    assert found.bias == pytest.approx(theirs.intercept_[0], abs=2e-4)
    np.testing.assert_allclose(expit(found.logits(x)), theirs.predict_proba(x)[:, 1], atol=1e-4)


def test_predictions_add_up_to_the_clicks_since_the_bias_is_free() -> None:
    x, y = _data(1)
    assert expit(fitted(x, y, 50.0).logits(x)).sum() == pytest.approx(y.sum(), abs=0.01)


def test_the_search_may_begin_elsewhere() -> None:
    x, y = _data(2)
    far = fitted(x, y, 300.0)
    np.testing.assert_allclose(fitted(x, y, 3.0, far).weights, fitted(x, y, 3.0).weights, atol=1e-3)


def test_the_precision_is_the_curvature_by_hand() -> None:
    x, y = sparse.csr_matrix([[1.0, 0.0], [2.0, 0.0], [0.0, 0.0]]), np.array([True, False, False])
    found = fitted(x, y, 4.0)
    p = expit(found.logits(x))
    assert found.precision[0] == pytest.approx(4 + p[0] * (1 - p[0]) + 4 * p[1] * (1 - p[1]))
    assert found.precision[1] == 4.0  # nothing was seen of it


def test_nothing_is_learnt_of_one_kind() -> None:
    x, _ = _data(n=5)
    with pytest.raises(ModelError, match="Among 5 impressions there are no clicks"):
        fitted(x, np.zeros(5, dtype=bool), 1.0)
    with pytest.raises(ModelError, match="no showings without a click"):
        fitted(x, np.ones(5, dtype=bool), 1.0)
    with pytest.raises(ModelError, match="l2=0"):
        fitted(x, np.arange(5) > 2, 0.0)


def test_noise_is_normal_and_does_not_depend_on_company() -> None:
    every = noise(200, np.arange(300), 3)
    assert abs(every.mean()) < 4 / np.sqrt(60_000)
    assert abs(every.std() - 1) < 4 / np.sqrt(2 * 60_000)
    assert abs(np.corrcoef(every[:, 0], every[:, 1])[0, 1]) < 4 / np.sqrt(200)
    np.testing.assert_array_equal(noise(200, np.array([7, 250]), 3), every[:, [7, 250]])
    assert not np.array_equal(noise(2, np.arange(3), 4), noise(2, np.arange(3), 3))


def test_isotonic_calibration_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    logits = np.round(rng.normal(size=500), 1)  # with ties
    y = rng.random(500) < expit(3 * logits - 1)
    found = Calibration.fit("isotonic", logits, y)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(logits, y)
    grid = np.concatenate([[-9.0], np.unique(logits), [9.0]])
    least = 1 / 502
    np.testing.assert_allclose(
        found.probabilities(grid), np.clip(theirs.predict(grid), least, 1 - least), atol=1e-9
    )


def test_platt_finds_the_line_that_was_planted() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=20_000) * 2
    y = rng.random(20_000) < expit(0.5 * logits - 1)
    found = Calibration.fit("platt", logits, y)
    np.testing.assert_allclose(found.x, [0.5, -1.0], atol=0.08)


@pytest.mark.parametrize("kind", ["platt", "isotonic", "none"])
def test_probabilities_rise_with_logits_and_stay_inside(kind: str) -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=200)
    y = rng.random(200) < expit(logits)
    grid = np.linspace(-30, 30, 101)
    p = Calibration.fit(kind, logits, y).probabilities(grid)  # type: ignore[arg-type]
    assert (np.diff(p) >= 0).all()
    assert 0 < p[0] < p[-1] < 1


def test_few_clicks_change_little() -> None:
    logits = np.full(400, -2.0)
    y = np.arange(400) < 4  # where 48 were expected
    line = Calibration.fit("platt", logits, y).x
    p = float(expit(line[0] * -2.0 + line[1]))
    assert 4 / 400 < p < 48 / 400
    # the slope of the penalised loss is zero there
    assert 50.0 * line[1] + 400 * p - 4 == pytest.approx(0.0, abs=1e-3)


def test_what_cannot_be_calibrated_is_left_as_it_is() -> None:
    n = 2000
    logits = np.linspace(-2, 2, n)
    for y in (np.zeros(n, dtype=bool), np.ones(n, dtype=bool), logits < 0):
        assert Calibration.fit("platt", logits, y).kind == "none"
