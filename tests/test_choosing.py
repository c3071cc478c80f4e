"""What the best model of a run is chosen by: RMSE, the lowest, among models of ratings, else a metric of rankings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ensue import selecting
from ensue.backtesting import backtest
from ensue.cli import call, results
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.experiment import Evaluating, Experiment, Splitting, experiment_of
from ensue.ladder import choosing, comparison, run
from ensue.ladder.outcome import Outcome
from ensue.leading import leading, measured
from ensue.model import Conditions, Training
from ensue.progress import Silent
from ensue.reporting.reading import read_run
from ensue.reporting.standing import facts_of, lead, verdict
from ensue.reporting.tracked import tracked
from ensue.reporting.writing import report_of
from ensue.runs import difference, row_of
from ensue.tuning import tune

SVD = {"model": "svd", "factors": 1, "iterations": 20}
MODELS = {"flat": {**SVD, "regularization": 1e4}, "good": SVD, "flatter": {**SVD, "regularization": 1e6}}


class Told(Silent):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def log() -> EventLog:
    """30 users rate 10 of 12 items, even ones high and odd ones low, one after the other."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(30):
        for step, item in enumerate(rng.permutation(12)[:10]):
            rows.append(
                (
                    f"u{user:02}",
                    f"i{item}",
                    1e9 + 1000 * step + user,
                    4.5 - 3 * (item % 2) + rng.choice([-0.5, 0.5]),
                )
            )
    frame = pl.DataFrame(rows, schema=["user", "item", "time", "rating"], orient="row")
    return EventLog.of(
        frame.with_columns(time=(pl.col("time") * 1e6).cast(pl.Int64).cast(pl.Datetime("us", "UTC")))
    )


