"""`ensue recommend --user`: what a run keeps of its users is what its models read, and all of it reaches them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from tests.cli.conftest import START, Ask, rows
from tests.cli.test_recommend_questions import answer, own, written

from ensue import ladder
from ensue.asked import question_of
from ensue.questions import Question


def test_a_run_keeps_what_its_models_read_and_nothing_else(told_run: Path, ring_run: Path) -> None:
    kept = ladder.histories(told_run)
    assert kept.columns == ["user", "item", "time", "rating", "city"], "no model reads the device"
    assert kept.height == 12 * 10
    assert ladder.histories(ring_run).columns == ["user", "item", "time"], (
        "counting models of items read nothing else; times tell which later events are new"
    )


def test_a_model_says_which_columns_of_events_it_reads(told_run: Path) -> None:
    """The gap is worked out of times; the user is no column of the events that could be left out."""
    models = told_run / "models"
    assert set(ladder.reads(ladder.load(models / "lstm"))) == {"time", "rating", "city"}
    assert ladder.reads(ladder.load(models / "markov")) == ()


def test_a_run_says_how_its_columns_are_read(told_run: Path) -> None:
    """Of the 120 events, each user's last is for the test and the one before it for validation."""
    said = (told_run.parent / "said.txt").read_text()
    missing = sum(not row[3] for row in rows())
    assert f"{missing} of 96 missing, read as the mean with a mark of their own" in said
    assert "lstm: reads city: category of 2 values, 24 of 96 missing, with a code of their own" in said
    assert "lstm: reads user: category of 12 values" in said


def test_a_user_is_asked_for_with_all_that_was_kept(ask: Ask, told_run: Path, tmp_path: Path) -> None:
    lstm = told_run / "models" / "lstm"
    recommender = ladder.load(lstm)
    for user in ("u00", "u07"):
        found = answer(ask, lstm, "--user", user)
        expected = recommender.recommend(question_of(own(user)))
        assert found["items"] == expected.to_json()["items"]
        assert found == answer(ask, lstm, "--question", written(own(user), tmp_path)) | {
            "notes": found["notes"]
        }
        for left_out in ("user", "times", "ratings", "context"):
            less = recommender.recommend(question_of({k: v for k, v in own(user).items() if k != left_out}))
            assert less.scores != expected.scores, f"{left_out} reaches the network"


def test_an_old_run_with_items_alone_still_answers_and_says_what_it_lacks(
    ask: Ask, told_run: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(told_run, old)
    ladder.histories(old).select("user", "item").write_parquet(old / ladder.HISTORIES)
    found = answer(ask, old / "models" / "lstm", "--user", "u00")
    bare = Question(own("u00")["history"], "u00")
    assert found["items"] == ladder.load(old / "models" / "lstm").recommend(bare).to_json()["items"]
    assert found["notes"][1:] == [
        f"this run has kept no '{name}' with its histories, which the model reads: it answers as if none were known"
        for name in ("time", "rating", "city")
    ]
    assert len(answer(ask, old / "models" / "markov", "--user", "u00")["notes"]) == 1


def test_a_user_whom_the_run_does_not_know_gets_what_everybody_takes(ask: Ask, told_run: Path) -> None:
    found = answer(ask, told_run, "--user", "nobody")
    assert (found["history"], found["fallback"]) == ([], True)
    assert "the run has no user 'nobody'" in found["notes"][0]


def test_of_a_run_by_sessions_the_last_session_is_the_history(ask: Ask, tmp_path: Path) -> None:
    lines = [
        f"u{n},{'ABCD'[(n + part + step) % 4]},{START + 1000 * n + 100_000 * part + step}"
        for n in range(8)
        for part in range(3)
        for step in range(3 + part)
    ]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    words = ["--by", "session", "--session-gap", 3600, "--models", "markov", "--out", tmp_path / "r"]
    assert ask("run", tmp_path / "log.csv", *words)[0] == 0
    assert ladder.histories(tmp_path / "r").columns == ["user", "item", "time", "session"]
    assert answer(ask, tmp_path / "r", "--user", "u1")["history"] == list("DABCD"), (
        "its third session has 5 events"
    )


def test_a_log_without_times_keeps_none(ring_csv: Path, ask: Ask, tmp_path: Path) -> None:
    frame = pl.read_csv(ring_csv).drop("ts").with_columns(city=pl.lit("here"))
    frame.write_csv(tmp_path / "ordered.csv")
    (tmp_path / "x.toml").write_text(
        '[data]\nsource = "ordered.csv"\n[models.popular]\n[models.segmented]\nmodel = "popular"\nsegment = "city"\n'
    )
    assert ask("run", tmp_path / "x.toml", "--out", tmp_path / "r")[0] == 0
    assert "time" not in ladder.histories(tmp_path / "r").columns


def test_a_user_is_asked_for_at_a_time(ask: Ask, tmp_path: Path) -> None:
    """The run keeps the times, since two of its models read them; an event whose time is not known tells no gap."""
    lines = [
        f"{kind}{n},{item},{START + 10_000 * n + second}"
        for n in range(20)
        for kind, later, item_after in (("s", 60, "B"), ("l", 30 * 86_400, "C"))
        for item, second in (("A", 0), (item_after, later), ("D", later + 1), ("E", later + 2))
    ]
    lines += [f"new,A,{START}"]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    words = ["--models", "markov-time,stan,markov", "--split", "last", "--out", tmp_path / "r"]
    assert ask("run", tmp_path / "log.csv", *words)[0] == 0
    assert ladder.histories(tmp_path / "r").columns == ["user", "item", "time"]
    model = tmp_path / "r" / "models" / "markov-time"
    asked = ["--user", "new", "--include-seen", "-k", 1, "--at"]
    minute, month = (datetime.fromtimestamp(START + later, UTC).isoformat() for later in (60, 30 * 86_400))
    assert answer(ask, model, *asked, minute)["items"][0]["item"] == "B"
    assert answer(ask, model, *asked, month)["items"][0]["item"] == "C"
    bare = answer(ask, model, "--history", "A")["items"]
    path = written({"history": ["A"], "times": [None], "at": month}, tmp_path)
    assert answer(ask, model, "--question", path)["items"] == bare
    stan = tmp_path / "r" / "models" / "stan"
    assert (
        answer(ask, stan, "--question", written({"history": ["A"], "times": [None]}, tmp_path))["items"]
        == answer(ask, stan, "--history", "A")["items"]
    )
