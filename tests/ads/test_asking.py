"""Questions as JSON, the experiment in TOML, and `ensue ads`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.ads.conftest import AskAds

from ensue.ads import (
    AdSource,
    Impressions,
    Past,
    ad_experiment_of,
    answer,
    load,
    question_of,
    read_ad_experiment,
)
from ensue.ads.click_model import Clicks
from ensue.errors import ConfigError, QueryError

AT = 1_704_067_200 + 20 * 86_400


def _answered(saved: Path, **asked: Any) -> dict[str, Any]:
    return answer(load(saved), question_of(json.dumps({"at": AT, "seed": 1, **asked}).encode()))


def test_a_slate_of_all_ads_that_are_known(saved: Path) -> None:
    found = _answered(saved, k=3)
    rows = found["ads"]
    assert isinstance(rows, list)
    assert len(rows) == 3
    assert set(rows[0]) == {"ad", "probability", "expected_value", "price", "propensity"}
    values = [row["expected_value"] for row in rows]
    assert values == sorted(values, reverse=True)
    bids = dict(load(saved).ads.select("ad", "bid").rows())
    for row in rows:
        assert row["expected_value"] == pytest.approx(bids[row["ad"]] * row["probability"])
        assert row["propensity"] == 1.0
        assert row["price"] <= bids[row["ad"]]


def test_what_was_seen_changes_the_answer(saved: Path) -> None:
    ad = load(saved).ads["ad"][0]

    def chance(*history: dict[str, object]) -> float:
        found = _answered(saved, ads=[ad], history=list(history))["ads"]
        return float(found[0]["probability"])

    shown = [{"ad": ad, "time": AT - 60 * n} for n in range(1, 9)]
    assert chance(*shown) < chance()
    assert chance({"ad": ad, "time": AT - 60, "event": "click"}) > chance({"ad": ad, "time": AT - 60})
    assert chance({"ad": ad, "time": AT + 60}) == chance()  # what is yet to come
    assert chance({"ad": ad}) == chance({"ad": ad, "time": AT - 1e-6})  # just now


def test_a_question_is_answered_as_the_same_impression_of_a_log(
    saved: Path, impressions: Impressions, past: Past, clicks: Clicks
) -> None:
    rows = impressions.frame.tail(4)
    measured = clicks.probabilities(rows, past)
    for place, row in enumerate(rows.rows(named=True)):
        before = impressions.frame.filter((pl.col("user") == row["user"]) & (pl.col("time") < row["time"]))
        history = [
            {"ad": one["ad"], "time": one["time"] / 1e6, "event": event}
            for one in before.rows(named=True)
            for event in ("impression", "click")[: 1 + one["clicked"]]
        ]
        found = _answered(saved, ads=[row["ad"]], history=history, at=row["time"] / 1e6)
        assert found["ads"][0]["probability"] == pytest.approx(measured[place], rel=1e-9)


def test_caps_hold_in_a_question(saved: Path) -> None:
    ad, other = load(saved).ads["ad"][:2]
    asked = {"ads": [ad, other], "k": 2, "history": [{"ad": ad, "time": "2024-01-20T23:00Z"}]}
    found = _answered(saved, **asked, caps=[{"most": 1, "per": "ad", "hours": 2.0}])
    assert [row["ad"] for row in found["ads"]] == [other]
    assert found["left_out"] == {"capped": 1, "below_reserve": 0}


def test_caps_of_campaigns_hold_for_those_that_a_question_names(saved: Path) -> None:
    known, other = load(saved).ads["ad"][:2]
    ads = [
        {"ad": "new", "campaign": "mine"},
        {"ad": known, "campaign": "mine"},
        {"ad": other, "campaign": "theirs"},
    ]
    caps = [{"most": 2, "per": "campaign"}]
    shown = [{"ad": ad, "time": AT - 60} for ad in ("new", known)]
    found = _answered(saved, ads=ads, k=3, caps=caps, history=shown)
    assert [row["ad"] for row in found["ads"]] == [other]
    alone = _answered(saved, ads=["one", "two"], k=2, caps=caps, history=[{"ad": "one", "time": AT - 60}] * 2)
    assert [row["ad"] for row in alone["ads"]] == ["two"]  # neither has a campaign, so each is one by itself


def test_offers_say_what_they_bid_and_new_ads_are_told_of(saved: Path) -> None:
    ad = load(saved).ads["ad"][0]
    found = _answered(saved, ads=[{"ad": ad, "bid": 7.0}, {"ad": "new", "bid": 2.0, "campaign": "c0"}], k=2)
    assert found["unknown"] == ["new"]
    for row in found["ads"]:
        bid = {ad: 7.0, "new": 2.0}[row["ad"]]
        assert row["expected_value"] == pytest.approx(bid * row["probability"])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "the question: invalid JSON"),
        ('{"k": 101}', "k: input should be less than or equal to 100"),
        ('{"k": true}', "k: "),
        ('{"colour": 1}', "colour: extra inputs"),
        ('{"user": "u", "history": []}', "not both"),
        ('{"ads": [{"ad": "a", "bid": -1}]}', "bid"),
        ('{"ads": [{"ad": "a", "bid": 1e999}]}', "bid"),
        ('{"history": [{"ad": "a", "event": "view"}]}', "event"),
        ('{"caps": [{"most": 1, "hours": -1.0}]}', "A cap of most=1"),
        ('{"exploration": {"epsilon": 2.0}}', "epsilon=2"),
    ],
)
def test_a_question_that_cannot_be_is_refused(content: str, match: str) -> None:
    with pytest.raises((QueryError, ConfigError), match=match):
        question_of(content.encode())


def test_times_that_are_none_are_refused(saved: Path) -> None:
    with pytest.raises(QueryError, match="no ISO text"):
        _answered(saved, history=[{"ad": "a", "time": "yesterday"}])
    with pytest.raises(QueryError, match="named twice"):
        _answered(saved, ads=["a", "a"])


@pytest.mark.parametrize("name", ["user", "time", "ad", "bid", "campaign", "clicked"])
def test_what_is_no_context_is_refused(saved: Path, name: str) -> None:
    with pytest.raises(QueryError, match=f"context: '{name}' is told otherwise"):
        _answered(saved, context={"device": "d", name: 1})


def test_whole_numbers_of_a_context_may_be_large(saved: Path) -> None:
    assert _answered(saved, context={"views": 10**47, "age": 7})["ads"] == _answered(saved)["ads"]


def test_an_experiment_in_toml(tmp_path: Path) -> None:
    path = tmp_path / "ads.toml"
    path.write_text(
        'seed = 3\n[data]\nsource = "log.csv"\n[shown]\nseparate = true\n[model]\nnumbers = ["price"]\nl2 = 2.0\n'
        "[exploration]\nepsilon = 0.05\n"
    )
    found = read_ad_experiment(path)
    assert (found.seed, found.model.l2, found.model.numbers) == (3, 2.0, ("price",))
    assert (found.shown.separate, found.exploration.epsilon) == (True, 0.05)
    with pytest.raises(ConfigError, match="Did you mean 'numbers'"):
        ad_experiment_of({"model": {"number": ["a"]}}, "x")
    for other in ("modell", "caps"):  # caps belong to a question
        with pytest.raises(ConfigError, match=r"known are data, shown, model"):
            ad_experiment_of({other: {}}, "x")
    path.write_text("[")
    with pytest.raises(ConfigError, match="is not TOML"):
        read_ad_experiment(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_ad_experiment(tmp_path / "none.toml")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "ads.csv"
    AdSource(campaigns=2, ads=2).log(users=120, visits=12).frame.drop("row").write_csv(path)
    return path


def test_fit_shows_a_table_saves_and_a_slate_is_filled_from_it(
    log: Path, tmp_path: Path, ask: AskAds
) -> None:
    toml = tmp_path / "ads.toml"
    toml.write_text(f'[data]\nsource = "{log.as_posix()}"\n[model]\nl2 = 10.0\n')
    status, out, err = ask("fit", toml, "--out", tmp_path / "model")
    assert status == 0, err
    for words in ("base rate", "the ad's own", "reliability", "less base rate", "bootstrap over"):
        assert words in " ".join(out.split())
    question = tmp_path / "question.json"
    question.write_text('{"k": 2, "seed": 1, "exploration": {"epsilon": 0.5}}')
    status, out, err = ask("slate", tmp_path / "model", question, "--json")
    assert status == 0, err
    assert len(json.loads(out)["ads"]) == 2
    status, out, _ = ask("slate", tmp_path / "model", question)
    assert status == 0
    assert "propensity" in out
    question.write_text('{"user": "u1"}')
    status, _, err = ask("slate", tmp_path / "model", question)
    assert (status, err.count("\n")) == (2, 1)
    assert "only a service" in err


def test_value_says_what_uniform_choice_would_have_brought(log: Path, ask: AskAds) -> None:
    status, out, err = ask("value", log, "--no-history", "--bids", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert [one["policy"] for one in found["policies"]] == ["uniform", "by value"]
    names = [one["estimator"] for one in found["policies"][0]["values"]]
    assert names == ["ips", "snips", "dr"]
    assert found["policies"][0]["support"]["effective_impressions"] > 50


def test_the_file_says_what_options_do_not(log: Path, tmp_path: Path, ask: AskAds) -> None:
    path = tmp_path / "ads.toml"

    def value(*words: object, toml: str = "") -> object:
        path.write_text(toml + "\n[model]\nl2 = 10.0\nhistory = false\n")
        status, out, err = ask("value", log, "--config", path, *words, "--json")
        assert status == 0, err
        return json.loads(out)["policies"]

    plain = value()
    assert value("--seed", "0") == value("--epsilon", "0.1") == plain
    assert value(toml="seed = 5") == value("--seed", "5") != plain
    assert value("--seed", "0", toml="seed = 5") == plain
    explored = value(toml="[exploration]\nepsilon = 0.4")
    assert explored == value("--epsilon", "0.4", toml="[exploration]\nepsilon = 0.9") != plain
    drawn = "[exploration]\ndraws = 3\n"
    assert value("--epsilon", "0.4", toml=drawn) == value(toml=drawn + "epsilon = 0.4") != value(toml=drawn)


def test_another_log_is_read_as_the_first(tmp_path: Path, ask: AskAds) -> None:
    rows = AdSource(campaigns=2, ads=2).log(users=80, visits=8).frame.drop("row")
    told = rows.with_columns(pl.col("event").replace({"click": "yes", "impression": "no"}))
    told.write_csv(tmp_path / "ads.csv")
    toml = tmp_path / "ads.toml"
    shown = '[shown]\nclicks = ["yes"]\nshows = ["no"]\n[model]\nl2 = 10.0\nhistory = false\n'
    toml.write_text(f'[data]\nsource = "{(tmp_path / "ads.csv").as_posix()}"\n{shown}')
    status, _, err = ask("value", toml, "--of", tmp_path / "ads.csv", "--by", "campaign", "--json")
    assert status == 0, err


def test_mistakes_are_told_in_one_line(log: Path, tmp_path: Path, ask: AskAds) -> None:
    empty, toml = tmp_path / "none", tmp_path / "a.toml"
    empty.mkdir()
    for words, match in (
        (("fit", log, "--without", "colour"), "'colour' is no column"),
        (("fit", log, "--test", "1.5"), "shown.test=1.5"),
        (("slate", empty, "x.json"), "x.json cannot be read"),
        (("value", log, "--of", log), "no column 'position'"),
        (
            ("value", log, "--of", log, "--by", "ad"),
            "no column 'ad' that shares may depend on: give --by one of campaign",
        ),
        (("value", log, "--of", log, "--by", "clicked"), "no column 'clicked'"),
        (("value", log, "--clip", "0"), "the largest weight must be above 0"),
        (("value", log, "--by", "campaign"), "--by changes nothing without --of"),
        (
            ("value", log, "--of", log, "--by", "campaign", "--epsilon", "0"),
            "--epsilon changes nothing with --of",
        ),
        (
            ("value", log, "--of", log, "--by", "campaign", "--test", "0.5"),
            "--test changes nothing with --of",
        ),
        (("fit", toml, "--config", toml.with_name("b.toml")), "are two experiment files"),
    ):
        status, out, err = ask(*words)
        assert (status, out) == (2, "")
        assert match in err.splitlines()[-1]
