"""What a model costs, measured: sizes, times of single answers, memory; and the questions that are asked for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ensue.catalogue import Catalogue
from ensue.events.log import EventLog
from ensue.ladder.costs import ASKED, ROUNDS, folder_bytes, latency, process_peak, questions
from ensue.model import fit
from ensue.splits import last_out


@pytest.fixture
def rated_log() -> EventLog:
    """Two users, with times, ratings (one missing) and a column of the shop; each user's last event is the test."""
    return EventLog.of(
        pl.DataFrame(
            {
                "user": ["u", "u", "u", "v", "v"],
                "item": ["a", "b", "c", "b", "a"],
                "time": [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4, 5)],
                "rating": [5.0, None, 3.0, 1.0, 2.0],
                "page": ["home", "cart", "home", None, "cart"],
            }
        )
    )


def test_a_question_is_a_history_as_it_would_be_asked_without_the_answer(rated_log: EventLog) -> None:
    parts = last_out(rated_log, validation=False)
    catalogue = Catalogue.fit(rated_log)
    first, second = questions(parts.examples("test", catalogue), catalogue, 10)
    assert (list(first.history), first.user) == (["a", "b"], "u")
    assert first.times == [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2)]
    assert first.at == datetime(2024, 1, 3, tzinfo=UTC)
    assert first.ratings == [5.0, None]
    assert first.context == {"page": ["home", "cart"]}
    assert (list(second.history), second.context) == (["b"], {"page": [None]})


def test_questions_are_spread_over_the_examples_and_no_more_than_asked_for(ring_log: EventLog) -> None:
    parts = last_out(ring_log)
    catalogue = Catalogue.fit(parts.train)
    examples = parts.examples("test", catalogue)
    asked = questions(examples, catalogue, 3)
    assert [question.user for question in asked] == ["u00", "u09", "u19"]
    assert len(questions(examples, catalogue, 100)) == len(examples) == 20


def test_histories_of_unknown_items_are_asked_only_where_there_are_no_others(rated_log: EventLog) -> None:
    parts = last_out(rated_log, validation=False)
    only_a = Catalogue.fit(rated_log.where(rated_log.frame["item"] == "a"))
    assert [list(one.history) for one in questions(parts.examples("test", only_a), only_a, 10)] == [["a"]]
    only_c = Catalogue.fit(rated_log.where(rated_log.frame["item"] == "c"))
    assert [list(one.history) for one in questions(parts.examples("test", only_c), only_c, 10)] == [[], []]


def test_answers_are_timed_one_by_one(ring_log: EventLog) -> None:
    parts = last_out(ring_log)
    recommender = fit("markov", parts.train)
    found = latency(recommender, parts.examples("test", recommender.catalogue))
    assert found.answers == min(ASKED, 20) * ROUNDS
    assert 0 < found.p50 <= found.p99
    assert 0 < found.work < 1000
    assert set(found.to_json()) == {"processor", "p50", "p99", "answers"}


def test_a_folder_is_as_large_as_its_files(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "one").write_bytes(b"x" * 700)
    (tmp_path / "inner" / "two").write_bytes(b"y" * 42)
    assert folder_bytes(tmp_path) == 700 + 42


def test_the_peak_of_the_process_holds_what_was_held_and_never_falls() -> None:
    before = process_peak()
    assert before is not None
    held = np.ones(int(before * 1e6 / 8) + 4_000_000)  # as much as ever, and 32 MB more
    after = process_peak()
    assert after is not None
    assert after >= before + 30
    del held
    again = process_peak()
    assert again is not None
    assert again >= after
