"""`ensue tune`: from a log to a study, a table, and an experiment that runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from ensue.tracks import APART, SAID, TIME_AWARE, TIME_BLIND

pytest.importorskip("optuna", reason="pip install 'ensue[tune]'")

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def study(ring_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """Two models tuned on the ring in a few trials, with what was printed as JSON."""
    import io
    from contextlib import redirect_stdout

    from ensue.cli import call

    folder, told = tmp_path_factory.mktemp("tuned") / "a study", io.StringIO()
    words = ["--model", "rules", "--model", "popular", "--trials", "4", "--minutes", "0", "--json"]
    with redirect_stdout(told):
        assert call(["tune", str(ring_csv), *words, "--out", str(folder)]) == 0
    return folder, json.loads(told.getvalue())


def test_json_is_all_there_is_and_says_what_the_files_say(study: tuple[Path, dict[str, object]]) -> None:
    folder, told = study
    assert told == json.loads((folder / "tuning.json").read_text())
    assert told["folder"] == str(folder)
    trials = told["trials"]
    assert isinstance(trials, list)
    assert [trial["model"] for trial in trials[:2]] == ["rules", "popular"]
    assert len(trials) == 4
    assert (folder / "study.db").is_file()


def test_the_same_command_goes_on_and_what_it_offers_runs(
    ask: Ask, study: tuple[Path, dict[str, object]], ring_csv: Path
) -> None:
    folder, told = study
    words = ["--models", "rules,popular", "--trials", 6, "--minutes", 0, "--out", folder]
    status, out, err = ask("tune", ring_csv, *words)
    assert status == 0, err
    assert "6 trials (6 done), compared on validation; the test part is in none of them." in out
    assert "Nothing did better than rules as it is." in out, "the ring is learnt whole by the default"
    offered = out.split("Next, type:\n")[1].strip()
    assert offered == f"ensue run {shlex.quote(str(folder / 'tuned.toml'))}"
    status, out, err = ask(*shlex.split(offered)[1:], "--json")
    assert status == 0, err
    done = json.loads(out)
    assert done["best"] == "rules"
    best = told["best"]
    assert isinstance(best, dict)
    assert done["models"][0]["validation"] == best["value"] == 1.0


def test_lines_fit_in_80_columns(
    ask: Ask, study: tuple[Path, dict[str, object]], ring_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = ["--models", "rules,popular", "--trials", 6, "--minutes", 0, "--out", study[0]]
    table = ask("tune", ring_csv, *words)[1].split("\n\n")[0]
    assert max(len(line) for line in table.splitlines()) <= 80
    assert "window=20, last=10, decay=0.7" in table


def test_an_experiment_file_names_the_models_and_keeps_what_it_sets(ask: Ask, ring_csv: Path) -> None:
    file = ring_csv.parent / "tiny.toml"
    file.write_text(f'[data]\nsource = "{ring_csv.name}"\n[models.near]\nmodel = "rules"\nwindow = 3\n')
    folder = ring_csv.parent / "near"
    status, out, _ = ask("tune", file, "--trials", 3, "--minutes", 1, "--out", folder, "--json")
    assert status == 0
    trials = json.loads(out)["trials"]
    assert {frozenset(trial["settings"]) for trial in trials} == {frozenset({"last", "decay"})}
    assert json.loads(out)["minutes_a_trial"] == pytest.approx(1 / 3)
    assert "window = 3" in (folder / "tuned.toml").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Which model is to be tuned? Name one with --model"),
        (["--model", "popular"], "There is nothing to tune about popular: its space is empty"),
        (["--model", "ruls"], "Did you mean 'rules'"),
        (["--model", "rules", "--models", "markov"], "--model and --models both say what is tuned"),
        (["--model", "rules", "--trials", 0], "trials=0, workers=1: both are at least 1"),
        (["--model", "rules", "--workers", 1000], "workers=1000: this machine has"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    ask: Ask, ring_csv: Path, tmp_path: Path, words: list[object], says: str
) -> None:
    status, out, err = ask("tune", ring_csv, "--out", tmp_path / "t", *words)
    assert (status, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) <= 2


def test_each_track_has_a_table_and_a_best_of_its_own(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    words = ["--model", "markov", "--model", "stan", "--trials", 4, "--minutes", 0, "--out", tmp_path / "two"]
    status, out, err = ask("tune", ring_csv, *words)
    assert status == 0, err
    told = json.loads((tmp_path / "two" / "tuning.json").read_text())
    tracks = {trial["model"]: trial["track"] for trial in told["trials"]}
    assert tracks == {"markov": TIME_BLIND, "stan": TIME_AWARE}
    done = [trial for trial in told["trials"] if trial["state"] == "done"]
    for model, track in tracks.items():
        own = [trial for trial in done if trial["model"] == model]
        assert told["best_of_track"][track] == max(own, key=lambda one: (one["value"], -one["trial"]))
    assert told["best"] == told["best_of_track"][TIME_BLIND], "of the track of the first model"
    blind, aware = out.split(f"{SAID[TIME_AWARE].capitalize()}:")
    assert blind.count(f"{SAID[TIME_BLIND].capitalize()}:") == 1
    assert " stan " not in blind
    assert " markov " not in aware.split("\n\n")[0]
    assert " stan " in aware.split("\n\n")[0]
    assert APART in " ".join(out.split())
    head = (tmp_path / "two" / "tuned.toml").read_text().splitlines()[1:3]
    assert head[0].startswith("# Best on validation, time-blind: trial ")
    assert head[1].startswith("# Best on validation, time-aware: trial ")


def test_one_track_is_shown_without_a_heading(
    ask: Ask, study: tuple[Path, dict[str, object]], ring_csv: Path
) -> None:
    words = ["--model", "rules", "--model", "popular", "--trials", 4, "--minutes", 0, "--out", study[0]]
    out = ask("tune", ring_csv, *words)[1]
    assert SAID[TIME_BLIND].capitalize() not in out
    assert APART not in " ".join(out.split())
