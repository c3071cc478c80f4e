"""The page of news on a smaller log of the same kind."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tests.examples.social_pages import blocks, run_all

from ensue import load, read
from ensue.cli import call
from ensue.events.simulate.news import news
from ensue.impressions import Impressions, judge
from ensue.splits import split


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page has been followed, with less news in it."""
    folder = tmp_path_factory.mktemp("news")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        assert 'news().write("news")' in blocks("news.md", "python")[0]
        news(users=250, days=5, a_day=60, visits=8).write("news")
        run_all("news.md", folder)
    return folder


def test_what_nobody_has_clicked_yet_is_found_by_what_is_known_of_it(place: Path) -> None:
    found = json.loads((place / "runs" / "news" / "run.json").read_text(encoding="utf-8"))
    figures = {one["label"]: one["test"]["all"]["metrics"]["recall@10"] for one in found["models"]}
    assert figures["together"]["low"] > figures["recent"]["high"]
    assert figures["newest"]["low"] > figures["popular"]["high"]
    test = found["models"][0]["test"]
    assert test["counts"]["cold_targets"] == 0, "all items are candidates"
    trained = pl.read_parquet(place / "runs" / "news" / "models" / "popular" / "catalogue.parquet")
    assert (trained["training_events"] == 0).sum() > 20


def test_within_lists_profiles_are_above_popularity(place: Path) -> None:
    """As the Python of the page says it."""
    parts = split(read(place / "news"), "temporal", test=0.15, validation=0.15)
    reached = {}
    for name in ("recent", "profiles"):
        served = load(place / "runs" / "news" / "models" / name)
        lists = Impressions.of(parts.examples("test", served.catalogue), served.catalogue)
        reached[name] = judge(served, lists).intervals["auc"]
    assert reached["profiles"].low > reached["recent"].high
    assert "judge(served, lists)" in blocks("news.md", "python")[1]


def test_answers_keep_to_the_rules_of_the_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the last two days, and at most four of a category."""
    capsys.readouterr()
    rules = ["--rules", str(place / "examples" / "news.toml")]
    words = [
        "recommend",
        str(place / "runs" / "news"),
        "--user",
        "U7",
        "-k",
        "12",
        "--at",
        "2019-11-14T00:00Z",
    ]
    assert call([*words, *rules, "--json"]) == 0
    items = [row["item"] for row in json.loads(capsys.readouterr().out)["items"]]
    told = read(place / "news").items
    assert told is not None
    chosen = told.filter(pl.col("item").is_in(items))
    assert len(chosen) == len(items) > 4
    assert chosen["first_seen"].min() >= "2019-11-12T00:00:00"  # type: ignore[operator]
    assert chosen["category"].value_counts()["count"].max() <= 4  # type: ignore[operator]
