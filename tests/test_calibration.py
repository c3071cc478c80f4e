"""Calibration against arithmetic, brute force, scikit-learn, and a model whose probabilities are true."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import exp, log
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ensue.calibration import (
    LEAST,
    LOGITS,
    PROBABILITIES,
    auc_global,
    binary_log_loss,
    calibration_error,
    reliability,
    scale_of,
)
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, DataError
from ensue.evaluation import evaluate
from ensue.examples import Examples
from ensue.ranking import Parts, Recommender
from ensue.sequences import Queries

Floats = NDArray[np.float64]

outcomes = st.lists(
    st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=1, max_size=60
)


# ------------------------------------------------------------------------------------------------ binary


def test_log_loss_is_the_surprise_of_what_happened() -> None:
    p, y = np.array([0.9, 0.2, 0.5]), np.array([1, 0, 0])
    assert binary_log_loss(p, y) == pytest.approx(-(log(0.9) + log(0.8) + log(0.5)) / 3)
    assert binary_log_loss(np.array([0.0]), np.array([1])) == pytest.approx(-log(LEAST))
    assert binary_log_loss(np.array([0.0, 1.0]), np.array([0, 1])) == 0


def test_the_error_is_the_mean_gap_of_bins_of_equal_mass() -> None:
    # two bins of three: means .2 and .7, of which 1 of 3 and 1 of 3 came true
    p = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.8])
    y = np.array([0, 0, 1, 0, 1, 0])
    table = reliability(p, y, bins=2)
    assert table.confidence.tolist() == pytest.approx([0.2, 0.7])
    assert table.accuracy.tolist() == pytest.approx([1 / 3, 1 / 3])
    assert table.counts.tolist() == [3, 3]
    assert calibration_error(p, y, bins=2) == pytest.approx((3 * (1 / 3 - 0.2) + 3 * (0.7 - 1 / 3)) / 6)
    assert table.to_json()[0] == {
        "confidence": pytest.approx(0.2),
        "accuracy": pytest.approx(1 / 3),
        "count": 3,
    }


def test_equal_probabilities_are_in_one_bin() -> None:
    table = reliability(np.full(40, 0.25), np.arange(40) % 4 == 0)
    assert (table.counts.tolist(), table.error) == ([40], 0)


@given(outcomes, st.randoms(use_true_random=False))
def test_the_order_of_the_events_changes_nothing_and_the_bins_hold_all(
    told: list[tuple[float, bool]], random: Any
) -> None:
    def of(rows: list[tuple[float, bool]]) -> tuple[float, list[int]]:
        p, y = np.array([p for p, _ in rows]), np.array([y for _, y in rows])
        table = reliability(p, y, bins=5)
        assert table.counts.sum() == len(rows)
        assert (np.diff(table.confidence) > 0).all()
        assert len(table.counts) <= 5
        return calibration_error(p, y, bins=5), table.counts.tolist()

    mixed = list(told)
    random.shuffle(mixed)
    error, counts = of(told)
    other, same = of(mixed)
    assert error == pytest.approx(other)
    assert counts == same


@given(outcomes)
def test_auc_compares_all_with_all(told: list[tuple[float, bool]]) -> None:
    scores, y = np.array([p for p, _ in told]), np.array([y for _, y in told])
    if y.all() or not y.any():
        with pytest.raises(DataError, match="AUC compares"):
            auc_global(scores, y)
        return
    pairs = [(a > b) + (a == b) / 2 for a in scores[y] for b in scores[~y]]
    assert auc_global(scores, y) == pytest.approx(sum(pairs) / len(pairs))


def test_scikit_learn_agrees(seeded: np.random.Generator) -> None:
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import log_loss, roc_auc_score

    p = seeded.beta(0.5, 3, 2_000)
    y = seeded.random(2_000) < p**1.3
    assert binary_log_loss(p, y) == pytest.approx(log_loss(y, p))
    assert auc_global(p, y) == pytest.approx(roc_auc_score(y, p))
    coarse = np.round(p, 1)
    assert auc_global(coarse, y) == pytest.approx(roc_auc_score(y, coarse))
    true, predicted = calibration_curve(y, p, n_bins=15, strategy="quantile")
    table = reliability(p, y)
    assert table.confidence == pytest.approx(predicted)
    assert table.accuracy == pytest.approx(true)


def test_true_probabilities_have_a_small_error_and_others_have_theirs(seeded: np.random.Generator) -> None:
    p = seeded.random(50_000)
    y = seeded.random(50_000) < p
    assert calibration_error(p, y) < 0.02
    assert calibration_error(p / 2, y) == pytest.approx(0.25, abs=0.02), "half of a mean of 1/2 is missing"


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        ([], [], "give one outcome for each value"),
        ([0.5], [1, 0], "give one outcome for each value"),
        ([0.5], [2], "outcome 2 is neither 0 nor 1"),
        ([np.nan], [1], "1 of 1 values are not numbers"),
        ([1.5], [1], r"1\.5 is no probability"),
        ([-0.1], [0], r"-0\.1 is no probability"),
    ],
)
def test_what_is_no_probability_or_outcome_is_refused(p: list[float], y: list[int], message: str) -> None:
    for measure in (binary_log_loss, calibration_error):
        with pytest.raises(DataError, match=message):
            measure(np.array(p), np.array(y))


# ------------------------------------------------------------------------------------ of ranking models


@dataclass(frozen=True, eq=False)
class Said:
    """Scores by the last item of a history, and what they are said to be."""

    rows: NDArray[Any]
    scores_are: str | None = LOGITS

    def score(self, queries: Queries) -> NDArray[Any]:
        """The row of each history's last item."""
        return self.rows[queries.last(1)[:, 0]]

    def parts(self) -> Parts:
        """The table."""
        return Parts(arrays={"rows": self.rows})


