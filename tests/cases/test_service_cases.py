"""Faults that users of services have met while these ran; here each is tried against a running one."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.serving.service_process import Service, problem, running
from tests.serving.state_backings import folder_holds

from ensue.cli import call

RING = "ABCDEFGHIJ"
NETWORK = ["--set", "width=16", "--set", "length=10", "--set", "epochs=20", "--set", "batch_tokens=64"]
NETWORK += ["--set", "learning_rate=0.02", "--set", "dropout=0.0"]

Start = Callable[..., Service]


def log_of(path: Path, ring: str = RING, users: int = 20, steps: int = 21) -> Path:
    """Walks round a ring as a file."""
    rows = [
        f"u{user:02d},{ring[(user + step) % len(ring)]},{1_700_000_000 + 60 * (1_000 * user + step)}"
        for user in range(users)
        for step in range(steps)
    ]
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    return path


def train(log: Path, model: str, out: Path, *words: str) -> Path:
    assert call(["train", str(log), "--model", model, "--out", str(out), *words]) == 0
    return out


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several models of the ring in one folder."""
    folder = tmp_path_factory.mktemp("models")
    log = log_of(folder / "ring.csv")
    for name in ("markov", "rules", "popular", "neighbours"):
        train(log, name, folder / "models" / name)
    train(log, "lstm", folder / "models" / "lstm", *NETWORK)
    return folder / "models"


