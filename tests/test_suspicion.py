"""Broken models are exposed: those that cannot tell items apart, and those that have seen the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import polars as pl
import pytest

from ensue.catalogue import Catalogue
from ensue.errors import LeakError, QueryError
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.examples import Examples
from ensue.model import fit
from ensue.ranking import Parts, Recommender, Scores
from ensue.sequences import Queries
from ensue.splits import Split, at_times, temporal
from ensue.suspicion import probe, suspicions

N = 40


@dataclass(frozen=True)
class Plain:
    """A scoring that is one function."""

    rule: Callable[[Queries], Scores]

    def score(self, queries: Queries) -> Scores:
        return self.rule(queries)

    def parts(self) -> Parts:
        return Parts()


@dataclass(frozen=True)
class Aware(Plain):
    """One that says that it reads when it is asked."""

    when_asked: ClassVar[bool] = True


def noise(queries: Queries) -> Scores:
    """`[Q, N]` scores that know nothing; the last item decides them."""
    last = queries.last(1)[:, 0]
    table = np.random.default_rng(0).random((queries.n_items, queries.n_items))
    scores: Scores = table[last]
    return scores


def peeking(queries: Queries) -> Scores:
    """Scores that read on after the end of the history, where the answer stands."""
    scores = noise(queries)
    there = np.minimum(queries.ends, len(queries.items) - 1)
    scores[np.arange(len(queries)), queries.items[there]] += 1
    return scores


def late(queries: Queries) -> Scores:
    """Scores that take the time of the question in."""
    assert queries.time is not None
    scores = noise(queries)
    if queries.at is not None:
        scores[:, 0] += (queries.at - queries.time[queries.ends - 1]) % 7
    return scores


@pytest.fixture(scope="module")
def log() -> EventLog:
    """200 users who take ten items at random, none twice, at random times."""
    rng = np.random.default_rng(5)
    users = np.repeat(np.arange(200), 10)
    items = np.concatenate([rng.permutation(N)[:10] for _ in range(200)])
    frame = pl.DataFrame(
        {
            "user": [f"u{n:03}" for n in users],
            "item": [f"i{n:02}" for n in items],
            "time": pl.Series(rng.integers(0, 10**9, 2000)).cast(pl.Datetime("us", "UTC")),
        }
    )
    return EventLog.of(frame)


@pytest.fixture(scope="module")
def parts(log: EventLog) -> Split:
    return temporal(log)


@pytest.fixture(scope="module")
def asked(parts: Split) -> Examples:
    return parts.examples("test", Catalogue.fit(parts.before_test))


def recommender(parts: Split, rule: Callable[[Queries], Scores]) -> Recommender:
    return Recommender(Catalogue.fit(parts.before_test), Plain(rule), "planted")


# ------------------------------------------------------------------------------------------ by figures


def test_a_model_of_noise_and_one_that_counts_raise_no_suspicion(parts: Split, asked: Examples) -> None:
    for one in (recommender(parts, noise), fit("popular", parts.before_test), fit("markov", parts.train)):
        found = evaluate(one, asked)
        assert suspicions(found, found.value("ndcg@10") * 0.95) == ()
        assert probe(one, asked, ()) == ()


def test_a_constant_scorer_is_all_ties_in_the_middle(parts: Split, asked: Examples) -> None:
    def constant(queries: Queries) -> Scores:
        return np.full((len(queries), queries.n_items), 0.25)

    found = evaluate(
        recommender(parts, constant), asked, metrics=("recall@10", "mrr", "auc"), exclude_seen=False
    )
    # every target ties with the 39 others: rank 1 + 39 / 2 = 20.5, past 10, and half of all pairs are right
    assert found.counts.tied_share == 1.0
    assert found.value("recall@10") == 0.0
    assert found.value("mrr") == pytest.approx(1 / 20.5)
    assert found.value("auc") == 0.5
    (told,) = suspicions(found)
    assert told.startswith("100% of the targets tie with another candidate")


def test_a_scorer_with_nan_is_refused_before_any_figure(parts: Split, asked: Examples) -> None:
    def broken(queries: Queries) -> Scores:
        scores = noise(queries)
        scores[queries.last(1)[:, 0] == 3, 7] = np.nan
        return scores

    one = recommender(parts, broken)
    with pytest.raises(QueryError, match="scores that are not finite; the model is broken"):
        evaluate(one, asked)
    with pytest.raises(QueryError, match="not finite"):
        probe(one, asked, most=len(asked))


def test_a_scorer_that_has_seen_the_answer_is_exposed_twice(parts: Split, asked: Examples) -> None:
    one = recommender(parts, peeking)
    found = evaluate(one, asked)
    assert found.value("mrr@10") > 0.95
    told = suspicions(found, 0.2)
    assert told[0].startswith("at least 100% of the targets stand first or tie for it: has the model seen")
    assert "0.2000 on validation" in told[1]
    with pytest.raises(
        LeakError, match=r"planted scores \d+ of 64 questions otherwise when the events after them"
    ):
        probe(one, asked)


@pytest.mark.parametrize("metric", ["accuracy", "recall@1", "ndcg@1", "ndcg@10", "mrr@10", "map@10", "mrr"])
def test_figures_that_are_too_good_are_told_whatever_was_measured(
    parts: Split, asked: Examples, metric: str
) -> None:
    seen = evaluate(recommender(parts, peeking), asked, metrics=(metric,))
    assert "stand first" in suspicions(seen)[0]
    assert suspicions(evaluate(recommender(parts, noise), asked, metrics=(metric,))) == ()


def test_nine_of_ten_at_the_top_is_the_limit(parts: Split, asked: Examples) -> None:
    """What is not at the top is second: figures are p + (1 - p) / 2 and p + (1 - p) / log2(3), and p is found again."""
    assert len(asked) >= 100

    def mostly(share: float) -> Callable[[Queries], Scores]:
        def rule(queries: Queries) -> Scores:
            scores = peeking(queries)
            first = scores.argmax(axis=1)
            second = np.flatnonzero((queries.ends * 7919) % 1000 >= 1000 * share)
            scores[second, (first[second] + 1) % queries.n_items] = 3.0
            return scores

        return rule

    second = 1 / np.log2(3)
    for share, expected in ((0.85, False), (0.97, True)):
        one = recommender(parts, mostly(share))
        top = evaluate(one, asked, metrics=("accuracy",), exclude_seen=False).value("accuracy")
        for metric, gain in (("mrr", 0.5), ("ndcg@10", second)):
            found = evaluate(one, asked, metrics=(metric,), exclude_seen=False)
            assert found.value(metric) == pytest.approx(top + (1 - top) * gain)
            assert found.value(metric) > 0.9
            assert bool(suspicions(found)) is (top > 0.9) is expected


def test_users_who_repeat_themselves_are_no_suspicion() -> None:
    rows = {"user": [f"u{n // 20}" for n in range(400)], "item": [f"i{n // 20 % 9}" for n in range(400)]}
    log = EventLog.of(pl.DataFrame(rows).with_columns(time=pl.int_range(400).cast(pl.Datetime("us", "UTC"))))
    parts = temporal(log)
    one = fit("markov", parts.before_test, exclude_seen=False)
    found = evaluate(one, parts)
    assert found.value("mrr@10") > 0.95
    assert suspicions(found) == ()


def test_a_test_as_good_as_validation_but_for_chance_is_no_suspicion(parts: Split, asked: Examples) -> None:
    found = evaluate(recommender(parts, noise), asked, metrics=("ndcg@10",))
    interval = found.intervals["ndcg@10"]
    assert interval.error is not None
    far = interval.value - 4.01 * np.sqrt(2) * interval.error
    near = interval.value - 3.99 * np.sqrt(2) * interval.error
    assert far > 0
    assert interval.value > 1.5 * near
    assert suspicions(found, far)[0].startswith("ndcg@10 is")
    assert suspicions(found, near) == ()
    assert suspicions(found, interval.value / 1.49) == ()
    assert suspicions(found, 0.0, "recall@10") == (), "it was not measured"


# ------------------------------------------------------------------------------------------ by asking


def test_a_model_that_reads_the_time_of_the_question_unsaid_is_exposed(parts: Split, asked: Examples) -> None:
    one = recommender(parts, late)
    assert probe(one, asked) == ()
    for reads in (("rating",), ("time",)):  # the times of events are not the time of the question
        with pytest.raises(LeakError, match="give its scoring `when_asked = True`"):
            probe(one, asked, reads)
    said = replace(one, scoring=Aware(late))
    assert probe(said, asked, ("time",)) == ()


def test_a_model_that_reads_the_time_and_says_so_is_let_by(parts: Split, asked: Examples) -> None:
    one = fit("markov-time", parts.before_test)
    assert probe(one, asked, ("time",)) == ()


def test_columns_for_padding_or_a_mask_are_no_items(parts: Split, asked: Examples) -> None:
    def padded(queries: Queries) -> Scores:
        return np.column_stack([noise(queries), np.full(len(queries), 9.0)])

    with pytest.raises(
        QueryError, match=r"scores of shape \(\d+, 41\) for \d+ questions and 40 items: padding"
    ):
        probe(recommender(parts, padded), asked)


def test_histories_that_end_one_event_too_late_are_told(parts: Split, asked: Examples) -> None:
    queries = asked.queries
    assert queries.at is not None
    assert queries.time is not None
    own = queries.ends < len(queries.items)
    some = asked[np.flatnonzero(own)]
    shifted = replace(some, queries=replace(some.queries, ends=some.queries.ends + 1))
    (told,) = probe(recommender(parts, noise), shifted)
    assert "targets stand at the end of their own history, at the same time" in told


def test_a_score_of_minus_infinity_moves_nothing(parts: Split, asked: Examples) -> None:
    def masked(queries: Queries) -> Scores:
        scores = noise(queries)
        scores[:, 5] = -np.inf
        return scores

    assert probe(recommender(parts, masked), asked, ()) == ()


def test_nothing_is_asked_of_histories_without_a_known_item(log: EventLog) -> None:
    parts = at_times(log, 5 * 10**8)
    stranger = Catalogue.fit(EventLog.of(pl.DataFrame({"user": ["u"], "item": ["stranger"]})))
    one = Recommender(stranger, Plain(peeking), "planted")
    assert probe(one, parts.examples("test", stranger)) == ()
