"""`ensue evaluate`: the figures of a run again, asked as the run asked, with the same warnings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ensue.cli import call

Ask = Callable[..., tuple[int, str, str]]


def answered(ask: Ask, *words: object) -> Any:
    """The JSON of a command."""
    status, out, err = ask(*words, "--json")
    assert status == 0, err
    return json.loads(out)


@pytest.mark.parametrize("targets", ["last", "random"])
def test_figures_are_those_of_the_run_whatever_it_asked(
    ask: Ask, ring_csv: Path, tmp_path: Path, targets: str
) -> None:
    words = ("--models", "markov,popular", "--targets", targets, "--out", tmp_path / "r")
    run = answered(ask, "run", ring_csv, *words)
    best = next(row for row in run["models"] if row["label"] == run["best"])
    again = answered(ask, "evaluate", tmp_path / "r", "--events", ring_csv)
    assert f"{targets} targets" in again["protocol"]
    assert (again["protocol"], again["all"], again["counts"]) == tuple(
        best["test"][name] for name in ("protocol", "all", "counts")
    )
    other = answered(ask, "evaluate", tmp_path / "r", "--events", ring_csv, "--targets", "successive")
    assert "successive targets" in other["protocol"]
    assert other["counts"]["targets"] > again["counts"]["targets"]


def test_probabilities_are_measured_by_runs_and_evaluations_alike(
    ask: Ask, ring_csv: Path, tmp_path: Path
) -> None:
    file = tmp_path / "ring.toml"
    file.write_text(
        f'out = "r"\n[data]\nsource = "{ring_csv}"\n[models.sure]\nmodel = "markov"\ndiscount = 0.5\n'
        "[models.popular]\n"
    )
    run = answered(ask, "run", file)
    by_label = {row["label"]: row["test"]["probabilities"] for row in run["models"]}
    assert by_label["sure"]["scores_are"] == "probabilities"
    assert by_label["popular"] is None, "counts of a popularity are no probabilities"
    again = answered(ask, "evaluate", tmp_path / "r" / "models" / "sure", "--events", ring_csv)
    assert again["probabilities"] == by_label["sure"]
    markdown = ask("report", tmp_path / "r", "--markdown", "-")[1]
    assert "## Probabilities" in markdown
    assert f"{by_label['sure']['calibration_error']:.4f}" in markdown


def test_what_is_odd_is_said_by_run_report_and_evaluation(ask: Ask, tmp_path: Path) -> None:
    """A ring of 50 items, in which nobody comes back to one: what follows what is all that there is to know."""
    rows = [
        {
            "user": f"u{user}",
            "item": f"i{(user + step) % 50}",
            "time": 1_700_000_000 + 1000 * (60 * step + user),
        }
        for step in range(12)
        for user in range(60)
    ]
    log = tmp_path / "steps.csv"
    pl.DataFrame(rows).write_csv(log)
    run = answered(ask, "run", log, "--models", "markov,popular", "--out", tmp_path / "r")
    told = {row["label"]: row["warnings"] for row in run["models"]}
    assert any("stand first or tie for it" in one for one in told["markov"])
    mind = answered(ask, "report", tmp_path / "r")["mind"]
    assert [one for one in mind if one.startswith("markov")] == [f"markov: {one}." for one in told["markov"]]
    status, out, _ = ask("evaluate", tmp_path / "r" / "models" / "markov", "--events", log)
    assert status == 0
    assert f"warning: {told['markov'][0]}" in out
    assert f"Warning: markov: {told['markov'][0]}." in ask("runs", "show", tmp_path / "r")[1]
    sampled = answered(
        ask,
        "evaluate",
        tmp_path / "r" / "models" / "markov",
        "--events",
        log,
        "--sampled",
        2,
        "--include-seen",
    )
    assert "stand first" not in " ".join(sampled["warnings"]), "few candidates are easily told from a target"


@pytest.fixture(scope="module")
def drawn(ring_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that asks for one drawn event of each user, by a seed of its own."""
    folder = tmp_path_factory.mktemp("drawn") / "r"
    words = ["--models", "popular,markov", "--split", "ratio", "--targets", "random", "--target-seed", "3"]
    assert call(["run", str(ring_csv), *words, "--seed", "1", "--out", str(folder)]) == 0
    return folder


