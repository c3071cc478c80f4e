"""What holds of every set of rules: nothing left out comes in, caps hold, order stays, lists are full."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ensue.catalogue import Catalogue
from ensue.ranking import top_k
from ensue.rules import (
    Availability,
    Boost,
    Cap,
    Diversity,
    Freshness,
    Listed,
    Newer,
    Price,
    Request,
    Rule,
    Rules,
    Ruling,
    Seen,
)
from ensue.rules.columns import Columns

N = 24
DAY = 86_400_000_000
IDS = [f"i{n:02d}" for n in range(N)]
GENRES = ["x", "y", "x|y", "z", None]
FEATURES = pl.DataFrame(
    {
        "item": IDS,
        "genre": [GENRES[n % 5] for n in range(N)],
        "shop": [f"s{n % 3}" for n in range(N)],
        "price": [None if n % 7 == 0 else float(n) for n in range(N)],
        "first_seen": [None if n % 6 == 0 else n * DAY for n in range(N)],
    }
).with_columns(pl.col("first_seen").cast(pl.Datetime("us", "UTC")))
CATALOGUE = Catalogue(pl.Series("item", IDS), np.arange(N, 0, -1), FEATURES)
COLUMNS = Columns(CATALOGUE)

Row = NDArray[np.floating[Any]]

rows = st.lists(st.integers(-3, 6), min_size=N, max_size=N).map(
    lambda found: np.array(found, dtype=np.float64)
)
some_ids = st.lists(st.sampled_from(IDS), max_size=8).map(tuple)
codes = st.lists(st.integers(0, N - 1), max_size=6, unique=True).map(
    lambda found: np.array(found, dtype=np.int32)
)
requests = st.builds(
    Request,
    k=st.integers(0, N + 2),
    history=codes,
    exclude=codes,
    exclude_seen=st.booleans(),
    at=st.integers(5, 40).map(lambda day: day * DAY),
)
missing = st.sampled_from(["keep", "drop"])
filters = st.lists(
    st.one_of(
        st.builds(Listed, allow=st.none() | some_ids, deny=some_ids),
        st.builds(Price, least=st.floats(0, 9), most=st.floats(10, 30), missing=missing),
        st.builds(Freshness, days=st.floats(1, 40), missing=missing),
        st.builds(Seen, items=st.sampled_from(["exclude", "allow", "repeats"])),
    ),
    max_size=3,
)
caps = st.lists(st.builds(Cap, column=st.sampled_from(["genre", "shop"]), most=st.integers(1, 4)), max_size=2)
boosts = st.lists(
    st.one_of(
        st.builds(Boost, items=some_ids.filter(bool), factor=st.floats(0.25, 4), add=st.floats(-2, 2)),
        st.builds(Newer, strength=st.floats(0.1, 3), half_life=st.floats(1, 30)),
    ),
    max_size=2,
)
mixes = st.lists(st.builds(Diversity, relevance=st.floats(0, 1)), max_size=1)
withdrawn = st.lists(st.sampled_from(IDS), max_size=4)


def values_of(item: int, column: str) -> list[str]:
    value = FEATURES[column][item]
    return [] if value is None else str(value).split("|")


def left_out(found: list[Rule], request: Request, gone: list[str]) -> set[int]:
    """The rules' filters, word by word."""
    banned = {IDS.index(item) for item in gone} | set(request.exclude.tolist())
    history = set(request.history.tolist())
    seen = [rule for rule in found if isinstance(rule, Seen)]
    if not seen and request.exclude_seen:
        banned |= history
    for rule in found:
        for n, item in enumerate(IDS):
            price, day = FEATURES["price"][n], None if n % 6 == 0 else n
            bad = False
            if isinstance(rule, Listed):
                bad = (rule.allow is not None and item not in rule.allow) or item in rule.deny
            elif isinstance(rule, Price):
                assert rule.least is not None
                assert rule.most is not None
                bad = rule.missing == "drop" if price is None else not rule.least <= price <= rule.most
            elif isinstance(rule, Freshness):
                assert request.at is not None
                old = day is not None and request.at - day * DAY > round(rule.days * DAY)
                bad = rule.missing == "drop" if day is None else old
            elif isinstance(rule, Seen):
                bad = (rule.items == "exclude" and n in history) or (
                    rule.items == "repeats" and n not in history
                )
            if bad:
                banned.add(n)
    return banned


