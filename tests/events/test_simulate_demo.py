"""The demonstration log has the shape of film ratings: no film twice, a long tail, and an order worth learning."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.events.simulate import demo_log


@pytest.fixture(scope="module")
def demo() -> EventLog:
    return demo_log()


def test_it_is_about_as_large_as_movielens_100k(demo: EventLog) -> None:
    assert demo.n_users == 943
    assert 85_000 <= demo.n_events <= 115_000
    assert 1_550 <= demo.n_items <= 1_682
    lengths = demo.frame.group_by("user").len()["len"]
    assert lengths.min() >= 20  # type: ignore[operator]
    assert 600 <= lengths.max() <= 737  # type: ignore[operator]
    assert set(demo.frame["user"]) == {str(n) for n in range(1, 944)}


def test_no_user_sees_a_film_twice(demo: EventLog) -> None:
    assert not demo.frame.select(pl.struct("user", "item").is_duplicated().any()).item()


def test_a_user_may_have_seen_half_of_a_small_catalogue() -> None:
    small = demo_log(users=300, items=40, seed=1)
    lengths = small.frame.group_by("user").len()["len"]
    assert lengths.to_list() == [20] * 300
    assert not small.frame.select(pl.struct("user", "item").is_duplicated().any()).item()


def test_ratings_are_whole_stars_with_the_better_half_more_common(demo: EventLog) -> None:
    counts = dict(demo.frame["rating"].value_counts().rows())
    assert sorted(counts) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert counts[4.0] == max(counts.values())
    assert counts[1.0] == min(counts.values())


def test_popularity_has_a_long_tail(demo: EventLog) -> None:
    counts = np.sort(demo.frame.group_by("item").len()["len"].to_numpy())[::-1]
    assert 0.3 < counts[:168].sum() / counts.sum() < 0.6  # a tenth of the films has about half of the events


def test_times_rise_for_each_user_within_seven_months(demo: EventLog) -> None:
    gaps = demo.frame.select(gap=pl.col("time").diff().over("user").dt.total_seconds())["gap"].drop_nulls()
    assert gaps.min() >= 1  # type: ignore[operator]
    assert 10 < gaps.median() < 60  # type: ignore[operator]
    span = demo.frame["time"].max() - demo.frame["time"].min()  # type: ignore[operator]
    assert 200 < span.days <= 215 + 120  # type: ignore[union-attr]


def test_every_film_has_a_title_of_its_own_a_genre_and_a_year(demo: EventLog) -> None:
    items = demo.items
    assert items is not None
    assert items.columns == ["item", "title", "genre", "year"]
    assert items["item"].to_list() == [str(n) for n in range(1, 1683)]
    assert items["title"].n_unique() == 1682
    assert items["title"].str.contains(r"^[A-Z][a-z]+ [A-Z][a-z]+ \((19|20)\d\d\)$").all()
    assert items["genre"].n_unique() == 18
    assert set(demo.frame["item"]) <= set(items["item"])


def test_order_tells_more_than_popularity(demo: EventLog) -> None:
    """Counts of what followed what, on four fifths of the users, against counts of films: hits at 10 on the rest."""
    pairs = demo.frame.select(
        "user", "item", past=pl.col("item").shift().over("user"), number=pl.col("user").cast(pl.Int64)
    ).drop_nulls("past")
    train, test = pairs.filter(pl.col("number") % 5 != 0), pairs.filter(pl.col("number") % 5 == 0)
    place = pl.col("len").rank("ordinal", descending=True)
    popular = train.group_by("item").len().with_columns(rank=place)
    chain = train.group_by("past", "item").len().with_columns(rank=place.over("past"))
    by_popularity = (test.join(popular, on="item")["rank"] <= 10).sum() / test.height
    by_chain = (test.join(chain, on=["past", "item"])["rank"] <= 10).sum() / test.height
    assert float(by_popularity) > 2 * 10 / 1682
    assert float(by_chain) > 1.5 * float(by_popularity)


def test_the_same_seed_gives_the_same_bits_and_leaves_the_random_state_alone() -> None:
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    one, again, other = (demo_log(users=60, items=100, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_equal(np.random.get_state(legacy=False), before)  # noqa: NPY002
    assert one.fingerprint() == again.fingerprint() != other.fingerprint()
    assert one.items is not None
    assert again.items is not None
    assert one.items.equals(again.items)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"users": 0}, r"demo log: users is 0, and must be a whole number from 1 up\."),
        ({"items": 39}, r"demo log: items is 39, and must be a whole number from 40 up\."),
        ({"seed": -1, "users": 1.5}, r"demo log: users is 1\.5, .*; seed is -1, and must be"),
    ],
)
def test_a_wrong_size_is_told_in_one_sentence(arguments: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        demo_log(**arguments)
