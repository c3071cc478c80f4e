"""A back-test: one run for each window, and what they come to together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue import ladder
from ensue.backtesting import Backtest, Window, backtest
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.experiment import Evaluating, Experiment, Splitting, experiment_of
from ensue.run_folder import BACKTEST
from ensue.splits import PARTS, rolling
from ensue.spreads import Spread
from ensue.tracks import APART, SAID, TIME_AWARE, TIME_BLIND


@pytest.fixture(scope="module")
def log() -> EventLog:
    """60 users who walk round 8 items; from four fifths of the time on, the other way."""
    rng = np.random.default_rng(3)
    rows = []
    for user in range(60):
        item, times = int(rng.integers(8)), np.sort(rng.integers(0, 10**6, 12))
        for time in times.tolist():
            item = (item + (1 if time < 800_000 else -1)) % 8
            rows.append((f"u{user:02}", f"i{item}", time))
    frame = pl.DataFrame(rows, schema={"user": pl.String, "item": pl.String, "time": pl.Int64}, orient="row")
    return EventLog.of(frame.with_columns((pl.col("time") * 60_000_000).cast(pl.Datetime("us", "UTC"))))


def asked(out: Path, **split: Any) -> Experiment:
    models: dict[str, dict[str, Any]] = {"popular": {}, "markov": {}}
    evaluation = Evaluating(metrics=("ndcg@10", "recall@1"), exclude_seen=False)
    return Experiment(models=models, out=str(out), split=Splitting(**split), evaluation=evaluation)


@pytest.fixture(scope="module")
def done(log: EventLog, tmp_path_factory: pytest.TempPathFactory) -> Backtest:
    return backtest(asked(tmp_path_factory.mktemp("runs") / "back", windows=3), log=log)


def test_each_window_is_a_run_as_any_other(done: Backtest, log: EventLog) -> None:
    expected = rolling(log, windows=3)
    assert [window.name for window in done.windows] == [one.name for one in expected]
    assert [dict(window.sizes) for window in done.windows] == [one.sizes for one in expected]
    for number, window in enumerate(done.windows, start=1):
        folder = done.folder / f"window-{number}"
        assert window.folder == folder.name
        stored = json.loads((folder / ladder.RESULTS).read_text(encoding="utf-8"))
        assert stored["experiment"]["split"]["window"] == number
        assert stored["best"] == window.chosen
        shown = {row["label"]: row["test"]["all"]["metrics"]["ndcg@10"]["value"] for row in stored["models"]}
        assert shown == {label: found["ndcg@10"] for label, found in window.figures.items()}
        served = ladder.load(folder)
        assert served.catalogue.counts.sum() == sum(window.sizes[part] for part in list(PARTS)[:2])


def test_the_summary_is_over_the_windows(done: Backtest) -> None:
    spread = done.spreads["markov"]["recall@1"]
    values = [window.figures["markov"]["recall@1"] for window in done.windows]
    assert spread.values == tuple(values)
    mean = sum(values) / 3
    assert spread.to_json() == {
        "mean": pytest.approx(mean),
        "deviation": pytest.approx((sum((value - mean) ** 2 for value in values) / 2) ** 0.5),
        "min": min(values),
        "max": max(values),
        "values": values,
    }
    assert Spread((0.1,)).deviation is None, "one value says nothing of the others"
    # before the turn the chain knows what comes next; the second test lies beyond it
    assert values[0] > 0.9
    assert values[1] < 0.2
    stored = json.loads((done.folder / BACKTEST).read_text(encoding="utf-8"))
    assert stored == done.to_json()
    assert stored["models"]["markov"]["recall@1"]["mean"] == sum(values) / 3
    assert "u0" not in json.dumps(stored)


def window(best: str, **figures: float) -> Window:
    tracks = dict.fromkeys(figures, TIME_BLIND)
    found = {label: {"mrr": value} for label, value in figures.items()}
    return Window("a test", {}, "w", best, {TIME_BLIND: best}, found, tracks)


def both(blind: str, aware: str, **figures: float) -> Window:
    """A window of two models of each track, t and u time-aware."""
    tracks = {label: TIME_AWARE if label in "tu" else TIME_BLIND for label in figures}
    found = {label: {"mrr": value} for label, value in figures.items()}
    return Window("a test", {}, "w", blind, {TIME_BLIND: blind, TIME_AWARE: aware}, found, tracks)


def test_two_tracks_have_tables_and_bests_of_their_own() -> None:
    first = both("a", "t", a=0.3, t=0.5, b=0.1, u=0.4)
    second = both("a", "u", a=0.2, t=0.4, b=0.1, u=0.5)
    found = Backtest((first, second), Path("x"), "mrr")
    assert found.tracks == {TIME_BLIND: ["a", "b"], TIME_AWARE: ["t", "u"]}
    assert not found.agree, "the time-aware ones do not"
    assert Backtest((first, first), Path("x"), "mrr").agree
    lines = found.lines()
    blind, aware = (lines.index(f"{SAID[track].capitalize()}:") for track in (TIME_BLIND, TIME_AWARE))
    assert [line.split()[0] for line in lines[blind + 2 : blind + 4]] == ["a", "b"]
    assert [line.split()[0] for line in lines[aware + 2 : aware + 4]] == ["t", "u"]
    assert lines[blind + 4] == "a is the best in all 2 windows"
    assert lines[aware + 4] == "the windows do not agree which model is the best: 1 t; 2 u"
    assert lines[-1] == APART
    told = found.to_json()
    assert (told["windows"][1]["best"], told["windows"][1]["leaders"][TIME_AWARE]) == ("a", "u")


def test_a_run_of_both_tracks_names_the_best_of_each(log: EventLog, tmp_path: Path) -> None:
    experiment = replace(asked(tmp_path / "two", windows=1), models={"markov": {}, "popular": {}, "stan": {}})
    one = backtest(experiment, log=log).windows[0]
    assert one.tracks == {"markov": TIME_BLIND, "popular": TIME_BLIND, "stan": TIME_AWARE}
    assert one.leaders[TIME_AWARE] == "stan"
    blind = {label: one.figures[label]["ndcg@10"] for label in ("markov", "popular")}
    assert one.leaders[TIME_BLIND] == max(blind, key=lambda label: blind[label])
    assert one.best == one.leaders[one.tracks[one.chosen]]


def test_whether_one_model_is_the_best_everywhere_is_said() -> None:
    same = Backtest((window("a", a=0.3, b=0.1), window("a", a=0.2, b=0.1)), Path("x"), "mrr")
    assert same.agree
    assert same.lines()[-1] == "a is the best in all 2 windows"
    other = Backtest((window("a", a=0.3, b=0.1), window("b", a=0.0, b=0.1)), Path("x"), "mrr")
    assert not other.agree
    assert other.lines()[-1] == "the windows do not agree which model is the best: 1 a; 2 b"
    assert other.lines()[1].split() == ["a", "0.1500", "0.0000", "0.3000", "0.3000", "0.0000"]
    left_out = Backtest((window("a", a=0.3), window("a", a=0.2, b=0.1)), Path("x"), "mrr")
    assert left_out.spreads["b"]["mrr"] == Spread((0.1,))
    assert left_out.lines()[2].split() == ["b", "0.1000", "0.1000", "0.1000", "-", "0.1000"]


def test_the_best_of_a_window_is_told_by_the_test(done: Backtest) -> None:
    for one in done.windows:
        highest = max(one.figures, key=lambda label: one.figures[label]["ndcg@10"])
        assert one.best == highest
    assert done.metric == "ndcg@10"
    assert len(done.lines()) == 1 + 2 + 1


def test_a_back_test_that_cannot_be_says_all_its_faults(log: EventLog, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a back-test runs them all"):
        backtest(asked(tmp_path / "x", windows=2, window=1), log=log)
    with pytest.raises(ConfigError, match=r"is by time[^\n]*\n[^\n]*nothing is left to learn from"):
        backtest(asked(tmp_path / "x", rule="last", windows=20), log=log)
    with pytest.raises(ConfigError, match="names no folder"):
        backtest(Experiment(), log=log)
    with pytest.raises(ConfigError, match="make 2 runs"):
        ladder.run(asked(tmp_path / "x", rule="temporal", windows=2), log=log)


def test_one_window_is_an_experiment_file_of_its_own(log: EventLog, tmp_path: Path) -> None:
    content = asked(tmp_path / "one", windows=3, window=2, sliding=True).to_json()
    outcome = ladder.run(experiment_of(content), log=log)
    expected = rolling(log, windows=3, sliding=True)[1]
    assert outcome.split.name == expected.name
    assert outcome.split.sizes == expected.sizes
    assert outcome.experiment.split.rule == "temporal", "auto is by time where there are windows"


def test_the_table_of_a_split_is_checked_before_any_work() -> None:
    table = {"test": 1.0, "seed": -1, "days": 0.0, "window": 2, "windows": 1, "rule": "users"}
    with pytest.raises(ConfigError) as fault:
        experiment_of({"split": table})
    told = str(fault.value)
    assert "has 6 faults" in told
    for words in (
        "split.test = 1: must be a share",
        "split.seed = -1: must be a whole number",
        "split.days = 0: must be a number of days above 0",
        "a back-test is by time, and split.rule = 'users' is not",
        "split.windows = 1 of split.test = 1 of the events each",
        "split.window = 2: there are split.windows = 1",
    ):
        assert words in told
    with pytest.raises(ConfigError, match="rule"):
        experiment_of({"split": {"rule": "user"}})
    assert experiment_of({"split": {"rule": "days", "days": 2, "straddling": "end"}}).split.days == 2.0