@given(rows, requests, filters, caps, boosts, mixes, withdrawn)
def test_nothing_that_is_left_out_comes_in_and_caps_hold(
    row: Row,
    request: Request,
    some: list[Rule],
    capped: list[Cap],
    boosted: list[Rule],
    mixed: list[Rule],
    gone: list[str],
) -> None:
    ruling = Ruling(Rules((*some, *capped, *boosted, *mixed)), COLUMNS, Availability(gone))
    found = ruling.apply(row.copy(), request).items.tolist()
    banned = left_out(some, request, gone)
    assert not banned & set(found)
    assert len(found) == len(set(found)) <= request.k
    for cap in capped:
        taken = [value for item in found for value in values_of(item, cap.column)]
        assert all(taken.count(value) <= cap.most for value in taken)
    if not capped:
        assert len(found) == min(request.k, N - len(banned)), "the list is full where so many are free"


@given(rows, requests, filters, st.integers(1, 4))
def test_a_capped_list_is_as_full_as_it_can_be(
    row: Row, request: Request, some: list[Rule], most: int
) -> None:
    ruled = Ruling(Rules((*some, Cap(column="shop", most=most))), COLUMNS).apply(row.copy(), request)
    free = set(range(N)) - left_out(some, request, [])
    possible = sum(min(most, sum(n % 3 == shop for n in free)) for shop in range(3))
    assert len(ruled.items) == min(request.k, possible)
    told = [note for note in ruled.notes if "could not be filled" in note]
    assert len(told) == (len(ruled.items) < request.k)
    if told:
        assert told[0].startswith(f"{request.k - len(ruled.items)} of {request.k} places")
        assert ("the caps let no more" in told[0]) == (len(free) > len(ruled.items))


@given(rows, requests)
def test_no_rules_are_the_plain_list_to_the_bit(row: Row, request: Request) -> None:
    open_request = replace(request, exclude_seen=False, exclude=np.zeros(0, dtype=np.int32))
    before = row.copy()
    ruled = Ruling(Rules(), COLUMNS).apply(row, open_request)
    plain = top_k(before, request.k)
    np.testing.assert_array_equal(ruled.items, plain)
    np.testing.assert_array_equal(ruled.scores, before[plain])
    np.testing.assert_array_equal(row, before)


@given(rows, requests, filters, caps, boosts, mixes)
def test_filters_alone_change_the_row_and_asking_again_changes_nothing(
    row: Row, request: Request, some: list[Rule], capped: list[Rule], boosted: list[Rule], mixed: list[Rule]
) -> None:
    ruling = Ruling(Rules((*some, *capped, *boosted, *mixed)), COLUMNS)
    before = row.copy()
    first = ruling.apply(row, request)
    banned = sorted(left_out(some, request, []))
    expected = before.copy()
    expected[banned] = -np.inf
    np.testing.assert_array_equal(row, expected)
    again = ruling.apply(row, request)
    np.testing.assert_array_equal(again.items, first.items)
    np.testing.assert_array_equal(again.scores, first.scores)


@given(rows, requests, filters, caps, st.booleans())
def test_without_boosts_the_order_is_that_of_the_scores(
    row: Row, request: Request, some: list[Rule], capped: list[Rule], mixed: bool
) -> None:
    last: tuple[Rule, ...] = (Diversity(relevance=1.0),) if mixed else ()
    ruled = Ruling(Rules((*some, *capped, *last)), COLUMNS).apply(row.copy(), request)
    order = top_k(row, N).tolist()
    places = [order.index(item) for item in ruled.items.tolist()]
    assert places == sorted(places)
    np.testing.assert_array_equal(ruled.scores, row[ruled.items])


@given(rows, requests, filters, caps, boosts, mixes, st.integers(0, 3))
def test_rules_of_a_request_are_as_if_they_had_been_there_from_the_start(
    row: Row,
    request: Request,
    some: list[Rule],
    capped: list[Rule],
    boosted: list[Rule],
    mixed: list[Rule],
    cut: int,
) -> None:
    every = (*some, *capped, *boosted, *mixed)
    at_once = Ruling(Rules(every[:cut]).also(Rules(every[cut:])), COLUMNS).apply(row.copy(), request)
    later = Ruling(Rules(every[:cut]), COLUMNS).also(Rules(every[cut:])).apply(row.copy(), request)
    np.testing.assert_array_equal(later.items, at_once.items)
    np.testing.assert_array_equal(later.scores, at_once.scores)


