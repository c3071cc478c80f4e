"""What every request passes: who may ask, how much at once, and what every answer says of itself.

One plain ASGI layer, since each costs time on every request.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from ensue.serving.keys import Key, KeyRing
from ensue.serving.measures import Measures
from ensue.serving.problems import Problem
from ensue.serving.settings import Bounds, is_loopback

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

told = logging.getLogger("ensue.serving.requests")

OPEN = ("/healthz", "/readyz")
"""What may be asked without a key."""

BODILESS = ("GET", "HEAD", "OPTIONS")

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
MOST_CLIENTS = 10_000
"""Askers whose rate is remembered; the ones that were heard of longest ago go."""


class Guard:
    """Stands before the application.

    Args:
        app: what answers.
        ring: the keys that are good now.
        bounds: how much at once.
        measures: of the process.
        origins: web pages of these origins may ask too.
        pages: paths that are the page's own files: they hold no data, and ask for the key themselves.
    """

    def __init__(
        self,
        app: App,
        ring: KeyRing,
        bounds: Bounds,
        measures: Measures,
        origins: Sequence[str] = (),
        pages: frozenset[str] = frozenset(),
    ) -> None:
        self.app, self.ring, self.bounds, self.measures, self.pages = app, ring, bounds, measures, pages
        self.origins = frozenset(origins)
        self.working = 0
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or says why not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status, read = 0, scope["method"] in BODILESS

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in HEADERS if one[0] not in own)]
            await send(message)

        self.working += 1
        self.measures.in_flight.set(self.working)
        try:
            self._admit(scope)
            body = await self._body(scope, receive)
            read = True
            await self.app(scope, once_more(body, receive), sending)
        except Problem as problem:
            self.measures.refused.labels(problem.code).inc()
            if not read:  # what is still to come of the body would be waited for
                problem.headers["connection"] = "close"
            await problem.response()(scope, receive, sending)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the client is told that it is ours
            # where it arose, and nothing of what was asked, which the text of a fault may repeat
            frames = "".join(traceback.format_tb(fault.__traceback__))
            told.error("a fault of the service itself: %s\n%s", type(fault).__name__, frames)
            if not status:
                await Problem(500, "fault", "A fault of the service itself; its log says where.").response()(
                    scope, receive, sending
                )
        finally:
            self.working -= 1
            self.measures.in_flight.set(self.working)
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - began
            self.measures.answered(route, status, seconds)
            told.info("%s %s %d %.1f ms", scope["method"], route, status, 1000 * seconds)

    def _admit(self, scope: Scope) -> None:
        """Nothing, if a request may be begun."""
        path = scope["path"]
        if path in OPEN:
            return
        self._foreign(scope)
        if self.working > self.bounds.in_flight:
            raise Problem(
                503,
                "busy",
                "Too many requests are waiting: come back in a second.",
                headers={"retry-after": "1"},
            )
        key = None
        if self.ring.asks and path not in self.pages:
            key = self._key(scope)
            wanted = scope_of(scope["method"], path)
            if wanted not in key.scopes:
                raise Problem(403, "forbidden", f"This key does not hold the scope '{wanted}'.")
        if self.bounds.rate:
            client = scope.get("client")
            self._rate(key.name if key else str(client[0] if client else ""))

    def _foreign(self, scope: Scope) -> None:
        """Nothing, unless a page of another site has a browser ask on this machine, where no key is needed.

        The page's origin gives it away; or the name that it has had the browser take this machine for.
        """
        if self.ring.asks:
            return
        named = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = named.get(b"host", ""), named.get(b"origin", "")
        own = origin.partition("://")[2] == host
        if origin and not own and origin not in self.origins:
            raise Problem(403, "foreign", "Pages of other sites may not ask: see `origins` of the settings.")
        if host and not _is_own(host, scope):
            raise Problem(
                403,
                "foreign",
                "Without keys, ask for this machine as localhost or by its address, not by a name.",
            )

    def _key(self, scope: Scope) -> Key:
        given = b""
        for name, value in scope["headers"]:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                given = value[7:].strip()
            elif name == b"x-api-key":
                given = value.strip()
        key = self.ring.find(given.decode("latin-1")) if given else None
        if key is None:
            raise Problem(
                401, "no-key", "Send a key of this service, as Authorization: Bearer KEY.",
                headers={"www-authenticate": "Bearer"},
            )  # fmt: skip
        return key

    def _rate(self, who: str) -> None:
        """A bucket of tokens for each asker, filled at the rate."""
        now, full = time.monotonic(), float(self.bounds.burst)
        left, then = self.buckets.pop(who, (full, now))
        left = min(full, left + (now - then) * self.bounds.rate)
        refused = left < 1
        self.buckets[who] = (left if refused else left - 1, now)
        while len(self.buckets) > MOST_CLIENTS:
            self.buckets.popitem(last=False)
        if refused:
            wait = max(int((1 - left) / self.bounds.rate + 1), 1)
            raise Problem(
                429, "too-fast", f"More than {self.bounds.rate:g} requests a second: come back in {wait} s.",
                headers={"retry-after": str(wait)},
            )  # fmt: skip

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, once it is known to be small enough and to come in time."""
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self.bounds.body:
                raise self._too_large()
        if scope["method"] in BODILESS:
            return b""
        try:
            async with asyncio.timeout(self.bounds.seconds):
                return await self._whole(receive)
        except TimeoutError:
            raise Problem(
                408,
                "too-slow",
                f"The body did not come within {self.bounds.seconds:g} s.",
            ) from None

    async def _whole(self, receive: Receive) -> bytes:
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Problem(499, "gone", "The client went away.")
            part = message.get("body", b"")
            size += len(part)
            if size > self.bounds.body:
                raise self._too_large()
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)

    def _too_large(self) -> Problem:
        return Problem(
            413, "too-large", f"A request may hold {self.bounds.body:,} bytes: send less at once."
        )  # fmt: skip


def scope_of(method: str, path: str) -> str:
    """What a key must hold to ask this."""
    if path.startswith("/v1/admin") or path == "/metrics":
        return "admin"
    if path == "/v1/events" or (method == "DELETE" and path.startswith("/v1/")):
        return "write"
    return "read"


_is_loopback = lru_cache(1_000)(is_loopback)


def _is_own(host: str, scope: Scope) -> bool:
    """Whether a request has asked for this machine, and not for a name that leads to it."""
    name = urlsplit(f"//{host}").hostname or ""
    server = scope.get("server")
    return _is_loopback(name) or (server is not None and name == server[0])


def once_more(body: bytes, receive: Receive) -> Receive:
    """Gives a body that has been read once more."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving
