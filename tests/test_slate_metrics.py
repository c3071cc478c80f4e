"""Figures of slates against arithmetic and brute force."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from math import log2, sqrt
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.catalogue import Catalogue
from ensue.errors import ConfigError
from ensue.significance import interval
from ensue.slate_metrics import (
    Coverage,
    Diversity,
    Gini,
    HeadShare,
    HeadShareOfHistories,
    Novelty,
    Popularity,
    RepeatShare,
    Serendipity,
    SlateMetric,
    Slates,
    families,
    head,
    popularity_order,
    slate_figures,
)

COUNTS = [8, 4, 4, 0, 16]
GENRES = ["war|crime", "war", "crime", None, "crime"]


def catalogue(counts: list[int] | None = None, genres: list[str | None] | None = None) -> Catalogue:
    counts = COUNTS if counts is None else counts
    ids = pl.Series("item", [f"i{item}" for item in range(len(counts))])
    frame = None if genres is None else pl.DataFrame({"item": ids, "genres": genres})
    return Catalogue(ids, np.array(counts), frame)


def slates(
    items: list[list[int]], known: Catalogue | None = None, excluding: bool = False, **more: object
) -> Slates:
    """Slates of these items, 5 standing for none."""
    users = len(items)
    given = {
        "targets": np.full(users, -1, dtype=np.int32),
        "listed": np.zeros(users, dtype=bool),
        "seen": np.zeros((users, len(items[0])), dtype=bool),
        "head_events": np.zeros(users),
        "events": np.ones(users),
    } | more
    return Slates(
        items=np.array(items, dtype=np.int32),
        catalogue=known or catalogue(),
        excluding=excluding,
        **given,  # type: ignore[arg-type]
    )


# ------------------------------------------------------------------------------------------ arithmetic


def test_coverage_and_gini_count_every_item_of_the_catalogue() -> None:
    found = slates([[0, 1], [0, 2], [0, 5]])
    assert found.exposure.tolist() == [3, 1, 1, 0, 0]
    assert Coverage().of(found) == 3 / 5
    differences = [abs(a - b) for a in (3, 1, 1, 0, 0) for b in (3, 1, 1, 0, 0)]
    assert Gini().of(found) == pytest.approx(sum(differences) / 25 / (2 * 5 / 5))


@given(st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=2, unique=True), min_size=1, max_size=9))
def test_gini_is_half_the_relative_mean_difference(items: list[list[int]]) -> None:
    found = slates(items)
    exposure = [sum(item in slate for slate in items) for item in range(5)]
    differences = [abs(a - b) for a in exposure for b in exposure]
    assert Gini().of(found) == pytest.approx(np.mean(differences) / 2 / np.mean(exposure))


def test_equal_exposure_has_a_gini_of_nought_and_one_item_for_all_the_most() -> None:
    assert Gini().of(slates([[item] for item in range(5)])) == pytest.approx(0)
    assert Gini().of(slates([[2]] * 7)) == pytest.approx((5 - 1) / 5)


def test_novelty_is_in_bits_and_an_unseen_item_counts_as_seen_once() -> None:
    found = Novelty().of(slates([[0, 4], [3, 5]]))
    assert isinstance(found, np.ndarray)
    assert found.tolist() == pytest.approx([(-log2(8 / 32) - log2(16 / 32)) / 2, -log2(1 / 32)])
    assert Novelty().of(slates([[0]], catalogue([0, 0, 0]))) == "no training event is counted"


def test_average_popularity_is_that_of_the_listed_items() -> None:
    found = Popularity().of(slates([[0, 1], [4, 5]]))
    assert found.tolist() == [(8 + 4) / 2, 16]


def test_the_head_is_a_fifth_of_the_items_rounded_up_in_the_order_of_popularity() -> None:
    assert popularity_order(catalogue()).tolist() == [4, 0, 1, 2, 3]
    assert head(catalogue()).tolist() == [False] * 4 + [True]
    assert head(catalogue([1, 2, 2, 2, 1, 1])).tolist() == [False, True, True, False, False, False]
    found = slates([[4, 1], [0, 5]], head_events=np.array([3.0, 0.0]), events=np.array([4.0, 0.0]))
    assert HeadShare().of(found).tolist() == [1 / 2, 0]
    shares = HeadShareOfHistories().of(found)
    assert shares[0] == 3 / 4
    assert np.isnan(shares[1]), "who has no history has no share"


def test_serendipity_is_a_hit_that_popularity_does_not_list() -> None:
    found = slates(
        [[0, 1], [0, 1], [2, 3], [0, 5]],
        targets=np.array([1, 0, 0, -1], dtype=np.int32),
        listed=np.array([False, True, False, False]),
    )
    assert Serendipity().of(found).tolist() == [1, 0, 0, 0]


def test_repeats_are_a_share_of_the_listed_items_where_they_are_allowed() -> None:
    seen = np.array([[True, False], [True, False]])
    assert RepeatShare().of(slates([[0, 1], [3, 5]], seen=seen)).tolist() == [1 / 2, 1]  # type: ignore[union-attr]
    assert "left out" in str(RepeatShare().of(slates([[0, 1]], excluding=True)))


def test_diversity_is_one_less_the_mean_cosine_of_the_pairs() -> None:
    found = Diversity().of(slates([[0, 1, 2], [2, 4, 3], [1, 3, 5]], catalogue(genres=GENRES)))
    assert isinstance(found, np.ndarray)
    # war|crime with war and with crime, and war with crime
    assert found[0] == pytest.approx(1 - (1 / sqrt(2) + 1 / sqrt(2) + 0) / 3)
    assert found[1] == pytest.approx(0), "i3, of which nothing is known, is left out of the pairs"
    assert np.isnan(found[2]), "one item makes no pair"
    assert (
        Diversity().of(slates([[0, 1]]))
        == "the items have no categories or vectors by which they could be alike"
    )


def test_scikit_learn_agrees_on_diversity(
    seeded: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.metrics.pairwise import cosine_similarity

    vectors = seeded.standard_normal((40, 6))
    ids = pl.Series("item", [f"i{item}" for item in range(40)])
    known = Catalogue(ids, np.ones(40, dtype=np.int64), pl.DataFrame({"item": ids, "text": vectors.tolist()}))
    items = np.array([seeded.choice(40, 10, replace=False) for _ in range(25)])
    likeness = cosine_similarity(vectors)
    expected = [1 - np.mean([likeness[a, b] for a, b in combinations(slate, 2)]) for slate in items.tolist()]
    for most in (4_000_000, 40):  # all at once, and in blocks of a few users
        monkeypatch.setattr("ensue.slate_metrics._ENTRIES", most)
        found = Diversity().of(slates(items.tolist(), known))
        assert found == pytest.approx(np.array(expected), abs=1e-6)


# ------------------------------------------------------------------------------------------ all together


def test_every_figure_is_reported_or_says_why_not() -> None:
    found = slate_figures(slates([[0, 1], [4, 3], [2, 5]], excluding=True, events=np.zeros(3)), seed=4)
    assert (found.k, found.users, found.reach) == (2, 3, 1)
    assert {*found.figures, *found.reasons} == {*families()}
    assert {*found.reasons} == {"diversity", "repeat_share", "head_share_of_histories"}
    assert found.value("diversity") is None
    assert found.value("coverage") == 1
    expected = interval(np.array([(8 + 4) / 2, (16 + 0) / 2, 4]), seed=4)
    assert found.figures["popularity"] == expected
    assert found.value("popularity") == expected.value
    (line,) = found.lines()
    assert line.startswith("slates of 2 before the last target of 3 users: coverage 1.000, gini ")
    told = json.dumps(found.to_json(), allow_nan=False)
    assert '"no_figure"' in told
    with pytest.raises(ConfigError, match="Did you mean 'novelty'"):
        found.value("novelti")


def test_users_without_a_value_are_left_out_of_its_mean() -> None:
    found = slate_figures(
        slates([[0, 5], [5, 5]], events=np.array([2.0, 0.0]), head_events=np.array([1.0, 0.0]))
    )
    assert found.value("popularity") == 8
    assert found.value("head_share_of_histories") == 1 / 2
    assert found.value("serendipity") == 0
    assert found.reach == 2 * 2 / 5


def test_no_listed_item_at_all_is_no_figure() -> None:
    found = slate_figures(slates([[5, 5]]))
    assert found.reasons["gini"] == "no slate holds an item"
    assert found.reasons["novelty"] == "no slate has a value"
    assert found.value("coverage") == 0


def test_a_new_figure_is_one_dataclass() -> None:
    @dataclass(frozen=True)
    class Length(SlateMetric):
        """Items of a slate."""

        word: ClassVar[str] = "length"

        def of(self, slates: Slates) -> float:
            return float(slates.held.sum(axis=1).mean())

    assert families()["length"] is Length
    assert slate_figures(slates([[0, 1], [2, 5]])).value("length") == (2 + 1) / 2