@given(rows, st.integers(0, N - 1), st.floats(1, 8), st.booleans())
def test_a_boost_above_one_never_lowers_an_item(row: Row, item: int, factor: float, by_value: bool) -> None:
    boost = Boost(items=(IDS[item],), factor=factor)
    if by_value:
        boost = Boost(column="price", values=(str(float(item)),), factor=factor) if item % 7 else boost
    before = top_k(row, N).tolist().index(item)
    after = Ruling(Rules((boost,)), COLUMNS).apply(row.copy(), Request(k=N))
    found = after.items.tolist()
    assert found.index(item) <= before
    others = [other for other in found if other != item]
    assert others == [other for other in top_k(row, N).tolist() if other != item]
    expected = row[item] * factor if row[item] > 0 else row[item] / factor
    assert after.scores[found.index(item)] == pytest.approx(expected)


@given(rows, st.floats(0, 1), st.integers(1, 8))
def test_diversity_is_its_definition(row: Row, relevance: float, k: int) -> None:
    """Place by place the largest relevance x score - (1 - relevance) x likeness to the most similar above."""
    found = Ruling(Rules((Diversity(relevance=relevance, columns=("genre",)),)), COLUMNS).apply(
        row.copy(), Request(k=k)
    )
    order = top_k(row, N).tolist()
    spread = (row.max() - row.min()) or 1.0
    worth = {n: (row[n] - row.min()) / spread for n in order}
    sets = [set(values_of(n, "genre")) for n in range(N)]

    def alike(a: int, b: int) -> float:
        return len(sets[a] & sets[b]) / np.sqrt(len(sets[a]) * len(sets[b])) if sets[a] and sets[b] else 0.0

    above: list[int] = []
    for item in found.items.tolist():
        value = {
            n: relevance * worth[n] - (1 - relevance) * max((alike(n, other) for other in above), default=0.0)
            for n in order
            if n not in above
        }
        assert value[item] == pytest.approx(max(value.values()), abs=1e-9)
        above.append(item)


def test_the_candidates_are_widened_until_the_list_is_full() -> None:
    """Two thousand items of one kind stand above the only two of another kind."""
    ids = [f"i{n:04d}" for n in range(2002)]
    kinds = pl.DataFrame({"item": ids, "kind": ["a"] * 2000 + ["b", "b"]})
    catalogue = Catalogue(pl.Series("item", ids), np.arange(2002, 0, -1), kinds)
    scores = -np.arange(2002.0)
    for mix in ((), (Diversity(columns=("kind",), relevance=0.9),)):
        ruling = Ruling(Rules((Cap(column="kind", most=2), *mix)), catalogue)
        assert sorted(ruling.apply(scores.copy(), Request(k=4)).items.tolist()) == [0, 1, 2000, 2001]
        short = ruling.apply(scores.copy(), Request(k=5))
        assert len(short.items) == 4
        assert short.notes == ("1 of 5 places could not be filled: the caps let no more items in",)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_row_keeps_its_precision_and_costs_are_told(kind: Any) -> None:
    rules = Rules(
        (Price(most=12.0, missing="drop"), Newer(strength=1, half_life=9), Cap(column="shop", most=1))
    )
    row: Row = np.linspace(1, 2, N).astype(kind)
    ruled = Ruling(rules, COLUMNS).apply(row, Request(k=3, at=30 * DAY))
    assert row.dtype == kind
    assert list(ruled.cost) == ["filters", "boosts", "ranking"]
    assert all(cost >= 0 for cost in ruled.cost.values())


def test_many_questions_are_answered_as_each_alone() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random((5, N))
    asked = [
        Request(k=3, history=rng.integers(0, N, 4).astype(np.int32), exclude_seen=True) for _ in range(5)
    ]
    ruling = Ruling(Rules((Cap(column="genre", most=1),)), COLUMNS)
    together = ruling.apply_many(scores.copy(), asked)
    for row, request, found in zip(scores, asked, together, strict=True):
        np.testing.assert_array_equal(found.items, ruling.apply(row.copy(), request).items)
