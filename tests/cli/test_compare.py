"""`ensue compare`: budget, costs, what the test is too small to see, seeds, and less to learn from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ensue.cli.compare import seeable
from ensue.significance import Comparison, Interval, Paired, Versus

Ask = Callable[..., tuple[int, str, str]]

TINY = """
out = "result"
[data]
source = "ring.csv"
[models.popular]
[models.markov]
[models.tiny]
model = "rnn"
width = 4
length = 6
epochs = 1
batch_tokens = 128
"""


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, ring_csv: Path) -> Path:
    """The folder of an experiment file that was compared with two seeds and on half of the users."""
    from ensue.cli import call

    folder = tmp_path_factory.mktemp("compared")
    (folder / "ring.csv").write_bytes(ring_csv.read_bytes())
    (folder / "tiny.toml").write_text(TINY)
    assert (
        call(["compare", str(folder / "tiny.toml"), "--minutes", "3", "--seeds", "2", "--thin", "1.0,0.5"])
        == 0
    )
    return folder / "result"


def test_a_comparison_is_shown_anew_from_its_folder(ask: Ask, compared: Path) -> None:
    status, out, err = ask("compare", compared)
    assert (status, err) == (0, "")
    assert "Budget of all networks: 3 minutes. Time that each took" in out
    assert "The networks with 2 seeds, 0 to 1:" in out
    assert "NDCG@10 by the share of the users that is learnt from" in out
    assert "The same by the length of the history" in out
    for head in ("p50 ms", "size", "fit, s"):
        assert head in out
    assert max(len(line) for line in out.splitlines() if "  " in line.strip()) <= 80


def test_where_there_is_room_each_cost_has_a_column(
    ask: Ask, compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    out = ask("compare", compared)[1]
    head = next(line for line in out.splitlines() if line.startswith("model"))
    assert head.split()[-6:] == ["fit,", "s", "p50", "ms", "param.", "size"]
    popular = next(line.split() for line in out.splitlines() if line.startswith("popular "))
    assert popular[-2] == "-", "it has learnt no parameters"


def test_programs_get_all_of_it(ask: Ask, compared: Path) -> None:
    found = json.loads(ask("compare", compared, "--json")[1])
    assert found["budget"]["networks"] == ["tiny"]
    assert found["budget"]["minutes_of_each_training"] == 3 / (3 * 2)
    assert found["seeds"]["seeds"] == [0, 1]
    assert [point["share"] for point in found["thinned"]["points"]] == [1.0, 0.5]
    assert all("smallest_difference" in other for other in found["comparison"]["others"])
    assert all(row["cost"]["artifact_bytes"] > 0 for row in found["models"])


def test_a_run_that_is_done_has_no_budget_to_give(ask: Ask, ring_run: Path) -> None:
    for words in (
        ["--minutes", "1"],
        ["--seeds", "2"],
        ["--thin", "0.5"],
        ["--models", "popular"],
        ["--by", "user"],
        ["--columns", "user=who"],
        ["--no-quoting"],
    ):
        status, _, err = ask("compare", ring_run, *words)
        assert status == 2
        assert "is a run that is done" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--thin", "0.5,half"], "--thin: 'half' is not a number"),
        (["--thin", "2"], "2 is no share of the users"),
        (["--seeds", "0"], "seeds=0"),
        (["--minutes", "1", "--max-minutes", "1"], "give one of the two"),
        (["--models", "markow"], "Did you mean 'markov'?"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    ask: Ask, ring_csv: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    status, out, err = ask("compare", ring_csv, "--models", "markov", "--out", tmp_path / "r", *words)
    assert (status, out) == (2, "")
    assert said in err
    assert not (tmp_path / "r").exists()


def versus(model: str, smallest: float | None) -> Versus:
    """A model that is lower by 0.1."""
    gap = Interval(0.1, 0.0, 0.2, 0.05, 943)
    return Versus(model, 0.2, Paired(gap, 0.5, 900, smallest), 0.5)


def test_what_a_test_is_too_small_to_see_is_said() -> None:
    found = Comparison(
        "ndcg@10", "gru", 0.3, (versus("rules", 0.006), versus("popular", 0.0112), versus("same", 0.0))
    )
    assert seeable(found, "NDCG@10", "user") == (
        "Differences of NDCG@10 below 0.0060 (against rules, up to 0.0112 against popular) cannot be told on these 943 "
        "users: a true one of that size is found four times out of five."
    )
    assert "(against rules) cannot" in seeable(
        Comparison("m", "gru", 0.3, (versus("rules", 0.006),)), "m", "user"
    )
    assert seeable(Comparison("m", "gru", 0.3, (versus("one", None),)), "m", "user") == ""
