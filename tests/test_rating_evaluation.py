"""How far off ratings are: every figure by hand, beside baselines, in blocks, and with how sure they are."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import ensue
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, DataError, QueryError
from ensue.events.log import EventLog
from ensue.expected_ratings import BOTH, GLOBAL, HISTORY, ITEM, NAMES, Biases, answers_ratings, rating_facts
from ensue.ranking import Parts, Recommender, Scores
from ensue.rating_evaluation import METRICS, RatingEvaluation, evaluate_ratings
from ensue.sequences import Queries
from ensue.significance import interval
from ensue.splits import Split, at_times

EVENTS: list[tuple[str, str, int, float | None]] = [
    ("u", "a", 1, 5.0),
    ("u", "b", 2, 3.0),
    ("v", "a", 3, 4.0),
    ("v", "c", 4, 1.0),
    # from here on tested
    ("u", "c", 10, 2.0),
    ("u", "a", 11, None),
    ("u", "b", 12, 4.0),
    ("v", "b", 13, 3.5),
    ("v", "x", 14, 5.0),
    ("w", "x", 15, 1.0),
    ("w", "a", 16, 2.0),
]
MEAN = (5 + 3 + 4 + 1) / 4


def log_of(events: list[tuple[str, str, int, float | None]]) -> EventLog:
    schema = {"user": pl.String, "item": pl.String, "time": pl.Int64, "rating": pl.Float64}
    frame = pl.DataFrame(events, schema=schema, orient="row")
    return EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))


@dataclass
class ByItem:
    """Expects the same rating of an item after every history, and remembers how many histories it was asked at once."""

    expected: list[float]
    asked: list[int] = field(default_factory=list)

    def score(self, queries: Queries) -> Scores:
        assert (queries.lengths > 0).all(), "a history without a known item is no question for a model"
        self.asked.append(len(queries))
        return np.tile(np.array(self.expected), (len(queries), 1))

    def parts(self) -> Parts:
        return Parts()


@pytest.fixture
def parts() -> Split:
    return at_times(log_of(EVENTS), 10)


def recommender(parts: Split, expected: dict[str, float], facts: dict[str, Any] | None = None) -> Recommender:
    catalogue = Catalogue.fit(parts.train)
    scoring = ByItem([expected[item] for item in catalogue.ids])
    rating = parts.train.frame["rating"].to_numpy().astype(np.float32)
    return Recommender(catalogue, scoring, "by hand", facts=rating_facts(rating) if facts is None else facts)


@pytest.fixture
def fixed(parts: Split) -> Recommender:
    return recommender(parts, {"a": 4.0, "b": 3.0, "c": 2.5})


# --------------------------------------------------------------------------------- figures by hand


def test_every_figure_by_hand(parts: Split, fixed: Recommender) -> None:
    """u is asked for c (2, expected 2.5) and b (4, expected 3), v for b (3.5, expected 3); x is cold, and w is."""
    found = evaluate_ratings(fixed, parts)
    cold_user, cold_item = MEAN - 2, MEAN - 5
    squares = {"u": [0.5**2, 1], "v": [0.5**2], "w": [cold_user**2]}
    absolute = {"u": [0.5, 1], "v": [0.5], "w": [cold_user]}
    assert found.value("rmse") == pytest.approx(sqrt(sum(map(sum, squares.values())) / 4))
    assert found.value("mae") == pytest.approx(sum(map(sum, absolute.values())) / 4)
    assert found.value("user_rmse") == pytest.approx(sum(sqrt(sum(s) / len(s)) for s in squares.values()) / 3)
    assert found.value("user_mae") == pytest.approx(sum(sum(s) / len(s) for s in absolute.values()) / 3)
    squares["v"].append(cold_item**2)
    absolute["v"].append(-cold_item)
    assert found.all.value("rmse") == pytest.approx(sqrt(sum(map(sum, squares.values())) / 5))
    assert found.all.value("mae") == pytest.approx(sum(map(sum, absolute.values())) / 5)
    assert found.all.value("user_rmse") == pytest.approx(
        sum(sqrt(sum(s) / len(s)) for s in squares.values()) / 3
    )
    assert (found.warm.targets, found.all.targets, found.warm.users, found.all.users) == (4, 5, 3, 3)


def test_what_is_left_out_or_answered_by_the_mean_is_counted_and_said(
    parts: Split, fixed: Recommender
) -> None:
    found = evaluate_ratings(fixed, parts)
    assert found.counts.to_json() == {
        "targets": 6,
        "rated": 5,
        "unrated": 1,
        "cold_items": 1,
        "cold_user_targets": 1,
        "cold_users": 1,
        "mean_rating": MEAN,
        "by": "user",
    }
    text = "\n".join(found.lines())
    assert "5 of 6 targets are rated; 1 are not and count nowhere" in text
    assert (
        f"1 rated targets are cold: not in the catalogue, answered by the mean rating of training, {MEAN:.4f}"
        in text
    )
    assert (
        "1 other targets of 1 users have no known item in their history and are answered by the mean" in text
    )
    assert "headline: the 4 rated targets that the catalogue holds, of 3 users" in text
    more = at_times(
        log_of([*EVENTS, ("z", "x", 20, 1.0), ("z", "y", 21, 3.0)]), 10
    )  # a cold item of a cold user
    again = evaluate_ratings(fixed, more).counts
    assert (again.cold_items, again.cold_user_targets, again.cold_users) == (2, 1, 1)


def test_biases_by_hand(parts: Split, fixed: Recommender) -> None:
    """One rating of the mean is added to each item and to each user."""
    biases = Biases.fit(parts.train, item_damping=1, user_damping=1)
    a, b, c = ((5 - MEAN) + (4 - MEAN)) / (2 + 1), (3 - MEAN) / (1 + 1), (1 - MEAN) / (1 + 1)
    u = ((5 - MEAN - a) + (3 - MEAN - b)) / (2 + 1)
    v = ((4 - MEAN - a) + (1 - MEAN - c)) / (2 + 1)
    assert dict(biases.items.rows()) == pytest.approx({"a": a, "b": b, "c": c})
    assert dict(biases.users.rows()) == pytest.approx({"u": u, "v": v})
    examples = parts.examples("test", fixed.catalogue)
    answers = biases.answers(examples, fixed.catalogue)
    assert examples.target_ids.to_list() == ["c", "a", "b", "b", "x", "a"]
    assert tuple(answers) == NAMES
    item = [MEAN + bias for bias in (c, a, b, b, 0, a)]
    assert answers[GLOBAL] == pytest.approx([MEAN] * 6)
    assert answers[ITEM] == pytest.approx(item)
    assert answers[BOTH] == pytest.approx([x + y for x, y in zip(item, (u, u, u, v, v, 0), strict=True)])
    later_u = ((5 - MEAN - a) + (3 - MEAN - b) + (2 - MEAN - c)) / (3 + 1)  # the second a was not rated
    later_v = ((4 - MEAN - a) + (1 - MEAN - c) + (3.5 - MEAN - b)) / (3 + 1)
    history = (u, later_u, later_u, v, later_v, 0)
    assert answers[HISTORY] == pytest.approx([x + y for x, y in zip(item, history, strict=True)])


def test_no_baseline_leaves_the_scale_of_training() -> None:
    log = log_of([("u", "a", 1, 5.0), ("u", "b", 2, 5.0), ("v", "b", 3, 1.0), ("v", "c", 4, 1.0)])
    catalogue = Catalogue.fit(log)
    asked = at_times(
        log_of([("u", "c", 0, 5.0), ("u", "a", 9, 5.0), ("v", "b", 0, 1.0), ("v", "c", 9, 1.0)]), 5
    )
    biases = Biases.fit(log, item_damping=0, user_damping=0)
    plain = dict(biases.items.rows())["a"] + biases.mean
    assert plain == 5.0
    found = biases.answers(asked.examples("test", catalogue), catalogue)
    assert found[HISTORY].tolist() == [5.0, 1.0]  # held: 3 + 2 + 4 and 3 - 2 - 2


def test_baselines_know_nothing_of_the_tested_part(parts: Split, fixed: Recommender) -> None:
    """Other ratings of the last targets change no baseline's answer to the ones before."""
    changed = [(*event[:3], 1.0 if event[2] >= 12 else event[3]) for event in EVENTS]
    examples = [
        at_times(log_of(events), 10).examples("test", fixed.catalogue) for events in (EVENTS, changed)
    ]
    biases = Biases.fit(parts.train)
    first, second = (biases.answers(asked, fixed.catalogue) for asked in examples)
    for name in NAMES:
        assert first[name][:4] == pytest.approx(second[name][:4], abs=1e-12)
        changes = abs(first[name][4] - second[name][4]) > 0.1
        assert changes == (name == HISTORY), "v's rating of b came before"
    shown = evaluate_ratings(fixed, parts)
    same = evaluate_ratings(fixed, parts.examples("test", fixed.catalogue), training=parts.before_test)
    assert shown.to_json() == same.to_json()
    known = Biases.fit(parts.before_test)
    assert evaluate_ratings(fixed, parts, training=known).to_json() == shown.to_json()


