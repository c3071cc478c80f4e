"""A service with a re-ranker answers as the re-ranker does, from a history that comes along or that it was told of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

import ensue
from ensue.questions import Question
from ensue.reranking import Candidate, Reranker, fit, read_shown, save
from ensue.reranking.simulated import simulate_lists
from ensue.serving.application import application
from ensue.serving.settings import Settings

CANDIDATES: list[Any] = [{"item": "h003", "score": 0.4, "price": 90}, "h001", {"item": "new", "price": 50}]
PROPOSED = [Candidate("h003", 0.4, 90), Candidate("h001"), Candidate("new", price=50)]


@pytest.fixture(scope="module")
def reranker() -> Reranker:
    made = simulate_lists(300)
    return fit(read_shown(made.lists, made.events)).reranker


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, reranker: Reranker) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("rerank")
    ensue.save(ensue.fit("markov", ensue.read(simulate_lists(300).events)), folder / "model")
    save(reranker, folder / "reranker")
    settings = Settings(run=str(folder / "model"), reranker=str(folder / "reranker"), page=False)
    with TestClient(application(settings), base_url="http://127.0.0.1") as found:
        yield found


def test_the_answer_is_that_of_the_re_ranker_with_its_parts(client: TestClient, reranker: Reranker) -> None:
    steps = [{"item": "h001", "event": "view"}, {"event": "filter"}, {"item": "h003", "event": "photo"}]
    body = {"candidates": CANDIDATES, "shown": {"order": "by price"}, "history": steps, "explain": True}
    found = client.post("/v1/rerank", json=body).json()
    question = Question(["h001", "", "h003"], context={"event": ["view", "filter", "photo"]})
    wanted = reranker.rerank(question, PROPOSED, {"order": "by price"})
    assert [one["item"] for one in found["items"]] == [one.item for one in wanted]
    for one, other in zip(found["items"], wanted, strict=True):
        assert one["score"] == pytest.approx(other.score)
        assert sum(one["parts"].values()) == pytest.approx(one["score"])
    assert found["unknown"] == ["new"]


def test_the_events_that_were_told_come_before_the_list(client: TestClient, reranker: Reranker) -> None:
    told = {"events": [{"user": "u", "item": "h003", "event": "view", "time": "2024-01-31T08:00:00Z"}]}
    assert client.post("/v1/events", json=told).status_code < 300
    body = {"candidates": CANDIDATES, "user": "u", "k": 1, "at": "2024-01-31T08:01:00Z"}
    found = client.post("/v1/rerank", json=body).json()["items"]
    alone = client.post("/v1/rerank", json={**body, "user": "nobody", "k": None}).json()["items"]
    assert [one["item"] for one in found] == ["h003"]
    assert found[0]["score"] > next(one["score"] for one in alone if one["item"] == "h003")


@pytest.mark.parametrize("fault", [{"price": 0}, {"price": "9"}, {"prize": 1}])
def test_a_candidate_that_cannot_be_is_refused(client: TestClient, fault: dict[str, Any]) -> None:
    body = {"candidates": [{"item": "a", **fault}], "history": []}
    assert client.post("/v1/rerank", json=body).status_code == 422
