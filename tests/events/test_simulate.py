"""Simulated logs follow their laws, and a scorer that knows the process reaches the closed form, none more."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.events.simulate import (
    SOURCES,
    DriftingSource,
    LongRangeSource,
    MarkovSource,
    OrderlessSource,
    Source,
    simulate,
    source,
)
from ensue.events.simulate.process import Knowing, Targets
from ensue.events.simulate.reachable import Situations, gains, reachable, reached
from ensue.metrics import Ranked, metric
from ensue.splits import temporal

Law = NDArray[np.float64]

METRICS = ("recall@3", "ndcg@3", "mrr@3", "accuracy")
SMALL: tuple[Source, ...] = (
    MarkovSource(items=12, predictability=0.6),
    LongRangeSource(keys=5, noise=3, distance=4, predictability=0.7),
    DriftingSource(items=12, in_fashion=3),
    OrderlessSource(items=12, skew=0.7),
)
each_source = pytest.mark.parametrize("small", SMALL, ids=lambda small: small.name)


def histories(log: EventLog) -> list[list[str]]:
    return [part["item"].to_list() for _, part in log.frame.group_by("user", maintain_order=True)]


def score(name: str, law: dict[str, float], target: str) -> float:
    """The gain of ranking by a law; equal probabilities stand in the order of the ids."""
    ranking = sorted(law, key=lambda item: (-law[item], item))
    return float(gains(name, len(ranking))[ranking.index(target)])


def agrees(values: list[float], expected: float) -> bool:
    """Whether a mean lies within four standard errors of what is expected."""
    return bool(abs(np.mean(values) - expected) <= 4 * np.std(values) / len(values) ** 0.5 + 1e-12)


# ------------------------------------------------------------------------------------- the reachable score


@pytest.mark.parametrize("name", ["recall@1", "recall@4", "ndcg@4", "mrr@4", "ndcg@50", "accuracy"])
def test_gains_are_those_of_the_metrics(name: str) -> None:
    ranks = np.arange(1, 13, dtype=np.float64)
    measured = metric(name).per_query(Ranked.single(ranks, np.full(12, 12)))
    np.testing.assert_allclose(gains(name, 12), measured, atol=1e-15)


laws = st.lists(st.integers(0, 5), min_size=4, max_size=4).filter(any)


@given(laws, laws, st.sampled_from(METRICS))
def test_reachable_is_the_best_of_all_rankings_and_reached_the_mean_over_ties(
    weights: list[int], scores: list[int], name: str
) -> None:
    law = np.array(weights) / sum(weights)
    by_ranking = {
        ranking: sum(gains(name, 4)[rank] * law[item] for rank, item in enumerate(ranking))
        for ranking in itertools.permutations(range(4))
    }
    situations = Situations(law[None], np.ones(1))
    assert reachable(name, situations) == pytest.approx(max(by_ranking.values()))
    falling = [r for r in by_ranking if all(scores[a] >= scores[b] for a, b in itertools.pairwise(r))]
    assert reached(name, situations, np.array([scores], dtype=np.float64)) == pytest.approx(
        sum(by_ranking[r] for r in falling) / len(falling)
    )


@pytest.mark.parametrize("name", ["recall", "recall@0", "recall@-1", "recall@x", "rmse@3", "accuracy@3", ""])
def test_a_metric_without_a_closed_form_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"There is no closed form of '{name}': take accuracy, or recall"):
        MarkovSource().optimum(name)
    with pytest.raises(ConfigError, match=r"Did you mean 'recall@10'\?"):
        MarkovSource().optimum("recal@10")


# --------------------------------------------------------------------------------------- laws of all sources

sources = st.one_of(
    st.builds(MarkovSource, items=st.integers(2, 9), predictability=st.floats(0, 1)),
    st.builds(OrderlessSource, items=st.integers(2, 9), skew=st.floats(0, 3)),
    st.builds(
        LongRangeSource,
        keys=st.integers(2, 5),
        noise=st.integers(1, 4),
        distance=st.integers(3, 6),
        predictability=st.floats(0, 1),
    ),
    st.builds(
        DriftingSource,
        items=st.integers(6, 9),
        in_fashion=st.integers(1, 3),
        fashion=st.floats(0, 1),
        predictability=st.floats(0, 1),
    ),
)
asked = st.sampled_from(("last", "successive"))


@given(sources, asked, st.sampled_from(("history", "last item", "nothing")))
def test_probabilities_sum_to_one(drawn: Source, targets: Targets, knowing: Knowing) -> None:
    situations = drawn._situations(knowing, targets, 30)
    assert situations.laws.shape[1] == len(drawn.item_ids)
    assert (situations.laws >= 0).all()
    np.testing.assert_allclose(situations.laws.sum(axis=1), 1)
    np.testing.assert_allclose(situations.weights.sum(), 1)


@given(sources, asked, st.integers(1, 12), st.sampled_from(("recall", "ndcg", "mrr")))
def test_the_reachable_score_rises_with_knowledge_and_cutoff(
    drawn: Source, targets: Targets, k: int, word: str
) -> None:
    bounds = (drawn.best_popularity, drawn.best_first_order, drawn.optimum)
    found = [bound(f"{word}@{k}", targets=targets, length=30) for bound in bounds]
    assert all(low <= high + 1e-9 for low, high in itertools.pairwise([0.0, *found, 1.0]))
    wider = drawn.optimum(f"{word}@{k + 1}", targets=targets, length=30)
    assert wider >= found[-1] - 1e-9
    everything = drawn.best_popularity(f"recall@{len(drawn.item_ids)}", targets=targets, length=30)
    assert everything == pytest.approx(1)


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(METRICS))
def test_the_optimum_rises_with_predictability(one: float, other: float, name: str) -> None:
    low, high = sorted((one, other))
    for kind in ("markov", "long-range"):
        optima = [source(kind, predictability=p).optimum(name) for p in (low, high)]
        assert optima[0] <= optima[1] + 1e-12


@each_source
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(small: Source) -> None:
    log, again, other = (small.log(30, 24, seed).fingerprint() for seed in (7, 7, 8))
    assert log == again != other


@each_source
def test_the_random_state_of_the_caller_is_untouched(small: Source) -> None:
    ours, numpys = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
    small.log(30, 24)
    assert random.getstate() == ours
    np.testing.assert_equal(np.random.get_state(legacy=False), numpys)  # noqa: NPY002


@each_source
def test_times_rise_for_each_user_and_interleave_users(small: Source) -> None:
    log = small.log(200, 30, seed=3)
    steps = log.frame.select(
        pl.col("time").diff().over("user").alias("gap"), (pl.col("time").dt.microsecond() == 0).alias("whole")
    )
    assert steps["whole"].all()
    assert steps["gap"].drop_nulls().dt.total_seconds().min() >= 1  # type: ignore[operator]
    assert log.frame["time"].min() >= datetime(2024, 1, 1, tzinfo=UTC)  # type: ignore[operator]
    cut = temporal(log, test=0.1, validation=0.0)
    train, test = set(cut.train.frame["user"]), set(log.where(cut.part == 2).frame["user"])
    assert len(train & test) >= 20
    assert len(test - train) >= 5


@each_source
def test_lengths_are_even_between_half_and_the_whole(small: Source) -> None:
    lengths = np.array([len(history) for history in histories(small.log(1300, 24))])
    low = 12
    counts = np.bincount(lengths, minlength=25)[low:]
    assert (lengths.min(), lengths.max(), counts.sum()) == (low, 24, 1300)
    assert ((counts - 100) ** 2 / 100).sum() < 32.9  # the 0.999 quantile of chi-square with 12 degrees


@each_source
def test_every_source_is_found_by_its_name(small: Source) -> None:
    assert type(small) is SOURCES.get(small.name)
    assert simulate(small.name, users=20, length=24, seed=5).fingerprint() == (
        type(small)().log(20, 24, 5).fingerprint()
    )


def test_the_names_are_those_of_the_guide() -> None:
    assert sorted(SOURCES.names()) == ["drifting", "listening", "long-range", "markov", "orderless"]


def test_the_account_says_what_was_simulated() -> None:
    log = simulate("markov", users=3, length=4, seed=9, items=5)
    assert log.reading.format == "simulated"
    assert log.reading.rows_read == log.reading.rows_kept == log.n_events
    assert log.reading.notes == (
        "simulated: MarkovSource(items=5, predictability=0.8, planted=0), at most 4 events for each of 3 users, "
        "seed 9",
    )


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("markvo", {}, "no source is called 'markvo'; there are .* Did you mean 'markov'?"),
        ("markov", {"item": 3}, "markov has no knob 'item'; its knobs are .* Did you mean 'items'?"),
        ("markov", {"items": 1}, "markov: items is 1, and must be a whole number from 2 up."),
        ("markov", {"items": 2.5}, "markov: items is 2.5, and must be a whole number"),
        ("markov", {"items": True}, "markov: items is True, and must be a whole number"),
        ("markov", {"predictability": 1.1}, "predictability is 1.1, and must be a number between 0 and 1."),
        ("markov", {"predictability": float("nan")}, "predictability is nan, and must be a number between"),
        ("markov", {"items": 0, "planted": -1}, "items is 0, .*; planted is -1, and must be"),
        ("markov", {"users": 0}, "markov: users is 0, and must be a whole number from 1 up."),
        ("markov", {"length": 1}, "markov: length is 1, and must be a whole number from 2 to 100000."),
        ("markov", {"seed": -1}, "markov: seed is -1, and must be a whole number from 0 up."),
        ("orderless", {"skew": float("inf")}, "skew is inf, and must be a finite number from 0 up."),
        (
            "drifting",
            {"items": 9, "in_fashion": 5},
            "in_fashion is 5, and must be at most half of the 9 items.",
        ),
        (
            "drifting",
            {"change": 1.0},
            "change is 1.0, and must be a number between 0 and 1, neither of them.",
        ),
        ("long-range", {"distance": 2}, "distance is 2, and must be a whole number from 3 to 998."),
        (
            "long-range",
            {"length": 23},
            r"length \(two blocks of 12 steps or more\) is 23, and must be .* from 24",
        ),
    ],
)
def test_a_wrong_name_or_knob_is_told_in_one_sentence(
    name: str, arguments: dict[str, int], words: str
) -> None:
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        simulate(name, **arguments)


def test_a_wrong_question_is_told_in_one_sentence() -> None:
    with pytest.raises(
        ConfigError, match=r"markov: there are no targets 'lsat': take last or successive\. Did you"
    ):
        MarkovSource().optimum("accuracy", targets="lsat")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="drifting: seen is 0, and must be above it"):
        DriftingSource().all_time_popularity("accuracy", seen=0)


# --------------------------------------------------------------------------------------------------- markov


def planted(small: MarkovSource) -> dict[str, str]:
    """The cycle, as the deterministic source of the same planting shows it."""
    told = MarkovSource(small.items, 1.0, small.planted).log(200, 10)
    return {a: b for history in histories(told) for a, b in itertools.pairwise(history)}


def test_markov_closed_forms_are_their_arithmetic() -> None:
    tenth = MarkovSource(items=10, predictability=0.5)
    assert tenth.optimum("recall@4") == pytest.approx(0.5 + 0.5 * 4 / 10)
    assert tenth.optimum("ndcg@2") == pytest.approx(0.5 + 0.5 * (1 + 1 / np.log2(3)) / 10)
    assert tenth.optimum("mrr@3") == pytest.approx(0.5 + 0.5 * (1 + 1 / 2 + 1 / 3) / 10)
    assert tenth.optimum("accuracy") == tenth.best_first_order("accuracy") == pytest.approx(0.5 + 0.5 / 10)
    assert tenth.best_popularity("recall@4") == pytest.approx(4 / 10)


def test_full_predictability_is_one_cycle_through_all_items() -> None:
    after = planted(MarkovSource(items=12, planted=4))
    walk = list(itertools.accumulate(range(12), lambda item, _: after[item], initial=next(iter(after))))
    assert walk[0] == walk[12]
    assert len(set(walk)) == 12
    assert after != planted(MarkovSource(items=12, planted=5))
    assert MarkovSource(items=12, predictability=1.0).optimum("ndcg@3") == 1.0


def test_no_predictability_is_even_noise() -> None:
    noise = MarkovSource(items=6, predictability=0.0)
    pairs = [pair for history in histories(noise.log(800, 20)) for pair in itertools.pairwise(history)]
    counts = np.unique(np.array(["".join(pair) for pair in pairs]), return_counts=True)[1]
    expected = len(pairs) / 36
    assert len(counts) == 36
    assert ((counts - expected) ** 2 / expected).sum() < 66.6  # the 0.999 quantile, 35 degrees of freedom
    assert noise.optimum("recall@3") == noise.best_popularity("recall@3") == pytest.approx(3 / 6)


@pytest.mark.parametrize("name", METRICS)
def test_the_markov_oracle_reaches_the_optimum_and_no_more(name: str) -> None:
    small = MarkovSource(items=12, predictability=0.6, planted=2)
    after = planted(small)
    rest = 0.4 / 12
    found = [
        score(name, {i: rest + 0.6 * (i == after[past]) for i in small.item_ids}, following)
        for history in histories(small.log(500, 16, seed=1))
        for past, following in itertools.pairwise(history)
    ]
    assert agrees(found, small.optimum(name))
    assert not agrees(found, small.optimum(name) + 0.06)


# ------------------------------------------------------------------------------------------------ orderless


def test_orderless_closed_forms_are_their_arithmetic() -> None:
    three = OrderlessSource(items=3, skew=2.0)
    whole = 1 + 1 / 4 + 1 / 9
    for bound in (three.optimum, three.best_first_order, three.best_popularity):
        assert bound("recall@2") == pytest.approx((1 + 1 / 4) / whole)
        assert bound("ndcg@2") == pytest.approx((1 + 1 / 4 / np.log2(3)) / whole)


def test_orderless_events_follow_popularity_and_not_each_other() -> None:
    small = OrderlessSource(items=5, skew=1.0, planted=1)
    pairs = [pair for history in histories(small.log(1500, 20)) for pair in itertools.pairwise(history)]
    numbers = np.array([[small.item_ids.index(item) for item in pair] for pair in pairs])
    counts = np.bincount(numbers @ [5, 1], minlength=25).reshape(5, 5)
    expected = len(pairs) * np.outer(small.popularity, small.popularity)
    assert ((counts - expected) ** 2 / expected).sum() < 51.2  # the 0.999 quantile, 24 degrees of freedom
    assert sorted(small.popularity, reverse=True) == pytest.approx(
        [1 / rank / (1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) for rank in range(1, 6)]
    )
