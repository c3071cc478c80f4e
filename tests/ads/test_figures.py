"""The figures of click probabilities, by hand and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from ensue.ads import judged
from ensue.errors import DataError


def test_figures_by_hand() -> None:
    p = np.array([0.9, 0.5, 0.5, 0.1])
    y = np.array([True, True, False, False])
    found = judged({"m": p}, y, np.arange(4), draws=50)["m"]
    loss = -(math.log(0.9) + math.log(0.5) + math.log(0.5) + math.log(0.9)) / 4
    assert found.metrics["log_loss"].value == pytest.approx(loss)
    assert found.metrics["normalised_entropy"].value == pytest.approx(loss / math.log(2))
    assert found.metrics["auc"].value == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert found.metrics["predicted_to_clicked"].value == pytest.approx(2.0 / 2)


def _some(n: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    p = np.round(rng.random(n), 2) * 0.5 + 0.01
    return p, rng.random(n) < p, rng.integers(0, 40, size=n)


def test_figures_are_those_of_scikit_learn() -> None:
    p, y, groups = _some()
    found = judged({"m": p}, y, groups, draws=50)["m"].metrics
    assert found["auc"].value == pytest.approx(roc_auc_score(y, p))
    assert found["log_loss"].value == pytest.approx(log_loss(y, p))


def test_the_interval_is_a_bootstrap_over_people() -> None:
    p, y, groups = _some()
    draws = 120
    found = judged({"m": p}, y, np.unique(groups, return_inverse=True)[1], draws=draws, seed=5)
    assert (found.groups, found.over) == (40, "people")
    rng = np.random.default_rng(5)
    aucs = []
    for _ in range(draws):
        chosen = rng.integers(40, size=40)
        rows = np.concatenate([np.flatnonzero(groups == one) for one in chosen])
        aucs.append(roc_auc_score(y[rows], p[rows]))
    auc = found["m"].metrics["auc"]
    assert [auc.low, auc.high] == pytest.approx(np.quantile(aucs, [0.025, 0.975]).tolist())


def test_differences_are_paired_on_the_same_draws() -> None:
    p, y, groups = _some()
    same = judged({"a": p, "b": p.copy(), "c": np.full(len(p), y.mean())}, y, groups, draws=60)
    gap = same["b"].against["a"]["log_loss"]
    assert (gap.value, gap.low, gap.high) == (0, 0, 0)
    better = same["c"].against["a"]["log_loss"]
    assert better.low > 0  # the base rate loses more
    assert set(same["c"].against) == {"a", "b"}
    assert not same["a"].against


def test_chance_alone_makes_a_calibration_error_that_perfect_estimates_stay_below() -> None:
    p, y, groups = _some(3000)
    found = judged({"perfect": p, "too high": np.minimum(p * 2, 1)}, y, groups, draws=20)
    assert found["perfect"].calibration_error < found["perfect"].by_chance
    assert found["too high"].calibration_error > 3 * found["too high"].by_chance
    assert found["too high"].metrics["predicted_to_clicked"].low > 1.8


def test_one_kind_of_outcome_is_refused() -> None:
    with pytest.raises(DataError, match="0 of 3 impressions were clicked"):
        judged({"m": np.full(3, 0.5)}, np.zeros(3, dtype=bool), np.arange(3))
