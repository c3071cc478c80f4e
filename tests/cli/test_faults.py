"""A mistake is told in one clear line with its remedy, and ends with status 2; a fault of ensue with 1."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ensue.cli import call

Ask = Callable[..., tuple[int, str, str]]

TYPED = [
    (["trainn"], ["No such command 'trainn'", "Did you mean 'train'?", "See: ensue --help"]),
    (["run"], ["Missing argument 'LOG'", "See: ensue run --help"]),
    (["run", "x.csv", "--modles", "a"], ["No such option: --modles", "--models"]),
    (
        ["run", "x.csv", "--split", "time"],
        [
            "'time' is not one of 'temporal', 'last', 'ratio', 'basket', 'users', 'items', 'days', 'given', "
            "'friends', 'auto'"
        ],
    ),
    (["run", "x.csv", "--seed", "one"], ["'--seed'", "'one' is not a whole number"]),
    (["run", "x.csv", "--max-minutes", "long"], ["'--max-minutes'", "'long' is not a number"]),
    (["run", "x.csv", "--max-minutes", "nan"], ["'--max-minutes'", "'nan' is not a number from 0 up"]),
    (["run", "x.csv", "--seed", "-1"], ["'--seed'", "'-1' is below 0"]),
    (["run", "x.csv", "-k", "-1"], ["'-k'", "'-1' is below 0"]),
    (["run", "nowhere.csv"], ["There is no file or folder 'nowhere.csv'"]),
    (["run", "nowhere.toml"], ["There is no experiment file nowhere.toml"]),
    (["run", "x.csv", "--columns", "uid"], ["--columns: 'uid' is not NAME=COLUMN"]),
    (["run", "x.csv", "--columns", "usr=uid"], ["'usr'", "did you mean 'user'"]),
    (["data", "fetch", "ml-100"], ["No data set is called 'ml-100'", "Did you mean 'ml-100k'?"]),
    (["data", "adit", "x"], ["No such command 'adit'", "Did you mean 'audit'?"]),
    (["demo", "--data", "nowhere"], ["--data nowhere is no folder, and no data set", "simulated"]),
    (["train", "x.csv", "--model", "markv"], ["no model is called 'markv'", "Did you mean 'markov'?"]),
    (["train", "x.csv", "--model", "rules", "--set", "windw=3"], ["windw: there is no such", "Did you mean 'window'?"]),
    (["train", "x.csv", "--model", "rules", "--set", "window"], ["--set: 'window' is not NAME=VALUE"]),
    (["recommend", "nowhere"], ["'RUN'", "there is no folder 'nowhere'"]),
    (["evaluate", "nowhere", "--events", "x.csv"], ["there is no folder 'nowhere'"]),
]  # fmt: skip


@pytest.mark.parametrize(("words", "pieces"), TYPED, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_told_in_one_line(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], pieces: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = ask(*words)
    assert status == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for piece in pieces:
        assert piece in err


def test_all_faults_of_the_options_are_told_at_once(ask: Ask, ring_csv: Path) -> None:
    status, _, err = ask("run", ring_csv, "--models", "markv,rulse,popular")
    assert status == 2
    assert "The command line has 2 faults" in err
    assert "models.markv" in err
    assert "Did you mean 'markov'?" in err
    assert "models.rulse" in err
    assert "Did you mean 'rules'?" in err


def test_all_faults_of_an_experiment_file_are_told_at_once(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(
        'sead = 1\n[data]\nsource = "x.csv"\ntimestmap = "ts"\n[split]\nrule = "random"\n[models.markvo]\n'
        '[evaluation]\nmetrics = ["ndgc@10"]\n'
    )
    status, _, err = ask("run", path)
    assert status == 2
    assert "has 5 faults" in err
    assert "evaluation: There is no metric 'ndgc@10'" in err
    assert "sead: there is no such key" in err
    assert "Did you mean 'seed'?" in err
    assert "data.timestmap: there is no such key" in err
    assert "split.rule = 'random'" in err
    assert "Did you mean 'markov'?" in err


def test_numbers_that_cannot_be_are_told_together(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(
        'seed = -1\nmax_minutes = nan\n[data]\nsource = "x.csv"\n[split]\ntest = 1.0\n[sequences]\nsession_gap = -5.0\n'
    )
    status, _, err = ask("run", path)
    assert status == 2
    assert "has 4 faults" in err
    for fault in ("seed = -1: ", "max_minutes = nan: ", "split.test = 1: ", "sequences.session_gap = -5: "):
        assert fault in err


BASE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnx", "onnxscript", "onnxruntime"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from ensue.cli import call
sys.exit(call(sys.argv[1:]))
"""


def test_the_base_installation_runs_what_it_can_and_names_what_it_lacks(
    ring_csv: Path, tmp_path: Path
) -> None:
    words = ["run", str(ring_csv), "--out", str(tmp_path / "r")]
    done = subprocess.run([sys.executable, "-c", BASE, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "markov *" in done.stdout
    for name in ("lstm", "transformer"):
        assert f"{name} was left out: no model is called '{name}' in this installation" in done.stdout
    assert "pip install 'ensue[train]'" in done.stdout


def test_an_experiment_that_names_no_log_says_what_to_add(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text("[models.markov]\n")
    status, _, err = ask("run", path)
    assert status == 2
    assert 'names no log: add source = "events.csv" under [data]' in err


def test_two_experiment_files_are_one_too_many(ask: Ask, tmp_path: Path) -> None:
    status, _, err = ask("run", tmp_path / "a.toml", "--config", tmp_path / "b.toml")
    assert status == 2
    assert "give one of them" in err


def test_a_folder_that_is_no_model_is_said_to_be_none(ask: Ask, tmp_path: Path) -> None:
    status, _, err = ask("recommend", tmp_path)
    assert status == 2
    assert f"error: {tmp_path} is no saved model: it has no model.json" in err


def test_a_damaged_model_is_refused(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    assert ask("train", ring_csv, "--model", "markov", "--out", tmp_path / "m")[0] == 0
    weights = tmp_path / "m" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    status, _, err = ask("recommend", tmp_path / "m", "--history", "A")
    assert status == 2
    assert f"{weights} has been changed or damaged since it was saved" in err
    assert err.count("\n") == 1


def test_a_run_is_not_written_over_something_else(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    status, _, err = ask("run", ring_csv, "--models", "markov", "--out", tmp_path)
    assert status == 2
    assert "holds something other than a run" in err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_fault_of_ensue_ends_with_1_and_says_how_to_report_it(
    ask: Ask, ring_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr("ensue.ladder.load", broken)
    status, out, err = ask("recommend", ring_run)
    assert (status, out) == (1, "")
    assert "ensue itself failed (KeyError: 'lost')" in err
    assert "Traceback" not in err
    assert "Traceback" in ask("recommend", ring_run, "--debug")[2]
    monkeypatch.setenv("ENSUE_DEBUG", "1")
    assert "Traceback" in ask("recommend", ring_run)[2]


def test_a_mistake_shows_no_traceback_unless_asked(ask: Ask) -> None:
    assert "Traceback" not in ask("run", "nowhere.csv")[2]
    assert "Traceback" in ask("--debug", "run", "nowhere.csv")[2]


def test_an_interruption_is_one_line_and_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ensue.ladder.load_log", interrupted)
    assert call(["data", "audit", "x.csv"]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_control_characters_of_a_file_do_not_reach_the_terminal(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("\x1b[31mwho,what\nu,i\nu,j\n")
    status, _, err = ask("data", "audit", path)
    assert status == 2
    assert "\x1b" not in err
    assert "\\x1b[31mwho" in err
