"""What can be reached is reached: logs from a known process, with the best score in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ensue.catalogue import Catalogue
from ensue.evaluation import evaluate
from ensue.events.simulate import DriftingSource, LongRangeSource, MarkovSource, OrderlessSource, Source
from ensue.model import Training, model_of
from ensue.significance import Interval
from ensue.splits import last_out, temporal

FAR = LongRangeSource(keys=8, noise=6)
"""Two keys decide answers that come ten steps later, and again every ten steps; chance is 1 in 8."""

DRIFT = DriftingSource()
"""Fashions and successors change at three quarters of the log."""

FAR_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "lstm": {"epochs": 8, "memory": 50},
    "transformer": {"epochs": 9, "width": 32},
}


def reached(source: Source, name: str, metric: str, **settings: Any) -> Interval:
    """What a model scores on the last event of each user, without exclusion."""
    parts = last_out(source.log(users=1000, length=50))
    catalogue = Catalogue.fit(parts.train)
    training = replace(
        Training.of(parts.train, exclude_seen=False), validation=parts.examples("validation", catalogue)
    )
    fitted = model_of(name, **settings).fit(training)
    return evaluate(fitted, parts.examples("test", catalogue), metrics=(metric,)).intervals[metric]


@pytest.mark.parametrize("predictability", [0.2, 0.5, 0.9])
def test_the_markov_chain_reaches_the_optimum_of_a_first_order_source(predictability: float) -> None:
    source = MarkovSource(items=40, predictability=predictability)
    found = reached(source, "markov", "recall@10")
    assert found.low <= source.optimum("recall@10") <= found.high
    assert found.low > source.best_popularity("recall@10")


def test_popularity_reaches_the_optimum_where_nothing_comes_next() -> None:
    source = OrderlessSource()
    found = reached(source, "popular", "recall@10")
    assert found.error is not None
    assert abs(found.value - source.optimum("recall@10")) < 3 * found.error


@pytest.mark.parametrize("name", ["markov", "rules"])
def test_counting_is_far_below_the_optimum_of_a_long_range_source(name: str) -> None:
    found = reached(FAR, name, "ndcg@10")
    assert found.low <= FAR.best_first_order("ndcg@10")
    assert found.high < 0.6 * FAR.optimum("ndcg@10")


@pytest.mark.slow
@pytest.mark.parametrize("name", FAR_SETTINGS)
def test_networks_reach_the_optimum_of_a_long_range_source_within_5_percent(name: str) -> None:
    course = {"dropout": 0.0, "ema": 0.0, "batch_tokens": 512, "learning_rate": 5e-3, "patience": 10}
    found = reached(FAR, name, "ndcg@10", **course, **FAR_SETTINGS[name])
    assert found.value > 0.95 * FAR.optimum("ndcg@10")


def after_the_change(name: str, **settings: Any) -> Interval:
    """What a model scores on the last tenth of a drifting log, all of it after the change; nothing is left out."""
    parts = temporal(DRIFT.log(users=800))
    fitted = model_of(name, **settings).fit(Training.of(parts.before_test, exclude_seen=False))
    return evaluate(fitted, parts, metrics=("ndcg@10",)).intervals["ndcg@10"]


def test_recent_popularity_wins_where_fashions_change() -> None:
    found, all_time = after_the_change("recent"), after_the_change("popular")
    assert found.low > all_time.high
    assert all_time.value == pytest.approx(DRIFT.all_time_popularity("ndcg@10"), abs=0.03)


def test_a_chain_reaches_what_all_of_the_past_alike_can_reach_where_interests_drift() -> None:
    assert after_the_change("markov").value == pytest.approx(DRIFT.all_time_first_order("ndcg@10"), abs=0.03)


@pytest.mark.parametrize("name", ["gru", "transformer"])
def test_a_network_that_reads_the_history_sees_that_interests_have_drifted(name: str) -> None:
    course = {"width": 32, "epochs": 6, "dropout": 0.0, "batch_tokens": 512, "learning_rate": 5e-3}
    found = after_the_change(name, **course)
    assert found.low > DRIFT.all_time_first_order("ndcg@10")
    assert found.high < DRIFT.optimum("ndcg@10") + 0.03
