"""Who may ask, how much at once, and how long a request may take to come."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from tests.serving.service_process import Service, problem, running

from ensue.serving.guard import scope_of
from ensue.serving.keys import new_key


@pytest.fixture(scope="module")
def guarded(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with keys and narrow bounds; its own key may read."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = folder / "keys.json"
    texts = {name: new_key(keys, name, [name]) for name in ("read", "write", "admin")}
    (folder / "texts").write_text("\n".join(texts.values()))
    (folder / "serve.toml").write_text(
        f'[serve]\nrun = "{trained}"\nstate = "{folder / "state.db"}"\nkeys = "{keys}"\n'
        'origins = ["https://shop.example"]\n'
        "bounds = {seconds = 0.5, in_flight = 4, k = 20, candidates = 3, history = 5, body = 2000}\n"
    )
    with running("--config", folder / "serve.toml", folder=folder, key=texts["read"]) as found:
        yield found


def key_of(service: Service, name: str) -> dict[str, str]:
    texts = (service.folder / "texts").read_text().splitlines()
    return {"authorization": f"Bearer {texts[('read', 'write', 'admin').index(name)]}"}


ROUTES = [
    ("POST", "/v1/recommend", "read"),
    ("POST", "/v1/explain", "read"),
    ("GET", "/v1/items", "read"),
    ("GET", "/v1/users/u01", "read"),
    ("GET", "/openapi.json", "read"),
    ("GET", "/nowhere", "read"),
    ("POST", "/v1/events", "write"),
    ("DELETE", "/v1/users/u", "write"),
    ("DELETE", "/v1/sessions/s", "write"),
    ("GET", "/metrics", "admin"),
    ("GET", "/v1/admin/models", "admin"),
    ("POST", "/v1/admin/swap", "admin"),
    ("POST", "/v1/admin/rollback", "admin"),
    ("POST", "/v1/admin/beside", "admin"),
    ("POST", "/v1/admin/items", "admin"),
]


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_a_route_asks_for_a_key_of_its_scope(guarded: Service, method: str, path: str, scope: str) -> None:
    assert scope_of(method, path) == scope
    with httpx.Client(base_url=guarded.client.base_url) as anybody:
        assert problem(anybody.request(method, path)) == (401, "no-key")
        for wrong in ("Bearer x", "Bearer", "Basic abc", key_of(guarded, "read")["authorization"] + "x"):
            assert problem(anybody.request(method, path, headers={"authorization": wrong})) == (401, "no-key")
        for name in ("read", "write", "admin"):
            found = anybody.request(method, path, headers=key_of(guarded, name))
            assert (found.status_code == 403) == (name != scope), (name, found.text)
            assert found.status_code != 401


def test_whether_it_lives_is_told_to_anybody(guarded: Service) -> None:
    with httpx.Client(base_url=guarded.client.base_url) as anybody:
        assert anybody.get("/healthz").status_code == 200
        assert anybody.get("/readyz").status_code == 200


def test_a_key_may_come_in_either_header_and_never_in_the_address(guarded: Service) -> None:
    text = key_of(guarded, "read")["authorization"].removeprefix("Bearer ")
    with httpx.Client(base_url=guarded.client.base_url) as anybody:
        assert anybody.get("/v1/items", headers={"x-api-key": text}).status_code == 200
        assert anybody.get(f"/v1/items?key={text}").status_code == 401
        assert anybody.get(f"/v1/items?api_key={text}").status_code == 401
    assert text not in guarded.log


def test_paths_that_look_like_open_ones_are_not(guarded: Service) -> None:
    with httpx.Client(base_url=guarded.client.base_url) as anybody:
        for path in (
            "/healthz/../v1/items",
            "/healthz;x",
            "/healthz/",
            "/V1/items",
            "/readyz%2f..%2fv1/items",
        ):
            assert anybody.get(path).status_code in (401, 403), path


def test_more_than_the_bounds_allow_is_refused(guarded: Service) -> None:
    assert problem(guarded.ask("recommend", history=["A"], k=21)) == (422, "too-many")
    assert problem(guarded.ask("recommend", history=["A"] * 6)) == (413, "too-long")
    assert problem(guarded.ask("rerank", history=["A"], candidates=list("ABCD"))) == (413, "too-many")
    assert problem(guarded.ask("recommend", history=["A"], exclude=["x" * 500] * 5)) == (413, "too-large")
    assert guarded.items(history=["A"], k=1) == ["B"]


def test_pages_of_allowed_origins_may_ask_and_others_are_told_nothing(guarded: Service) -> None:
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    with httpx.Client(base_url=guarded.client.base_url) as browser:
        allowed = browser.options("/v1/recommend", headers=asking | {"origin": "https://shop.example"})
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        refused = browser.options("/v1/recommend", headers=asking | {"origin": "https://evil.example"})
        assert refused.status_code >= 400
        assert "access-control-allow-origin" not in refused.headers
        without_key = browser.get("/v1/items", headers={"origin": "https://shop.example"})
        assert without_key.status_code == 401
        assert without_key.headers["access-control-allow-origin"] == "https://shop.example"


def test_without_keys_pages_of_other_sites_may_not_ask(service: Service) -> None:
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"host": "evil.example"},  # a name that its owner has had lead to this machine
        {"host": f"evil.example:{service.port}", "origin": f"http://evil.example:{service.port}"},
        {"origin": f"http://127.0.0.1:{service.port + 1}"},
    ):
        assert problem(service.client.post("/v1/admin/rollback", headers=headers)) == (403, "foreign")
    own = f"http://127.0.0.1:{service.port}"
    assert service.client.get("/v1/items", headers={"origin": own}).status_code == 200
    assert service.client.get("/v1/items", headers={"host": f"localhost:{service.port}"}).status_code == 200


# ------------------------------------------------------------------------- slow and many clients


def head(length: int, key: str) -> bytes:
    lines = ["POST /v1/recommend HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Authorization: {key}", f"Content-Length: {length}", "", ""]).encode()


def reply(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = []
    with connection:
        connection.settimeout(20)
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def connected(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=20)


def test_a_body_that_does_not_come_is_not_waited_for(guarded: Service) -> None:
    connection = connected(guarded)
    connection.sendall(head(100, key_of(guarded, "read")["authorization"]) + b'{"history"')
    found = reply(connection)
    assert found.startswith(b"HTTP/1.1 408 ")
    assert b'"too-slow"' in found


@pytest.mark.parametrize("sent", [b"", b"POST /v1/reco", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "])
def test_a_head_that_does_not_come_is_not_waited_for(guarded: Service, sent: bytes) -> None:
    connection = connected(guarded)
    connection.sendall(sent)
    began = time.monotonic()
    with suppress(ConnectionResetError):
        assert reply(connection) == b""
    assert time.monotonic() - began < 15  # uvicorn alone would wait without end
    assert guarded.items(history=["A"], k=1) == ["B"]


def test_a_connection_in_use_is_not_ended(guarded: Service) -> None:
    with guarded.fresh() as client:
        for _ in range(3):
            assert client.post("/v1/recommend", json={"history": ["A"]}).status_code == 200
            time.sleep(0.3)  # together longer than a head may take


def test_too_many_at_once_are_told_to_come_back_and_nothing_falls_over(guarded: Service) -> None:
    key = key_of(guarded, "read")["authorization"]
    waiting = [connected(guarded) for _ in range(6)]  # with bodies that do not come, each is worked on
    for connection in waiting:
        connection.sendall(head(100, key))
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(reply, waiting))
    status = sorted(one.split(b" ", 2)[1] for one in replies)
    assert status == [b"408"] * 4 + [b"503"] * 2
    assert all(b"retry-after: 1" in one for one in replies if b" 503 " in one[:20])
    assert guarded.items(history=["A"], k=1) == ["B"]


def test_who_asks_too_fast_is_told_when_to_come_back(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "serve.toml").write_text(
        f'[serve]\nrun = "{trained}"\nstate = "{tmp_path / "state.db"}"\nbounds = {{rate = 0.5, burst = 3}}\n'
    )
    with running("--config", tmp_path / "serve.toml", folder=tmp_path) as service:
        found = [service.client.get("/v1/items") for _ in range(5)]
        assert [one.status_code for one in found] == [200] * 3 + [429] * 2
        assert problem(found[-1]) == (429, "too-fast")
        assert 1 <= int(found[-1].headers["retry-after"]) <= 2
        assert service.client.get("/healthz").status_code == 200  # whoever watches it is not held off
