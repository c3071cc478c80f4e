"""What every model of ratings keeps: its scale, its answers after storage and in any batch, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue import artifacts, runtime
from ensue.errors import ArtifactError, ConfigError, ModelError
from ensue.events.log import EventLog
from ensue.expected_ratings import BOTH, Scale, answers_ratings
from ensue.model import Conditions, Model, Training, model_of, models
from ensue.models.ratings.bayesian import Bayesian
from ensue.models.ratings.blend import Blend
from ensue.models.ratings.rating_model import RatingModel
from ensue.models.ratings.svd import SVD, SVDPlusPlus
from ensue.questions import Question
from ensue.ranking import Recommender
from ensue.rating_evaluation import evaluate_ratings
from ensue.sequences import Queries
from ensue.splits import Split

SMALL: dict[str, Model] = {
    "svd": SVD(factors=3, iterations=30),
    "svdpp": SVDPlusPlus(factors=3, iterations=30),
    "bayesian": Bayesian(factors=3, draws=40, kept=8),
    "blend": Blend(
        of=("svd", {"model": "bayesian", "factors": 3, "draws": 30, "kept": 5, "implicit": "none"})
    ),
}

Fits = Callable[[str], Recommender]


def names() -> tuple[str, ...]:
    return tuple(name for name in models.names() if issubclass(models.get(name), RatingModel))


@pytest.fixture(scope="module")
def fit(parts: Split) -> Fits:
    return cache(lambda name: SMALL[name].fit(Training.of(parts.train)))


def test_these_are_all_models_of_ratings() -> None:
    assert sorted(names()) == sorted(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_planted_tastes_are_found_beyond_biases(name: str, fit: Fits, parts: Split) -> None:
    fitted = fit(name)
    found = evaluate_ratings(fitted, parts.examples("test", fitted.catalogue), training=parts.train)
    assert answers_ratings(fitted)
    assert found.value("rmse") < found.baselines[BOTH].warm.value("rmse") - 0.1
    assert found.against[BOTH].difference.high < 0


@pytest.mark.parametrize("name", SMALL)
def test_stored_it_answers_alike(name: str, fit: Fits, parts: Split, tmp_path: Path) -> None:
    fitted = fit(name)
    queries = parts.examples("test", fitted.catalogue).queries[:50]
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    np.testing.assert_array_equal(loaded.scores(queries), fitted.scores(queries))
    assert (loaded.model, loaded.settings, loaded.facts) == (name, fitted.settings, fitted.facts)


@pytest.mark.parametrize("name", SMALL)
def test_alone_in_a_batch_and_for_one_item_it_answers_alike(name: str, fit: Fits, parts: Split) -> None:
    fitted = fit(name)
    examples = parts.examples("test", fitted.catalogue)
    queries, targets = examples.queries[:60], examples.targets[:60]
    together = fitted.scores(queries)
    shuffled = np.random.default_rng(0).permutation(60)
    np.testing.assert_allclose(fitted.scores(queries[shuffled]), together[shuffled], rtol=0, atol=1e-9)
    alone = np.concatenate([fitted.scores(queries[q : q + 1]) for q in range(5)])
    np.testing.assert_allclose(alone, together[:5], rtol=0, atol=1e-9)
    one_each = fitted.scoring.expected_of(queries, targets)  # type: ignore[attr-defined]
    np.testing.assert_allclose(one_each, together[np.arange(60), targets], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", SMALL)
def test_answers_follow_the_ratings_of_the_history_and_stay_inside_the_scale(name: str, fit: Fits) -> None:
    fitted = fit(name)
    films = fitted.catalogue.ids[:12].to_list()
    low, high, none = (
        fitted.recommend(Question(films, ratings=ratings), 40, exclude_seen=False)
        for ratings in ([1.0] * 12, [5.0] * 12, None)
    )
    means = [np.mean(slate.scores) for slate in (low, none, high)]
    assert means[0] + 0.5 < means[1] < means[2] - 0.5
    every = [score for slate in (low, high, none) for score in slate.scores]
    assert 1.0 <= min(every) <= max(every) <= 5.0


@pytest.mark.parametrize("name", SMALL)
def test_same_seed_same_answers(name: str, fit: Fits, parts: Split) -> None:
    again, other = (
        SMALL[name]
        .fit(Training.of(parts.train), Conditions(seed=seed))
        .scores(parts.examples("test", fit(name).catalogue).queries[:5])
        for seed in (0, 1)
    )
    np.testing.assert_array_equal(
        again, fit(name).scores(parts.examples("test", fit(name).catalogue).queries[:5])
    )
    assert (again != other).any()


@pytest.mark.parametrize("name", SMALL)
def test_a_log_without_ratings_is_refused_with_the_remedy(name: str, ring_log: EventLog) -> None:
    message = rf"^{re.escape(name)}: the log has no ratings.*--columns rating=NAME"
    with pytest.raises(ModelError, match=message):
        SMALL[name].fit(Training.of(ring_log))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("breaking", ["short", "not finite"])
def test_damaged_arrays_are_refused(name: str, breaking: str, fit: Fits) -> None:
    fitted = fit(name)
    parts = fitted.scoring.parts()
    broken = next(key for key in parts.arrays if key.endswith(("factors", "precision")))
    array = parts.arrays[broken]
    wrong = array[..., :-1] if breaking == "short" else np.full_like(array, np.nan)
    with pytest.raises(ArtifactError, match="damaged"):
        SMALL[name].restore(replace(parts, arrays={**parts.arrays, broken: wrong}), fitted.catalogue)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("svd", {"factors": 0}, "factors=0 must be at least 1"),
        ("svdpp", {"regularization": 0.0}, "regularization=0 must be a number above 0"),
        ("bayesian", {"draws": 0}, "draws=0 must be at least 1"),
        ("bayesian", {"burn_in": 1.0}, "burn_in=1 must lie from 0 up to 1"),
        ("bayesian", {"implicit": "all"}, "implicit='all' must be one of both"),
        ("blend", {"of": "svd"}, r"of='svd' must be a list, such as \['svd'\]"),
        ("blend", {"of": ()}, "of names 0 models"),
        ("blend", {"of": ({"factors": 3},)}, "needs names, or tables with the key 'model'"),
        ("blend", {"of": ("svd",), "weights": (1.0,)}, "weights has 1 entries for 1 models, and needs 2 or none"),
        ("blend", {"held": 1.0}, "held=1 must lie between 0 and 1"),
        ("blend", {"ridge": 0.0}, "ridge=0 must be a number above 0"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(model: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model_of(model, **settings)


# ------------------------------------------------------------------------------------------- scales


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ([1, 2, 3, 4, 5], "ratings from 1 to 5 in steps of 1"),
        ([0.5, 5.0, 3.5, 4.0], "ratings from 0.5 to 5 in steps of 0.5"),
        ([-1, 0, 1], "ratings from -1 to 1 in steps of 1"),
        ([0, 5, 35, 100], "ratings from 0 to 100 in steps of 5"),
        ([0.0, 1.0, 1.7], "ratings from 0 to 1.7, 3 different ones"),
        ([4, 4], "all ratings are 4"),
    ],
)
def test_a_scale_in_words(levels: list[float], words: str) -> None:
    assert Scale.of(np.array([*levels, np.nan], dtype=np.float32)).words() == words


@given(st.floats(-50, 50), st.integers(1, 40), st.sampled_from([0.1, 0.5, 1.0, 5.0]))
def test_an_even_scale_is_found_wherever_it_lies(low: float, levels: int, step: float) -> None:
    ratings = (low + step * np.arange(levels + 1)).astype(np.float32)
    found = Scale.of(ratings)
    assert (found.lowest, found.highest, found.levels) == (ratings[0], ratings[-1], levels + 1)
    assert found.step == pytest.approx(step, rel=1e-3)


def test_a_network_says_its_scale_too(parts: Split) -> None:
    """In its facts, as every recommender that answers with ratings."""
    settings = {"width": 4, "epochs": 1, "loss": "mean-squared-error", "inputs": ("rating",)}
    fitted = model_of("gru", **settings).fit(Training.of(parts.train))
    assert fitted.facts["scale"] == {"lowest": 1.0, "highest": 5.0, "step": 1.0, "levels": 5}


def test_an_event_without_a_rating_tells_what_was_chosen_alone(parts: Split) -> None:
    """Ratings that are missing are no ratings: neither 0 nor the mean."""
    log = parts.train
    holes = EventLog.of(
        log.frame.with_columns(rating=pl.when(pl.col("row") % 4 == 0).then(None).otherwise("rating"))
    )
    fitted = SVD(factors=2, iterations=10).fit(Training.of(holes))
    kept = log.frame.filter(pl.col("row") % 4 != 0)["rating"].to_numpy().astype(np.float32)
    assert fitted.facts["mean_rating"] == pytest.approx(kept.mean(dtype=np.float64))
    one = Queries.of([[1, 2, 3]], len(fitted.catalogue))
    rated = replace(one, rating=np.array([np.nan, 4.0, np.nan], dtype=np.float32))
    alone = replace(Queries.of([[2]], len(fitted.catalogue)), rating=np.array([4.0], dtype=np.float32))
    np.testing.assert_allclose(fitted.scores(rated), fitted.scores(alone), atol=1e-12)
