"""Two processes learn what one learns: the same weights, whatever the shards, and nobody waits for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.test_resume import COURSE, BreaksAt, bits, training

from ensue.batching import Stretches
from ensue.cores import cores
from ensue.errors import ConfigError, ModelError
from ensue.events.log import EventLog
from ensue.export import TorchScoring
from ensue.members import FAULT, _reason
from ensue.model import Conditions, Training, model_of
from ensue.objective import Objective
from ensue.ranking import Recommender
from ensue.team import ALONE, Team

PLAIN = COURSE | {"dropout": 0.0, "epochs": 2}


def children() -> set[int]:
    """The processes that this one has started and that run still."""
    found = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return {int(number) for number in found}


def weights(recommender: Recommender) -> dict[str, torch.Tensor]:
    scoring = recommender.scoring
    assert isinstance(scoring, TorchScoring)
    return dict(scoring.network.state_dict())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("transformer", {}),
        ("lstm", {"batch_tokens": 6}),  # often a single row: one process has none
    ],
)
def test_two_processes_learn_what_one_learns(name: str, settings: dict[str, Any]) -> None:
    model = model_of(name, **PLAIN | settings)
    data = training()
    one = model.fit(data, Conditions(seed=3))
    two = model.fit(data, Conditions(seed=3, processes=2))
    assert two.facts["steps"] == one.facts["steps"]
    for key, value in weights(one).items():
        assert torch.allclose(weights(two)[key], value, atol=1e-5), key
    for first, second in zip(one.facts["history"], two.facts["history"], strict=True):
        assert second["targets"] == first["targets"]
        assert second["loss"] == pytest.approx(first["loss"], abs=1e-5)
        assert second["score"] == pytest.approx(first["score"], abs=1e-9)


def test_two_processes_go_on_where_two_stopped(tmp_path: Path) -> None:
    model = model_of("lstm", **PLAIN)
    data = training()
    asked = Conditions(seed=3, processes=2)
    whole = model.fit(data, Conditions(seed=3))
    over = whole.facts["horizon"]
    kept = replace(asked, checkpoints=tmp_path, checkpoint_minutes=1e-9, horizon=over)
    model.fit(data, replace(kept, steps=3))
    with pytest.raises(ModelError, match="processes was 2 and is now 1"):
        model.fit(data, replace(kept, processes=1))
    gone_on = model.fit(data, kept)
    for key, value in weights(whole).items():
        assert torch.allclose(weights(gone_on)[key], value, atol=1e-5), key


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ConfigError, match="learnt by one process alone"):
        model_of("gru4rec", **PLAIN).fit(training(), Conditions(processes=2))
    with pytest.raises(ConfigError, match=f"processes=9999: it may run on {cores()} cores"):
        model_of("lstm", **PLAIN).fit(training(), Conditions(processes=9999))


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_shares_of_a_batch_are_the_batch(rows: int, size: int) -> None:
    batch = Stretches(np.arange(rows) * 10, np.arange(rows) * 10 + 3)
    shares = [Team(rank, size).share(batch) for rank in range(size)]
    spoken = np.concatenate([share.starts for share, silent in shares if not silent])
    assert sorted(spoken.tolist()) == batch.starts.tolist()
    assert all(len(share.starts) for share, _ in shares)
    sizes = [len(share.starts) * (not silent) for share, silent in shares]
    assert max(sizes) - min(sizes) <= 1


def test_one_alone_speaks_for_itself() -> None:
    assert ALONE.leads
    assert ALONE.told(1.5, 2) == (1.5, 2)
    total, count = ALONE.sum(torch.tensor(2.0), 3)
    assert (float(total), count) == (2.0, 3)


def test_one_process_is_as_before() -> None:
    model = model_of("lstm", **COURSE)
    assert bits(model.fit(training(), Conditions(processes=1))) == bits(model.fit(training()))


def test_a_member_that_is_killed_ends_the_training_with_one_message() -> None:
    """The leader notices by itself, within seconds, and leaves no process behind."""
    mine = children()

    class Kills(BreaksAt):
        def advance(self, amount: float = 1, note: str = "") -> None:
            for child in children() - mine:
                os.kill(child, signal.SIGKILL)

    model = model_of("lstm", **PLAIN | {"epochs": 50, "patience": 50})
    with pytest.raises(ModelError, match="lstm: process 1 ended with code -9 before the training did"):
        model.fit(training(), Conditions(processes=2, progress=Kills(0)))
    assert children() == mine


@pytest.mark.parametrize("moment", [0.0, 0.5])
def test_the_reason_is_found_whichever_is_seen_first(tmp_path: Path, moment: float) -> None:
    """The connection may break before the end of the process is seen, and others break after it."""
    killed = [sys.executable, "-c", f"import os, time; time.sleep({moment}); os.kill(os.getpid(), 9)"]
    follows = [sys.executable, "-c", "raise SystemExit(1)"]
    broken = "RuntimeError: [gloo/transport/tcp/pair.cc] Connection closed by peer"
    (tmp_path / FAULT.format(1)).write_text(broken)
    members = [subprocess.Popen(follows), subprocess.Popen(killed)]
    said = _reason(members, tmp_path, RuntimeError(broken))
    assert said == "process 2 ended with code -9 before the training did."


def test_the_leaders_own_fault_is_the_reason_though_the_others_break_off(tmp_path: Path) -> None:
    (tmp_path / FAULT.format(1)).write_text("RuntimeError: [gloo/transport/tcp/pair.cc] Connection closed")
    members = [subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])]
    members[0].wait()
    assert _reason(members, tmp_path, RuntimeError("out of memory")) == "out of memory"


def stopped_within(team: Team, expected: int) -> None:
    with team.spared():
        assert torch.get_num_threads() == expected
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("team", "threads", "spared"),
    [(Team(0, 2), 1, 2), (Team(0, 8), 1, 3), (Team(0, 2), 4, 4), (Team(1, 2), 1, 1), (ALONE, 1, 1)],
)
def test_the_leader_takes_the_cores_of_those_who_wait(
    team: Team, threads: int, spared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than there are, and it gives them back, whatever happens."""
    monkeypatch.setattr("ensue.team.cores", lambda: 3)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with pytest.raises(KeyboardInterrupt):
            stopped_within(team, spared)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def sparse_in_targets(objective: Objective) -> Training:
    """Three of twenty users buy, and rate: most batches of few rows hold no target for one process, or for both."""
    rng = np.random.default_rng(0)
    rows = [
        (
            f"u{user:02}",
            f"i{int(rng.integers(8))}",
            "buy" if user < 3 and step % 2 else "view",
            float(step % 5) if user < 3 and step % 2 else None,
        )
        for user in range(20)
        for step in range(6)
    ]
    frame = pl.DataFrame(
        rows, schema=["user", "item", "event", "rating"], orient="row", infer_schema_length=None
    )
    seconds = pl.from_epoch(pl.int_range(pl.len()) + 1_700_000_000).cast(pl.Datetime("us"))
    log = EventLog.of(frame.with_columns(time=seconds.dt.replace_time_zone("UTC")))
    return Training.of(log, objective=objective, exclude_seen=False)