def test_the_seed_of_targets_is_that_of_the_run_everywhere(ask: Ask, drawn: Path, ring_csv: Path) -> None:
    run = json.loads((drawn / "run.json").read_text())
    asked = run["experiment"]["evaluation"]
    assert (asked["target_seed"], run["experiment"]["seed"]) == (3, 1)
    best = next(row for row in run["models"] if row["label"] == run["best"])
    assert best["test"]["protocol"].endswith("random targets (seed 3)")
    again = answered(ask, "evaluate", drawn, "--events", ring_csv)
    assert (again["protocol"], again["all"]) == (best["test"]["protocol"], best["test"]["all"])
    replayed = answered(ask, "replay", drawn)
    assert replayed["agrees"]
    assert replayed["agreement"]["questions"] == best["test"]["counts"]["targets"] == 20
    name = "ndcg@10"
    assert replayed["metrics"][name]["offline"] == best["test"]["all"]["metrics"][name]["value"]
    other = answered(ask, "evaluate", drawn, "--events", ring_csv, "--target-seed", 4)
    assert other["protocol"].endswith("random targets (seed 4)")
    every = answered(ask, "replay", drawn, "--targets", "successive")
    assert every["agreement"]["questions"] > 20


def test_without_a_seed_of_targets_they_are_those_of_seed_0_whatever_the_seed(
    ask: Ask, ring_csv: Path, tmp_path: Path
) -> None:
    words = ("run", ring_csv, "--models", "markov", "--split", "ratio", "--targets", "random")
    runs = [answered(ask, *words, "--seed", seed, "--out", tmp_path / f"{seed}") for seed in (0, 5)]
    first, second = (run["models"][0]["test"] for run in runs)
    assert first["protocol"].endswith("(seed 0)")
    assert [first[name] for name in ("protocol", "counts")] == [
        second[name] for name in ("protocol", "counts")
    ]
    values = [test["all"]["metrics"]["ndcg@10"]["value"] for test in (first, second)]
    assert values[0] == values[1]
    assert "target_seed" not in runs[1]["experiment"]["evaluation"], "as experiments were kept before"


def test_days_are_tested_as_a_run_tests_them(ask: Ask, tmp_path: Path) -> None:
    """One session a day of two items, for 9 days: three days are three sessions, each with one target."""
    rows = [
        {"user": "u", "item": f"i{(day + step) % 3}", "session": f"s{day}", "time": 86_400 * day + 60 * step}
        for day in range(9)
        for step in range(2)
    ]
    log = tmp_path / "days.csv"
    pl.DataFrame(rows).write_csv(log)
    words = ("--by", "session", "--models", "markov", "--include-seen")
    run = answered(ask, "run", log, *words, "--split", "days", "--days", 2.5, "--out", tmp_path / "r")
    test = run["models"][0]["test"]
    evaluated = ("evaluate", tmp_path / "r", "--events", log)
    for more in ((), ("--split", "days"), ("--split", "days", "--days", 2.5)):
        again = answered(ask, *evaluated, *more)
        assert (again["protocol"], again["all"]) == (test["protocol"], test["all"])
        assert again["warning"] == ""
    other = answered(ask, *evaluated, "--split", "days", "--days", 1.5)
    assert (test["counts"]["targets"], other["counts"]["targets"]) == (3, 2)
    assert "last 1.5 days" in other["protocol"]
    assert "the model has learnt from events of this very log" in other["warning"]
    assert (
        answered(ask, "replay", tmp_path / "r", "--split", "days", "--days", 1.5)["agreement"]["questions"]
        == 2
    )
    status, _, err = ask(*evaluated, "--days", 2)
    assert status == 2
    assert "--days 2 is of the split by days, and none is asked for: add --split days" in err.replace(
        "\n", " "
    )