def test_baselines_are_measured_on_the_same_targets(parts: Split, fixed: Recommender) -> None:
    found = evaluate_ratings(fixed, parts)
    off = [MEAN - rating for rating in (2, 4, 3.5, 2)]
    mean = found.baselines[GLOBAL]
    assert mean.warm.value("rmse") == pytest.approx(sqrt(sum(x**2 for x in off) / 4))
    assert mean.all.value("mae") == pytest.approx((sum(map(abs, off)) + (5 - MEAN)) / 5)
    own = [sqrt((0.5**2 + 1) / 2), 0.5, MEAN - 2]
    theirs = [sqrt((off[0] ** 2 + off[1] ** 2) / 2), abs(off[2]), abs(off[3])]
    difference = sum(x - y for x, y in zip(own, theirs, strict=True)) / 3
    assert found.against[GLOBAL].difference.value == pytest.approx(difference)
    best = min(NAMES, key=lambda name: found.baselines[name].warm.value("user_rmse"))
    assert f"user RMSE minus that of the best baseline, {best}: " in "\n".join(found.lines())
    unrated = at_times(log_of([(*event[:3], event[3] if event[2] >= 10 else None) for event in EVENTS]), 10)
    for asked in (parts.examples("test", fixed.catalogue), unrated):
        alone = evaluate_ratings(fixed, asked)
        assert (alone.baselines, alone.own.to_json()) == ({}, found.own.to_json())
        assert "no baseline stands beside it: give the training events" in alone.lines()


