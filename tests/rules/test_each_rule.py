"""Each rule by hand, what it says of columns that are not there, and what is withdrawn while answers are given."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue.catalogue import Catalogue
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.model import fit
from ensue.questions import Question
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
    recommend,
    with_first_seen,
)
from ensue.rules.columns import Columns

IDS = list("dcba")
"""Not in the order of the alphabet, as a catalogue is not."""

NOON = int(datetime(2024, 1, 31, 12, tzinfo=UTC).timestamp()) * 1_000_000


def catalogue(**columns: Any) -> Catalogue:
    features = pl.DataFrame({"item": IDS, **columns}) if columns else None
    return Catalogue(pl.Series("item", IDS), np.array([4, 3, 2, 1]), features)


def listed(rules: list[Rule], items: Catalogue, **asked: Any) -> str:
    """The whole list, of scores that fall with the catalogue."""
    found = Ruling(Rules(tuple(rules)), items).apply(np.array([0.4, 0.3, 0.2, 0.1]), Request(**asked))
    return "".join(items.decode(found.items))


# -------------------------------------------------------------------------------------------- filters


def test_lists_of_ids() -> None:
    assert listed([Listed(deny=("c", "zzz"))], catalogue()) == "dba"
    assert listed([Listed(allow=("a", "c", "zzz"), deny=("a",))], catalogue()) == "c"
    assert listed([Listed(allow=())], catalogue()) == "", "nothing is allowed"
    rules = Rules((Listed(deny=("c", "zzz")), Boost(items=("a", "yyy"), factor=2.0)))
    assert Ruling(rules, catalogue()).unknown() == ("zzz", "yyy")


def test_ends_of_a_band_are_in_it_and_gaps_as_asked() -> None:
    items = catalogue(price=[1, 2, None, 3])
    assert listed([Price(least=2)], items) == "cba"
    assert listed([Price(most=2)], items) == "dcb"
    assert listed([Price(least=2, most=2, missing="drop")], items) == "c"
    assert listed([Price(column="weight", least=1)], catalogue(weight=[0.5, 1.5, 2.5, None])) == "cba"


@pytest.mark.parametrize(
    "times",
    [
        [date(2024, 1, 30), date(2024, 1, 29), None, date(2023, 1, 1)],
        ["2024-01-30T12:00Z", "2024-01-29T11:59:59Z", None, "2023-01-01"],
        [NOON // 1_000_000 - 86_400, NOON // 1_000_000 - 2 * 86_400 - 1, None, 1_600_000_000],
    ],
)
def test_age_is_counted_to_when_it_is_asked(times: list[Any]) -> None:
    items = catalogue(came=times)
    assert listed([Freshness(days=2, column="came")], items, at=NOON) == "db"
    assert listed([Freshness(days=2, column="came", missing="drop")], items, at=NOON) == "d"
    two_days_later = NOON + 2 * 86_400_000_000
    assert listed([Freshness(days=2, column="came", missing="drop")], items, at=two_days_later) == ""
    assert listed([Freshness(days=1e6, column="came", missing="drop")], items) == "dca", "without a time, now"


def test_one_ruling_follows_the_clock() -> None:
    ruling = Ruling(Rules((Freshness(days=1, column="came"),)), catalogue(came=[10, 9, 8, 7]))
    seconds = [
        len(ruling.apply(np.ones(4), Request(at=(86_400 + second) * 1_000_000)).items)
        for second in (6, 7, 8, 9, 11, 8)
    ]
    assert seconds == [4, 4, 3, 2, 0, 3]


@pytest.mark.parametrize(("how", "found"), [("exclude", "da"), ("allow", "dcba"), ("repeats", "cb")])
def test_the_history_as_the_rule_says_whatever_the_model_does(how: Any, found: str) -> None:
    history = np.array([1, 2], dtype=np.int32)
    for own in (False, True):
        assert listed([Seen(items=how)], catalogue(), history=history, exclude_seen=own) == found
    assert listed([], catalogue(), history=history, exclude_seen=True) == "da"


# ----------------------------------------------------------------------------------- boosts, caps, mix


def test_boosts_by_item_and_by_value() -> None:
    items = catalogue(maker=["p", "q|r", "r", None])
    assert listed([Boost(items=("a",), factor=5)], items) == "adcb"
    assert listed([Boost(column="maker", values=("r",), add=1.0)], items) == "cbda"
    assert listed([Boost(items=("d",), factor=0.1)], items) == "cbad"


def test_newer_items_rise_by_half_after_one_half_life() -> None:
    day = 86_400
    items = catalogue(came=[20 * day, 20 * day, None, 27 * day])
    scores = np.array([1.0, -1.0, 1.0, 1.0])
    at = 27 * day * 1_000_000
    ruling = Ruling(Rules((Newer(strength=2, half_life=7, column="came"),)), items)
    found = ruling.apply(scores.copy(), Request(at=at))
    raised = dict(zip(items.decode(found.items), found.scores.tolist(), strict=True))
    assert raised == pytest.approx({"a": 1 + 2, "d": 1 + 2 * 0.5, "b": 1.0, "c": -1 / (1 + 2 * 0.5)})
    early = ruling.apply(scores.copy(), Request(at=at - 90 * day * 1_000_000)).scores
    assert early.max() == pytest.approx(1 + 2), "what has not come yet is as new as can be"
    late = ruling.apply(scores.copy(), Request(at=at + 7 * day * 1_000_000)).scores
    assert late.max() == pytest.approx(1 + 2 * 0.5)


def test_newer_items_rise_though_another_is_to_come_in_many_years() -> None:
    """One far date in the table changes nothing about the others, and an item from far ahead is as new as can be."""
    day = 86_400
    scores = np.array([1.0, 1.0, 1.0, 1.0])
    request = Request(at=100 * day * 1_000_000)
    found = {}
    for far in (101, 50_000):
        items = catalogue(came=[100 * day, 99 * day, 3 * day, far * day])
        ruling = Ruling(Rules((Newer(strength=1, half_life=1, column="came"),)), items)
        slate = ruling.apply(scores.copy(), request)
        found[far] = dict(zip(items.decode(slate.items), slate.scores.tolist(), strict=True))
    assert found[50_000] == found[101] == pytest.approx({"d": 2.0, "c": 1.5, "b": 1.0, "a": 2.0}, abs=1e-6)


def test_an_item_of_two_values_counts_for_both_and_one_of_none_for_nobody() -> None:
    items = catalogue(genre=["x|y", "x", "y", None])
    assert listed([Cap(column="genre", most=1)], items) == "da"
    assert listed([Cap(column="genre", most=2)], items) == "dcba"
    assert listed([Cap(column="years", most=1)], catalogue(years=[1999, 1999, 2000, None])) == "dba"
    assert listed([Cap(column="tags", most=1)], catalogue(tags=[["p", "q"], ["q"], [], ["p"]])) == "db"


def test_a_list_is_mixed_by_vectors_too() -> None:
    items = catalogue(vector=pl.Series([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [1.0, 0.0]]))
    assert listed([Diversity(relevance=0.5)], items) == "dbca"


# ------------------------------------------------------------------------------------------ faults


def test_all_columns_that_are_not_there_are_told_at_once() -> None:
    rules = Rules(
        (
            Price(most=1),
            Cap(column="genres", most=1),
            Boost(column="genre", values=("nonsense",)),
            Diversity(columns=("sound",)),
            Freshness(days=3),
        )
    )
    with pytest.raises(ConfigError) as told:
        Ruling(rules, catalogue(genre=["x", "x", "y", "y"], price=["1", "2", "3", "4"]))
    assert str(told.value).splitlines() == [
        "the rules have 5 faults for these items:",
        "  price: the column 'price' of the items is String, and no number.",
        "  cap: the items have no column 'genres'; they have genre, price. Did you mean 'genre'?",
        "  boost: no item has genre = 'nonsense'.",
        "  diversity: the items have no column 'sound'; they have genre, price.",
        "  freshness: the items have no column 'first_seen'; they have genre, price.",
    ]
    with pytest.raises(ConfigError, match="they have none"):
        Ruling(Rules((Cap(column="genre", most=1),)), catalogue())
    with pytest.raises(ConfigError, match="no column that says how alike"):
        Ruling(Rules((Diversity(),)), catalogue())
    with pytest.raises(ConfigError, match="holds no times"):
        Ruling(Rules((Freshness(days=1, column="came"),)), catalogue(came=["soon", "later", "x", "y"]))


@pytest.mark.parametrize(
    "wrong",
    [
        Price,
        lambda: Price(least=2, most=1),
        lambda: Price(least=float("nan")),
        lambda: Freshness(days=0),
        lambda: Newer(strength=0, half_life=1),
        lambda: Cap(column="genre", most=0),
        lambda: Boost(factor=2),
        lambda: Boost(column="genre", factor=2),
        lambda: Boost(items=("a",), factor=0),
        lambda: Diversity(relevance=1.5),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError):
        wrong()


# -------------------------------------------------------------------------------- looking up, run time


def test_ids_are_found_whatever_their_order() -> None:
    columns = Columns(catalogue())
    found, unknown = columns.codes(["a", "?", "d", "a", "zz", ""])
    assert (found.tolist(), unknown) == ([0, 3], ("?", "zz", ""))
    assert columns.codes([])[0].tolist() == []


def test_what_is_withdrawn_is_gone_from_the_next_answer_and_comes_back() -> None:
    shared = Availability(["b"])
    ruling = Ruling(Rules((Listed(deny=("a",)),)), catalogue(), shared)

    def answer() -> str:
        return "".join(catalogue().decode(ruling.apply(np.array([4.0, 3, 2, 1]), Request()).items))

    assert answer() == "dc"
    assert shared.withdraw("d", "not yet known") == 1
    assert answer() == "c"
    assert shared.withdraw("d") == 1, "nothing has changed"
    assert shared.restore("b", "d") == 2
    assert answer() == "dcb"
    assert shared.state == (2, frozenset({"not yet known"}))
    assert ruling.also(Rules((Listed(deny=("c",)),))).apply(np.ones(4), Request()).items.tolist() == [0, 2]


def test_threads_that_withdraw_and_restore_lose_nothing() -> None:
    shared = Availability()
    threads = [
        threading.Thread(target=lambda own=own: [shared.withdraw(f"{own}-{n}") for n in range(300)])
        for own in range(4)
    ]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads do get in each other's way
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert shared.version == 4 * 300
    assert len(shared.state[1]) == 4 * 300


# ------------------------------------------------------------------------------------- whole answers


def test_without_rules_the_answer_is_the_recommenders_own(ring_log: EventLog) -> None:
    recommender = fit("rules", ring_log)
    ruling = Ruling(Rules(), recommender.catalogue)
    for history in (["A", "?", "B"], [], Question(["C"], at=datetime(2024, 1, 1, tzinfo=UTC))):
        for k in (0, 3, 99):
            slate, ruled = recommend(recommender, ruling, history, k, exclude=["D", "nope"])
            assert slate == recommender.recommend(history, k, exclude=["D", "nope"])
            assert len(ruled.items) == len(slate)


def test_three_are_answered_while_three_are_free(ring_log: EventLog) -> None:
    """Exclusions of the best, of unknown ids and repeats, of almost all and of all."""
    recommender = fit("markov", ring_log, exclude_seen=False)
    for exclude, length in (
        (["B", "C"], 3),
        (["nope", "B", "B"], 3),
        (list("BCDEFG"), 3),
        (list("ABCDEFGHIJ"), 0),
    ):
        for rules in (Rules(), Rules((Listed(deny=tuple(exclude)),))):
            ruling = Ruling(rules, recommender.catalogue)
            slate, ruled = recommend(recommender, ruling, ["A"], 3, exclude=exclude)
            assert len(slate) == length
            assert not set(exclude) & set(slate.items)
    assert ruled.notes == ("3 of 3 places could not be filled: the filters leave 0 items",)


def test_when_each_item_came_is_read_off_a_log(ring_log: EventLog) -> None:
    recommender = fit("popular", ring_log)
    with_times = with_first_seen(recommender.catalogue, ring_log)
    assert with_times.features is not None
    first = dict(with_times.features.select("item", "first_seen").iter_rows())
    expected = ring_log.frame.group_by("item").agg(pl.col("time").min())
    assert first == dict(expected.iter_rows())
    again = with_first_seen(replace(with_times, features=with_times.features.drop("first_seen")), ring_log)
    assert again.features is not None
    assert again.features.equals(with_times.features)
