"""A service that runs, what it is asked, the load that wrk makes, and the memory of its workers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
EVENTS, USERS, BATCH = 50, 1_000, 1_000
"""Events of a history, users that are told of, and events that are told at once."""
BEGAN, EVERY = 1_700_000_000, 60
"""When a history begins, and how many seconds lie between two of its events."""


@dataclass(frozen=True)
class Asked:
    """What the load asks: users with their histories, drawn from the catalogue by popularity.

    Attributes:
        folder: of the files that wrk reads.
        users: ids.
        histories: items of each, oldest first.
        catalogue: how many items there are.
        timed: whether a history that is sent along has its times.
    """

    folder: Path
    users: Sequence[str]
    histories: Sequence[Sequence[str]]
    catalogue: int
    timed: bool = False

    @classmethod
    def of(cls, model: Path, folder: Path, events: int = EVENTS, timed: bool = False) -> Asked:
        """The same for the same catalogue.

        Args:
            model: folder, whose items are drawn from.
            folder: for the files.
            events: of each history.
            timed: send the times of a history along.
        """
        import numpy as np

        from ensue import runtime

        catalogue = runtime.load(model).catalogue
        rng = np.random.default_rng(7)
        shares = catalogue.counts / catalogue.counts.sum()
        drawn = rng.choice(len(catalogue), size=(USERS, events), p=shares)
        histories = [catalogue.decode(row.tolist()) for row in drawn]
        users = [f"user {place}" for place in range(USERS)]
        folder.mkdir(parents=True, exist_ok=True)
        some = catalogue.decode(rng.choice(len(catalogue), size=2_000, p=shares).tolist())
        asked = cls(folder, users, histories, len(catalogue), timed)
        sent = [asked.sent(history) for history in histories]
        for name, listed in (("users", users), ("items", some), ("histories", sent)):
            text = "\n".join(json.dumps(one, separators=(",", ":")) for one in listed)
            (folder / name).write_text(text + "\n", encoding="utf-8")
        return asked

    def sent(self, history: Sequence[str]) -> list[Any]:
        """A history as a request has it.

        Args:
            history: its items.
        """
        if not self.timed:
            return list(history)
        return [{"item": item, "time": BEGAN + EVERY * place} for place, item in enumerate(history)]


@dataclass(frozen=True)
class Running:
    """A service that runs.

    Attributes:
        port: where.
        process: the first of its processes.
        workers: how many were asked for.
        seconds: from the start to the first answer that it is ready.
    """

    port: int
    process: subprocess.Popen[bytes]
    workers: int
    seconds: float

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request on a connection of its own: status and answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    @contextmanager
    def talking(self) -> Iterator[Callable[[str, Any], tuple[float, Any]]]:
        """A way to ask on one connection that is kept: from path and body to milliseconds and answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)

        def ask(path: str, body: Any) -> tuple[float, Any]:
            text = json.dumps(body, separators=(",", ":"))
            began = time.perf_counter()
            connection.request("POST", path, text, {"content-type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            took = 1000 * (time.perf_counter() - began)
            assert answer.status == 200, content
            return took, json.loads(content)

        try:
            yield ask
        finally:
            connection.close()

    def tell(self, asked: Asked) -> None:
        """The histories of all users, oldest first."""
        events = [
            {"user": user, "item": item, "time": BEGAN + EVERY * place}
            for user, history in zip(asked.users, asked.histories, strict=True)
            for place, item in enumerate(history)
        ]
        for begin in range(0, len(events), BATCH):
            status, answer = self.ask("POST", "/v1/events", {"events": events[begin : begin + BATCH]})
            assert status == 200, answer

    def memory(self) -> dict[int, float]:
        """Resident megabytes of each process that answers."""
        answering = [self.process.pid] if self.workers == 1 else children(self.process.pid)
        return {pid: resident(pid) for pid in answering}


@contextmanager
def service(model: Path, workers: int, table: str = "auto", layers: str = "fp32") -> Iterator[Running]:
    """`ensue serve` with a state of its own, until the block ends.

    Args:
        model: folder.
        workers: processes.
        table: how the table of a large catalogue is kept.
        layers: in what an LSTM computes.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with tempfile.TemporaryDirectory() as state:
        words = [sys.executable, "-m", "ensue", "serve", model, "--port", port, "--workers", workers]
        set_up = Path(state) / "serve.toml"
        set_up.write_text(f'[serve]\ntable = "{table}"\nlayers = "{layers}"\n', encoding="utf-8")
        words += ["--state", Path(state) / "state.db", "--config", set_up]
        alone = os.environ | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        began = time.perf_counter()
        process = subprocess.Popen([str(word) for word in words], env=alone, stderr=subprocess.DEVNULL)
        try:
            seconds = ready(process, port, began)
            yield Running(port, process, workers, seconds)
        finally:
            process.terminate()
            process.wait(30)


def ready(process: subprocess.Popen[bytes], port: int, began: float) -> float:
    """Seconds until it says that it can answer."""
    while time.perf_counter() - began < 300:
        assert process.poll() is None, "the service ended at its start"
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return time.perf_counter() - began
        except OSError:
            time.sleep(0.005)
        finally:
            connection.close()
    raise SystemExit("the service was not ready within five minutes")


def children(pid: int) -> list[int]:
    """The workers of a process: what multiprocessing keeps beside them answers nothing."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(one) for one in found if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]


def resident(pid: int) -> float:
    """Megabytes that a process holds now."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def wrk(
    port: int,
    asked: Asked,
    seconds: float,
    connections: int,
    by_user: float,
    by_history: float,
    pause: int = 0,
) -> dict[str, Any]:
    """The load, and what came of it; latencies in milliseconds.

    Args:
        port: of the service.
        asked: what is asked.
        seconds: how long.
        connections: that are kept alive.
        by_user: share of recommend by user.
        by_history: share of recommend by history; the others are events.
        pause: milliseconds that a connection waits between two requests.
    """
    words = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{round(seconds)}s",
        "--timeout",
        "30s",
        "-s",
        HERE / "wrk.lua",
    ]
    words += [f"http://127.0.0.1:{port}", "--", asked.folder, by_user, by_history, pause]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("JSON "))
    found = json.loads(line[5:])
    return {
        "connections": connections,
        "requests": found["requests"],
        "requests_per_second": round(1e6 * found["requests"] / found["microseconds"], 1),
        **{f"{name}_ms": round(found[name] / 1000, 3) for name in ("p50", "p90", "p99", "max")},
        "refused": found["refused"],
        "broken": found["broken"],
    }
