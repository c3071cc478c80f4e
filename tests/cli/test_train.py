"""`ensue train`: one model on a whole log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Ask = Callable[..., tuple[int, str, str]]


def test_a_counting_model_learns_all_events_and_says_that_nothing_tests_it(
    ask: Ask, ring_csv: Path, tmp_path: Path
) -> None:
    status, out, _ = ask("train", ring_csv, "--model", "rules", "--set", "window=3", "--out", tmp_path / "m")
    assert status == 0
    assert f"rules, fitted on all 420 events, is saved in {tmp_path / 'm'}." in out
    assert "It is tested on nothing" in out
    description = json.loads((tmp_path / "m" / "model.json").read_text())
    assert description["settings"]["window"] == 3
    assert description["facts"]["learnt"]["events"] == 420


def test_the_default_place_is_named_after_the_model(
    ask: Ask, ring_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = json.loads(ask("train", ring_csv, "--model", "markov", "--json")[1])
    assert found["folder"] == str(Path("trained/markov"))
    assert found["model"] == "markov"
    assert (tmp_path / "trained" / "markov" / "model.json").is_file()


def test_the_rule_on_seen_items_follows_the_audit_or_the_option(
    ask: Ask, ring_csv: Path, tmp_path: Path
) -> None:
    words = ["train", ring_csv, "--model", "markov", "--out", tmp_path / "m", "--json"]
    assert json.loads(ask(*words)[1])["exclude_seen"] is False, "the ring repeats its items"
    assert json.loads(ask(*words, "--exclude-seen")[1])["exclude_seen"] is True


def test_options_of_networks_change_nothing_of_a_count_and_that_is_said(
    ask: Ask, ring_csv: Path, tmp_path: Path
) -> None:
    words = ("train", ring_csv, "--model", "markov", "--out", tmp_path / "m")
    _, _, plain = ask(*words)
    assert "change nothing" not in plain
    status, _, err = ask(*words, "--checkpoints", tmp_path / "c", "--max-minutes", 1, "--compile")
    assert status == 0
    assert "markov is no network, so these change nothing: --checkpoints, --max-minutes, --compile" in err


def test_all_faults_of_settings_are_told(ask: Ask, ring_csv: Path) -> None:
    status, _, err = ask("train", ring_csv, "--model", "rules", "--set", "windw=3", "--set", "decay=much")
    assert status == 2
    assert "Did you mean 'window'?" in err
    assert "decay = 'much'" in err


@pytest.mark.slow
def test_a_network_stops_early_on_a_part_then_learns_all_and_resumes(
    ask: Ask, ring_csv: Path, tmp_path: Path
) -> None:
    tiny = ["--set", "width=8", "--set", "epochs=2", "--set", "batch_tokens=256"]
    words = ["train", ring_csv, "--model", "lstm", *tiny, "--checkpoints", tmp_path / "kept", "--json"]
    status, out, err = ask(*words, "--out", tmp_path / "one")
    assert status == 0, err
    first = json.loads(out)
    chosen = first["facts"]["first_fit"]["chosen"]
    assert first["facts"]["steps"] == chosen["step"] > 0
    assert first["facts"]["learnt"]["events"] == 420
    assert f"lstm: anew on 420 events, {chosen['step']} steps" in err
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["part", "whole"]

    status, out, err = ask(*words, "--out", tmp_path / "two")
    assert status == 0, err
    assert "goes on after epoch 2 of an earlier run" in err
    assert json.loads(out)["files"] == first["files"], "nothing was left to train, so nothing changed"
