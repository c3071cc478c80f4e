"""Faults that users of recommenders have met in sampled evaluation; here none of them happens."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ensue.candidates import Candidates
from ensue.errors import DataError
from ensue.evaluation import compare, evaluate
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting.markov import Markov
from ensue.models.counting.popular import Popular
from ensue.ranking import Recommender
from ensue.splits import TEST, Examples, Split

# --------------------------------------------- c52: other negatives for each model, and in each evaluation

USERS, TESTED, ITEMS = 161, 61, 300


@pytest.fixture(scope="module")
def parts() -> Split:
    """161 users walk on among 300 items; of the first 61 the last 2 of 10 events are tested."""
    draw = random.Random(7)
    rows = []
    for user in range(USERS):
        item = draw.randrange(ITEMS)
        for step in range(10):
            tested = user < TESTED and step >= 8
            when = 1_600_000_000 + user * 86_400 + step * 60
            rows.append((f"u{user:03d}", f"i{item:03d}", when, tested))
            item = (item + draw.choice([1, 1, 1, 2, 5])) % ITEMS
    frame = pl.DataFrame(rows, schema=["user", "item", "time", "tested"], orient="row")
    time = (pl.col("time") * 1_000_000).cast(pl.Datetime("us", "UTC"))
    log = EventLog.of(frame.select("user", "item", time, "tested"))
    part = np.where(log.frame["tested"].to_numpy(), TEST, 0).astype(np.uint8)
    return Split(EventLog.of(log.frame.select("user", "item", "time")), part, "the last 2 of 61 users")


@pytest.fixture(scope="module")
def fitted(parts: Split) -> tuple[Recommender, Recommender]:
    training = Training.of(parts.train)
    return Markov().fit(training), Popular().fit(training)


@pytest.fixture(scope="module")
def examples(parts: Split, fitted: tuple[Recommender, Recommender]) -> Examples:
    return parts.examples("test", fitted[0].catalogue)


def test_three_sampled_runs_have_identical_candidates_and_one_model_identical_figures(
    fitted: tuple[Recommender, Recommender], parts: Split, examples: Examples, tmp_path: Path
) -> None:
    markov, popular = fitted
    found = []
    for model in (markov, markov, popular):
        asked = parts.examples("test", model.catalogue)
        drawn = Candidates.sampled(asked, model.catalogue, 100, seed=52)
        found.append((drawn, evaluate(model, asked, candidates=drawn)))
    (first, once), (second, twice), (third, other) = found
    assert first.frame().equals(second.frame())
    assert first.frame().equals(third.frame())
    assert once.to_json() == twice.to_json()
    assert once.sampled == other.sampled
    assert other.to_json() != once.to_json()

    first.write(tmp_path / "candidates.parquet")
    kept = Candidates.read(tmp_path / "candidates.parquet", examples, popular.catalogue)
    assert evaluate(popular, examples, candidates=kept).to_json() == other.to_json()


def test_a_sampled_figure_is_marked_and_full_ranking_is_what_is_done_unless_asked(
    fitted: tuple[Recommender, Recommender], examples: Examples
) -> None:
    markov, _ = fitted
    drawn = Candidates.sampled(examples, markov.catalogue, 100, seed=52)
    sampled, full = evaluate(markov, examples, candidates=drawn), evaluate(markov, examples)
    assert "SAMPLED, not comparable with full ranking" in "\n".join(sampled.lines())
    assert sampled.to_json()["sampled"]["number"] == 100
    assert full.to_json()["sampled"] is None
    assert sampled.value("ndcg@10") > full.value("ndcg@10"), "why the two must not stand side by side"
    with pytest.raises(DataError, match="ranked among different items"):
        compare({"full": full, "sampled": sampled})


def test_neither_the_target_nor_a_seen_item_is_drawn(
    fitted: tuple[Recommender, Recommender], parts: Split, examples: Examples
) -> None:
    markov, _ = fitted
    drawn = Candidates.sampled(examples, markov.catalogue, 100, seed=52).frame(whose=examples)
    assert drawn["candidates"].list.len().to_list() == [100] * TESTED * 2
    assert (drawn["candidates"].list.n_unique() == 100).all()
    for user, query, target, candidates in drawn.iter_rows():
        items = parts.log.frame.filter(user=user)["item"].to_list()
        step = 8 + query % 2
        assert target == items[step]
        assert not set(items[: step + 1]) & set(candidates)


def test_all_61_users_are_evaluated_in_blocks_of_any_size(
    fitted: tuple[Recommender, Recommender], examples: Examples
) -> None:
    markov, _ = fitted
    n_items = len(markov.catalogue)
    assert n_items <= ITEMS
    drawn = Candidates.sampled(examples, markov.catalogue, 100, seed=52)
    found = evaluate(markov, examples, candidates=drawn)
    assert (found.counts.users, found.counts.targets) == (TESTED, TESTED * 2)
    for users in (1, 7, 32):
        again = evaluate(markov, examples, candidates=drawn, block_bytes=users * 2 * (n_items * 8 + 9 * 32))
        assert again.to_json() == found.to_json()
