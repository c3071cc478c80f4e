"""Counting models whose scores are sums say what each event adds, and it adds up to the score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.events.log import EventLog
from ensue.explaining.attribution import AddsUp
from ensue.model import Model, Training
from ensue.models.counting.als import FactorScoring
from ensue.models.counting.markov import Markov
from ensue.models.counting.markov_time import MarkovTime
from ensue.models.counting.neighbours import Neighbours
from ensue.models.counting.popular import Popular, Recent
from ensue.models.counting.rules import Rules
from ensue.models.counting.session_knn import STAN, VSKNN
from ensue.ranking import Recommender
from ensue.sequences import Queries

ITEMS = "abcdef"
HOUR = 3_600_000_000

MODELS = (
    Popular(),
    Popular(category="genre"),
    Popular(segment="place"),
    Recent(days=1),
    Markov(),
    Markov(order=3),
    Markov(order=3, discount=0.4, continuation=True),
    MarkovTime(),
    Rules(),
    Rules(window=3, last=2, decay=0.5),
    Rules(decay=0),
    Neighbours(neighbours=3, shrinkage=1),
    VSKNN(neighbours=3, sample=5, last=4),
    VSKNN(reach=0, decay=0),
    STAN(neighbours=3, sample=5, last=4, lambda1=1.5),
    STAN(backward=0),
)

logs = st.lists(st.text(ITEMS, min_size=1, max_size=9), min_size=1, max_size=6)
histories = st.lists(st.text(ITEMS, min_size=1, max_size=9), min_size=1, max_size=4)


def training_of(sequences: list[str]) -> Training:
    """Sequences with times, a column of the log and one of the items."""
    rows = [
        (f"u{n}", item, (n + step) * HOUR, "north" if (n + step) % 2 else "south")
        for n, sequence in enumerate(sequences)
        for step, item in enumerate(sequence)
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "time", "place"], orient="row")
    items = pl.DataFrame({"item": list(ITEMS), "genre": ["x", "x|y", "y", None, "z", "x|z"]})
    log = EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))
    return Training.of(replace(log, items=items))


def asked_of(recommender: Recommender, histories: list[str]) -> Queries:
    """Queries with times and places, of the items that are known."""
    known = set(recommender.catalogue.ids)
    kept = [[item for item in history if item in known] for history in histories]
    codes = [recommender.catalogue.encode(history) for history in kept if history]
    queries = Queries.of(codes, len(recommender.catalogue))
    place = pl.Series(
        "place", ["north" if n % 3 else "east" for n in range(len(queries.items))], dtype=pl.String
    )
    return replace(
        queries,
        time=np.arange(len(queries.items)) * HOUR,
        at=queries.ends * HOUR + 7,
        context={"place": place},
    )


@settings(max_examples=20)
@given(logs, histories, st.integers(0, 5))
def test_parts_and_rest_are_the_score(log: list[str], asked: list[str], item: int) -> None:
    training = training_of(log)
    for model in MODELS:
        recommender = model.fit(training)
        queries = asked_of(recommender, asked)
        if len(queries) == 0:
            return
        scoring = recommender.scoring
        assert isinstance(scoring, AddsUp)
        items = np.full(len(queries), item % len(recommender.catalogue), dtype=np.int32)
        parts, rest = scoring.contributions(queries, items)
        rows, _ = queries.pairs()
        added = np.bincount(rows, parts, minlength=len(queries)) + rest
        scores = recommender.scores(queries)[np.arange(len(queries)), items]
        np.testing.assert_allclose(added, scores, rtol=1e-12, atol=1e-18, err_msg=str(model))
        assert (parts >= 0).all(), model


def parts_of(model: Model, log: list[str], history: str, item: str) -> list[float]:
    """What each event of a history adds to the score of an item."""
    recommender = model.fit(training_of(log))
    scoring = recommender.scoring
    assert isinstance(scoring, AddsUp)
    queries = asked_of(recommender, [history])
    parts, _ = scoring.contributions(queries, recommender.catalogue.encode([item]))
    return [float(part) for part in parts]


def test_a_context_is_parted_equally_among_its_items() -> None:
    """After "a b" came c always; after b it came twice of three times, and what is passed on is 1e-9 of that."""
    parts = parts_of(Markov(order=2), ["abc", "abc", "bd"], "fdab", "c")
    assert parts == pytest.approx([0.0, 1.0 / 2, 1.0 / 2 + 1e-9 * 2 / 3], rel=1e-12), "f is not known"


def test_only_the_last_event_counts_where_the_chain_is_of_first_order() -> None:
    assert parts_of(Markov(), ["abc"], "abab", "c") == [0.0, 0.0, 0.0, 1.0]
    assert parts_of(MarkovTime(), ["abc"], "abab", "c")[:3] == [0.0, 0.0, 0.0]


def test_a_neighbour_is_parted_by_the_weights_of_the_items_it_shares() -> None:
    """Of the history a, b the weights are 1/2 and 1: "abc" shares both, "ac" shares a alone."""
    parts = parts_of(VSKNN(reach=0), ["abc", "ac", "de"], "ab", "c")
    assert parts == pytest.approx([1 / 2 + 1 / 2, 1.0])


def test_of_an_item_that_came_twice_the_newest_event_counts() -> None:
    parts = parts_of(VSKNN(reach=0), ["ac"], "aa", "c")
    assert parts == [0.0, 1.0]


def test_what_stands_out_of_reach_in_a_neighbour_gets_nothing() -> None:
    assert parts_of(VSKNN(reach=1), ["abc"], "a", "c") == [0.0]
    assert parts_of(STAN(backward=0), ["ca"], "a", "c") == [0.0]
    assert parts_of(STAN(backward=0, lambda3=1), ["ac"], "a", "c") == pytest.approx([np.exp(-1) / np.sqrt(2)])


def test_a_category_is_credited_to_the_events_that_are_of_it() -> None:
    """b is half x and half y, d has no category: of one event of each, only b makes a, which is x, more likely."""
    log = ["abcd"]
    of_x, share, events = 1 / 4 * 1.5, 1 / 4, 2
    parts = parts_of(Popular(category="genre"), log, "bd", "a")
    assert parts == pytest.approx([share / (events + 1) * (1 / 2) / of_x, 0.0])


def test_a_segment_is_credited_to_the_last_event() -> None:
    """Everything but the first event of a question is asked in the north, which has 2 of 4 events."""
    parts = parts_of(Popular(segment="place"), ["abab"], "ab", "a")
    assert parts == pytest.approx([0.0, 0.0])
    assert parts_of(Popular(segment="place"), ["abab"], "ab", "b") == pytest.approx([0.0, 2 / (2 + 1)])


@pytest.mark.parametrize("last", [0, 3])
def test_factors_add_up_and_equal_events_count_alike(last: int) -> None:
    rng = np.random.default_rng(4)
    share = np.full(6, 1 / 6)
    scoring = FactorScoring(rng.standard_normal((6, 3)).astype(np.float32), 0.1, 2.0, last, share)
    queries = Queries.of([[0, 1, 0, 2], [3], [5, 5, 4, 5, 1]], 6)
    items = np.array([4, 3, 0], dtype=np.int32)
    parts, rest = scoring.contributions(queries, items)
    rows, _ = queries.pairs()
    scores = scoring.score(queries)[np.arange(3), items]
    np.testing.assert_allclose(np.bincount(rows, parts) + rest, scores, atol=1e-5)
    assert (parts[0] == 0) == (last == 3), "it is the fourth from the end"
    if last == 0:
        assert parts[0] == parts[2]
