"""Every route of the service: what it answers, and in which shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serving.service_process import Service, problem

RING = "ABCDEFGHIJ"
TIMES = range(1_700_000_000, 1_700_000_600, 60)


def test_the_next_item_is_recommended_for_a_history_that_comes_along(service: Service) -> None:
    found = service.answer("recommend", history=["A", "B"], k=3)
    assert found["items"][0]["item"] == "C"
    assert found["items"][0]["title"] == "Casablanca"
    assert (found["fallback"], found["unknown"]) == (False, [])
    assert found["model"]["name"] == "markov"
    assert len(found["model"]["version"]) == 12


def test_a_user_whose_history_the_run_has_kept_is_known(service: Service) -> None:
    shown = service.get("/v1/users/u03?most=3")
    assert [event["item"] for event in shown["events"]] == [RING[(3 + step) % 10] for step in (20, 19, 18)]
    assert service.items(user="u03", k=1, exclude_seen=False) == [RING[(3 + 21) % 10]]


def test_each_event_changes_the_next_answer(service: Service) -> None:
    revisions = []
    for place, item in enumerate("ADG"):
        service.answer("events", user="walker", item=item, time=TIMES[place])
        found = service.answer("recommend", user="walker", k=1)
        assert found["items"][0]["item"] == RING[RING.index(item) + 1]
        revisions.append(found["revision"])
    assert revisions == sorted(set(revisions))


def test_a_late_event_is_put_in_its_place(service: Service) -> None:
    told = [{"user": "late", "item": item, "time": TIMES[place]} for item, place in (("A", 0), ("C", 5))]
    assert service.answer("events", events=told)["new"] == 2
    assert service.answer("events", user="late", item="B", time=TIMES[2])["late"] == 1
    assert [event["item"] for event in service.get("/v1/users/late")["events"]] == ["C", "B", "A"]
    assert service.items(user="late", k=1) == ["D"]


def test_a_session_is_a_history_of_its_own(service: Service) -> None:
    service.answer("events", session="s/1 ä", item="F")
    assert service.items(session="s/1 ä", k=1) == ["G"]
    assert len(service.get("/v1/sessions/s%2F1%20%C3%A4")["events"]) == 1
    assert problem(service.client.get("/v1/users/s%2F1%20%C3%A4")) == (404, "unknown")


def test_a_history_may_tell_more_of_its_events(service: Service) -> None:
    steps = [
        {
            "item": "A",
            "time": "2024-01-31T08:00Z",
            "rating": 4.0,
            "event": "view",
            "context": {"city": "Bern"},
        },
        "B",
        {"item": "C", "time": TIMES[0]},
    ]
    assert service.items(history=steps, user="somebody", k=1, at="2024-02-01") == ["D"]


def test_unknown_items_are_told_of_and_nothing_known_falls_back(service: Service) -> None:
    some = service.answer("recommend", history=["nope", "A", "nope"], exclude=["gone"], k=1)
    assert some["unknown"] == ["nope", "gone"]
    assert some["items"][0]["item"] == "B"
    assert service.answer("recommend", history=["nope"])["fallback"] is True
    assert service.answer("recommend", user="nobody that is known")["fallback"] is True
    assert service.answer("recommend", history=[])["fallback"] is True


def test_titles_features_reasons_and_costs_come_on_request(service: Service) -> None:
    plain = service.answer("recommend", history=["A"], k=2, titles=False)
    assert set(plain["items"][0]) == {"item", "score"}
    assert "milliseconds" not in plain
    full = service.answer(
        "recommend", history=["A"], k=2, features=["title", "genres", "nope"], explain=True, timings=True
    )
    assert full["items"][0]["features"] == {"title": "<b>Brazil</b>", "genres": "SciFi"}
    assert full["items"][0]["why"]["reasons"][0]["item"] == "A"
    assert set(full["milliseconds"]) == {"rules", "scores", "filters", "boosts", "ranking", "explain"}
    assert all(cost >= 0 for cost in full["milliseconds"].values())


def test_rules_of_a_request_hold_for_it_alone(service: Service) -> None:
    denied = service.answer("recommend", history=["A"], k=1, rules={"availability": {"deny": ["B"]}})
    assert denied["items"][0]["item"] != "B"
    few = service.answer("recommend", history=["A"], k=3, rules={"availability": {"allow": ["C", "D"]}})
    assert len(few["items"]) == 2
    assert "1 of 3 places could not be filled" in few["notes"][0]
    assert service.items(history=["A"], k=1) == ["B"]
    faulty = service.ask("recommend", history=["A"], rules={"cap": {"column": "genre", "most": 1}})
    assert problem(faulty) == (422, "invalid")
    assert "the items have no column 'genre'" in faulty.text


def test_no_more_rules_are_read_than_a_request_may_bring_whatever_their_kinds(service: Service) -> None:
    denied = [{"deny": ["B"]}]
    most = service.answer("recommend", history=["A"], k=1, rules={"availability": denied * 50})
    assert most["items"][0]["item"] != "B"
    for more in ({"availability": denied * 51}, {"availability": denied * 50, "seen": {}}):
        refused = service.ask("recommend", history=["A"], rules=more)
        assert problem(refused) == (422, "invalid")
        assert "51 rules are given: at most 50" in refused.text


def test_candidates_are_put_in_order_by_the_model_and_by_the_engine(service: Service) -> None:
    candidates = [{"item": "D", "score": 9.0}, {"item": "new", "score": 5.0}, {"item": "B", "score": 1.0}]

    def order(weight: float) -> list[str]:
        found = service.answer("rerank", history=["A"], candidates=candidates, weight=weight)
        assert found["unknown"] == ["new"]
        return [row["item"] for row in found["items"]]

    assert order(0.0) == ["D", "new", "B"]
    # shares below: the model says B 1, new 1/2, D 0; the engine D 1, new 1/2, B 0
    assert order(1.0) == ["B", "new", "D"]
    assert order(0.9) == ["B", "new", "D"]
    assert order(0.4) == ["D", "new", "B"]
    best = service.answer("rerank", history=["A"], candidates=["D", "B", "C"], k=1)["items"]
    assert best == [{"item": "B", "score": 1.0, "title": "<b>Brazil</b>"}]
    assert service.answer("rerank", history=["A"], candidates=[])["items"] == []


def test_what_follows_on_items_and_what_completes_a_basket(service: Service) -> None:
    assert service.answer("similar", items=["D"], k=1)["items"][0]["item"] == "E"
    one = service.answer("basket", basket=["A", "C"], k=4)
    assert one["items"] == service.answer("basket", basket=["C", "A", "C"], k=4)["items"]
    assert not {"A", "C"} & {row["item"] for row in one["items"]}
    service.answer("events", user="shopper", item="G")
    assert service.answer("basket", basket=[], user="shopper", k=1)["items"][0]["item"] == "H"


def test_ratings_are_for_models_that_have_learnt_them(service: Service) -> None:
    assert problem(service.ask("rating", history=["A"], items=["B"])) == (422, "no-ratings")
    assert problem(service.ask("recommend", history=["A"], ratings=True)) == (422, "no-ratings")


def test_an_answer_is_explained_by_its_own_events(service: Service) -> None:
    why = service.answer("explain", history=["A", "B"], item="C", k=3)
    assert {reason["item"] for reason in why["reasons"]} <= {"A", "B"}
    assert why["adds_up"] is True
    parts = sum(reason["part"] for reason in why["reasons"]) + why["base"] + why["others"]
    assert parts == pytest.approx(why["score"], abs=1e-9)
    assert problem(service.ask("explain", history=["A"], item="nope")) == (422, "invalid")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("dune", ["D", "E"]),
        ("DUNE: p", ["E"]),
        ("amelie", ["A"]),
        ("blan", ["C"]),
        ("F", ["F"]),
        ("zzz", []),
    ],
)
def test_items_are_found_by_title_or_id(service: Service, query: str, found: list[str]) -> None:
    listed = service.client.get("/v1/items", params={"query": query}).json()["items"]
    assert [row["item"] for row in listed] == found


def test_what_is_known_of_an_item(service: Service) -> None:
    found = service.get("/v1/items/A")
    assert (found["item"], found["title"], found["withdrawn"]) == ("A", "Amélie", False)
    assert 0 < found["training_events"] <= 42
    assert problem(service.client.get("/v1/items/no%2Fsuch")) == (404, "unknown")
    assert len(service.get("/v1/items?limit=4")["items"]) == 4


def test_a_user_is_erased_and_does_not_come_back(service: Service) -> None:
    told = {"user": "to/erase", "item": "A", "time": TIMES[0], "session": "s77"}
    service.answer("events", **told)
    gone = service.client.delete("/v1/users/to%2Ferase").json()
    assert gone["erased"] == {"events": 1, "kept": 0, "sessions": 1}
    assert "trained anew" in gone["note"]
    assert service.answer("events", **told)["erased"] == 1
    assert service.answer("recommend", user="to/erase")["fallback"] is True
    assert service.answer("recommend", session="s77")["fallback"] is True
    assert problem(service.client.get("/v1/users/to%2Ferase")) == (404, "unknown")
    service.answer("events", session="s78", item="B")
    assert service.client.delete("/v1/sessions/s78").json()["erased"]["events"] == 1


def test_it_says_that_it_lives_is_ready_and_what_it_has_done(service: Service) -> None:
    assert service.get("/healthz")["status"] == "ok"
    assert service.get("/readyz")["model"]["name"] == "markov"
    before = counted(service, 'ensue_requests_total{route="/v1/recommend",status="200"}')
    service.answer("recommend", history=["A"])
    service.answer("recommend", history=[])
    assert counted(service, 'ensue_requests_total{route="/v1/recommend",status="200"}') == before + 2
    assert counted(service, "ensue_fallbacks_total") >= 1
    assert counted(service, 'ensue_events_total{kind="new"}') >= 1
    assert counted(service, 'ensue_requests_total{route="/v1/users/{user:path}",status="404"}') >= 0


def counted(service: Service, name: str) -> float:
    lines = service.client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_every_route_is_described_with_examples(service: Service) -> None:
    described = service.get("/openapi.json")
    paths = {path for path in described["paths"] if path.startswith("/v1/")}
    assert {"/v1/recommend", "/v1/events", "/v1/rerank", "/v1/similar", "/v1/basket", "/v1/rating"} <= paths
    assert {"/v1/explain", "/v1/items", "/v1/admin/swap", "/v1/admin/rollback", "/v1/admin/items"} <= paths
    assert all(one["summary"] for path in described["paths"].values() for one in path.values())
    examples = json.dumps(described["components"]["schemas"]["Recommend"]["examples"])
    assert "history" in examples


def test_answers_have_safe_headers_and_no_name_of_the_server(service: Service) -> None:
    for found in (service.client.get("/healthz"), service.client.get("/nowhere"), service.ask("recommend")):
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["x-frame-options"] == "DENY"
        assert found.headers["cache-control"] == "no-store"
        assert "server" not in found.headers
        assert "access-control-allow-origin" not in found.headers


def test_the_process_holds_no_torch(service: Service) -> None:
    assert service.process is not None
    maps = Path(f"/proc/{service.process.pid}/maps")
    if not maps.exists():
        pytest.skip("this system does not show what a process has loaded")
    held = maps.read_text()
    assert "polars" in held  # this way of looking sees a library
    assert "libtorch" not in held


# --------------------------------------------------------------------------- what cannot be


def test_what_cannot_be_is_said_with_what_to_do(service: Service) -> None:
    assert problem(service.client.get("/nowhere")) == (404, "not-found")
    assert problem(service.client.put("/v1/recommend", json={})) == (405, "not-allowed")
    neither = service.ask("recommend")
    assert problem(neither) == (422, "invalid")
    assert "give a user, a session or a history" in neither.text
    assert problem(service.ask("recommend", user="u", session="s")) == (422, "invalid")
    unknown = service.ask("recommend", user="u", top=3)
    assert problem(unknown) == (422, "invalid")
    assert "top: there is no such key" in unknown.text
    assert problem(service.ask("recommend", history=["A"], k=1_001)) == (422, "too-many")
    assert problem(service.ask("recommend", history=["A"], k=51, explain=True)) == (422, "too-many")
    assert problem(service.ask("recommend", history=["A"] * 10_001)) == (422, "invalid")
    assert problem(service.ask("events", item="A")) == (422, "invalid")
    assert problem(service.ask("events", events=[{"user": "u", "item": 7}])) == (422, "invalid")
    assert problem(service.ask("recommend", history=["A"], at="yesterday")) == (422, "invalid")


@pytest.mark.parametrize(
    ("route", "body"),
    [
        (
            "recommend",
            {"history": ["A", {"item": "B", "time": 7, "rating": 4.5, "context": {"x": 1}}], "k": 3},
        ),
        ("recommend", {"user": "both ways", "exclude_seen": True, "explain": True}),
        ("recommend", {"history": ["A"], "rules": {"availability": {"deny": ["B"]}}}),
        ("recommend", {"history": ["A"], "k": 2_000}),
        ("recommend", {"history": ["A"], "rules": {"nothing": {}}}),
        ("recommend", {"history": "A", "k": True}),
        ("recommend", {}),
        ("events", {"user": "both ways", "item": "A", "time": 7, "id": "once"}),
        ("events", [{"session": "both ways", "item": "A", "time": 7}]),
        ("events", {"events": [{"item": "A"}]}),
        ("events", 7),
    ],
)
def test_the_short_way_and_that_through_the_framework_answer_alike(
    service: Service, route: str, body: Any
) -> None:
    service.ask("events", events=[{"user": "both ways", "item": "A", "time": 7, "id": "once"}])
    service.ask("events", events=[{"session": "both ways", "item": "A", "time": 7}])
    short = service.client.post(f"/v1/{route}", json=body)
    whole = service.client.post(
        f"/v1/{route}", content=short.request.content, headers={"content-type": "application/vnd.api+json"}
    )
    assert (short.status_code, short.json()) == (whole.status_code, whole.json())
    assert {name: short.headers[name] for name in short.headers if name != "date"} == {
        name: whole.headers[name] for name in whole.headers if name != "date"
    }


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nothing", b"\xff\xfe", b'{"history": ["A"', b"[" * 100_000, b'{"k": ' + b"9" * 5_000 + b"}",
        b'{"a":' * 50_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("route", ["recommend", "events"])
def test_malformed_json_is_the_clients_mistake(service: Service, route: str, body: bytes) -> None:
    sent = service.client.post(f"/v1/{route}", content=body, headers={"content-type": "application/json"})
    assert sent.status_code in (400, 422)
    assert problem(sent)[1] in ("malformed", "invalid")


@pytest.mark.parametrize(
    "body",
    [
        '{"history": ["\\ud800"]}',
        '{"history": ["A"], "rules": {"\\ud800": {}}}',
        '{"history": ["A"], "rules": {"availability": {"deny": ["\\ud800"]}}}',
        '{"history": ["A"], "features": ["\\ud800"]}',
        '{"\\ud800": 1}',
        '{"history": [{"item": "A", "context": {"\\udfff": "\\ud800"}}]}',
        '{"history": [{"item": "A", "time": NaN}]}',
        '{"history": [{"item": "A", "rating": 1e999}]}',
        '{"history": [{"item": "A", "time": 1e17}]}',
        '{"history": ["A"], "at": -1e17}',
    ],
)
def test_values_that_are_no_values_are_the_clients_mistake(service: Service, body: str) -> None:
    sent = service.client.post("/v1/recommend", content=body, headers={"content-type": "application/json"})
    assert problem(sent)[0] == 422, sent.text


def test_a_body_that_does_not_say_that_it_is_json_is_not_read(service: Service) -> None:
    for kind in ({}, {"content-type": "text/plain"}):
        sent = service.client.post("/v1/recommend", content=b'{"history": ["A"]}', headers=kind)
        assert problem(sent) == (422, "invalid")
        assert "Content-Type: application/json" in sent.text


def test_a_key_may_be_as_long_as_it_likes_and_is_told_shortened(service: Service) -> None:
    assert len(service.ask("recommend", user="u", **{"x" * 100_000: 1}).content) < 1_000


def test_a_body_may_not_be_too_large(service: Service) -> None:
    sent = service.ask("events", user="u", item="A" * 1_000_000)
    assert problem(sent) == (413, "too-large")

    def parts() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    with httpx.Client(base_url=service.client.base_url) as other:
        without_length = other.post(
            "/v1/events", content=parts(), headers={"content-type": "application/json"}
        )
    assert problem(without_length) == (413, "too-large")


def test_nothing_of_a_person_is_in_the_log(service: Service) -> None:
    service.answer("events", user="marker-user-1", item="A", session="marker-session-1", id="marker-event-1")
    service.answer("recommend", user="marker-user-1")
    service.ask("events", user="marker-user-1", item="A", time="marker-time")
    service.ask("recommend", user="marker-user-1", nonsense="marker-value")
    service.client.get("/v1/users/marker-user-1")
    service.client.get("/v1/items", params={"query": "marker-query"})
    service.client.delete("/v1/users/marker-user-1")
    log = service.log
    assert "POST /v1/recommend 200" in log  # requests are logged, and so
    assert "marker" not in log
