"""Ratings learnt beside next items, in one fit: what is learnt, saved, answered and reported of both tasks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from ensue import artifacts, runtime
from ensue.errors import ConfigError, ModelError
from ensue.events.log import EventLog
from ensue.experiment import Evaluating, Experiment, Splitting, experiment_of
from ensue.export import TorchScoring
from ensue.ladder import run
from ensue.learning import Lesson
from ensue.model import Conditions, Training, model_of
from ensue.neural_model import NeuralModel
from ensue.objective import Objective
from ensue.optimisation import apart
from ensue.ranking import Recommender
from ensue.rated_beside import rated_beside
from ensue.rating_evaluation import evaluate_ratings
from ensue.sequences import Queries, Sequences
from ensue.training import Trainer

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
BOTH = Objective(rating=0.5)
SMALL: dict[str, Any] = {"width": 16, "length": 10, "dropout": 0.0, "batch_tokens": 64, "learning_rate": 1e-2}


def liked(users: int = 20, steps: int = 10, scale: float = 1.0) -> EventLog:
    """Walks round six items; A, B and C are rated 5, D, E and F 1, and every fourth event is not rated."""
    rows = []
    for user in range(users):
        for step in range(steps):
            item = (user + step) % 6
            rating = None if (user + step) % 4 == 3 else scale * (5.0 if item < 3 else 1.0)
            rows.append((f"u{user}", "ABCDEF"[item], NOON + timedelta(minutes=step * users + user), rating))
    schema: Any = {
        "user": pl.String,
        "item": pl.String,
        "time": pl.Datetime("us", "UTC"),
        "rating": pl.Float64,
    }
    return EventLog.of(pl.DataFrame(rows, schema=schema, orient="row"))


def training(objective: Objective = BOTH, log: EventLog | None = None) -> Training:
    return Training.of(liked() if log is None else log, exclude_seen=False, objective=objective)


def trainer(
    known: Training, name: str = "lstm", conditions: Conditions = Conditions(), **more: Any
) -> Trainer:
    model = model_of(name, **SMALL | {"epochs": 1} | more)
    assert isinstance(model, NeuralModel)
    with apart(conditions):
        return Trainer(model.suited(known.sequences), known, conditions)


@pytest.fixture(scope="module")
def fitted() -> Recommender:
    return model_of("lstm", **SMALL | {"learning_rate": 3e-2, "batch_tokens": 32}, epochs=12).fit(training())


def test_one_fit_learns_both(fitted: Recommender) -> None:
    """What comes after each item, and how it is rated; nothing was ever learnt of what does not come next."""
    slates = fitted.recommend_many([["A"], ["E", "F"]], 1)
    assert [slate.items[0] for slate in slates] == ["B", "A"]
    rates = rated_beside(fitted)
    assert rates is not None
    catalogue = fitted.catalogue
    walks = [catalogue.encode(list(walk)) for walk in ("ABC", "BCD", "CDE", "DEF", "EFA", "FAB")]
    expected = rates.scores(Queries.of([walk[:2] for walk in walks], 6))
    next_ = dict(zip("CDEFAB", expected[np.arange(6), [walk[2] for walk in walks]], strict=True))
    assert all(next_[item] > 4 for item in "ABC")
    assert all(next_[item] < 2 for item in "DEF")
    assert 1 <= expected.min() <= expected.max() <= 5, "inside the scale"


def test_the_loss_is_the_sum_of_both() -> None:
    """Cross-entropy of each next item, and 0.5 squared errors in variances of each that was rated."""
    known = training()
    made = trainer(known)
    batch = made.learner.feed.batch(next(iter(made.plan(0))))
    loss, count = Lesson(made.network, made.model.objective())(batch)
    network, beside = made.network, made.network.beside
    assert beside is not None
    assert batch.later is not None
    assert batch.later_rating is not None
    states = network.states(batch).flatten(0, 1)
    later, given = batch.later.flatten(), batch.later_rating.flatten()
    real = later != batch.n_items
    items = torch.nn.functional.cross_entropy(
        network.scorer().logits(states[real]), later[real], reduction="sum"
    )
    rated = real & ~torch.isnan(given)
    scores = beside.scorer(network.items).logits(beside.turn(states[rated]))
    ratings = known.sequences.rating
    assert ratings is not None
    variance = float(np.nanvar(ratings.astype(np.float64)))
    own = scores.gather(1, later[rated][:, None])[:, 0] * variance**0.5 + float(np.nanmean(ratings))
    expected = items + 0.5 * ((own - given[rated]) ** 2).sum() / variance
    assert count == int(real.sum()) > int(rated.sum())
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-3)


def states_of(objective: Objective, log: EventLog, **conditions: Any) -> torch.Tensor:
    scoring = (
        model_of("lstm", **SMALL, epochs=1).fit(training(objective, log), Conditions(**conditions)).scoring
    )
    assert isinstance(scoring, TorchScoring)
    return torch.cat(
        [p.detach().reshape(-1) for n, p in scoring.network.named_parameters() if "beside" not in n]
    )


def test_a_weight_means_the_same_on_every_scale_and_parts_add_up() -> None:
    once = states_of(BOTH, liked())
    torch.testing.assert_close(states_of(BOTH, liked(scale=20.0)), once, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(states_of(BOTH, liked(), tokens_at_once=13), once, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(states_of(Objective(rating=5.0), liked()), once, atol=1e-3)


def test_the_graph_answers_both_as_torch_does(fitted: Recommender, tmp_path: Path) -> None:
    served = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    queries = training().sequences.queries()
    np.testing.assert_allclose(served.scores(queries), fitted.scores(queries), atol=1e-5)
    own, torchs = rated_beside(served), rated_beside(fitted)
    assert own is not None
    assert torchs is not None
    np.testing.assert_allclose(own.scores(queries), torchs.scores(queries), atol=1e-5)


def test_only_targets_are_rated_where_types_are_told_apart() -> None:
    frame = liked().frame.with_columns(event=pl.Series(["view", "rate"] * 100))
    known = training(Objective(targets=("rate",), rating=1.0), EventLog.of(frame))
    made = trainer(known)
    beside = made.network.beside
    assert beside is not None
    sequences: Sequences = known.sequences
    _, rated = made.network.both(made.learner.feed.batch(next(iter(made.plan(0)))), beside)
    assert len(rated.ratings) > 0
    assert rated.weights is not None
    kinds = sequences.context["event"].to_list()
    assert sequences.rating is not None
    possible = {
        (int(item), float(rating))
        for item, rating, kind in zip(sequences.items, sequences.rating, kinds, strict=True)
        if kind == "rate" and not np.isnan(rating)
    }
    assert set(zip(rated.items.tolist(), rated.ratings.tolist(), strict=True)) <= possible


def test_what_learns_no_ratings_beside_says_so() -> None:
    with pytest.raises(ModelError, match=r"left to right only: leave objective\.rating out"):
        model_of("bert4rec", **SMALL, epochs=1).fit(training())
    plain = EventLog.of(liked().frame.drop("rating"))
    with pytest.raises(ModelError, match=r"no ratings, and objective\.rating learns from nothing else"):
        model_of("lstm", **SMALL, epochs=1).fit(training(BOTH, plain))
    with pytest.raises(ConfigError, match=r"objective\.rating = -1: must be a finite number"):
        experiment_of({"objective": {"rating": -1.0}})
    made = trainer(training(Objective()))
    assert made.network.beside is None
    alone = Recommender(training().catalogue, TorchScoring(made.network, made.inputs), "lstm")
    assert rated_beside(alone) is None
    with pytest.raises(ModelError, match="has learnt no ratings beside"):
        TorchScoring(made.network, made.inputs).ratings(training().sequences.queries())


def test_a_run_reports_both_tasks(tmp_path: Path) -> None:
    experiment = Experiment(
        objective=BOTH,
        split=Splitting("last"),
        evaluation=Evaluating(exclude_seen=False, metrics=("ndcg@10", "recall@1")),
        models={"popular": {}, "lstm": {**SMALL, "learning_rate": 3e-2, "batch_tokens": 32, "epochs": 12}},
        out=str(tmp_path / "run"),
    )
    found = run(experiment, log=liked())
    popular, both = found.rungs
    assert popular.ratings is None
    assert both.ratings is not None
    assert both.test.value("recall@1") > popular.test.value("recall@1")
    assert both.ratings.value("rmse") < 1 < both.ratings.baselines["global mean"].warm.value("rmse")
    said = both.to_json()
    assert said["test"]["all"]["metrics"]["ndcg@10"]["value"] == both.test.value("ndcg@10")
    assert said["ratings"]["warm"]["metrics"]["rmse"]["value"] == both.ratings.value("rmse")
    learnt = artifacts.describe(both.folder)["facts"]
    assert learnt["learnt"]["objective"]["rating"] == 0.5
    assert learnt["beside"]["answers"] == "ratings"
    assert "answers" not in learnt, "its own answers are next items"
    served = rated_beside(runtime.load(both.folder))
    assert served is not None
    with pytest.raises(TypeError, match="saved with the model"):
        served.scoring.parts()
    examples = found.split.examples("test", served.catalogue)
    assert evaluate_ratings(served, examples).value("rmse") == both.ratings.value("rmse")
