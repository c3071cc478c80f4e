"""A real service for the tests: `ensue serve` as a process of its own, asked over a socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

LIMIT = 60.0
"""Seconds that a service may take to start on a machine with much else to do."""


@dataclass
class Service:
    """One running service.

    Attributes:
        words: of the command, the folder of the run first.
        folder: of its log, and of what else a test wants to find again.
        key: sent with every request, if there is one.
    """

    words: Sequence[object]
    folder: Path
    key: str = ""
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    client: httpx.Client = field(default_factory=httpx.Client)

    @property
    def log(self) -> str:
        """All that it has said."""
        return (self.folder / "service.log").read_text(encoding="utf-8")

    def start(self) -> Service:
        self.port = self.port or free_port()
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=30)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ensue", "serve", *map(str, self.words), "--port", str(self.port)],
                stdout=log, stderr=log, env=os.environ | {"POLARS_MAX_THREADS": "1"},
            )  # fmt: skip
        until = time.monotonic() + LIMIT
        while time.monotonic() < until:
            if self.process.poll() is not None:
                self.client.close()
                raise AssertionError(f"the service ended at its start:\n{self.log}")
            try:
                if self.client.get("/readyz").status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.03)
        self.kill()
        raise AssertionError(f"the service does not start:\n{self.log}")

    def stop(self) -> int:
        """Tells it to end, and waits; its exit status."""
        assert self.process is not None
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT)

    def kill(self) -> None:
        assert self.process is not None
        self.client.close()
        self.process.kill()
        self.process.wait()

    def ask(self, route: str, **body: Any) -> httpx.Response:
        return self.client.post(f"/v1/{route}", json=body)

    def get(self, path: str) -> Any:
        found = self.client.get(path)
        assert found.status_code == 200, found.text
        return found.json()

    def answer(self, route: str, **body: Any) -> Any:
        found = self.ask(route, **body)
        assert found.status_code == 200, found.text
        return found.json()

    def items(self, **body: Any) -> list[str]:
        return [row["item"] for row in self.answer("recommend", **body)["items"]]

    def fresh(self) -> httpx.Client:
        """A connection of its own, which another worker may get."""
        return httpx.Client(base_url=self.client.base_url, headers=self.client.headers, timeout=30)


@contextmanager
def running(*words: object, folder: Path, **options: Any) -> Iterator[Service]:
    service = Service(words, folder, **options).start()
    try:
        yield service
    finally:
        service.stop()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def problem(found: httpx.Response) -> tuple[int, str]:
    """Status and code of an answer that is none; its shape is looked at on the way."""
    error = found.json()["error"]
    assert set(error) <= {"code", "message", "where"}
    assert len(error["message"]) > 10
    return found.status_code, error["code"]
