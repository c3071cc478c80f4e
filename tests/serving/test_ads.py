"""POST /v1/ads on a real server, beside a recommender."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import polars as pl
import pytest
import uvicorn
from tests.serving.service_process import free_port, problem

from ensue.ads import AdSource, ClickModel, impressions_of, save
from ensue.cli import call
from ensue.serving.application import application
from ensue.serving.routes.ads import offer
from ensue.serving.settings import settings_of


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, ring_frame: pl.DataFrame) -> Iterator[httpx.Client]:
    """A server of the ring's popularity and of a click model."""
    folder = tmp_path_factory.mktemp("ads")
    ring_frame.write_csv(folder / "ring.csv")
    assert call(["run", str(folder / "ring.csv"), "--models", "popular", "--out", str(folder / "run")]) == 0
    shown = impressions_of(AdSource(campaigns=2, ads=2).log(users=120, visits=12))
    model = ClickModel(l2=10.0)
    save(model.fit(shown), shown.known_ads(), folder / "clicks", settings=model.settings(), facts={})
    app = application(settings_of({"run": str(folder / "run"), "state": str(folder / "state.db")}))
    offer(app, folder / "clicks")
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as found:
        until = time.monotonic() + 60
        while not server.started and time.monotonic() < until:
            time.sleep(0.02)
        yield found
    server.should_exit = True
    thread.join(30)


def _asked(client: httpx.Client, **body: Any) -> dict[str, Any]:
    found = client.post("/v1/ads", json=body)
    assert found.status_code == 200, found.text
    answer: dict[str, Any] = found.json()
    return answer


def test_a_slate_of_what_is_known(client: httpx.Client) -> None:
    found = _asked(client, k=2, seed=1)
    assert len(found["ads"]) == 2
    assert set(found) == {"ads", "left_out", "unknown", "model"}
    assert "/v1/ads" in client.get("/openapi.json").json()["paths"]


def test_told_events_count_at_once(client: httpx.Client) -> None:
    cap = [{"most": 1, "per": "ad", "hours": 1.0}]
    before = _asked(client, user="somebody", k=4, caps=cap)
    ad = before["ads"][0]["ad"]
    told = client.post("/v1/events", json={"user": "somebody", "item": ad, "event": "impression"})
    assert told.status_code == 200
    time.sleep(0.01)
    after = _asked(client, user="somebody", k=4, caps=cap)
    assert after["left_out"] == {"capped": 1, "below_reserve": 0}
    assert ad not in [row["ad"] for row in after["ads"]]
    assert len(_asked(client, user="another", k=4, caps=cap)["ads"]) == 4


def test_a_user_is_answered_as_a_history_that_comes_along(client: httpx.Client) -> None:
    events = [
        {"item": "ad0", "event": "impression"},
        {"item": "ad1", "event": "click"},
        {"item": "ad1", "event": "view"},
    ]
    times = [1_704_100_000, 1_704_100_100, 1_704_100_200]
    told = [{"user": "third", "time": at, **one} for at, one in zip(times, events, strict=True)]
    assert client.post("/v1/events", json={"events": told}).status_code == 200
    history = [
        {"ad": "ad0", "event": "impression", "time": float(times[0])},
        {"ad": "ad1", "event": "click", "time": float(times[1])},
    ]
    at = times[-1] + 100.0
    by_user, by_history = (
        _asked(client, user="third", k=4, at=at),
        _asked(client, history=history, k=4, at=at),
    )
    assert by_user["ads"] == by_history["ads"]
    assert by_user["ads"] != _asked(client, history=[], k=4, at=at)["ads"]


def test_faults_are_answered_as_everywhere(client: httpx.Client) -> None:
    for body, code in (
        ({"k": 1000}, "invalid"),
        ({"user": "u", "history": []}, "invalid"),
        ({"ads": ["a", "a"]}, "invalid"),
        ({"caps": [{"most": -1}]}, "invalid"),
        ({"caps": [{"most": "3"}]}, "invalid"),
        ({"at": "soon"}, "invalid"),
    ):
        assert problem(client.post("/v1/ads", json=body)) == (422, code)
    assert problem(client.post("/v1/ads", content=b"{", headers={"content-type": "application/json"})) == (
        400,
        "malformed",
    )
