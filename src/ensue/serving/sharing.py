"""One listening socket for several processes, each of which gets its share of the connections."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvloop

told = logging.getLogger("ensue.serving")

PAUSE, LONGEST = 0.001, 0.01
"""Seconds that a process lets others take a new connection first, for each that it has open; and at the most."""

RECOVERY = 1.0
"""Seconds after which connections are taken again when this machine has had no more room for one."""


class SharingLoop(uvloop.Loop):
    """A loop whose listening sockets are shared with other processes.

    A loop by itself takes all connections that wait, so that the process that is awake first has most of them for as
    long as they live, and other processes have nothing to do.
    """

    async def create_server(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        """Listens as before, unless a socket is given that has been opened for several."""
        sock, encrypted = options.get("sock"), options.get("ssl")
        if sock is None or encrypted is not None:
            return await super().create_server(protocol_factory, *args, **options)
        return Shared(self, protocol_factory, sock, options.get("backlog", 100))


class Shared:
    """A listening socket, of whose connections a process that has few takes more.

    Args:
        loop: that runs.
        protocol: makes what speaks with a connection, and holds all of them as uvicorn's do.
        sock: bound.
        backlog: connections that may wait.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, protocol: Callable[[], Any], sock: socket.socket, backlog: int
    ) -> None:
        self.sockets = (sock,)
        self._loop, self._protocol, self._sock = loop, protocol, sock
        self._open: Any = ()
        self._closed = False
        self._beginning: set[asyncio.Task[Any]] = set()
        sock.setblocking(False)
        sock.listen(backlog)
        loop.add_reader(sock, self._waits)

    def close(self) -> None:
        """No further connection is taken."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._sock)

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    def _waits(self) -> None:
        """A connection waits: others that have fewer may take it first."""
        self._loop.remove_reader(self._sock)
        self._loop.call_later(min(PAUSE * len(self._open), LONGEST), self._take)

    def _take(self) -> None:
        if self._closed:
            return
        pause = 0.0
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            pass  # another process has taken it, or it is gone
        except OSError as fault:
            told.error("no connection can be taken: %s", fault.strerror)
            pause = RECOVERY
        else:
            task = self._loop.create_task(self._begin(connection))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)
        self._loop.call_later(pause, self._listen)

    def _listen(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._sock, self._waits)

    async def _begin(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            _, protocol = await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()
            return
        self._open = protocol.server_state.connections
        if self._closed:  # the others were told of the end while this one began
            protocol.shutdown()
