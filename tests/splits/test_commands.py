"""The rules on the command line: a run by one of them is evaluated by the same, and what cannot be says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from ensue.bounded import Wanted, prepare
from ensue.cli import call
from ensue.errors import ConfigError
from ensue.events.source import Stream
from ensue.events.spilled import spill

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs `ensue WORDS` in this process: exit status, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = call([str(word) for word in words])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def events(tmp_path: Path, ring_frame: pl.DataFrame) -> Path:
    path = tmp_path / "events.csv"
    ring_frame.select(user_id="user", sku="item", ts=pl.col("time").dt.epoch("s")).write_csv(path)
    return path


@pytest.mark.parametrize(
    ("words", "sizes", "rule"),
    [
        # 20 users of 21 events: 2 are tested, and 2 of the 18 others validated
        (("--split", "users"), {"train": 16 * 21, "validation": 2 * 21, "test": 2 * 21}, "users held out"),
        # 10 items of 42 events each: 1 is tested, and 1 of the 9 others validated
        (("--split", "items"), {"train": 8 * 42, "validation": 42, "test": 42}, "items held out"),
        # user n begins at minute 1000 n, and the last event is at 19020: users 18 and 19 begin after 19020 - 1440, user
        # 17 after 19020 - 2880
        (
            ("--split", "days", "--by", "session", "--session-gap", "1800"),
            {"train": 17 * 21, "validation": 21, "test": 2 * 21},
            "sessions by their start, last 1 days",
        ),
    ],
)
def test_a_run_by_a_rule_is_evaluated_by_it(
    ask: Ask, events: Path, tmp_path: Path, words: tuple[str, ...], sizes: dict[str, int], rule: str
) -> None:
    out = tmp_path / "run"
    status, text, told = ask(
        "run", events, "--models", "markov", "--out", out, "--include-seen", *words, "--json"
    )
    assert status == 0, told
    found = json.loads(text)
    assert found["split"]["sizes"] == sizes
    assert found["split"]["rule"].startswith(rule)
    assert "users are tested" in told or "items are tested" in told or "days" in words
    status, text, told = ask("evaluate", out, "--events", events, "--json")
    assert status == 0, told
    again = json.loads(text)
    assert again["warning"] == ""
    assert again["all"] == found["models"][0]["test"]["all"]
    if "items" in words:
        assert again["counts"]["cold_share"] == 1.0
        assert again["all"]["metrics"]["ndcg@10"]["value"] == 0.0


def test_days_are_an_option_and_need_sessions(ask: Ask, events: Path, tmp_path: Path) -> None:
    words = ("run", events, "--models", "markov", "--out", tmp_path / "run", "--split", "days")
    status, _, told = ask(*words)
    assert status == 2
    assert "--by session" in told
    status, text, told = ask(*words, "--by", "session", "--session-gap", "1800", "--days", "3", "--json")
    assert status == 0, told
    # 3 days are 4320 minutes: users from (19020 - 4320) / 1000 = 14.7 on, and from 10.38 on for validation
    assert json.loads(text)["split"]["sizes"] == {"train": 11 * 21, "validation": 4 * 21, "test": 5 * 21}


def test_a_back_test_by_another_rule_is_refused_before_any_work(
    ask: Ask, events: Path, tmp_path: Path
) -> None:
    status, _, told = ask("run", events, "--out", tmp_path / "run", "--split", "last", "--windows", "2")
    assert status == 2
    assert "a back-test is by time" in told
    assert not (tmp_path / "run").exists()


def test_one_window_of_a_back_test_is_evaluated_as_it_was_tested(
    ask: Ask, events: Path, tmp_path: Path
) -> None:
    file = tmp_path / "second.toml"
    file.write_text(
        f'data = {{source = "{events}"}}\nout = "{tmp_path / "run"}"\nmodels = {{popular = {{}}}}\n'
        "split = {windows = 3, window = 2, sliding = true}\n",
        encoding="utf-8",
    )
    status, text, told = ask("run", file, "--json")
    assert status == 0, told
    found = json.loads(text)
    assert found["split"]["rule"].startswith("window 2 of 3, global temporal")
    assert sum(found["split"]["sizes"].values()) == 20 * 21
    status, text, told = ask("evaluate", tmp_path / "run", "--events", events, "--json")
    assert status == 0, told
    again = json.loads(text)
    assert (again["warning"], again["all"]) == ("", found["models"][0]["test"]["all"])


def test_what_is_prepared_part_by_part_is_split_by_a_rule_that_needs_one_part(
    events: Path, tmp_path: Path
) -> None:
    log = spill(Stream(str(events)), tmp_path)
    with pytest.raises(ConfigError, match="the split 'users' looks at all of it: take one of auto, temporal"):
        prepare(log, tmp_path / "out", Wanted("users"))
