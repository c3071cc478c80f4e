"""The page of feeds on small logs of the same shapes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.examples.social_pages import run_all
from tests.examples.test_friends import city

from ensue.cli import call

HISTORY = ("214717003", "214839313")
"""Items that the page asks with."""


def clicks(path: Path) -> None:
    """Sessions of six days in which each item has a likely successor; one item in three is new on each day."""
    rng = np.random.default_rng(2)
    items = np.array([*HISTORY, *(str(214_000_000 + n) for n in range(58))])
    rows = []
    for session in range(400):
        begin = 1_396_310_400 + session * 6 * 86_400 // 400
        there = 40 + 20 * session // 400
        at = int(rng.integers(there))
        for step in range(int(rng.integers(2, 7))):
            rows.append((session, items[at], float(begin + 30 * step)))
            at = (at + 1) % there if rng.random() < 0.8 else int(rng.integers(there))
    path.parent.mkdir(parents=True)
    frame = pl.DataFrame(rows, schema=["SessionId", "ItemId", "Time"], orient="row")
    frame.write_csv(path, separator="\t")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page has been followed."""
    folder = tmp_path_factory.mktemp("feed")
    clicks(folder / "data" / "yoochoose-100k" / "yoochoose-clicks-100k_train_full.txt")
    city(folder / "data" / "foursquare-lbsn2vec")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        run_all("feed.md", folder / "data")
    return folder


def test_what_was_engaged_with_is_above_recent_popularity(place: Path) -> None:
    found = json.loads((place / "runs" / "feed" / "run.json").read_text(encoding="utf-8"))
    figures = {one["label"]: one["test"]["all"]["metrics"]["ndcg@10"] for one in found["models"]}
    assert figures["neighbours"]["low"] > figures["recent"]["high"]
    assert found["best"] not in ("popular", "recent")


def answer(place: Path, capsys: pytest.CaptureFixture[str], run: str, *words: str) -> list[str]:
    capsys.readouterr()
    assert call(["recommend", str(place / "runs" / run), *words, "--json"]) == 0
    return [row["item"] for row in json.loads(capsys.readouterr().out)["items"]]


def test_with_the_rule_only_fresh_items_are_answered(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """First seen in training: five days before the question, or later."""
    asked = ["--history", ",".join(HISTORY), "-k", "60", "--at", "2014-04-07T01:00Z"]
    rules = ["--rules", str(place / "examples" / "feed.toml")]
    plain, fresh = answer(place, capsys, "feed", *asked), answer(place, capsys, "feed", *asked, *rules)
    table = pl.read_parquet(place / "runs" / "feed" / "models" / "neighbours" / "catalogue.parquet")
    seen = dict(table.select("item", "first_seen").iter_rows())
    oldest = pl.Series(["2014-04-02T01:00"]).str.to_datetime(time_zone="UTC")[0]
    assert set(fresh) == {item for item in plain if seen[item] >= oldest}
    assert 0 < len(fresh) < len(plain)


def test_with_the_rules_of_variety_at_most_two_of_a_category_are_listed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pl.read_parquet(place / "runs" / "places" / "models" / "popular" / "catalogue.parquet")
    category = dict(table.select("item", "category").iter_rows())
    rules = ["--rules", str(place / "examples" / "variety.toml")]
    plain = answer(place, capsys, "places", "--user", "1000872", "-k", "12")
    varied = answer(place, capsys, "places", "--user", "1000872", "-k", "12", *rules)
    most = [
        max(pl.Series([category[item] for item in items]).value_counts()["count"])
        for items in (plain, varied)
    ]
    assert most[0] > 2 >= most[1]
    assert category[varied[0]] != category[varied[1]]
