"""A prior beside a network: the weight that does best on validation, and a training that does not notice it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue import runtime, save
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.export import TorchScoring
from ensue.model import Conditions, Training, model_of, refit
from ensue.neural_model import NeuralModel
from ensue.prior_table import Leaning
from ensue.ranking import Recommender
from ensue.splits import Split, last_out
from ensue.weighing import WEIGHTS, best_of, weighed


@pytest.fixture(scope="module")
def parts() -> Split:
    """Forty walks over twelve items in which the next item mostly follows from the last."""
    rng = np.random.default_rng(5)
    rows = []
    for user in range(40):
        item = int(rng.integers(12))
        for step in range(14):
            rows.append((f"u{user:02}", f"i{item:02}", step))
            item = (item + 1) % 12 if rng.random() < 0.8 else int(rng.integers(12))
    frame = pl.DataFrame(rows, schema=["user", "item", "step"], orient="row")
    time = pl.from_epoch(pl.col("step") + 1_700_000_000).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return last_out(EventLog.of(frame.select("user", "item", time=time)))


@pytest.fixture(scope="module")
def training(parts: Split) -> Training:
    found = Training.of(parts.train, exclude_seen=False)
    return replace(found, validation=parts.examples("validation", found.catalogue))


def small(**settings: Any) -> NeuralModel:
    own: dict[str, Any] = {
        "width": 8,
        "length": 14,
        "epochs": 2,
        "batch_tokens": 128,
        "dropout": 0.0,
        "learning_rate": 0.01,
    }
    found = model_of("gru", **(own | settings))
    assert isinstance(found, NeuralModel)
    return found


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("most", [25_000_000, 7])
def test_each_weight_scores_what_evaluation_says(
    training: Training, seen: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensue.weighing.FEWEST", 1)
    monkeypatch.setattr("ensue.weighing.AT_ONCE", 50)
    fitted = small(prior="beside").fit(training)
    scoring = fitted.scoring
    assert isinstance(scoring, TorchScoring)
    assert scoring.network.prior is not None
    examples = training.validation
    assert examples is not None
    leaning = scoring.network.prior.leaning()
    found = weighed(scoring.plain, leaning, examples, seen, "ndcg@10", most=12 * most)
    assert tuple(found) == WEIGHTS
    some = (
        examples
        if most > len(examples)
        else examples[np.linspace(0, len(examples) - 1, most).astype(np.int64)]
    )
    for weight, score in found.items():
        scoring.network.prior.alpha.fill_(weight)
        whole = Recommender(training.catalogue, scoring, "gru", exclude_seen=seen)
        assert score == pytest.approx(evaluate(whole, some, metrics=("ndcg@10",)).value("ndcg@10"), abs=1e-12)


def test_the_best_weight_is_taken_and_kept_for_a_refit(parts: Split, training: Training) -> None:
    model = small(prior="beside")
    fitted = model.fit(training)
    weight = fitted.settings["prior_weight"]
    assert weight in WEIGHTS
    assert weight > 0  # two epochs of a tiny network know less than the counts
    assert fitted.facts["prior"]["alpha"] == weight
    assert training.validation is not None
    scores = {}
    for given in WEIGHTS:
        again = small(prior="beside", prior_weight=given).fit(training)
        assert again.settings["prior_weight"] == given
        scores[given] = evaluate(again, training.validation, metrics=("ndcg@10",)).value("ndcg@10")
    assert scores[weight] == max(scores.values())
    later = refit(model, fitted, Training.of(parts.before_test, exclude_seen=False), Conditions())
    assert later.facts["prior"]["alpha"] == weight


def test_each_epoch_is_judged_at_its_own_best_weight(training: Training) -> None:
    """Of one that is given, at that one."""
    scores = {}
    for given in (*WEIGHTS, None):
        facts = small(prior="beside", prior_weight=given, patience=9).fit(training).facts
        scores[given] = [epoch["score"] for epoch in facts["history"]]
    judged = scores.pop(None)
    assert len(judged) == 2
    assert judged == [pytest.approx(max(each), abs=1e-12) for each in zip(*scores.values(), strict=True)]
    assert len({max(scores, key=lambda given: scores[given][epoch]) for epoch in (0, 1)} | {1.0}) > 1


@pytest.mark.parametrize("open_baskets", [False, True])
def test_an_epoch_scores_what_evaluation_says(training: Training, open_baskets: bool) -> None:
    """Also where histories are empty, which the network is not asked about, and where the open basket cannot come."""
    whole = training.validation
    assert whole is not None
    ends = whole.queries.ends
    starts = np.where(np.arange(len(ends)) % 4, whole.queries.starts, ends)
    examples = replace(whole, queries=replace(whole.queries, starts=starts))
    if open_baskets:
        examples = replace(examples, opened=np.maximum(ends - 2, starts))
    model = small(prior="beside", patience=9)
    fitted = model.fit(replace(training, validation=examples))
    best = max(epoch["score"] for epoch in fitted.facts["history"])
    assert evaluate(fitted, examples, metrics=("ndcg@10",)).value("ndcg@10") == pytest.approx(best, abs=1e-12)


def test_without_validation_it_counts_once(training: Training) -> None:
    fitted = small(prior="beside").fit(replace(training, validation=None))
    assert fitted.facts["prior"]["alpha"] == 1.0
    assert fitted.settings["prior_weight"] is None


def test_the_network_is_the_one_that_was_trained_without_it(training: Training) -> None:
    alone = small().fit(replace(training, validation=None)).scoring
    beside = small(prior="beside").fit(replace(training, validation=None)).scoring
    assert isinstance(alone, TorchScoring)
    assert isinstance(beside, TorchScoring)
    assert training.validation is not None
    queries = training.validation.queries
    np.testing.assert_array_equal(beside.plain(queries), alone.score(queries))
    assert not np.array_equal(beside.score(queries), alone.score(queries))
    assert {name for name, _ in beside.network.named_parameters()} == {
        name for name, _ in alone.network.named_parameters()
    }


def test_a_saved_one_answers_alike(training: Training, tmp_path: Path) -> None:
    fitted = small(prior="beside").fit(training)
    save(fitted, tmp_path / "model")
    served = runtime.load(tmp_path / "model")
    assert training.validation is not None
    queries = training.validation.queries
    np.testing.assert_allclose(served.scores(queries), fitted.scores(queries), atol=1e-5)


def test_what_counts_is_the_table_of_all_sequences(training: Training) -> None:
    fitted = small(prior="beside", prior_window=1, prior_last=1, prior_decay=1.0, prior_weight=2.0).fit(
        training
    )
    scoring = fitted.scoring
    assert isinstance(scoring, TorchScoring)
    assert training.validation is not None
    queries = training.validation.queries
    assert scoring.network.prior is not None
    added = np.zeros((len(queries), queries.n_items), dtype=np.float32)
    leaning = scoring.network.prior.leaning()
    Leaning(leaning.transitions, 2.0, leaning.scale).add(added, queries)
    np.testing.assert_allclose(scoring.score(queries), scoring.plain(queries) + added, atol=1e-6)
    items, offsets = training.sequences.items, training.sequences.offsets
    counts = np.zeros((queries.n_items, queries.n_items))
    for begin, end in itertools.pairwise(offsets):
        np.add.at(counts, (items[begin : end - 1], items[begin + 1 : end]), 1.0)
    last = queries.items[queries.ends - 1]
    expected = 2 * np.log1p(queries.n_items * counts[last] / counts[last].sum(axis=1, keepdims=True))
    recent = queries.last(14)
    for row, taken in enumerate(recent):
        if not fitted.settings["prior_repeats"]:
            expected[row, taken[taken < queries.n_items]] = 0
    np.testing.assert_allclose(added, expected, atol=1e-4)


def test_histories_that_hold_no_known_item_are_not_asked_about(training: Training) -> None:
    network = small(prior="beside").fit(training, Conditions(seed=1))
    scoring, examples = network.scoring, training.validation
    assert isinstance(scoring, TorchScoring)
    assert examples is not None
    prior = scoring.network.prior
    assert prior is not None
    emptied = replace(
        examples.queries,
        ends=np.where(np.arange(len(examples)) < 5, examples.queries.starts, examples.queries.ends),
    )
    some = replace(examples, queries=emptied)
    known = examples[np.arange(5, len(examples))]
    found = weighed(scoring.plain, prior.leaning(), some, False, "ndcg@10")
    assert found == weighed(scoring.plain, prior.leaning(), known, False, "ndcg@10")
    nobody = weighed(scoring.plain, prior.leaning(), some[np.arange(5)], False, "ndcg@10")
    assert set(nobody) == set(WEIGHTS)
    assert not any(nobody.values())


@pytest.mark.parametrize(
    ("most", "emptied", "judged", "each", "at_last"),
    [(10**8, False, 40, 1, 0), (12 * 11, False, 40, 2, 1), (10**8, True, 40, 2, 1), (10**8, False, 20, 1, 1)],
)
def test_a_network_is_asked_once_where_that_tells_all(
    training: Training,
    most: int,
    emptied: bool,
    judged: int,
    each: int,
    at_last: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where examples are left out it is evaluated apart, and weighed by all of them at the end."""
    monkeypatch.setattr("ensue.weighing.FEWEST", 1)
    monkeypatch.setattr("ensue.weighing.SCORES_OF_AN_EPOCH", most)
    examples = training.validation
    assert examples is not None
    if emptied:
        ends = np.where(np.arange(len(examples)) < 5, examples.queries.starts, examples.queries.ends)
        examples = replace(examples, queries=replace(examples.queries, ends=ends))
    asked: list[int] = []
    plain = TorchScoring.plain

    def counting(scoring: TorchScoring, queries: Any) -> Any:
        if len(queries) > 8:  # so many are looked at for numbers that are none
            asked.append(len(queries))
        return plain(scoring, queries)

    monkeypatch.setattr(TorchScoring, "plain", counting)
    model = small(prior="beside", epochs=3, patience=9, validation_targets=judged)
    fitted = model.fit(replace(training, validation=examples))
    assert len(asked) == 3 * each + at_last
    assert not at_last or asked[-1] == np.count_nonzero(examples.queries.lengths)
    scoring = fitted.scoring
    assert isinstance(scoring, TorchScoring)
    assert scoring.network.prior is not None
    scores = weighed(scoring.plain, scoring.network.prior.leaning(), examples, False, "ndcg@10")
    assert fitted.settings["prior_weight"] == best_of(scores)


def test_the_weight_at_last_is_that_of_the_best_epoch_whatever_came_after(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each epoch finds another weight; the best is the second of four."""
    examples = training.validation
    assert examples is not None
    found = iter([{0.0: 0.1, 1.0: 0.2}, {0.0: 0.2, 2.0: 0.5}, {0.0: 0.1, 3.0: 0.4}, {0.0: 0.1, 4.0: 0.3}])
    monkeypatch.setattr("ensue.weighing.weighed", lambda *given, **settings: next(found))
    fitted = small(prior="beside", epochs=4, patience=9).fit(training)
    assert [epoch["score"] for epoch in fitted.facts["history"]] == [0.2, 0.5, 0.4, 0.3]
    assert fitted.facts["chosen"]["epoch"] == 2
    assert fitted.settings["prior_weight"] == fitted.facts["prior"]["alpha"] == 2.0
