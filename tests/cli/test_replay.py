"""`ensue replay`: the table, JSON, the log of the run, and what cannot be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ensue.serving.state import History
from ensue.serving.state.sqlite import SqliteStore

Ask = Callable[..., tuple[int, str, str]]


def test_a_run_is_replayed_on_its_own_log(ask: Ask, ring_run: Path) -> None:
    status, out, err = ask("replay", ring_run, "--available")
    assert status == 0, err
    assert all(word in out for word in ("metric", "offline", "online"))
    assert "have the target at the very same place of the slate, online as offline" in out
    assert "an answer takes " in out
    assert "catalogue as it stood: 0 items came after the first question" in out
    assert "DIFFER" not in out


def test_json_has_the_figures_that_evaluate_gives(ask: Ask, ring_run: Path, ring_csv: Path) -> None:
    model = ring_run / "models" / "markov"
    status, out, err = ask("replay", model, "--k", 5, "--json")
    assert status == 0, err
    found = json.loads(out)
    measured = json.loads(ask("evaluate", model, "--events", ring_csv, "--metrics", "ndcg@5", "--json")[1])
    assert found["metrics"]["ndcg@5"]["offline"] == measured["all"]["metrics"]["ndcg@5"]["value"]
    assert (found["agrees"], found["available"], found["warning"]) == (True, None, "")
    assert found["agreement"]["questions"] == measured["counts"]["targets"]


def test_a_log_a_limit_and_a_store_can_be_named(
    ask: Ask, ring_run: Path, ring_csv: Path, tmp_path: Path
) -> None:
    words = ("replay", ring_run, ring_csv, "--split", "last", "--limit", 4, "--state", tmp_path / "state.db")
    status, out, err = ask(*words, "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found["agreement"]["questions"] == 4
    assert "the model has learnt from events of this very log" in found["warning"]
    status, out, err = ask(*words)
    assert (status, out) == (2, "")
    assert "name one that holds nothing" in err.replace("\n", " ")


def test_figures_that_differ_are_shown_and_end_with_a_fault(
    ask: Ask, ring_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is always one event behind."""

    class Behind(SqliteStore):
        def history(
            self, *, user: str | None = None, session: str | None = None, most: int | None = None
        ) -> History:
            return History(super().history(user=user, session=session, most=most).rows[:-1])

    monkeypatch.setattr("ensue.replaying.driving.open_store", Behind)
    status, out, err = ask("replay", ring_run)
    assert status == 2
    assert "metric" in out
    assert "error: " in err
    assert "history of another length than the log has" in err.replace("\n", " ")


def test_a_model_alone_needs_a_log(ask: Ask, ring_run: Path, ring_csv: Path, tmp_path: Path) -> None:
    model = shutil.copytree(ring_run / "models" / "markov", tmp_path / "model")
    status, out, err = ask("replay", model)
    assert (status, out) == (2, "")
    assert "is no folder of a run that names its log" in err.replace("\n", " ")
    assert ask("replay", model, ring_csv, "--limit", 3)[0] == 0


def test_how_a_log_is_read_is_said_of_a_log_that_is_named(ask: Ask, ring_run: Path) -> None:
    for words in (["--time-unit", "ms"], ["--no-quoting"]):
        status, _, err = ask("replay", ring_run, *words)
        assert status == 2
        assert f"{words[0]} says how a log is read" in err
