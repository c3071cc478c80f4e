"""A simulated news log: MIND's shape, and what is planted in it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from ensue.errors import ConfigError, DataError
from ensue.events.simulate.news import SHOWN, NewsLog, news
from ensue.events.source import read


@pytest.fixture(scope="module")
def made() -> NewsLog:
    return news(users=150, days=4, a_day=40, visits=6, seed=1)


def test_it_is_read_as_mind(made: NewsLog, tmp_path: Path) -> None:
    log = read(made.write(tmp_path / "news"))
    assert log.reading.format == "mind"
    assert log.reading.set_aside == {}
    assert log.n_events == made.behaviors.height
    assert log.items is not None
    assert log.items.columns == ["item", "title", "category", "subcategory", "abstract", "first_seen"]
    assert log.items.height == 5 * 40, "a day of news lies before the first"
    clicks = log.frame.with_columns(pl.col("shown").str.split("|"))
    assert clicks["item"].is_in(clicks["shown"]).all()
    assert (clicks["shown"].list.n_unique() == SHOWN).all()


def test_nothing_is_shown_before_it_is_there_and_most_clicks_of_a_day_are_on_what_is_new(
    made: NewsLog,
) -> None:
    shown = made.behaviors.with_columns(pl.col("shown").str.extract_all(r"\S+")).explode("shown")
    shown = shown.with_columns(
        item=pl.col("shown").str.replace(r"-[01]$", ""), clicked=pl.col("shown").str.ends_with("1")
    )
    dated = shown.join(made.news.select("item", "published"), on="item")
    assert (dated["published"] <= dated["time"]).all()
    assert dated.filter("clicked").height == made.behaviors.height
    last = dated.filter(pl.col("clicked") & (pl.col("time") >= pl.datetime(2019, 11, 12, time_zone="UTC")))
    new = last.select(pl.col("published") > pl.datetime(2019, 11, 11, time_zone="UTC")).to_series()
    assert new.mean() > 0.5  # type: ignore[operator]


def test_users_click_what_is_to_their_taste(made: NewsLog) -> None:
    """The category of one click foresees that of the next, which a draw from all clicks would not as often."""
    clicks = made.behaviors.with_columns(item=pl.col("shown").str.extract(r"(\S+)-1"))
    known = clicks.join(made.news.select("item", "category"), on="item", maintain_order="left")
    again = (
        known.select(pl.col("category") == pl.col("category").shift().over("user")).to_series().drop_nulls()
    )
    by_chance = (known["category"].value_counts()["count"] / known.height).pow(2).sum()
    assert again.mean() > by_chance + 0.1  # type: ignore[operator]


def test_the_same_seed_gives_the_same_log_and_another_one_another(made: NewsLog) -> None:
    again = news(users=150, days=4, a_day=40, visits=6, seed=1)
    assert again.behaviors.equals(made.behaviors)
    assert again.news.equals(made.news)
    assert not news(users=150, days=4, a_day=40, visits=6, seed=2).behaviors.equals(made.behaviors)


def test_what_cannot_be_is_refused(made: NewsLog, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"news: users is 0, .*; a_day is 5, and must be a whole number from 20 up"
    ):
        news(users=0, a_day=5)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        made.write(tmp_path / "file")
