"""Connections that do not take forever: a request has to come, and its head within the time that is given."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SECONDS = "seconds_to_send"
"""What the state of the application's life calls the time that is given."""


class Patient(HttpToolsProtocol):
    """The protocol of uvicorn with an end to waiting for the head of a request.

    Uvicorn itself waits without end for whoever connects and says nothing, or a letter a minute; a few thousand of
    those would use up all connections. The time runs from the connection, or from the first byte of a further request,
    to the end of the head. The body has a bound of its own, in the guard.
    """

    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """The head of a first request is awaited."""
        super().connection_made(transport)
        self._expect()

    def on_message_begin(self) -> None:
        """A request begins to come."""
        super().on_message_begin()
        if self.deadline is None:
            self._expect()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._stop()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._stop()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self.deadline = self.loop.call_later(self.app_state.get(SECONDS, 10.0), self._late)

    def _stop(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _late(self) -> None:
        self.deadline = None
        self.transport.abort()
