"""What breaks beneath the service: it says so, lives on, and is whole once the cause is gone."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest
from tests.serving.service_process import Service, problem, running
from tests.serving.state_backings import Redis, redis_program


def test_a_full_disk_is_told_and_answers_go_on(trained: Path, tmp_path: Path) -> None:
    """A bound on the size of files stands for the full disk: the system refuses writes in the same place."""
    with running(trained, "--state", tmp_path / "state.db", folder=tmp_path) as service:
        assert service.process is not None
        service.answer("events", user="u", item="A")
        _, hard = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
        journal = max(path.stat().st_size for path in tmp_path.glob("state.db*"))
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (journal + 50_000, hard))
        batch = [{"user": f"user-{n}", "item": "A", "context": {"text": "x" * 500}} for n in range(200)]
        for _ in range(10):
            sent = service.ask("events", events=batch)
            if sent.status_code != 200:
                break
        assert problem(sent) == (503, "state-unavailable")
        assert sent.headers["retry-after"] == "1"
        assert str(tmp_path) not in sent.text
        assert str(tmp_path) in service.log  # who runs it is told where
        assert service.items(history=["A"], k=1) == ["B"]
        assert service.items(user="u", k=1) == ["B"]
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        again = service.answer("events", events=[{**batch[0], "user": "after", "time": 1000}])
        assert again["new"] == 1
        assert service.items(user="after", k=1) == ["B"]


def test_a_store_that_is_taken_away_is_told(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ended at its start"):
        Service([trained, "--state", tmp_path], tmp_path / "log").start()


def test_redis_may_stop_and_come_back(trained: Path, tmp_path: Path) -> None:
    redis = Redis(redis_program())
    redis.start()
    try:
        address = redis.address("shop")
        with running(trained, "--state", address, folder=tmp_path) as service:
            service.answer("events", user="u", item="A")
            service.answer("admin/items", items=["C"], state="withdrawn")
            redis.stop()
            for sent in (
                service.ask("events", user="u", item="B"),
                service.ask("recommend", user="u"),
                service.client.get("/readyz"),
                service.client.get("/v1/users/u"),
                service.client.delete("/v1/users/u"),
                service.ask("admin/items", items=["D"], state="withdrawn"),
            ):
                assert problem(sent) == (503, "state-unavailable")
            assert service.client.get("/healthz").status_code == 200
            assert service.items(history=["A"], k=1) == ["B"]  # what needs no history is answered
            redis.start()
            assert service.answer("events", user="u", item="B", time=time.time())["new"] == 1
            assert service.get("/readyz")["status"] == "ready"
            # only what Redis itself has kept is there, see docs/decisions/0012-state.md
            assert service.items(user="u", k=1)[0] not in ("B", "C")
            service.answer("admin/swap", folder="rules")
            # a second service on the same store, as on another machine
            with running(trained, "--state", address, folder=tmp_path / "other") as other:
                assert other.get("/readyz")["model"]["name"] == "rules"
                assert other.get("/v1/items/C")["withdrawn"] is True
                assert len(other.get("/v1/users/u")["events"]) == len(service.get("/v1/users/u")["events"])
                other.answer("admin/rollback")
                until = time.monotonic() + 5
                while service.get("/readyz")["model"]["name"] != "markov":
                    assert time.monotonic() < until
                    time.sleep(0.02)
    finally:
        redis.remove()


def test_a_client_whose_clock_is_wrong_spoils_nothing(service: Service) -> None:
    tomorrow = time.time() + 86_400
    first = service.answer("events", user="clock", item="A", time=tomorrow)
    assert first["ahead"] == 1
    assert service.answer("events", user="clock", item="D", time=time.time())["new"] == 1
    assert service.items(user="clock", k=1) == [
        "E"
    ]  # what came last is the last, whatever the first clock said
    assert service.answer("events", user="clock", item="G", time=0)["late"] == 1
    assert service.items(user="clock", k=1) == ["E"]
