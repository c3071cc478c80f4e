"""A listening socket that several loops share: who has few connections takes more, and none is lost."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any

import pytest

from ensue.serving import sharing
from ensue.serving.sharing import Shared, SharingLoop


class Answering(asyncio.Protocol):
    """Says one word to whoever connects, and is among the open ones as long as the connection is."""

    def __init__(self, state: Any) -> None:
        self.server_state = state
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.server_state.connections.add(self)
        transport.write(b"here")

    def connection_lost(self, exc: Exception | None) -> None:
        self.server_state.connections.discard(self)

    def shutdown(self) -> None:
        """As uvicorn's have it: told to all that are open when the server ends."""
        self.transport.close()


class State:
    def __init__(self) -> None:
        self.connections: set[Answering] = set()


def listening() -> socket.socket:
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    return found


def test_connections_that_come_at_once_are_shared_evenly() -> None:
    sock, states = listening(), (State(), State())
    socks, port = (sock, sock.dup()), sock.getsockname()[1]

    async def ask() -> tuple[list[bytes], list[int]]:
        loop = asyncio.get_running_loop()
        servers = [
            await loop.create_server(partial(Answering, state), sock=one, backlog=64)
            for state, one in zip(states, socks, strict=True)
        ]
        assert all(isinstance(server, Shared) for server in servers)
        opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(16)))
        words = await asyncio.gather(*(reader.readexactly(4) for reader, _ in opened))
        counts = [len(state.connections) for state in states]
        for _, writer in opened:
            writer.close()
        for server in servers:
            server.close()
            await server.wait_closed()
        return words, counts

    with asyncio.Runner(loop_factory=SharingLoop) as runner:
        words, counts = runner.run(ask())
    for one in socks:
        one.close()
    assert words == [b"here"] * 16
    assert sum(counts) == 16
    assert min(counts) >= 6


def test_a_connection_that_begins_while_the_server_ends_is_ended_too() -> None:
    """It was taken before the end and is among the open ones only after all were told of it."""
    sock, state = listening(), State()

    async def ask() -> tuple[bytes, int]:
        loop = asyncio.get_running_loop()
        server: Any = await loop.create_server(partial(Answering, state), sock=sock, backlog=64)
        began = server._begin

        async def later(connection: socket.socket) -> None:
            server.close()
            for one in state.connections:
                one.shutdown()
            await began(connection)

        server._begin = later
        reader, writer = await asyncio.open_connection("127.0.0.1", sock.getsockname()[1])
        try:
            said = await asyncio.wait_for(reader.read(), 5)  # to the end of what is sent
            return said, len(state.connections)
        finally:
            writer.close()
            for one in list(state.connections):
                one.transport.abort()

    with asyncio.Runner(loop_factory=SharingLoop) as runner:
        assert runner.run(ask()) == (b"here", 0)
    sock.close()


def test_who_has_many_lets_another_take_the_next_ones() -> None:
    sock, states = listening(), (State(), State())
    socks, port = (sock, sock.dup()), sock.getsockname()[1]

    async def ask() -> list[int]:
        loop = asyncio.get_running_loop()
        servers, opened = [], []
        for state, one in zip(states, socks, strict=True):  # the first is alone for the first half
            servers.append(await loop.create_server(partial(Answering, state), sock=one, backlog=64))
            for _ in range(8):
                opened.append(await asyncio.open_connection("127.0.0.1", port))
                await opened[-1][0].readexactly(4)
                await asyncio.sleep(2 * sharing.LONGEST)  # who let others go first takes no later one
        counts = [len(state.connections) for state in states]
        for _, writer in opened:
            writer.close()
        for server in servers:
            server.close()
        return counts

    with asyncio.Runner(loop_factory=SharingLoop) as runner:
        counts = runner.run(ask())
    for one in socks:
        one.close()
    assert sum(counts) == 16
    assert counts == [8, 8]


def test_what_waits_while_others_go_first_is_not_taken_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "PAUSE", 0.5)
    monkeypatch.setattr(sharing, "LONGEST", 0.5)
    sock, state = listening(), State()

    async def ask() -> int:
        server = await asyncio.get_running_loop().create_server(
            partial(Answering, state), sock=sock, backlog=8
        )
        reader, first = await asyncio.open_connection(*sock.getsockname())
        await reader.readexactly(4)
        _, second = await asyncio.open_connection(*sock.getsockname())
        await asyncio.sleep(0.01)
        server.close()
        await asyncio.sleep(0.7)
        found = len(state.connections)
        first.close()
        second.close()
        return found

    with asyncio.Runner(loop_factory=SharingLoop) as runner:
        assert runner.run(ask()) == 1
    sock.close()


def test_nothing_is_taken_once_it_is_closed_and_other_servers_are_as_ever() -> None:
    sock, state = listening(), State()
    port = sock.getsockname()[1]

    async def ask() -> int:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Answering(state), sock=sock, backlog=8)
        server.close()
        server.close()
        _, writer = await asyncio.open_connection("127.0.0.1", port)  # it waits in the backlog
        await asyncio.sleep(0.05)
        writer.close()
        plain = await loop.create_server(lambda: Answering(state), "127.0.0.1", 0)
        assert not isinstance(plain, Shared)
        plain.close()
        return len(state.connections)

    with asyncio.Runner(loop_factory=SharingLoop) as runner:
        assert runner.run(ask()) == 0
    sock.close()