def asked(folder: Path, **others: object) -> Experiment:
    settled = {
        "models": MODELS,
        "split": Splitting("temporal", test=0.2, validation=0.2),
        "out": str(folder),
        **others,
    }
    return Experiment(**settled)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def outcome(log: EventLog, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(asked(tmp_path_factory.mktemp("rated") / "run"), log=log)


def test_models_of_ratings_alone_are_chosen_by_the_lowest_rmse(outcome: Outcome) -> None:
    scores = {rung.label: rung.validation or 0.0 for rung in outcome.rungs}
    assert scores["good"] < 1 < min(scores["flat"], scores["flatter"])
    assert outcome.best == "good"
    assert outcome.experiment.evaluation.choose_on == "rmse"
    told = Told()
    assert choosing.chosen_on(asked(outcome.folder), told).evaluation.choose_on == "rmse"
    assert told.lines == [
        "all models answer with ratings: the best is the one with the lowest RMSE on validation (evaluation.choose_on)"
    ]


def test_the_validation_figure_is_the_rmse_of_the_first_fit(outcome: Outcome, log: EventLog) -> None:
    parts, good = outcome.split, outcome.rungs[1]
    training = Training.of(parts.train, exclude_seen=bool(outcome.experiment.evaluation.exclude_seen))
    fitted = good.model.fit(training, Conditions(seed=outcome.experiment.seed))
    examples = parts.examples("validation", training.catalogue)
    assert examples.target_ratings is not None
    known = np.flatnonzero(examples.targets >= 0)
    answers = fitted.scores(examples.queries)[known, examples.targets[known]]
    wrong = answers - examples.target_ratings[known]
    assert good.validation == pytest.approx(float(np.sqrt(np.mean(wrong**2))), rel=1e-5)


def test_the_report_and_the_table_say_what_it_was_chosen_by(outcome: Outcome) -> None:
    content = json.loads((outcome.folder / "run.json").read_text())
    good = content["models"][1]
    shown = read_run(outcome.folder)
    test = good["ratings"]["warm"]["metrics"]["rmse"]
    assert verdict(shown).startswith(
        f"good is served: RMSE {test['value']:.4f} ({test['low']:.4f} to {test['high']:.4f}) over "
        f"{good['ratings']['warm']['targets']} warm ratings in the test. It was best on validation "
        f"(RMSE {good['validation']:.4f}, the lowest)."
    )
    assert f"RMSE, good **{test['value']:.4f}**" in lead(shown)[1].markdown()
    assert results.notes(content, "r")[0] == (
        f"* the best, chosen on validation: RMSE {good['validation']:.4f}, the lowest"
    )
    assert not any("validation" in one for rung in outcome.rungs for one in rung.warnings)


def test_rmse_leads_where_models_were_chosen_by_it(
    outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((outcome.folder / "run.json").read_text())
    rmse = {rung["label"]: rung["ratings"]["warm"]["metrics"]["rmse"] for rung in content["models"]}
    assert leading(content) == "rmse"
    row = row_of(outcome.folder, content)
    good = rmse["good"]
    assert (row.metric, row.value, row.low, row.high) == ("rmse", good["value"], good["low"], good["high"])
    assert {one["label"]: one["value"] for one in facts_of(read_run(outcome.folder))} == {
        label: found["value"] for label, found in rmse.items()
    }
    same = difference(outcome.folder, outcome.folder)
    assert same.metric == "rmse"
    assert {pair.label: pair.a for pair in same.pairs} == rmse
    assert call(["runs", str(outcome.folder.parent)]) == 0
    assert f"RMSE {good['value']:.4f}" in capsys.readouterr().out
    unrated = [content["models"][0] | {"ratings": None}, *content["models"][1:]]
    first = next(iter(content["models"][0]["test"]["all"]["metrics"]))
    assert leading(content | {"models": unrated}) == first, "one of them expects no ratings"
    assert "rmse" not in measured(unrated)


def test_the_paired_tests_are_of_rmse_and_the_lowest_is_the_best(
    outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    rmse = {rung.label: rung.ratings.value("rmse") for rung in outcome.rungs if rung.ratings is not None}
    found = comparison(outcome.folder)
    assert (found.metric, found.best, found.lowest) == ("rmse", "good", True)
    assert found.value == pytest.approx(rmse["good"])
    assert [other.model for other in found.others] == sorted(("flat", "flatter"), key=lambda one: rmse[one])
    for other in found.others:
        assert other.value == pytest.approx(rmse[other.model])
        assert other.paired.difference.value == pytest.approx(rmse[other.model] - rmse["good"])
        assert other.paired.difference.low > 0
    assert found.to_json()["lowest"]
    assert call(["compare", str(outcome.folder)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"Lowest RMSE in the test: good, {rmse['good']:.4f}." in out
    assert "higher by" in out
    shown = read_run(outcome.folder)
    assert shown.highest == "good"
    assert "It is below flat" in verdict(shown)
    text = report_of(shown).markdown()
    assert f"good has the lowest RMSE in the test, {rmse['good']:.4f}." in text
    assert "| model | RMSE | NDCG@10 |" in text
    assert {name: value for name, value, _ in tracked(shown.best)}["test/rmse"] == rmse["good"]


@pytest.mark.parametrize(
    ("models", "choose_on", "expected"),
    [
        ({"svd": {}, "popular": {}}, "auto", "ndcg@10"),
        ({"popular": {}}, "auto", "ndcg@10"),
        ({"svd": {}, "bayesian": {}}, "auto", "rmse"),
        ({"a": {"model": "lstm", "loss": "mean-squared-error"}}, "auto", "rmse"),
        ({"svd": {}}, "recall@5", "recall@5"),
        ({"svd": {}}, "ndcg@10", "ndcg@10"),
    ],
)
def test_a_metric_that_is_named_is_kept(
    models: dict[str, dict[str, str]], choose_on: str, expected: str
) -> None:
    asked = Experiment(models=models, evaluation=Evaluating(choose_on=choose_on))
    assert choosing.chosen_on(asked, Silent()).evaluation.choose_on == expected


def test_a_model_that_expects_no_ratings_is_left_out_of_a_choice_by_rmse(
    log: EventLog, tmp_path: Path
) -> None:
    models = {"popular": {}, "good": SVD}
    found = run(asked(tmp_path / "run", models=models, evaluation=Evaluating(choose_on="rmse")), log=log)
    assert [rung.label for rung in found.rungs] == ["good"]
    assert found.skipped["popular"].startswith("popular expects no ratings, and the best is chosen by RMSE")


def test_windows_are_told_by_rmse_the_lowest(log: EventLog, tmp_path: Path) -> None:
    split = Splitting("temporal", test=0.2, validation=0.2, windows=2)
    found = backtest(asked(tmp_path / "b", split=split, keep_histories=False), log=log)
    assert found.metric == "rmse"
    assert [window.best for window in found.windows] == ["good", "good"]
    assert found.spreads["good"]["rmse"].mean < 1 < found.spreads["flat"]["rmse"].mean


def test_races_and_tunings_are_by_rankings(log: EventLog, tmp_path: Path) -> None:
    by_rmse = asked(tmp_path / "s", evaluation=Evaluating(choose_on="rmse"))
    with pytest.raises(
        ConfigError, match=r"choose_on = 'rmse': A race is by a metric of rankings, such as ndcg@10"
    ):
        selecting.select(by_rmse, log=log)
    with pytest.raises(ConfigError, match="A tuning is by a metric of rankings"):
        tune(by_rmse, trials=1, log=log)
    assert choosing.ranking(asked(tmp_path / "s"), "A race").evaluation.choose_on == "ndcg@10"
    assert not (tmp_path / "s").exists()


def test_what_is_no_metric_is_a_fault() -> None:
    assert experiment_of({"evaluation": {"choose_on": "rmse"}}).evaluation.choose_on == "rmse"
    assert experiment_of({}).evaluation.choose_on == "auto"
    with pytest.raises(ConfigError, match="1 fault"):
        experiment_of({"evaluation": {"choose_on": "rmsee"}})
    with pytest.raises(ConfigError, match="1 fault"):
        experiment_of({"evaluation": {"metrics": ["rmse"]}})