def recommender(
    rows: Any, scores_are: str | None = LOGITS, exclude_seen: bool = False, **facts: object
) -> Recommender:
    n = len(rows)
    known = Catalogue(pl.Series("item", [f"i{item}" for item in range(n)]), np.ones(n, dtype=np.int64))
    return Recommender(
        known, Said(np.asarray(rows), scores_are), "said", exclude_seen=exclude_seen, facts=facts
    )


def asked(histories: list[list[int]], targets: list[int], n: int, users: list[int] | None = None) -> Examples:
    groups = np.arange(len(targets)) if users is None else np.array(users)
    ids = pl.Series("user", [f"u{user}" for user in range(len(targets))])
    names = pl.Series("item", [f"i{target}" for target in targets])
    return Examples(
        Queries.of(histories, n), np.array(targets, dtype=np.int32), groups, ids, names, "by hand"
    )


ROWS = np.log([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.25, 0.5, 0.25]]) + np.array([[3.0], [-2.0], [0.0]])


def test_the_loss_is_that_of_the_softmax_and_a_mean_over_users() -> None:
    examples = asked([[0], [0], [1]], [0, 2, 2], 3, users=[0, 0, 1])
    found = evaluate(recommender(ROWS), examples, probabilities=True).probabilities
    assert found is not None
    assert found.log_loss.value == pytest.approx((-(log(0.5) + log(0.2)) / 2 - log(0.7)) / 2)
    # the best: .5 was right once and wrong once, .7 was right
    assert found.reliability.counts.sum() == 3
    assert found.calibration_error == pytest.approx((2 * abs(1 / 2 - 0.5) + 1 * (1 - 0.7)) / 3)
    assert (found.scores_are, found.targets, found.left_out) == ("logits", 3, 0)


def test_probabilities_are_over_the_candidates() -> None:
    found = evaluate(
        recommender(ROWS, exclude_seen=True), asked([[0]], [2], 3), probabilities=True
    ).probabilities
    assert found is not None
    assert found.log_loss.value == pytest.approx(-log(0.2 / (0.3 + 0.2)))
    assert found.reliability.confidence.tolist() == pytest.approx([0.3 / (0.3 + 0.2)])


def test_scores_that_are_probabilities_are_divided_by_their_sum() -> None:
    shares = 4 * np.exp(ROWS) / np.exp(ROWS).sum(axis=1, keepdims=True)
    examples = asked([[0], [1], [2]], [1, 0, 2], 3)
    as_logits = evaluate(recommender(ROWS, exclude_seen=True), examples, probabilities=True).probabilities
    found = evaluate(recommender(shares, PROBABILITIES, True), examples, probabilities=True).probabilities
    assert found is not None
    assert as_logits is not None
    assert found.log_loss.value == pytest.approx(as_logits.log_loss.value)
    assert found.calibration_error == pytest.approx(as_logits.calibration_error)
    never = evaluate(recommender([[1.0, 0.0]] * 2, PROBABILITIES), asked([[0]], [1], 2), probabilities=True)
    assert never.probabilities is not None
    assert never.probabilities.log_loss.value == pytest.approx(-log(LEAST))