BUYS = Objective(targets=("buy",))


@pytest.mark.parametrize(
    ("objective", "settings"),
    [
        (BUYS, {"bias": True}),
        (BUYS, {"tied": False}),
        (BUYS, {"prior": "rules"}),
        (Objective(rating=1.0), {}),
        (Objective(targets=("buy",), rating=1.0), {"tied": False}),
        (BUYS, {"loss": "mean-squared-error"}),
    ],
)
def test_a_process_without_a_target_keeps_step(objective: Objective, settings: dict[str, Any]) -> None:
    """Also where a weight is used by targets alone: the others wait for its gradient."""
    model = model_of("gru", **PLAIN | {"batch_tokens": 12, "epochs": 1} | settings)
    one, two = (
        model.fit(sparse_in_targets(objective), Conditions(processes=size, threads=1)) for size in (1, 2)
    )
    assert one.facts["steps"] == two.facts["steps"]
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(two)[name], value, atol=1e-5, rtol=1e-5, msg=name)


def test_a_member_ends_with_its_leader() -> None:
    """Nobody is left behind by a leader that was killed, and could tell nobody."""
    leader = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    code = f"from ensue.members import _end_with; _end_with({leader.pid})"
    member = subprocess.Popen([sys.executable, "-c", code])  # started by another than its leader
    assert member.wait(timeout=60) == 1
    leader.kill()
    leader.wait()
    waiting = (
        f"import os, threading, time; from ensue.members import _end_with as end; leader = {os.getpid()}; "
    )
    lives = waiting + "threading.Thread(target=end, args=(leader,), daemon=True).start(); time.sleep(1.5)"
    assert subprocess.Popen([sys.executable, "-c", lives]).wait(timeout=60) == 0
