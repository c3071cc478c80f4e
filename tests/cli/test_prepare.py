"""`ensue data prepare`, `ensue data simulate --prepared`, and training from what they write."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ensue import prepared
from ensue.events.simulate import source
from ensue.model import Training
from ensue.prepared import open_training

Ask = Callable[..., tuple[int, str, str]]


def test_a_log_becomes_a_folder_that_a_model_learns_from(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    status, out, _ = ask("data", "prepare", ring_csv, tmp_path / "data", "--split", "none")
    assert status == 0
    assert f"420 events of 20 sequences on 10 items are in {tmp_path / 'data'}" in out
    assert "Nothing is kept apart" in out
    for place in (ring_csv, tmp_path / "data"):
        words = ["train", place, "--model", "markov", "--out", tmp_path / "m", "--json"]
        status, out, err = ask(*words)
        assert status == 0
        found = json.loads(out)
        if place == ring_csv:
            plain = found
    assert found["files"] == plain["files"], "the same model"
    assert found["exclude_seen"] is plain["exclude_seen"] is False, "as the audit advises"
    assert found["facts"]["learnt"].pop("prepared") == prepared.describe(tmp_path / "data")["fingerprint"]
    assert found["facts"]["learnt"] == plain["facts"]["learnt"]
    assert "prepared: 420 events of 20 sequences on 10 items (every event), nothing kept apart" in err


def test_events_kept_apart_are_not_learnt_from(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    said = json.loads(ask("data", "prepare", ring_csv, tmp_path / "data", "--split", "last", "--json")[1])
    assert said["events"] == 420 - 20
    assert said["validation"]["targets"] == 20
    assert said["split"] == "leave last out"
    training = open_training(tmp_path / "data")
    assert training.validation is not None
    assert training.validation.queries.lengths.tolist() == [20] * 20
    status, out, err = ask("train", tmp_path / "data", "--model", "markov", "--out", tmp_path / "m")
    assert status == 0
    assert "20 targets kept apart to stop early on" in err
    assert "fitted on all 400 events" in out
    history = out.split("--history ")[1].split()[0]
    status, out, _ = ask("recommend", tmp_path / "m", "--history", history, "-k", 1)
    assert status == 0


@pytest.mark.parametrize(("rule", "kept"), [("auto", None), ("temporal", 84), ("ratio", 80)])
def test_the_share_kept_apart_is_that_of_the_split(
    ask: Ask, ring_csv: Path, tmp_path: Path, rule: str, kept: int | None
) -> None:
    words = ["data", "prepare", ring_csv, tmp_path / "data", "--split", rule, "--share", "0.2", "--json"]
    status, out, err = ask(*words)
    assert status == 0, err
    said = json.loads(out)
    assert said["validation"] is None or said["validation"]["targets"] > 0
    if kept is not None:
        assert said["events"] == 420 - kept


def test_a_network_stops_early_on_what_was_kept_apart(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    ask("data", "prepare", ring_csv, tmp_path / "data", "--split", "last")
    tiny = ["--set", "width=8", "--set", "epochs=2", "--set", "batch_tokens=256"]
    words = ["train", tmp_path / "data", "--model", "lstm", *tiny, "--include-seen", "--json"]
    status, out, err = ask(*words, "--out", tmp_path / "m")
    assert status == 0, err
    found = json.loads(out)
    assert [entry["epoch"] for entry in found["facts"]["history"]] == [1, 2]
    assert all("score" in entry for entry in found["facts"]["history"])
    assert found["exclude_seen"] is False


def test_what_was_settled_when_it_was_prepared_cannot_be_changed(
    ask: Ask, ring_csv: Path, tmp_path: Path
) -> None:
    ask("data", "prepare", ring_csv, tmp_path / "data")
    odd = ["--session-gap", "60", "--by", "session", "--columns", "user=x", "--time-unit", "s"]
    status, _, err = ask("train", tmp_path / "data", "--model", "markov", *odd, "--out", tmp_path / "m")
    assert status == 2
    assert "--columns, --time-unit, --session-gap, --by cannot be changed" in err
    (tmp_path / "data" / "items.npy").write_bytes(b"")
    status, _, err = ask("train", tmp_path / "data", "--model", "markov", "--out", tmp_path / "m")
    assert status == 2
    assert "items.npy has 0 bytes" in err
    status, _, err = ask("data", "prepare", ring_csv, tmp_path)
    assert status == 2
    assert "something other than prepared data" in err


def test_sessions_are_prepared_as_sessions(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    words = ["data", "prepare", ring_csv, tmp_path / "data", "--by", "session", "--session-gap", "3600"]
    assert ask(*words, "--split", "none")[0] == 0
    learnt = prepared.describe(tmp_path / "data")["facts"]["learnt"]
    assert learnt["sequences"] == {"by": "session", "session_gap": 3600.0}
    words = ["train", tmp_path / "data", "--model", "markov", "--by", "session", "--out", tmp_path / "m"]
    assert ask(*words)[0] == 0


def test_simulated_events_go_into_a_folder_in_chunks(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ensue.cli import prepare

    monkeypatch.setattr(prepare, "EVENTS_AT_ONCE", 100)
    words = ["data", "simulate", "markov", tmp_path / "data", "--prepared", "--users", 25, "--length", 10]
    status, out, err = ask(*words, "--set", "items=8", "--seed", 3, "--json")
    assert status == 0, err
    said = json.loads(out)
    training = open_training(tmp_path / "data", whole=True)
    assert said["facts"]["users_at_once"] == 10
    assert training.sequences.keys.to_list() == [f"u{n:02}" for n in range(25)]
    assert training.exclude_seen is False

    seeds = [int(np.random.SeedSequence([3, 6, chunk]).generate_state(1, np.uint64)[0]) for chunk in range(3)]
    made = source("markov", items=8)
    logs = [made.log(count, 10, seed) for count, seed in zip((10, 10, 5), seeds, strict=True)]
    frames = [
        log.frame.with_columns(user=pl.format("{}-{}", pl.lit(chunk), "user"))
        for chunk, log in enumerate(logs)
    ]
    from ensue.events.log import EventLog

    plain = Training.of(EventLog.of(pl.concat(frames).drop("row")))
    assert training.catalogue.ids.to_list() == plain.catalogue.ids.to_list()
    assert training.catalogue.counts.tolist() == plain.catalogue.counts.tolist()
    np.testing.assert_array_equal(training.sequences.items, plain.sequences.items)
    np.testing.assert_array_equal(training.sequences.offsets, plain.sequences.offsets)
    assert plain.sequences.time is not None
    assert training.sequences.time is not None
    np.testing.assert_array_equal(training.sequences.time, plain.sequences.time)
    latest = np.datetime64(int(plain.sequences.time.max()), "us").astype("datetime64[s]")
    assert said["facts"]["learnt"]["until"] == f"{latest}+00:00"

    first = (tmp_path / "data" / "items.npy").read_bytes()
    assert ask(*words, "--set", "items=8", "--seed", 3)[0] == 0
    assert (tmp_path / "data" / "items.npy").read_bytes() == first, "the same bits for the same seed"
    assert ask(*words, "--set", "items=8", "--seed", 4)[0] == 0
    assert (tmp_path / "data" / "items.npy").read_bytes() != first


def test_faults_of_a_simulation_leave_nothing_behind(ask: Ask, tmp_path: Path) -> None:
    for odd in (["--users", 0], ["--users", 5, "--set", "itms=3"], ["--users", 5, "--length", 1]):
        status, _, err = ask("data", "simulate", "markov", tmp_path / "data", "--prepared", *odd)
        assert status == 2, err
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_preparation_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = "".join(f"u{n % 5003},i{n % 97},{1_600_000_000 + n}\n" for n in range(600_000))
    log.write_text("user,item,timestamp\n" + rows)
    words = [sys.executable, "-m", "ensue", "data", "prepare", str(log), str(tmp_path / "out")]

    def broken_off(signal_: int) -> int:
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:  # its work lies on disk now
                if line.startswith("preparing"):
                    process.send_signal(signal_)
                    break
            process.stderr.read()
        return process.returncode

    assert broken_off(signal.SIGINT) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]
    assert broken_off(signal.SIGKILL) == -signal.SIGKILL
    assert any(path.name.startswith(".out.work.") for path in tmp_path.iterdir())
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert prepared.describe(tmp_path / "out")["events"] == 540_000
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out.work.")]