@pytest.fixture(scope="module")
def ring(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of the ring; the tests swap models and tell of users of their own."""
    folder = tmp_path_factory.mktemp("service")
    with running(models / "markov", "--state", folder / "state.db", "--workers", 2, folder=folder) as found:
        yield found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda *words: stack.enter_context(running(*words, folder=tmp_path))


def put(service: Service, name: str) -> None:
    """Swaps a model in and waits until all workers have it."""
    service.answer("admin/swap", folder=name)
    seen = 0
    for _ in range(400):
        with service.fresh() as client:
            seen = seen + 1 if client.get("/readyz").json()["model"]["name"] == name else 0
        if seen >= 12:
            return
    raise AssertionError("not all workers have taken the model over")


# ------------------------------------------------------------------ c67: how many are asked for


def test_k_out_of_range(start: Start, tmp_path: Path) -> None:
    four = train(log_of(tmp_path / "four.csv", "ABCD"), "markov", tmp_path / "models" / "four")
    service = start(four)

    def asked(k: object) -> Any:
        return service.ask("recommend", history=["A"], k=k, exclude_seen=False)

    for k in (4, 5, 1000, None):
        items = [row["item"] for row in asked(k).json()["items"]]
        assert sorted(items) == list("ABCD")
    assert asked(0).json()["items"] == []
    for wrong in (-1, "ten", 2.5):
        sent = asked(wrong)
        assert problem(sent) == (422, "invalid")
        assert "k: input should be" in sent.text
    assert "it was" in asked(-1).text


# ------------------------------------------------------------- c69: exclusions and length of lists


@pytest.mark.parametrize("name", ["markov", "rules", "popular", "neighbours", "lstm"])
def test_exclusions_and_length_of_lists(ring: Service, name: str) -> None:
    put(ring, name)

    def asked(*exclude: str) -> Any:
        return ring.answer("recommend", history=["A"], k=3, exclude=list(exclude))

    for exclude in (["B", "C"], ["nope", "B", "B"], list("BCDEFG")):
        found = asked(*exclude)
        items = [row["item"] for row in found["items"]]
        assert len(items) == len(set(items)) == 3
        assert not set(items) & set(exclude)
        assert found["unknown"] == [one for one in exclude if one == "nope"]
    assert asked(*RING)["items"] == []


# ------------------------------------------------------------------ c72: the same event sent twice


def test_the_same_event_sent_twice(ring: Service) -> None:
    batch = [
        {"user": "n1", "item": item, "timestamp": time} for item, time in (("A", 100), ("A", 100), ("B", 110))
    ]

    def held() -> list[str]:
        return [event["item"] for event in ring.get("/v1/users/n1")["events"]][::-1]

    first = ring.answer("events", events=batch)
    assert (first["new"], first["repeated"]) == (2, 1)
    assert held() == ["A", "B"]
    second = ring.answer("events", events=batch)
    assert (second["new"], second["repeated"]) == (0, 3)
    assert held() == ["A", "B"]
    ring.answer("events", events=[{"user": "n1", "item": "A", "timestamp": 120}])
    assert held() == ["A", "B", "A"]
    put(ring, "markov")
    assert ring.items(user="n1", k=1, exclude_seen=False) == ["B"]


# ---------------------------------------------------------------------- c74: many clients at once


def test_many_clients_at_once(ring: Service) -> None:
    put(ring, "markov")

    def own(place: int) -> list[str]:
        wrong = []
        with ring.fresh() as client:
            for step in range(12):
                item = RING[(place + step) % 10]
                told = {"user": f"own-{place}", "item": item, "timestamp": 1_000 + step}
                assert client.post("/v1/events", json=told).json()["new"] == 1
                asked = {"user": f"own-{place}", "k": 1, "exclude_seen": False}
                found = client.post("/v1/recommend", json=asked).json()
                if found["items"][0]["item"] != RING[(place + step + 1) % 10]:
                    wrong.append(f"{place} {step}")
        return wrong

    def shared(place: int) -> list[str]:
        with ring.fresh() as client:
            for step in range(20):
                told = {"user": "shared", "item": RING[step % 10], "timestamp": 100 * place + step}
                assert client.post("/v1/events", json=told).json()["new"] == 1
        return []

    with ThreadPoolExecutor(30) as pool:
        futures = [pool.submit(own, place) for place in range(20)]
        futures += [pool.submit(shared, place) for place in range(10)]
        assert [one for future in futures for one in future.result(60)] == []
    assert len(ring.get("/v1/users/shared?most=1000")["events"]) == 10 * 20


# ------------------------------------------------------------------------ c76: a new model under load


def test_a_new_model_under_load(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    train(log_of(tmp_path / "v1.csv", RING), "markov", folder / "v1")
    train(log_of(tmp_path / "v2.csv", "AJIHGFEDCBK"), "markov", folder / "v2")
    service = start(folder / "v1")
    versions = {
        name: json.loads((folder / name / "model.json").read_text())["checksum"][:12] for name in ("v1", "v2")
    }
    allowed = {(versions["v1"], "B"), (versions["v2"], "J")}
    service.answer("events", user="live", item="C")
    ended, seen, wrong = threading.Event(), set(), []

    def ask() -> None:
        with service.fresh() as client:
            while not ended.is_set():
                found = client.post("/v1/recommend", json={"history": ["A"], "k": 1})
                if found.status_code != 200:
                    wrong.append(found.text)
                    continue
                seen.add((found.json()["model"]["version"], found.json()["items"][0]["item"]))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()

    def wait(version: str) -> None:
        until = time.monotonic() + 20
        while version not in {one for one, _ in seen}:
            assert time.monotonic() < until
            time.sleep(0.01)

    wait(versions["v1"])
    (folder / "broken").mkdir()
    shutil.copy(folder / "v2" / "model.json", folder / "broken")
    refused = service.ask("admin/swap", folder="broken")
    for path in (folder / "v1").iterdir():
        path.write_bytes(b"overwritten")
    assert service.items(history=["A"], k=1) == ["B"]
    service.answer("admin/swap", folder="v2")
    wait(versions["v2"])
    ended.set()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert seen == allowed
    assert problem(refused) == (422, "model-refused")
    assert "missing or no plain file" in refused.text
    assert service.items(user="live", k=1) == ["B"]  # backwards, with the history of before


# --------------------------------------------------------------- c78: next week brings new items


def test_next_week_brings_new_items(ring: Service, models: Path, tmp_path: Path) -> None:
    week2 = "\n".join(
        f"w{user:02d},{item},{1_800_000_000 + 1_000 * user + step}"
        for user in range(20)
        for step, item in enumerate("HIJKLABC")
    )
    (tmp_path / "week2.csv").write_text(f"user_id,item_id,timestamp\n{week2}\n")
    put(ring, "markov")
    assert ring.answer("recommend", history=["K"])["fallback"] is True
    ring.answer("events", user="early", item="K")  # told before any model knows the item
    run = tmp_path / "run"
    assert call(["run", str(log_of(tmp_path / "w1.csv")), "--models", "markov", "--out", str(run)]) == 0
    out = models / "week2"
    assert call(["update", str(run), "--events", str(tmp_path / "week2.csv"), "--out", str(out)]) == 0
    ring.answer("admin/swap", folder="week2")
    for history, expected in ((["A"], "B"), (["K"], "L"), (["C"], "D")):
        assert ring.answer("recommend", history=history, k=1)["items"][0]["item"] == expected
    assert ring.answer("recommend", user="early", k=1)["items"][0]["item"] == "L"


# ----------------------------------------------------------------- c80: longer than the model


@pytest.mark.parametrize("name", ["markov", "rules", "lstm"])
def test_a_session_longer_than_the_model(ring: Service, name: str) -> None:
    put(ring, name)
    eleven = list(RING + "A")
    long = [RING[(3 * step) % 10] for step in range(500)]
    for history in (eleven, long):
        asked = {"k": 3, "exclude_seen": False}
        whole = ring.answer("recommend", history=history, **asked)["items"]
        assert whole == ring.answer("recommend", history=history[-10:], **asked)["items"]
        if history is eleven:
            assert whole[0]["item"] == "B"
        ring.answer("events", events=[
            {"session": f"{name}-{len(history)}", "item": item, "time": 1_000 + step}
            for step, item in enumerate(history)
        ])  # fmt: skip
        told = ring.answer("recommend", session=f"{name}-{len(history)}", **asked)["items"]
        assert told == whole


# ------------------------------------------------------------------------ c89: what an answer is for


@pytest.mark.parametrize("name", ["markov", "rules", "popular", "neighbours", "lstm"])
def test_an_explanation_adds_up(ring: Service, name: str) -> None:
    put(ring, name)
    first = ring.answer("recommend", history=["A", "B"], k=3)["items"][0]
    for item in (first["item"], "H"):
        why = ring.answer("explain", history=["A", "B"], item=item, k=3, most=100)
        assert {reason["item"] for reason in why["reasons"]} <= {"A", "B"}
        if why["adds_up"]:
            total = sum(reason["part"] for reason in why["reasons"]) + why["base"] + why["others"]
            assert total == pytest.approx(why["score"], abs=1e-4)
        if item == first["item"]:
            assert why["score"] == pytest.approx(first["score"], rel=1e-6)
    fallback = ring.answer("explain", history=[], item="C")
    assert fallback["reasons"] == []
    assert "popular items" in fallback["notes"][0]
    assert problem(ring.ask("explain", history=["A"], item="ZZZ")) == (422, "invalid")
    ring.answer("admin/items", items=["C"], state="withdrawn")
    assert ring.answer("explain", history=["A"], item="C")["item"] == "C"
    ring.answer("admin/items", items=["C"], state="restored")


# ------------------------------------------------------------------------------ c91: erase a person


def test_a_person_is_erased(start: Start, tmp_path: Path) -> None:
    marker = "person-13-marker"
    (tmp_path / "in").mkdir()
    log = log_of(tmp_path / "in" / "ring.csv")
    log.write_text(log.read_text().replace("u13,", f"{marker},"))
    run = tmp_path / "out" / "run"
    words = ["run", str(log), "--models", "markov", "--out", str(run)]
    assert call(words) == 0
    requests = tmp_path / "out" / "requests.jsonl"
    service = start(run, "--request-log", requests, "--log-requests")
    told = {"user": marker, "item": "A", "timestamp": 1_800_000_000 - 10**8}
    service.answer("events", **told)
    assert service.answer("recommend", user=marker, k=3)["fallback"] is False
    gone = service.client.delete(f"/v1/users/{marker}").json()
    assert gone["erased"] == {"events": 1, "kept": 21, "sessions": 0, "logged": 1}
    assert "still reflect" in gone["note"]
    assert service.answer("recommend", user=marker, k=3)["fallback"] is True
    assert service.answer("events", **told)["erased"] == 1
    service.stop()
    again = start(run, "--request-log", requests)
    assert again.answer("recommend", user=marker, k=3)["fallback"] is True
    assert marker not in again.log
    assert folder_holds(tmp_path / "out", marker) == []
    left = pl.read_csv(log).filter(pl.col("user_id") != marker)
    left.write_csv(log)
    shutil.rmtree(run)
    assert call(words) == 0
    assert folder_holds(tmp_path / "out", marker) == []
