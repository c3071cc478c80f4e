"""Several processes behind one port: what one of them is told holds in all of them, and they end together."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.serving.service_process import Service, running

from ensue.serving.keys import drop_key, new_key

SOON = 1.0
"""Seconds within which a change must hold everywhere, on a machine that is not overloaded."""

PATIENCE = 5.0
"""Times as long on one that is."""


@pytest.fixture(scope="module")
def two(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("workers")
    run = shutil.copytree(trained, folder / "run")
    with running(run, "--workers", 2, folder=folder) as found:
        yield found


@pytest.fixture(scope="module")
def both(two: Service) -> Iterator[list[httpx.Client]]:
    """A connection to each of the two workers."""
    found = each(two)
    yield found
    for client in found:
        client.close()


def each(two: Service) -> list[httpx.Client]:
    found: dict[str, httpx.Client] = {}
    until = time.monotonic() + 60
    while len(found) < 2 and time.monotonic() < until:  # the second may still be starting
        clients = [two.fresh() for _ in range(8)]
        for client in clients:  # all open at once, so that the other worker gets some
            page = client.get("/metrics").text
            name = next(line for line in page.splitlines() if line.startswith("ensue_process{"))
            if found.setdefault(name, client) is not client:
                client.close()
        time.sleep(0.1)
    assert len(found) == 2, "all connections went to one worker"
    return list(found.values())


def holds(clients: list[httpx.Client], looked: Callable[[httpx.Client], bool]) -> float:
    """Seconds until something holds at every worker."""
    began = time.monotonic()
    while not all(looked(client) for client in clients):
        assert time.monotonic() - began < SOON * PATIENCE
        time.sleep(0.02)
    return time.monotonic() - began


def asked(client: httpx.Client, **body: Any) -> Any:
    found = client.post("/v1/recommend", json={"k": 1, **body})
    assert found.status_code == 200, found.text
    return found.json()


def test_connections_are_shared_evenly(two: Service, both: list[httpx.Client]) -> None:
    clients = [two.fresh() for _ in range(12)]
    named: dict[str, int] = {}
    for client in clients:  # all are open at once
        page = client.get("/metrics").text
        name = next(line for line in page.splitlines() if line.startswith("ensue_process{"))
        named[name] = named.get(name, 0) + 1
    for client in clients:
        client.close()
    assert len(named) == 2
    assert min(named.values()) >= 4


def test_an_event_told_to_one_is_known_to_the_other_at_once(both: list[httpx.Client]) -> None:
    for place, item in enumerate("ADGB"):
        told, other = both[place % 2], both[1 - place % 2]
        assert told.post("/v1/events", json={"user": "u", "item": item}).json()["new"] == 1
        assert len(other.get("/v1/users/u").json()["events"]) == place + 1
        assert asked(other, user="u")["revision"] == asked(told, user="u")["revision"]


def test_an_erasure_at_one_holds_at_the_other_at_once(both: list[httpx.Client]) -> None:
    both[0].post("/v1/events", json={"user": "e", "item": "A"})
    assert asked(both[1], user="e")["fallback"] is False
    both[0].delete("/v1/users/e")
    assert asked(both[1], user="e")["fallback"] is True


def test_who_is_erased_at_either_is_in_the_file_of_the_run_no_longer(
    two: Service, both: list[httpx.Client]
) -> None:
    path = two.folder / "run" / "histories.parquet"
    before = pl.read_parquet(path)
    users = before["user"].unique().sort().to_list()[:8]
    left: list[str] = []

    def erase(place: int) -> None:
        for user in users[place::2]:
            found = both[place].delete(f"/v1/users/{user}")
            with path.open(
                "rb"
            ) as file:  # opened once: by its path it is opened twice, and replaced in between
                held = pl.read_parquet(file)
            if found.status_code != 200 or (held["user"] == user).any():
                left.append(found.text)

    threads = [threading.Thread(target=erase, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert left == []
    assert_frame_equal(pl.read_parquet(path), before.filter(~pl.col("user").is_in(users)))
    assert not (path.parent / ".histories.parquet.new").exists()


def test_keys_that_change_hold_at_both_soon(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    scopes = ["read", "write", "admin"]
    old = new_key(path, "old", scopes)
    words = [trained, "--workers", 2, "--state", tmp_path / "state.db", "--keys", path]
    with running(*words, folder=tmp_path, key=old) as service:
        clients = each(service)

        def status(client: httpx.Client, key: str) -> int:
            headers = {"authorization": f"Bearer {key}"}
            return client.post("/v1/recommend", json={"history": ["A"]}, headers=headers).status_code

        fresh = new_key(path, "fresh", scopes)
        took = holds(clients, lambda client: status(client, fresh) == 200)
        assert [status(client, old) for client in clients] == [200, 200]
        drop_key(path, "old")
        took = max(took, holds(clients, lambda client: status(client, old) == 401))
        path.write_text(f'{{"keys": [{{"name": "{fresh}"')
        time.sleep(SOON)
        assert [status(client, fresh) for client in clients] == [200, 200]
        path.write_text('{"keys": []}')
        took = max(took, holds(clients, lambda client: status(client, fresh) == 401))
        assert took < SOON * PATIENCE
        assert httpx.get(f"{service.client.base_url}/v1/items").status_code == 401
        for client in clients:
            client.close()
    assert service.log.count("the keys of before stay good") == 2
    assert fresh not in service.log
    assert old not in service.log


def test_a_swap_at_one_soon_holds_at_the_other(both: list[httpx.Client]) -> None:
    for place, name in enumerate(("lstm", "rules", "markov")):
        assert both[place % 2].post("/v1/admin/swap", json={"folder": name}).status_code == 200
        holds(both, lambda client, name=name: asked(client, history=["A"])["model"]["name"] == name)  # type: ignore[misc]
    both[1].post("/v1/admin/rollback")
    holds(both, lambda client: asked(client, history=["A"])["model"]["name"] == "rules")
    both[0].post("/v1/admin/swap", json={"folder": "markov"})
    holds(both, lambda client: asked(client, history=["A"])["model"]["name"] == "markov")


def test_who_is_erased_at_one_leaves_no_state_of_a_network_at_either(both: list[httpx.Client]) -> None:
    def held(client: httpx.Client) -> float:
        lines = client.get("/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("ensue_states_held "))

    both[0].post("/v1/admin/swap", json={"folder": "lstm"})
    holds(both, lambda client: asked(client, history=["A"])["model"]["name"] == "lstm")
    both[0].post("/v1/events", json={"user": "carried", "item": "A"})
    for client in both:
        assert asked(client, user="carried")["fallback"] is False
        assert held(client) > 0
    both[0].delete("/v1/users/carried")
    holds(both, lambda client: held(client) == 0)
    both[0].post("/v1/admin/swap", json={"folder": "markov"})
    holds(both, lambda client: asked(client, history=["A"])["model"]["name"] == "markov")


def test_another_model_in_the_same_folder_is_swapped_in_everywhere(
    two: Service, both: list[httpx.Client], trained: Path
) -> None:
    place = two.folder / "run" / "models" / "same"
    for name in ("markov", "popular"):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(trained / "models" / name, place)
        assert both[0].post("/v1/admin/swap", json={"folder": "same"}).status_code == 200
        holds(both, lambda client: client.get("/v1/admin/models").json()["current"]["folder"] == "same")
        holds(both, lambda client, name=name: asked(client, history=["A"])["model"]["name"] == name)  # type: ignore[misc]
    both[0].post("/v1/admin/swap", json={"folder": "markov"})
    holds(both, lambda client: asked(client, history=["A"])["model"]["name"] == "markov")


def test_a_withdrawal_and_a_split_at_one_soon_hold_at_the_other(both: list[httpx.Client]) -> None:
    both[0].post("/v1/admin/items", json={"items": ["B"], "state": "withdrawn"})
    assert asked(both[0], history=["A"])["items"][0]["item"] != "B"
    holds(both, lambda client: asked(client, history=["A"])["items"][0]["item"] != "B")
    both[1].post("/v1/admin/items", json={"items": ["B"], "state": "restored"})
    holds(both, lambda client: asked(client, history=["A"])["items"][0]["item"] == "B")
    both[1].post("/v1/admin/beside", json={"split": "popular", "share": 1.0})
    holds(both, lambda client: asked(client, user="anybody")["model"]["name"] == "popular")
    both[0].post("/v1/admin/beside", json={"split": ""})
    holds(both, lambda client: asked(client, user="anybody")["model"]["name"] == "markov")


def test_changes_at_both_at_once_are_all_kept(both: list[httpx.Client]) -> None:
    def change(place: int) -> None:
        for number in range(15):
            items = [f"item-{place}-{number}"]
            assert both[place].post("/v1/admin/items", json={"items": items, "state": "withdrawn"}).is_success

    threads = [threading.Thread(target=change, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    named = [f"item-{place}-{number}" for place in range(2) for number in range(15)]
    left = both[0].post("/v1/admin/items", json={"items": named, "state": "restored"}).json()
    assert left["withdrawn"] == 0
    again = both[0].post("/v1/admin/items", json={"items": ["last"], "state": "restored"}).json()
    assert again["withdrawn"] == 0


def test_what_has_begun_is_ended_and_all_workers_go(trained: Path, tmp_path: Path) -> None:
    service = Service([trained, "--workers", 2, "--state", tmp_path / "state.db"], tmp_path).start()
    clients = [service.fresh() for _ in range(6)]
    wrong: list[str] = []
    ended = threading.Event()

    def ask(client: httpx.Client) -> None:
        while not ended.is_set():
            try:
                found = client.post("/v1/recommend", json={"history": ["A"], "k": 1})
            except httpx.TransportError as fault:
                if not isinstance(fault, httpx.ConnectError | httpx.RemoteProtocolError | httpx.ReadError):
                    wrong.append(repr(fault))
                return
            if found.status_code != 200:
                wrong.append(found.text)

    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    assert service.stop() in (0, -signal.SIGTERM)
    ended.set()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert time.monotonic() - began < 25
    for client in clients:
        client.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{service.port}/healthz")


def test_a_service_that_cannot_start_says_why_once_and_ends(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(AssertionError, match=r"ended at its start"):
        Service([tmp_path / "model", "--workers", 2], tmp_path).start()
    assert "has no model.json" in (tmp_path / "service.log").read_text()


def test_no_acknowledged_event_is_lost_when_the_service_is_killed(trained: Path, tmp_path: Path) -> None:
    words = [trained, "--state", tmp_path / "state.db"]
    service = Service(words, tmp_path).start()
    acknowledged: list[list[str]] = [[] for _ in range(4)]

    def tell(place: int) -> None:
        with service.fresh() as client:
            number = 0
            while True:
                name = f"{place}-{number}"
                told = {
                    "user": f"writer-{place}",
                    "item": "A",
                    "id": name,
                    "time": 1000 + number,
                }
                try:
                    found = client.post("/v1/events", json=told)
                except httpx.TransportError:
                    return
                assert found.json()["new"] == 1
                acknowledged[place].append(name)
                number += 1

    threads = [threading.Thread(target=tell, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.7)
    service.kill()
    for thread in threads:
        thread.join(30)
    assert min(len(one) for one in acknowledged) > 0
    with running(*words, folder=tmp_path) as again:
        for place in range(4):
            sent = len(acknowledged[place])
            kept = len(again.get(f"/v1/users/writer-{place}?most=10000")["events"])
            assert kept in (min(sent, 1000), min(sent + 1, 1000))  # one may have been written and not told
            told = {"user": f"writer-{place}", "item": "A", "id": acknowledged[place][-1], "time": 1000}
            assert again.answer("events", **told)["repeated"] == 1