def test_the_table_and_the_json_hold_the_figures_and_no_user(parts: Split, fixed: Recommender) -> None:
    found = evaluate_ratings(fixed, parts)
    head, own, *others = found.rows()
    assert head[:2] == ("rating by", "RMSE")
    assert [row[0] for row in others] == list(NAMES)
    shown = [found.value(name) for name in METRICS] + [found.all.value("rmse")]
    assert [own[1], *own[3:]] == [f"{value:.4f}" for value in shown]
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["warm"]["metrics"]["rmse"]["value"] == found.value("rmse")
    assert set(told["baselines"]) == set(told["against"]) == set(NAMES)
    assert "per_user" not in json.dumps(told)


# ------------------------------------------------------------------------------------- how sure


def many(sizes: list[int], seed: int = 0) -> tuple[Split, Recommender]:
    """Users with this many tested targets of one item, off by random numbers that differ from user to user."""
    rng = np.random.default_rng(seed)
    events: list[tuple[str, str, int, float | None]] = []
    for user, size in enumerate(sizes):
        spread = rng.uniform(0.2, 2)
        events.append((f"u{user:03d}", "a", user, 3.0))
        events += [(f"u{user:03d}", "a", 1000 + n, float(3 + spread * rng.normal())) for n in range(size)]
    found = at_times(log_of(events), 1000)
    return found, recommender(found, {"a": 3.0})


def test_the_interval_of_the_headline_is_that_of_a_bootstrap_over_users() -> None:
    sizes = np.random.default_rng(1).integers(1, 40, 80).tolist()
    parts, model = many(sizes)
    found = evaluate_ratings(model, parts)
    examples = parts.examples("test", model.catalogue)
    assert examples.target_ratings is not None
    off = examples.target_ratings.astype(np.float64) - 3.0
    squares, sums = (np.bincount(examples.groups, weights=w) for w in (off**2, np.abs(off)))
    draws = np.random.default_rng(5).integers(0, len(sizes), (4000, len(sizes)))
    counts = np.array(sizes)[draws].sum(axis=1)
    for name, drawn in (
        ("rmse", np.sqrt(squares[draws].sum(axis=1) / counts)),
        ("mae", sums[draws].sum(axis=1) / counts),
    ):
        ours = found.warm.intervals[name]
        low, high = np.quantile(drawn, [0.025, 0.975])
        assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.08 * (high - low))
        assert ours.error == pytest.approx(drawn.std(), rel=0.08)


def test_with_as_many_targets_of_each_user_both_means_are_one() -> None:
    parts, model = many([3] * 30)
    warm = evaluate_ratings(model, parts).warm
    for end in ("value", "low", "high", "error"):
        pooled, by_user = (getattr(warm.intervals[name], end) for name in ("mae", "user_mae"))
        assert pooled == pytest.approx(by_user)
    assert warm.intervals["user_rmse"] == interval(warm.per_user)


