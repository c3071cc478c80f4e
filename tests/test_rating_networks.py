"""Networks that rate: the epoch that is kept, how far a refit goes, and that one saved and loaded is as far off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import ensue
from ensue import judging
from ensue.events.log import EventLog
from ensue.expected_ratings import GLOBAL, answers_ratings
from ensue.judging import Judge
from ensue.model import Conditions, Model, Training, model_of, refit
from ensue.ranking import Recommender
from ensue.rating_evaluation import METRICS, evaluate_ratings
from ensue.splits import Split, last_out


@pytest.fixture(scope="module")
def rated() -> Split:
    """40 users who rate 12 of 10 items by what the item is worth, half a star up or down by who they are."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(40), 12)
    items = rng.integers(0, 10, len(users))
    liking = 1 + items % 5 + np.where(users % 2, 0.5, -0.5) + 0.3 * rng.standard_normal(len(users))
    frame = pl.DataFrame({"user": users.astype(str), "item": items.astype(str), "rating": liking})
    time = pl.int_range(pl.len()).cast(pl.Datetime("us", "UTC")).alias("time")
    return last_out(EventLog.of(frame.with_columns(time)))


@pytest.fixture(scope="module")
def training(rated: Split) -> Training:
    learnt = Training.of(rated.train, exclude_seen=False)
    return replace(learnt, validation=rated.examples("validation", learnt.catalogue))


def network(**settings: Any) -> Model:
    plain: dict[str, Any] = {
        "width": 8,
        "length": 6,
        "bias": True,
        "loss": "mean-squared-error",
        "epochs": 30,
        "patience": 3,
        "batch_tokens": 128,
        "learning_rate": 5e-2,
        "ema": 0.0,
    }
    return model_of("lstm", **plain | settings)


@pytest.fixture(scope="module")
def fitted(training: Training) -> Recommender:
    return network().fit(training, Conditions(seed=1))


def test_the_epoch_of_a_rating_network_is_that_of_the_least_error(
    training: Training, fitted: Recommender
) -> None:
    scores = [epoch["score"] for epoch in fitted.facts["history"]]
    best = scores.index(min(scores)) + 1
    assert 1 < best < len(scores) < 30, "nothing is shown"
    assert len(scores) == best + 3
    chosen = fitted.facts["chosen"]
    assert (chosen["metric"], chosen["epoch"], chosen["score"]) == ("rmse", best, min(scores))
    assert chosen["step"] == fitted.facts["steps"] * best // len(scores)
    assert training.validation is not None
    found = evaluate_ratings(fitted, training.validation)
    assert found.value("rmse") == pytest.approx(chosen["score"], rel=1e-6)


def test_a_refit_goes_as_far_and_still_says_that_it_rates(rated: Split, fitted: Recommender) -> None:
    again = refit(network(), fitted, Training.of(rated.before_test, exclude_seen=False), Conditions(seed=1))
    assert again.facts["steps"] == fitted.facts["chosen"]["step"]
    assert answers_ratings(again)
    mean = rated.before_test.frame["rating"].cast(pl.Float32).cast(pl.Float64).mean()
    assert again.facts["mean_rating"] == pytest.approx(mean)
    assert again.facts["mean_rating"] != fitted.facts["mean_rating"]


def test_ratings_are_judged_by_as_many_targets_however_many_items_there_are(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One score is one rating: nothing is ranked."""
    whole = Judge.of(training, 5000, rates=True).examples
    monkeypatch.setattr(judging, "SCORES_JUDGED", 1)
    monkeypatch.setattr(judging, "FEWEST_JUDGED", 1)
    found = Judge.of(training, 5000, rates=True).examples
    assert whole is not None
    assert found is not None
    assert len(found) == len(whole) > 1


def test_only_rated_known_targets_are_validated_and_without_any_all_epochs_are_trained(
    training: Training,
) -> None:
    validation = training.validation
    assert validation is not None
    assert validation.target_ratings is not None
    some = validation.target_ratings.copy()
    some[::2] = np.nan
    half = replace(validation, target_ratings=some)
    first = network(epochs=1).fit(replace(training, validation=half))
    assert first.facts["chosen"]["score"] == pytest.approx(evaluate_ratings(first, half).value("rmse"))
    none = replace(validation, target_ratings=np.full(len(validation), np.nan, dtype=np.float32))
    said: list[str] = []

    class Told:
        def __getattr__(self, name: str) -> Any:
            return getattr(Conditions().progress, name)

        def say(self, text: str) -> None:
            said.append(text)

    blind = network(epochs=5, patience=1).fit(replace(training, validation=none), Conditions(progress=Told()))
    assert (blind.facts["chosen"], blind.facts["epochs"]) == (None, 5)
    assert "score" not in blind.facts["history"][-1]
    assert any("no known item of the validation part was rated" in text for text in said), said


def test_other_networks_are_still_chosen_by_ranking(training: Training) -> None:
    ranks = network(loss="cross-entropy", epochs=2).fit(training)
    scores = [epoch["score"] for epoch in ranks.facts["history"]]
    assert (ranks.facts["chosen"]["metric"], ranks.facts["chosen"]["score"]) == ("ndcg@10", max(scores))
    assert not answers_ratings(ranks)


@pytest.mark.parametrize("loss", ["mean-squared-error", "ordinal-cross-entropy"])
def test_a_saved_network_is_as_far_off_as_the_fitted_one(
    rated: Split, training: Training, loss: str, tmp_path: Path
) -> None:
    stars = replace(rated, log=EventLog.of(rated.log.frame.with_columns(pl.col("rating").round(0))))
    learnt = Training.of(stars.before_test, exclude_seen=False)
    fitted = network(loss=loss, epochs=6, learning_rate=2e-2).fit(learnt)
    ensue.save(fitted, tmp_path / "model")
    loaded = ensue.load(tmp_path / "model")
    assert answers_ratings(loaded)
    found, first = ensue.evaluate_ratings(loaded, stars), evaluate_ratings(fitted, stars)
    for name in METRICS:
        assert found.value(name) == pytest.approx(first.value(name), rel=1e-5)
    assert found.counts == first.counts
    assert found.value("rmse") < 0.8 * found.baselines[GLOBAL].warm.value("rmse")
