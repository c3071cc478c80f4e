"""`ensue runs`: list, show again, lay side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory, ring_run: Path) -> Path:
    """A folder with two runs and something else."""
    folder = tmp_path_factory.mktemp("both")
    for name in ("a", "b"):
        shutil.copytree(ring_run, folder / name)
    changed = json.loads((ring_run / "run.json").read_text())
    changed["experiment"]["seed"] = 9
    (folder / "b" / "run.json").write_text(json.dumps(changed))
    (folder / "notes").mkdir()
    return folder


def test_runs_are_listed_and_what_is_none_is_named(
    ask: Ask, both: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    status, out, err = ask("runs", both)
    assert status == 0
    assert str(both / "a") in out
    assert str(both / "b") in out
    assert "NDCG@10 1.0000" in out
    assert f"skipped {both / 'notes'}: no run" in err


def test_the_folder_runs_is_listed_unless_another_is_named(
    ask: Ask, both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = ask("runs")
    assert status == 2
    assert "There is no folder runs" in err
    shutil.copytree(both, tmp_path / "runs")
    found = json.loads(ask("runs", "--json")[1])
    assert [row["folder"] for row in found["runs"]] == ["runs/a", "runs/b"]
    assert list(found["skipped"]) == ["runs/notes"]
    assert json.loads(ask("runs", "list", "runs", "--json")[1]) == found
    (tmp_path / "empty").mkdir()
    assert "There is no run in empty" in ask("runs", "empty")[1]


def test_a_run_is_shown_again(ask: Ask, ring_run: Path) -> None:
    status, out, _ = ask("runs", "show", ring_run)
    assert status == 0
    assert "markov *" in out
    assert json.loads(ask("runs", "show", ring_run, "--json")[1])["best"] == "markov"


def test_two_runs_stand_side_by_side(ask: Ask, both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    status, out, _ = ask("runs", "diff", both / "a", both / "b")
    assert status == 0
    assert [line.split() for line in out.splitlines() if line.startswith("seed")] == [["seed", "0", "9"]]
    assert "cannot be paired" in out.replace("\n", " ")
    found = json.loads(ask("runs", "diff", both / "a", both / "b", "--metric", "recall@10", "--json")[1])
    assert found["metric"] == "recall@10"
    assert [pair["label"] for pair in found["pairs"]] == ["popular", "markov", "rules"]
    assert found["pairs"][0]["difference"][0] == 0.0


def test_the_same_run_twice_has_no_differences(ask: Ask, both: Path) -> None:
    out = ask("runs", "diff", both / "a", both / "a")[1]
    assert "Both have the same settings." in out
    assert out.count("none") == 3


def test_what_is_no_run_is_told_in_one_line(ask: Ask, both: Path) -> None:
    for words in (
        ["diff", both / "a", both / "notes"],
        ["show", both / "notes"],
        ["diff", both / "a", both / "x"],
    ):
        status, out, err = ask("runs", *words)
        assert (status, out) == (2, "")
        assert err.count("\n") == 1


def test_the_help_of_the_group_is_its_own(ask: Ask) -> None:
    status, out, _ = ask("runs", "--help")
    assert status == 0
    assert "diff" in out
    assert "show" in out


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_a_run_of_ratings_is_whole_in_every_width(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """RMSE and its interval take room that other figures leave, and nothing is cut off."""
    rows = [
        f"u{user},i{(user * 7 + step * 3) % 12},{1 + (user + step) % 5},{1_700_000_000 + 60 * step}"
        for user in range(30)
        for step in range(9)
    ]
    log, out = tmp_path / "ratings.csv", tmp_path / "run"
    log.write_text("user,item,rating,timestamp\n" + "\n".join(rows) + "\n")
    assert ask("run", log, "--models", "bayesian", "--split", "last", "--out", out)[0] == 0
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = ask("runs", "show", out)[1]
    table = shown.split("\n\n")[0]
    assert "RMSE" in table
    assert "bayesian *" in table
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= columns
