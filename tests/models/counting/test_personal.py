"""Personal frequency against a plain reading of its definition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue import artifacts, runtime
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.explaining.attribution import AddsUp
from ensue.model import Training
from ensue.models.counting.personal import Personal, PersonalScoring, Taken, each_once
from ensue.sequences import Queries
from ensue.spaces import Real

ITEMS = "abcde"
N = len(ITEMS)
SHARE = np.array([0.4, 0.3, 0.1, 0.1, 0.1])

users = st.lists(
    st.lists(st.text(ITEMS, min_size=1, max_size=5), min_size=1, max_size=6), min_size=1, max_size=4
)
"""Users with their baskets, oldest first."""


def queries_of(users: list[list[str]]) -> Queries:
    """One query for each user; the ids of baskets are only told apart from their neighbours'."""
    codes = [[ITEMS.index(item) for basket in baskets for item in basket] for baskets in users]
    ids = [str(n % 3) for baskets in users for n, basket in enumerate(baskets) for _ in basket]
    return replace(Queries.of(codes, N), context={"basket": pl.Series(ids, dtype=pl.String)})


def read_plainly(baskets: list[str], decay: float, last: int = 0) -> list[float]:
    """The definition, word by word: an item counts once in a basket."""
    kept = list(reversed(baskets))[: last or None]
    return [
        sum(decay**ago for ago, basket in enumerate(kept) if item in basket) + 1e-9 * SHARE[place]
        for place, item in enumerate(ITEMS)
    ]


@given(users, st.floats(0, 1), st.integers(0, 3))
def test_scores_are_those_of_the_definition(users: list[list[str]], decay: float, last: int) -> None:
    scores = PersonalScoring(Personal(decay, last), SHARE).score(queries_of(users))
    expected = [read_plainly(baskets, decay, last) for baskets in users]
    np.testing.assert_allclose(scores, expected, rtol=1e-12, atol=0)


@given(users)
def test_the_order_within_a_basket_is_nothing(users: list[list[str]]) -> None:
    other = [["".join(sorted(basket)) for basket in baskets] for baskets in users]
    scoring = PersonalScoring(Personal(0.7), SHARE)
    first, second = scoring.score(queries_of(users)), scoring.score(queries_of(other))
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_without_baskets_each_event_is_its_own() -> None:
    """a came 0 and 2 events ago, b 1 event ago."""
    scores = PersonalScoring(Personal(0.5), SHARE).score(Queries.of([[0, 1, 0]], N))
    assert scores[0] == pytest.approx([1 + 0.5**2 + 0.4e-9, 0.5 + 0.3e-9, 1e-10, 1e-10, 1e-10], rel=1e-12)


def test_events_of_no_basket_are_baskets_of_their_own() -> None:
    ids = pl.Series(["x", "x", None, None, "y"], dtype=pl.String)
    taken = Taken.of(replace(Queries.of([[0, 0, 1, 2, 3]], N), context={"basket": ids}))
    assert taken.ago.tolist() == [3, 3, 2, 1, 0]
    assert taken.part.tolist() == [1 / 2, 1 / 2, 1, 1, 1]
    assert taken.baskets.tolist() == [4]


def test_a_history_that_ends_within_a_basket_knows_no_more_of_it() -> None:
    """Histories share memory: the second a of the basket lies beyond the end, and the next user has a basket y too."""
    ids = pl.Series(["x", "y", "y", "y", "y"], dtype=pl.String)
    items = np.array([0, 1, 0, 1, 2], dtype=np.int32)
    shared = Queries(items, np.array([0, 3]), np.array([3, 5]), N, context={"basket": ids})
    taken = Taken.of(shared)
    assert taken.ago.tolist() == [1, 0, 0, 0, 0]
    assert taken.part.tolist() == [1] * 5
    assert taken.baskets.tolist() == [2, 1]


@given(users, st.integers(0, N - 1), st.floats(0.1, 1), st.integers(0, 3))
def test_parts_and_rest_are_the_score(users: list[list[str]], item: int, decay: float, last: int) -> None:
    scoring, queries = PersonalScoring(Personal(decay, last), SHARE), queries_of(users)
    assert isinstance(scoring, AddsUp)
    items = np.full(len(queries), item, dtype=np.int32)
    parts, rest = scoring.contributions(queries, items)
    added = np.bincount(queries.pairs()[0], parts, minlength=len(queries)) + rest
    np.testing.assert_allclose(added, scoring.score(queries)[:, item], rtol=1e-12)
    assert (parts >= 0).all()
    assert (rest == 1e-9 * SHARE[item]).all()


def test_equal_events_of_one_basket_have_equal_parts() -> None:
    queries = queries_of([["ab", "aac"]])
    parts, _ = PersonalScoring(Personal(0.5), SHARE).contributions(queries, np.array([0], dtype=np.int32))
    assert parts.tolist() == [0.5, 0, 1 / 2, 1 / 2, 0]


def test_a_question_that_is_asked_twice_is_answered_once() -> None:
    """Two histories begin at the first event, and two end after the fourth: three are different."""
    items = np.array([0, 1, 2, 3], dtype=np.int32)
    queries = Queries(items, np.array([2, 0, 0, 2, 0]), np.array([4, 2, 4, 4, 2]), N)
    asked, which = each_once(queries)
    assert len(asked) == 3
    assert asked.starts[which].tolist() == queries.starts.tolist()
    assert asked.ends[which].tolist() == queries.ends.tolist()


def test_what_was_never_taken_is_ordered_by_popularity_and_repeats_need_to_be_allowed() -> None:
    rows = [("u", "x"), ("u", "y"), ("v", "y"), ("v", "y"), ("v", "z")]
    log = EventLog.of(pl.DataFrame(rows, schema=["user", "item"], orient="row"))
    fitted = Personal().fit(Training.of(log, exclude_seen=False))
    assert fitted.recommend(["x"], 3).items == ("x", "y", "z")
    assert fitted.recommend(["x"], 3, exclude_seen=True).items == ("y", "z")


def test_it_is_saved_with_its_settings(tmp_path: Path) -> None:
    log = EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["a", "b"]}))
    fitted = Personal(0.3, 2).fit(Training.of(log))
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    queries = Queries.of([[0, 0, 1], [1]], 2)
    assert (loaded.scores(queries) == fitted.scores(queries)).all()
    assert isinstance(loaded.scoring, PersonalScoring)
    assert loaded.scoring.model == Personal(0.3, 2)
    assert loaded.scoring.reads == ("basket",)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"decay": 1.5}, "personal: decay=1.5 must lie from 0 to 1."),
        ({"decay": float("nan")}, "personal: decay=nan must lie from 0 to 1."),
        ({"decay": -1.0, "last": -1}, "personal: last=-1 must be at least 0; decay=-1 must lie from 0 to 1."),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigError) as told:
        Personal(**settings)  # type: ignore[arg-type]
    assert str(told.value) == says


def test_the_space_holds_what_is_allowed() -> None:
    decay = Personal.space["decay"]
    assert isinstance(decay, Real)
    assert [Personal(decay=end).decay for end in (decay.low, decay.high)] == [decay.low, decay.high]
