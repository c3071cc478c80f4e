"""Replay: online is offline question by question, a planted fault shows, and nothing is shown before it came."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import ensue
from ensue.catalogue import Catalogue
from ensue.errors import ColumnError, ConfigError, DataError, ModelError, QueryError
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.inputs import TIME
from ensue.progress import Silent
from ensue.ranking import Parts, Recommender
from ensue.replaying import Replay, replay
from ensue.replaying.standing import CLOSE, standing
from ensue.rules import Listed, Rules, Ruling
from ensue.sequences import Queries
from ensue.serving.events import LiveEvent
from ensue.serving.served import Served
from ensue.serving.state import Appended, Limits
from ensue.serving.state.sqlite import SqliteStore
from ensue.serving.titles import Titles
from ensue.splits import TEST, TRAIN, Split, split

DAY = 86_400_000_000
START = 1_600_000_000_000_000
METRICS = ("recall@3", "ndcg@3", "mrr@3")


def log_of(rows: Sequence[tuple[str, str, int]], **columns: Sequence[object]) -> EventLog:
    """Users, items and minutes, in the order of the source."""
    users, items, minutes = zip(*rows, strict=True)
    times = [START + 60_000_000 * minute for minute in minutes]
    frame = pl.DataFrame({"user": users, "item": items, "time": times, **columns})
    return EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))


@pytest.fixture(scope="module")
def wandering() -> EventLog:
    """30 users wander among 15 items in hours of their own; many events share their minute, some are there twice."""
    random = np.random.default_rng(7)
    rows: list[tuple[str, str, int]] = []
    kinds, ratings = [], []
    for user in range(30):
        minute, item = int(random.integers(8_000)), int(random.integers(15))
        for _ in range(int(random.integers(2, 14))):
            minute += int(random.choice([0, 0, 1, 5, 90]))
            item = (item + int(random.choice([1, 1, 2, 7]))) % 15
            for _ in range(int(random.choice([1, 1, 1, 2]))):
                rows.append((f"user-{user}", f"i{item}", minute))
                kinds.append(str(random.choice(["view", "buy"])))
                ratings.append(float(random.integers(1, 6)) if random.random() < 0.8 else None)
    return log_of(rows, event=kinds, rating=ratings).with_sessions(gap_seconds=1800)


def serving(recommender: Recommender, by: str = "user", reads: frozenset[str] = frozenset()) -> Served:
    """A recommender as it is served."""
    catalogue = recommender.catalogue
    ruling = Ruling(Rules(), catalogue)
    return Served(Path(), "own", "", recommender, ruling, Titles(catalogue), by, reads)


@dataclass(frozen=True, eq=False)
class Fixed:
    """The same scores for everybody."""

    row: NDArray[np.floating]

    def score(self, queries: Queries) -> NDArray[np.floating]:
        return np.tile(self.row, (len(queries), 1))

    def parts(self) -> Parts:
        return Parts()


def fixed(scores: dict[str, float], kind: type[np.floating] = np.float64) -> Recommender:
    """Scores of items by id, in the order of the catalogue."""
    ids = pl.Series("item", list(scores))
    return Recommender(
        Catalogue(ids, np.ones(len(ids), dtype=np.int64)),
        Fixed(np.array(list(scores.values()), dtype=kind)),
        "fixed",
        exclude_seen=False,
    )


def check_equal(found: Replay, recommender: Recommender, over: Split) -> None:
    """All that has to hold where what is served is what was measured."""
    found.check()
    agreement = found.agreement
    assert (agreement.differ, agreement.close, agreement.histories) == (0, 0, 0)
    assert agreement.same == agreement.questions == over.n_targets("test")
    offline = evaluate(recommender, over, metrics=METRICS)
    for name in METRICS:
        assert found.offline.value(name) == offline.value(name)
        assert found.low[name] - 1e-9 <= found.online.value(name) <= found.high[name] + 1e-9
        assert found.low[name] - 1e-9 <= offline.value(name) <= found.high[name] + 1e-9 or agreement.tied
        if not agreement.tied:
            assert abs(found.difference(name)) < 1e-9


# ------------------------------------------------------------------------------- online is offline


@pytest.mark.parametrize(
    ("name", "by", "rule"),
    [
        ("markov", "user", "temporal"),
        ("markov", "user", "last"),
        ("markov", "session", "temporal"),
        ("popular", "session", "last"),
        ("rules", "user", "ratio"),
        ("rules", "session", "days"),
        ("markov-time", "user", "temporal"),
    ],
)
def test_counting_models_reach_online_what_was_measured(
    wandering: EventLog, tmp_path: Path, name: str, by: str, rule: str
) -> None:
    parts = split(wandering, rule, by=by)
    ensue.save(ensue.fit(name, parts.before_test, by=by), tmp_path / "model")
    recommender = ensue.load(tmp_path / "model")
    found = replay(tmp_path / "model", parts, k=3)
    check_equal(found, recommender, parts)
    assert found.online.value("recall@3") > 0


@pytest.mark.slow
def test_a_network_that_reads_times_reaches_online_what_was_measured(
    wandering: EventLog, tmp_path: Path
) -> None:
    parts = split(wandering)
    small: dict[str, Any] = {"width": 8, "length": 6, "epochs": 1, "batch_tokens": 128}
    ensue.save(
        ensue.fit("lstm", parts.before_test, inputs=("gap", "event", "rating"), **small), tmp_path / "model"
    )
    found = replay(tmp_path / "model", parts, k=3)
    found.check()
    assert found.agreement.differ == 0
    assert found.agreement.same > 0.9 * found.agreement.questions
    assert found.online.value("ndcg@3") == pytest.approx(found.offline.value("ndcg@3"), abs=1e-3)


def test_untied_figures_are_equal_to_the_ninth_digit(wandering: EventLog) -> None:
    parts = split(wandering)
    score = {f"i{n}": 1.0 / (1 + (7 * n) % 15) for n in range(15)}
    found = replay(serving(fixed(score)), parts, k=3)
    assert found.agreement.tied == 0
    assert all(abs(found.difference(name)) < 1e-9 for name in METRICS)
    assert found.low == found.high


@settings(max_examples=12)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("ABCD"), st.integers(0, 3)), min_size=4, max_size=25
    ),
    st.sampled_from(["user", "session"]),
    st.booleans(),
)
def test_whatever_the_log_online_is_offline(
    rows: list[tuple[str, str, int]], by: str, excluding: bool
) -> None:
    """Few users, items and minutes: equal times and events that are there twice are the rule."""
    log = log_of(rows).with_sessions(gap_seconds=60)
    parts = split(log, "last", by=by)
    if parts.n_targets("test") == 0 or parts.before_test.n_events == 0:
        return
    recommender = ensue.fit("markov", parts.before_test, by=by, exclude_seen=excluding)
    check_equal(replay(serving(recommender, by), parts, k=3), recommender, parts)


def test_a_basket_is_asked_for_before_any_of_it_is_told() -> None:
    rows = [("a", "A", 0), ("a", "B", 10), ("a", "C", 11), ("b", "B", 5), ("b", "C", 20), ("b", "A", 21)]
    log = log_of(rows, basket=["1", "2", "2", "3", "4", "4"])
    parts = split(log, "basket")
    recommender = ensue.fit("markov", parts.before_test)
    found = replay(serving(recommender), parts, k=3)
    assert (found.agreement.same, found.agreement.histories) == (4, 0)


def test_a_log_without_times_is_told_in_its_order() -> None:
    rows = [("a", "A"), ("a", "B"), ("a", "C"), ("b", "B"), ("b", "C"), ("b", "A"), ("b", "B")]
    log = EventLog.of(pl.DataFrame(rows, schema=["user", "item"], orient="row"))
    parts = split(log, "last")
    recommender = ensue.fit("markov", parts.before_test)
    check_equal(replay(serving(recommender), parts, k=3), recommender, parts)
    with pytest.raises(ColumnError, match="has no times"):
        replay(serving(recommender), parts, available=True)


def test_of_a_log_every_event_with_a_history_is_asked_for() -> None:
    log = log_of([("a", "A", 0), ("b", "B", 0), ("a", "B", 1), ("b", "A", 1), ("b", "B", 2)])
    found = replay(serving(fixed({"A": 1.0, "B": 2.0})), log, k=3)
    assert found.agreement.questions == 5 - 2
    assert found.agreement.same == found.agreement.questions


def test_what_comes_between_the_questions_is_told_though_it_is_not_asked_for() -> None:
    """Validation and unused events are in the histories."""
    log = log_of([("a", "A", 0), ("a", "B", 1), ("a", "C", 2), ("a", "D", 3), ("a", "A", 4)])
    parts = Split(log, np.array([TRAIN, TEST, 3, 1, TEST], dtype=np.uint8), "own")
    recommender = ensue.fit("markov", log_of([("x", "D", 0), ("x", "A", 1), ("x", "B", 2), ("x", "C", 3)]))
    found = replay(serving(recommender), parts)
    assert (found.agreement.same, found.agreement.histories, found.cost.events) == (2, 0, 3)


# ------------------------------------------------------------------------------------------- ties


def test_ties_differ_by_the_middle_and_the_order_of_the_catalogue() -> None:
    log = log_of([("a", "A", 0), ("a", "C", 1)])
    found = replay(serving(fixed(dict.fromkeys("ABCD", 0.5))), split(log, "last"), k=3)
    assert found.agreement.to_json() == {
        "questions": 1, "same": 1, "close": 0, "differ": 0, "tied": 1, "histories": 0, "ahead": 0,
    }  # fmt: skip
    assert found.offline.value("mrr@3") == 1 / (1 + 3 / 2)  # the middle of four
    assert found.online.value("mrr@3") == 1 / 3  # the third of the catalogue
    assert (found.low["mrr@3"], found.high["mrr@3"]) == (0, 1)
    assert found.online.value("ndcg@3") == pytest.approx(1 / log2(1 + 3))
    assert found.difference("mrr@3") == pytest.approx(1 / 3 - 1 / 2.5)


@pytest.mark.parametrize(("kind", "gap", "tied"), [(np.float32, CLOSE / 2, 1), (np.float64, CLOSE / 2, 0)])
def test_single_precision_is_told_apart_to_the_fifth_digit(
    kind: type[np.floating], gap: float, tied: int
) -> None:
    log = log_of([("a", "A", 0), ("a", "B", 1)])
    recommender = fixed({"A": 0.1, "B": 0.5, "C": 0.5 + gap}, kind)
    asked = split(log, "last").examples("test", recommender.catalogue)
    found = standing(recommender, asked, Silent())
    assert (found.listed.tolist(), int(found.tied.sum())) == ([2.0], tied)
    assert found.least.tolist() == [2.0 - tied]
    same, near = found.agrees(np.array([1.0]), 10)
    assert (bool(same[0]), bool(near[0])) == (False, bool(tied))


def test_a_target_that_cannot_be_served_is_in_no_slate() -> None:
    log = log_of([("a", "A", 0), ("a", "new", 1), ("b", "A", 0), ("b", "A", 2)])
    recommender = ensue.fit("popular", log_of([("x", "A", 0), ("x", "B", 1)]))
    found = replay(serving(recommender), split(log, "last"), k=3)
    assert (found.agreement.same, found.online.value("recall@3"), found.high["recall@3"]) == (2, 0, 0)


# ------------------------------------------------------------------------------------ planted faults


@dataclass(frozen=True, eq=False)
class Peeking:
    """Reads what comes after the history, which memory holds offline alone."""

    def score(self, queries: Queries) -> NDArray[np.floating]:
        scores = np.tile(np.arange(queries.n_items, 0.0, -1), (len(queries), 1))
        there = np.flatnonzero(queries.ends < len(queries.items))
        scores[there, queries.items[queries.ends[there]]] = 1_000.0
        return scores

    def parts(self) -> Parts:
        return Parts()


def test_a_model_that_reads_the_future_is_told_of(wandering: EventLog) -> None:
    parts = split(wandering)
    honest = ensue.fit("popular", parts.before_test)
    found = replay(
        serving(Recommender(honest.catalogue, Peeking(), "peeking", exclude_seen=False)), parts, k=3
    )
    assert found.offline.value("recall@3") > found.online.value("recall@3") + 0.2
    assert not found.agrees
    assert found.agreement.histories == 0
    with pytest.raises(ModelError, match="with histories of the same length: the model reads something"):
        found.check()
    assert found.lines()[-1].startswith("OFFLINE AND ONLINE DIFFER: ")


class Losing(SqliteStore):
    """Loses each third event that it is told."""

    count = 0

    def append(self, events: Sequence[LiveEvent]) -> Appended:
        self.count += len(events)
        first = self.count - len(events)
        return super().append([event for place, event in enumerate(events, first) if place % 3])


class Garbling(SqliteStore):
    """Files each event under another item."""

    def append(self, events: Sequence[LiveEvent]) -> Appended:
        return super().append(
            [LiveEvent("i0", event.user, event.session, event.time, id=event.id) for event in events]
        )


@pytest.mark.parametrize(
    ("faulty", "said"),
    [
        (Losing, "history of another length than the log has"),
        (lambda path: SqliteStore(path, Limits(events=2)), "history of another length than the log has"),
        (Garbling, "with histories of the same length"),
    ],
    ids=["loses", "cut", "garbled"],
)
def test_a_store_that_does_not_keep_histories_is_told_of(
    wandering: EventLog, tmp_path: Path, faulty: object, said: str
) -> None:
    parts = split(wandering)
    recommender = ensue.fit("rules", parts.before_test)
    found = replay(serving(recommender), parts, k=3, store=faulty(tmp_path / "state.db"))  # type: ignore[operator]
    assert found.agreement.differ > 0
    with pytest.raises(ModelError, match=said):
        found.check()
    assert (found.agreement.histories > 0) is ("another length" in said)


def test_histories_that_are_cut_are_told_of_though_they_change_no_answer(
    wandering: EventLog, tmp_path: Path
) -> None:
    """A first-order chain looks at the last event alone."""
    parts = split(wandering)
    recommender = ensue.fit("markov", parts.before_test, exclude_seen=False)
    found = replay(serving(recommender), parts, store=SqliteStore(tmp_path / "s.db", Limits(events=1)))
    assert found.agrees
    assert found.agreement.histories > 0
    assert f"{found.agreement.histories} questions were asked with a history of another length" in "\n".join(
        found.notes()
    )


def test_questions_have_the_times_that_they_are_asked_at(wandering: EventLog) -> None:
    """The recency of this model hangs on when it is asked."""

    @dataclass(frozen=True, eq=False)
    class Clocked:
        def score(self, queries: Queries) -> NDArray[np.floating]:
            minute = np.zeros(len(queries)) if queries.at is None else queries.at // 60_000_000 % 15
            last = np.zeros(len(queries)) if queries.time is None else queries.time[queries.ends - 1] % 11
            return (np.arange(queries.n_items)[None] * 7 + minute[:, None] + last[:, None]) % 15.0

        def parts(self) -> Parts:
            return Parts()

    parts = split(wandering)
    catalogue = ensue.fit("popular", parts.before_test).catalogue
    clocked = Recommender(catalogue, Clocked(), "clocked", exclude_seen=False)
    assert replay(serving(clocked, reads=frozenset({TIME})), parts, k=3).agrees


def test_rules_of_a_service_are_left_out(wandering: EventLog) -> None:
    parts = split(wandering)
    recommender = ensue.fit("markov", parts.before_test)
    ruling = Ruling(Rules((Listed(deny=tuple(f"i{n}" for n in range(10))),)), recommender.catalogue)
    ruled = Served(Path(), "own", "", recommender, ruling, Titles(recommender.catalogue))
    check_equal(replay(ruled, parts, k=3), recommender, parts)


# -------------------------------------------------------------------------------- catalogue as it stood


def arrivals() -> tuple[EventLog, Recommender]:
    """N is liked best by the model, and comes in minute 10; the first question is asked in minute 1."""
    rows = [("a", "A", 0), ("a", "B", 1), ("b", "A", 0), ("b", "B", 9), ("c", "A", 3), ("c", "N", 10)]
    rows += [("d", "A", 4), ("d", "B", 11)]
    return log_of(rows), fixed({"N": 9.0, "B": 5.0, "A": 1.0, "never": 0.5})


def test_an_item_is_not_shown_before_its_first_event() -> None:
    log, recommender = arrivals()
    found = replay(serving(recommender), split(log, "last"), k=1, available=True)
    assert found.available is not None
    # N stands first for all four; it is the target of c, and was there when c and d were asked
    assert found.online.per_user["recall@1"].tolist() == [0, 0, 1, 0]
    assert found.available.figures.per_user["recall@1"].tolist() == [1, 1, 1, 0]
    assert (found.available.withdrawn, found.available.shown) == (1, 2)
    assert found.agrees
    assert found.rows()[0][-1] == "catalogue as it stood"


def test_items_that_came_before_the_first_question_change_nothing(wandering: EventLog) -> None:
    parts = split(wandering)
    found = replay(serving(ensue.fit("markov", parts.before_test)), parts, k=3, available=True)
    assert found.available is not None
    assert (found.available.withdrawn, found.available.shown) == (0, 0)
    assert found.available.figures.to_json() == found.online.to_json()


# ----------------------------------------------------------------------------------------- the rest


def test_a_limit_spreads_the_questions_evenly(wandering: EventLog) -> None:
    parts = split(wandering, "ratio", test=0.5)
    recommender = ensue.fit("markov", parts.before_test)
    whole = parts.n_targets("test")
    found = replay(serving(recommender), parts, k=3, limit=12)
    assert found.agreement.questions == found.agreement.same == found.offline.counts.targets == 12
    assert found.offline.protocol.endswith(f"12 of {whole} questions, evenly spread")
    assert found.online.users > 9
    assert replay(serving(recommender), parts, limit=whole + 1).agreement.questions == whole


@pytest.mark.parametrize("targets", ["last", "random"])
def test_one_target_of_each_user_is_asked_as_it_is_measured(wandering: EventLog, targets: str) -> None:
    parts = split(wandering, "ratio", test=0.5)
    recommender = ensue.fit("markov", parts.before_test)
    found = replay(serving(recommender), parts, k=3, targets=targets, target_seed=5)
    examples = parts.examples("test", recommender.catalogue, targets, seed=5)
    assert found.offline.protocol == examples.protocol
    assert found.agreement.questions == found.agreement.same == len(examples) < parts.n_targets("test")


def test_open_baskets_are_not_replayed(wandering: EventLog) -> None:
    parts = split(wandering, "ratio", test=0.5)
    with pytest.raises(ConfigError, match="Open baskets are not replayed"):
        replay(serving(ensue.fit("markov", parts.before_test)), parts, targets="completion")


def test_a_store_that_holds_something_is_refused_and_left_as_it_is(
    wandering: EventLog, tmp_path: Path
) -> None:
    parts = split(wandering)
    answering = serving(ensue.fit("popular", parts.before_test))
    store = SqliteStore(tmp_path / "state.db")
    store.append([LiveEvent("A", user="somebody", time=START)])
    before = store.changes()
    with pytest.raises(ConfigError, match="holds 1 live and 0 kept events already"):
        replay(answering, parts, store=str(tmp_path / "state.db"))
    assert store.changes() == before
    assert replay(answering, parts, store=str(tmp_path / "new.db")).agrees
    assert SqliteStore(tmp_path / "new.db").counts().kept > 0


def test_what_cannot_be_is_refused(wandering: EventLog) -> None:
    parts = split(wandering)
    answering = serving(ensue.fit("popular", parts.before_test))
    with pytest.raises(ConfigError, match="k=0, limit=0"):
        replay(answering, parts, k=0)
    with pytest.raises(ConfigError, match="limit=-1"):
        replay(answering, parts, limit=-1)
    with pytest.raises(QueryError, match="k=1\\.5"):
        replay(answering, parts, k=1.5)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="nothing to predict"):
        replay(answering, Split(wandering, np.full(wandering.n_events, TRAIN, dtype=np.uint8), "none"))


def test_nothing_of_users_is_in_what_is_written(wandering: EventLog) -> None:
    parts = split(wandering)
    found = replay(serving(ensue.fit("markov", parts.before_test)), parts, k=3, available=True)
    written = json.dumps(found.to_json(), allow_nan=False) + "\n".join(found.lines())
    assert "user-" not in written
    told = found.to_json()
    assert told["metrics"]["ndcg@3"]["difference"] == found.difference("ndcg@3")
    assert set(told["cost"]) == {"p50_ms", "p99_ms", "questions_per_second", "events"}
    assert 0 < told["cost"]["p50_ms"] <= told["cost"]["p99_ms"]
