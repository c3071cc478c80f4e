"""`ensue doctor` and `models`: what this installation can do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ensue.cli import doctor
from ensue.version import __version__

Ask = Callable[..., tuple[int, str, str]]


def checks(out: str) -> dict[str, tuple[str, str]]:
    """Name of a check -> state and finding."""
    return {row["check"]: (row["state"], row["found"]) for row in json.loads(out)["checks"]}


def test_a_sound_installation_is_said_to_be_sound(ask: Ask) -> None:
    status, out, _ = ask("doctor", "--json")
    assert status == 0
    found = checks(out)
    assert found["ensue"] == ("OK", __version__)
    assert found["polars"][0] == found["numpy"][0] == "OK"
    assert found["self-test"][0] == "OK"
    assert "asked a Markov chain" in found["self-test"][1]
    assert ask("doctor")[1].endswith("All is well.\n")


def test_an_extra_that_is_absent_comes_with_its_command(ask: Ask, without: Callable[[str], None]) -> None:
    without("onnxscript")
    status, out, _ = ask("doctor", "--json")
    assert status == 0, "an extra is not essential"
    assert checks(out)["onnxscript"] == ("absent", "pip install 'ensue[train]'")


def test_what_fails_ends_with_status_1(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("ensue.artifacts.save", broken)
    status, out, _ = ask("doctor")
    assert status == 1
    assert "OSError: the disk is full" in out
    assert "Something essential fails" in out
    assert json.loads(ask("doctor", "--json")[1])["healthy"] is False


def test_a_base_library_that_is_missing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "VERSIONS", ("polars", "no-such-library"))
    assert ("no-such-library", "FAIL", "pip install ensue") in doctor._versions()


def test_cached_data_are_found_and_what_is_not_comes_with_its_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENSUE_CACHE", str(tmp_path))
    monkeypatch.delenv("ENSUE_DATA", raising=False)
    assert {name: state for name, state, _ in doctor._cache()} == {"cache": "OK", "ml-100k": "absent"}
    (tmp_path / "ml-100k").mkdir()
    (tmp_path / "ml-100k" / "u.data").write_text("")
    assert ("ml-100k", "OK", str(tmp_path / "ml-100k")) in doctor._cache()


def test_models_are_listed_with_their_settings(ask: Ask) -> None:
    status, out, _ = ask("models")
    assert status == 0
    assert "window=20, last=10, decay=0.7" in out
    rows = {row["model"]: row for row in json.loads(ask("models", "--json")[1])["models"]}
    assert {"popular", "recent", "markov", "rules", "lstm", "transformer"} <= set(rows)
    assert rows["recent"]["settings"] == {"days": 7.0}
