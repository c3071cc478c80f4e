"""Blocks of questions that are answered side by side say what one core says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue import runtime, save
from ensue.abreast import PARTS_EACH, WORTH_PARTING, abreast, cores_of, most_at_once
from ensue.errors import QueryError
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.everybody import slates_of_all
from ensue.model import fit
from ensue.ranking import Recommender
from ensue.runtime import GraphScoring
from ensue.splits import last_out

USERS = 2 * WORTH_PARTING + 3


@pytest.fixture(scope="module")
def log() -> EventLog:
    rng = np.random.default_rng(5)
    lengths = rng.integers(3, 12, USERS)
    users = np.repeat([f"u{place:04d}" for place in range(USERS)], lengths)
    items = rng.choice([f"i{place}" for place in range(30)], len(users))
    times = pl.Series(np.arange(len(users)) * 1_000_000).cast(pl.Datetime("us", "UTC"))
    return EventLog.of(pl.DataFrame({"user": users, "item": items, "time": times}))


@pytest.fixture(scope="module")
def both(log: EventLog, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recommender, Recommender]:
    folder = tmp_path_factory.mktemp("abreast") / "model"
    save(fit("lstm", log, width=8, epochs=1, prior="beside"), Path(folder))
    return runtime.load(folder, threads=1), runtime.load(folder, threads=2)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The cores and the number of questions of each call of a scoring."""
    calls: list[tuple[int, int]] = []
    score = GraphScoring.score

    def watched(scoring: GraphScoring, queries: object) -> object:
        calls.append((scoring.threads, len(queries)))  # type: ignore[arg-type]
        return score(scoring, queries)  # type: ignore[arg-type]

    monkeypatch.setattr(GraphScoring, "score", watched)
    return calls


def test_slates_of_many_are_those_of_one_core(
    both: tuple[Recommender, Recommender], log: EventLog, asked: list[tuple[int, int]]
) -> None:
    histories = log.frame.group_by("user", maintain_order=True).agg("item")["item"].to_list()
    one, two = (recommender.recommend_many(histories, 5, exclude=["i3"]) for recommender in both)
    assert [slate.items for slate in one] == [slate.items for slate in two]
    assert np.allclose([slate.scores for slate in one], [slate.scores for slate in two], atol=1e-5)
    parts = [calls for calls in asked if calls != (1, USERS)]
    assert len(parts) == len(asked) - 1 == 2 * PARTS_EACH
    assert {cores for cores, _ in parts} == {1}
    assert sum(questions for _, questions in parts) == USERS


def test_a_table_of_all_is_that_of_one_core(
    both: tuple[Recommender, Recommender], log: EventLog, asked: list[tuple[int, int]]
) -> None:
    one, two = (slates_of_all(recommender, log.frame, 5) for recommender in both)
    assert one.drop("score").equals(two.drop("score"))
    assert len(one) == 5 * USERS
    assert np.allclose(one["score"], two["score"], atol=1e-5)
    assert len(asked) == 1 + 2 * PARTS_EACH


def test_an_evaluation_is_that_of_one_core(
    both: tuple[Recommender, Recommender], log: EventLog, asked: list[tuple[int, int]]
) -> None:
    examples = last_out(log).examples("test", both[0].catalogue)
    assert len(examples) == USERS
    one, two = (evaluate(recommender, examples) for recommender in both)
    assert one.all.value("ndcg@10") == pytest.approx(two.all.value("ndcg@10"), abs=1e-9)
    assert one.counts == two.counts
    assert len(asked) > 1 + 2
    assert {cores for cores, _ in asked} == {1}


def test_few_questions_are_one_block(
    both: tuple[Recommender, Recommender], asked: list[tuple[int, int]]
) -> None:
    both[1].recommend_many([["i1", "i2"]] * (2 * WORTH_PARTING - 1), 3)
    assert asked == [(2, 2 * WORTH_PARTING - 1)]


def test_what_goes_wrong_in_a_part_is_raised(both: tuple[Recommender, Recommender]) -> None:
    histories: list[list[str]] = [["i1"]] * USERS
    histories[-1] = [7]  # type: ignore[list-item]
    with pytest.raises(QueryError, match="history holds 7, which is not text"):
        both[1].recommend_many(histories, 3)


def test_a_product_apart_has_all_cores_by_itself(both: tuple[Recommender, Recommender]) -> None:
    scoring = both[1].scoring
    assert isinstance(scoring, GraphScoring)
    assert scoring.abreast == 2
    assert scoring.alone().abreast == 1
    assert replace(scoring, product=SimpleNamespace()).abreast == 1


@dataclass(frozen=True)
class _Counting:
    scoring: object


def test_a_scoring_without_cores_of_its_own_takes_one_part_after_the_other() -> None:
    answering = _Counting(scoring=object())
    assert cores_of(answering, 10**6) == 1
    seen: list[int] = []

    def work(who: _Counting, part: int) -> bool:
        seen.append(part)
        return who is answering

    found = abreast(answering, range(3), work, 1)
    assert next(found)
    assert seen == [0]
    assert list(found) == [True, True]
    assert seen == [0, 1, 2]


@given(st.integers(1, 10**7), st.integers(1, 10**7), st.integers(1, 64))
def test_blocks_of_all_cores_hold_no_more_than_one_would(most: int, whole: int, cores: int) -> None:
    block = most_at_once(most, whole, cores)
    assert block >= 1
    assert block * cores <= most or block == 1
    assert cores == 1 or block == 1 or -(-whole // block) >= min(cores * PARTS_EACH, whole) / 2
    assert cores > 1 or block == max(min(most, whole), 1)
