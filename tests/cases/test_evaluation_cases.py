"""Faults that users of recommenders have met in splits, metrics and evaluation; here none of them happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from ensue.catalogue import Catalogue
from ensue.evaluation import HEADLINE, evaluate
from ensue.events.log import EventLog
from ensue.metrics import MAP, MRR, NDCG, HitRate, Precision, Ranked, Recall
from ensue.model import Training
from ensue.models.counting.markov import Markov
from ensue.ranking import Parts, Recommender
from ensue.sequences import Queries
from ensue.splits import Examples, at_times, last_out, ratio

SECOND = 1_000_000


def log_of(rows: list[tuple[str, str, int]]) -> EventLog:
    """Events of (user, item, seconds)."""
    frame = pl.DataFrame(rows, schema={"user": pl.String, "item": pl.String, "time": pl.Int64}, orient="row")
    return EventLog.of(frame.with_columns((pl.col("time") * SECOND).cast(pl.Datetime("us", "UTC"))))


def walk(user: str, items: str, since: int) -> list[tuple[str, str, int]]:
    """One event a second."""
    return [(user, item, since + step) for step, item in enumerate(items)]


def markov(log: EventLog) -> Recommender:
    return Markov().fit(Training.of(log))


# ------------------------------------------------------------- c31: events that lie exactly at the cut


@pytest.fixture
def at_the_cut() -> EventLog:
    """11 events, 5 of them at second 500, which are all that user "all" has."""
    rows = [
        ("first", "p", 500), ("first", "q", 501),
        ("before", "p", 497), ("before", "q", 499), ("before", "r", 500),
        ("all", "s", 500), ("all", "t", 500), ("all", "p", 500),
        ("after", "q", 501), ("after", "r", 502), ("after", "s", 503),
    ]  # fmt: skip
    return log_of(rows)


def test_an_event_at_the_cut_is_in_the_test_and_in_nothing_else(at_the_cut: EventLog) -> None:
    found = at_times(at_the_cut, 500 * SECOND)
    assert found.sizes == {"train": 2, "validation": 0, "test": 5 + 4}
    assert sum(found.sizes.values()) == at_the_cut.n_events == 11
    assert found.train.frame["user"].unique().to_list() == ["before"]


def test_a_user_whose_events_all_lie_at_the_cut_is_asked_about(at_the_cut: EventLog) -> None:
    found = at_times(at_the_cut, 500 * SECOND)
    trained = markov(found.train)
    examples = found.examples("test", trained.catalogue)
    # a first event has nothing before it, so it is no target: 1 of first, 1 of before, 2 of all, 2 of after
    assert examples.group_ids.gather(examples.groups).to_list() == ["after"] * 2 + ["all"] * 2 + [
        "before",
        "first",
    ]
    counts = evaluate(trained, examples).counts
    assert (counts.users, counts.targets) == (4, 6)
    # training knows p and q only: r and s of after, t of all and r of before are cold; all has no known history
    assert counts.cold_targets == 4
    assert (counts.cold_users, counts.cold_user_targets) == (1, 2)


# ---------------------------------------------------------------- c35: users too short for a share


@pytest.fixture
def short_users() -> EventLog:
    """Users with 1, 2, 4, 9, 10 and 20 events."""
    rows = [walk(f"n{n:02d}", ("ABCDEFGHIJ" * 2)[:n], 1000 * n) for n in (1, 2, 4, 9, 10, 20)]
    return log_of([row for user in rows for row in user])


def test_a_user_too_short_for_a_tenth_stays_in_training_and_is_counted(short_users: EventLog) -> None:
    found = ratio(short_users, test=0.1, validation=0.1)
    users = short_users.frame["user"].to_numpy()
    parts = {
        user: np.bincount(found.part[users == user], minlength=3).tolist() for user in sorted(set(users))
    }
    assert parts == {
        "n01": [1, 0, 0],
        "n02": [2, 0, 0],
        "n04": [4, 0, 0],
        "n09": [9, 0, 0],
        "n10": [8, 1, 1],
        "n20": [16, 2, 2],
    }
    assert sum(found.sizes.values()) == short_users.n_events == 1 + 2 + 4 + 9 + 10 + 20
    assert "4 of 6 users are too short for a test part" in found.notes[0]


def test_users_without_a_test_part_do_no_harm_and_every_user_has_a_list(short_users: EventLog) -> None:
    found = ratio(short_users, test=0.1, validation=0.1)
    trained = markov(found.train)
    counts = evaluate(trained, found.examples("test", trained.catalogue)).counts
    assert (counts.users, counts.targets) == (2, 1 + 2)
    for user in short_users.frame["user"].unique():
        history = found.train.frame.filter(user=user)["item"].to_list()
        assert len(trained.recommend(history, 5, exclude_seen=False)) == 5


def test_one_user_with_a_test_part_is_reported_without_an_error_of_the_mean() -> None:
    found = ratio(log_of([*walk("long", "ABCDEFGHIJ", 0), *walk("short", "AB", 0)]))
    trained = markov(found.train)
    result = evaluate(trained, found.examples("test", trained.catalogue))
    assert (result.counts.users, result.intervals["recall@10"].error) == (1, None)


# ------------------------------------------------------------ c36: targets that training has never seen


def test_targets_unknown_to_training_are_misses_of_the_headline_and_counted() -> None:
    ring = "PQRSTUVW"
    train = [event for n in range(8) for event in walk(f"t{n}", ring[n:] + ring[:n], 100 * n)]
    ends = [
        "PQ",
        "QR",
        "RS",
        "ST",
        "TU",
        "UV",
        "VW",
        "WP",
        "PX",
        "QY",
        "RX",
        "SZ",
    ]  # 8 round the ring, 4 out of it
    test = [event for n, pair in enumerate(ends) for event in walk(f"e{n:02d}", pair, 10_000 + 100 * n)]
    found = at_times(log_of(train + test), 10_000 * SECOND)
    trained = markov(found.train)
    result = evaluate(trained, found.examples("test", trained.catalogue), metrics=["recall@1"])
    assert result.warm is not None
    assert result.value("recall@1") == pytest.approx(8 / 12)
    assert result.warm.value("recall@1") == 1
    assert (result.counts.targets, result.counts.cold_targets, result.warm.targets) == (12, 4, 8)
    text = "\n".join(result.lines())
    assert f"headline: {HEADLINE}" in text
    assert "4 targets (33.33%) are cold: not in the catalogue" in text
    assert "0.6667" in text
    assert "1.0000" in text


# ------------------------------------------------------------------------------- c47: all scores tied


@dataclass(frozen=True, eq=False)
class Fixed:
    """The same scores after every history."""

    row: NDArray[np.float64]

    def score(self, queries: Queries) -> NDArray[np.float64]:
        """The scores, once for each history."""
        return np.tile(self.row, (len(queries), 1))

    def parts(self) -> Parts:
        """The scores."""
        return Parts(arrays={"row": self.row})


def with_scores(row: list[float], targets: list[int]) -> dict[str, Any]:
    """Values at 3 for one user a target, of a recommender with these scores."""
    n = len(row)
    catalogue = Catalogue(pl.Series("item", [f"s{item}" for item in range(n)]), np.ones(n, dtype=np.int64))
    examples = Examples(
        queries=Queries.of([[0]] * len(targets), n),
        targets=np.array(targets, dtype=np.int32),
        groups=np.arange(len(targets)),
        group_ids=pl.Series("user", [f"u{user}" for user in range(len(targets))]),
        target_ids=catalogue.ids.gather(targets),
        protocol="tied scores",
    )
    answers = Recommender(catalogue, Fixed(np.array(row)), "fixed", exclude_seen=False)
    result = evaluate(answers, examples, metrics=["hit@3", "mrr@3", "ndcg@3", "auc"])
    return {name: values.tolist() for name, values in result.per_user.items()} | {
        "tied": result.counts.tied_targets
    }


def test_a_model_that_scores_all_items_alike_hits_nothing_wherever_the_target_stands() -> None:
    # 8 items share the places 1 to 8, so each has rank 4.5, past the third place
    found = with_scores([0.25] * 8, [0, 3, 7])
    assert found == {"hit@3": [0] * 3, "mrr@3": [0] * 3, "ndcg@3": [0] * 3, "auc": [0.5] * 3, "tied": 3}


def test_a_partly_tied_target_has_the_middle_of_its_ties() -> None:
    # one item above, three share the places 2, 3 and 4: rank 3, whichever of them is asked for
    found = with_scores([0.7, 0.4, 0.4, 0.4, 0.1, 0.1], [1, 2, 3])
    assert found["hit@3"] == [1, 1, 1]
    assert found["mrr@3"] == pytest.approx([1 / 3] * 3)
    assert found["ndcg@3"] == pytest.approx([1 / np.log2(1 + 3)] * 3)
    # with two items above, the rank is 4 and past the third place
    found = with_scores([0.7, 0.6, 0.4, 0.4, 0.4, 0.1], [2, 3, 4])
    assert (found["hit@3"], found["mrr@3"], found["ndcg@3"], found["tied"]) == ([0] * 3, [0] * 3, [0] * 3, 3)


# --------------------------------------------------------- c49: fewer relevant items, or answers, than k


def test_perfect_lists_with_fewer_and_more_relevant_items_than_k() -> None:
    relevant = (1, 3, 8)
    ranks = np.concatenate([np.arange(1.0, n + 1) for n in relevant])
    perfect = Ranked(ranks, np.cumsum([0, *relevant]), np.full(3, 50))
    assert NDCG(5).per_query(perfect).tolist() == pytest.approx([1, 1, 1])
    assert MAP(5).per_query(perfect).tolist() == pytest.approx([1, 1, 1]), "divided by min(relevant, k)"
    assert MRR(5).per_query(perfect).tolist() == [1, 1, 1]
    assert HitRate(5).per_query(perfect).tolist() == [1, 1, 1]
    assert Recall(5).per_query(perfect).tolist() == pytest.approx([1, 1, 5 / 8])
    assert Precision(5).per_query(perfect).tolist() == pytest.approx([1 / 5, 3 / 5, 1])


def test_a_catalogue_smaller_than_k_gives_values_up_to_one() -> None:
    trained = markov(log_of([*walk("u", "ABC", 0), *walk("v", "ABC", 50)]))
    found = last_out(log_of([*walk("x", "AB", 900), *walk("y", "BC", 950)]), validation=False)
    result = evaluate(trained, found.examples("test", trained.catalogue))
    for name, interval in result.intervals.items():
        expected = {"precision@10": 1 / 10, "f1@10": 2 * 1 / (10 + 1)}.get(name, 1)
        assert interval.value == pytest.approx(expected), name


# ------------------------------------------------------------------------- c54: a last batch of one


def test_33_sessions_in_blocks_of_32_leave_one_that_is_answered_like_all_others() -> None:
    ring = "ABCDEFGHIJ"
    log = log_of([event for n in range(33) for event in walk(f"s{n:02d}", (ring * 2)[n % 10 :][:5], 100 * n)])
    trained = markov(log)
    examples = last_out(log, validation=False).examples("test", trained.catalogue)
    # a query takes 10 scores of 8 bytes and 4 events of its history of 32
    in_blocks = evaluate(trained, examples, block_bytes=32 * (10 * 8 + 4 * 32))
    one_by_one = evaluate(trained, examples, block_bytes=1)
    assert in_blocks.counts.targets == 33
    assert in_blocks.to_json() == one_by_one.to_json()
    assert in_blocks.value("accuracy") == 1

    odd = ["A", "B"]
    among_others = trained.recommend_many([[item] for item in (ring * 4)[:32]] + [odd], 5)
    assert among_others[-1] == trained.recommend_many([odd], 5)[0] == trained.recommend(odd, 5)
    assert among_others[-1].items[0] == "C"


def test_a_single_query_is_evaluated() -> None:
    trained = markov(log_of([*walk("u", "ABCABC", 0), *walk("v", "BCAB", 50)]))
    found = last_out(log_of(walk("t", "ABC", 900)), validation=False)
    result = evaluate(trained, found.examples("test", trained.catalogue), exclude_seen=False)
    assert (result.counts.targets, result.value("accuracy")) == (1, 1)