def test_what_cannot_be_served_or_has_no_history_is_left_out() -> None:
    examples = asked([[0], [], [1, 2], [1]], [-1, 0, 2, 0], 3)
    found = evaluate(recommender(ROWS, exclude_seen=True), examples, probabilities=True)
    assert found.probabilities is not None
    assert (found.probabilities.targets, found.probabilities.left_out) == (1, 3)
    assert found.probabilities.log_loss.value == pytest.approx(-log(0.1 / (0.1 + 0.7)))
    none = evaluate(recommender(ROWS), asked([[0]], [-1], 3), probabilities=True)
    assert none.probabilities is None


def test_the_best_of_equals_is_the_one_that_is_served() -> None:
    tied = np.zeros((4, 4))
    found = evaluate(recommender(tied), asked([[3]] * 4, [0, 1, 2, 3], 4), probabilities=True).probabilities
    assert found is not None
    assert found.reliability.to_json() == [{"confidence": 1 / 4, "accuracy": 1 / 4, "count": 4}]
    assert found.log_loss.value == pytest.approx(log(4))


def test_large_logits_overflow_nothing() -> None:
    rows = np.array([[3e4, 0.0], [0.0, -3e4]], dtype=np.float32)
    found = evaluate(
        recommender(rows), asked([[0], [0], [1]], [0, 1, 0], 2), probabilities=True
    ).probabilities
    assert found is not None
    assert found.log_loss.value == pytest.approx((0 + 3e4 + 0) / 3)


def test_only_scores_that_are_said_to_be_probabilities_are_taken_for_them() -> None:
    examples = asked([[0], [1]], [0, 2], 3)
    for answers in (recommender(ROWS, None), recommender(ROWS, answers="ratings", mean_rating=3.0)):
        assert scale_of(answers) is None
        found = evaluate(answers, examples, probabilities=True)
        assert found.probabilities is None
        assert found.to_json()["probabilities"] is None
    assert evaluate(recommender(ROWS), examples).probabilities is None, "and only on request"


def test_a_model_that_knows_the_truth_is_calibrated_and_a_bold_one_is_not(
    seeded: np.random.Generator,
) -> None:
    logits = seeded.standard_normal((6, 6))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    last = seeded.integers(0, 6, 6_000)
    targets = [int(seeded.choice(6, p=true[item])) for item in last]
    examples = asked([[int(item)] for item in last], targets, 6)
    knows = evaluate(recommender(logits), examples, metrics=["ndcg@3"], probabilities=True)
    bold = evaluate(recommender(3 * logits), examples, metrics=["ndcg@3"], probabilities=True)
    assert knows.probabilities is not None
    assert bold.probabilities is not None
    assert knows.value("ndcg@3") == bold.value("ndcg@3"), "rankings cannot tell them apart"
    assert knows.probabilities.calibration_error < 0.03 < 0.2 < bold.probabilities.calibration_error
    assert knows.probabilities.log_loss.high < bold.probabilities.log_loss.low
    entropy = -(true * np.log(true)).sum(axis=1)[last].mean()
    assert knows.probabilities.log_loss.value == pytest.approx(entropy, abs=0.03)
    (line,) = knows.probabilities.lines()
    assert line.startswith("scores through a softmax: log-loss ")
    assert line in knows.lines()
    json.dumps(knows.to_json(), allow_nan=False)
    assert exp(-knows.probabilities.log_loss.value) > 1 / 6


def test_probabilities_among_a_few_candidates_are_refused() -> None:
    from ensue.candidates import Candidates

    answers, examples = recommender(ROWS), asked([[0], [1]], [1, 2], 3)
    drawn = Candidates.sampled(examples, answers.catalogue, 1, 0, False)
    for wanted in ({"probabilities": True}, {"slates": True}):
        with pytest.raises(ConfigError, match="those of full ranking: leave the candidates out"):
            evaluate(answers, examples, candidates=drawn, **wanted)  # type: ignore[arg-type]
    allowed = evaluate(answers, examples, candidates=drawn, curves=True, segments=("history",))
    assert allowed.curves is not None
    assert allowed.segments["history"][0].figures.targets == 2
    assert replace(allowed, curves=None).to_json()["curves"] is None