def test_without_any_error_all_is_zero() -> None:
    parts = at_times(
        log_of([("u", "a", 1, 3.0), ("u", "a", 9, 3.0), ("v", "a", 2, 3.0), ("v", "a", 9, 3.0)]), 5
    )
    found = evaluate_ratings(recommender(parts, {"a": 3.0}), parts)
    assert [found.value(name) for name in METRICS] == [0.0] * 4
    assert found.against[GLOBAL].p_value == 1.0


# --------------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("most", [1, 3, 7])
def test_blocks_bound_what_is_held_and_change_no_figure(most: int) -> None:
    parts, model = many([5] * 6)
    scoring = model.scoring
    assert isinstance(scoring, ByItem)
    whole = evaluate_ratings(model, parts).to_json()
    assert scoring.asked == [30]
    scoring.asked.clear()
    bytes_of_one = 8 + 32 * 5  # one item; the longest history of u has five events
    assert evaluate_ratings(model, parts, block_bytes=most * bytes_of_one).to_json() == whole
    assert sum(scoring.asked) == 30
    longest = max(scoring.asked)
    assert most <= longest < 30
    assert longest * 8 <= most * bytes_of_one


def test_every_answer_goes_to_its_own_question(parts: Split, fixed: Recommender) -> None:
    one_by_one = evaluate_ratings(fixed, parts, block_bytes=1)
    assert isinstance(fixed.scoring, ByItem)
    assert fixed.scoring.asked == [1, 1, 1]
    assert one_by_one.to_json() == evaluate_ratings(fixed, parts).to_json()


# -------------------------------------------------------------------------------- wrong questions


def test_what_ranks_is_refused(parts: Split) -> None:
    ranks = ensue.fit("popular", parts.before_test)
    assert not answers_ratings(ranks)
    with pytest.raises(QueryError, match=r"popular does not answer with ratings.*loss='mean-squared-error'"):
        evaluate_ratings(ranks, parts)


def test_ratings_that_are_not_there_are_told(parts: Split, fixed: Recommender) -> None:
    nobody = "There is no rating to expect .*none of its 6 targets has a rating and is known"
    unrated = [(*event[:3], None if event[2] >= 10 else event[3]) for event in EVENTS]
    with pytest.raises(DataError, match=nobody):
        evaluate_ratings(fixed, at_times(log_of(unrated), 10))
    plain = replace(parts, log=EventLog.of(parts.log.frame.drop("rating")))
    with pytest.raises(DataError, match=nobody):
        evaluate_ratings(fixed, plain)
    only_cold = [(*event[:3], event[3] if event[1] == "x" else None) for event in EVENTS]
    with pytest.raises(DataError, match=nobody):
        evaluate_ratings(fixed, at_times(log_of(only_cold), 10))
    with pytest.raises(DataError, match="No training event has a rating"):
        Biases.fit(plain.train)
    with pytest.raises(ConfigError, match="item_damping=-1 must not be negative"):
        Biases.fit(parts.train, item_damping=-1)


def test_scores_that_are_no_numbers_are_refused(parts: Split) -> None:
    broken = recommender(parts, {"a": 4.0, "b": float("nan"), "c": 2.5})
    with pytest.raises(QueryError, match="not finite"):
        evaluate_ratings(broken, parts)


def test_an_unknown_metric_is_named(parts: Split, fixed: Recommender) -> None:
    with pytest.raises(ConfigError, match=r"no metric 'rmes' of ratings.*Did you mean 'rmse'"):
        evaluate_ratings(fixed, parts).value("rmes")


# -------------------------------------------------------------------------------------- real data


@pytest.mark.data
def test_biases_on_movielens_100k(data_dir: Path) -> None:
    """Under the global temporal split most tested users are new: what a history tells is most of what can be told."""
    parts = ensue.split(ensue.fetch("ml-100k"))
    catalogue = Catalogue.fit(parts.before_test)
    answers = dict.fromkeys(catalogue.ids, 3.5)
    model = Recommender(
        catalogue, ByItem(list(answers.values())), "3.5", facts={"answers": "ratings", "mean_rating": 3.5}
    )
    found: RatingEvaluation = evaluate_ratings(model, parts)
    assert found.warm.targets == 9_797
    errors = {name: judged.warm.value("rmse") for name, judged in found.baselines.items()}
    assert errors[GLOBAL] > errors[ITEM] > errors[BOTH] > errors[HISTORY]
