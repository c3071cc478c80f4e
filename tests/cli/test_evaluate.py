"""`ensue evaluate`: the figures of a run again, asked as the run asked, with the same warnings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

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
