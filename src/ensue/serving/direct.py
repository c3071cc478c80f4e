"""The two questions that are asked all the time, taken without the layers of the framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json
from starlette.responses import Response

from ensue.errors import EnsueError
from ensue.serving.guard import App, Receive, Scope, Send, once_more
from ensue.serving.problems import Problem, told_of
from ensue.serving.routes.events import events
from ensue.serving.routes.recommend import recommend
from ensue.serving.schemas import Recommend
from ensue.serving.service import Service

JSON = (b"application/json", b"application/json; charset=utf-8")


@dataclass(frozen=True)
class Way:
    """From a body to an answer.

    Attributes:
        path: of the route, which speaks for it in the measures.
        read: the body, as the route wants it.
        answer: what the route does.
    """

    path: str
    read: Callable[[bytes], Any]
    answer: Callable[[Any, Service], Awaitable[Response]]


WAYS = {
    way.path: way
    for way in (
        Way("/v1/recommend", Recommend.model_validate_json, recommend),
        Way("/v1/events", from_json, events),
    )
}


class Direct:
    """Stands before the framework, whose layers cost as much as a small answer.

    Nothing is decided here: a body that cannot be read goes on to the framework, which says what is wrong with it.

    Args:
        app: the framework.
        service: what is asked.
    """

    def __init__(self, app: App, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what it knows how to, and passes everything else on."""
        way = WAYS.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if way is None or not _is_json(scope):
            await self.app(scope, receive, send)
            return
        body: bytes = (await receive())["body"]  # the guard has read the whole of it
        try:
            content = way.read(body)
        except (ValidationError, ValueError):
            await self.app(scope, once_more(body, receive), send)
            return
        scope["route"] = way
        try:
            response = await way.answer(content, self.service)
        except Problem as problem:
            response = problem.response()
        except EnsueError as fault:
            response = told_of(fault).response()
        await response(scope, receive, send)


def _is_json(scope: Scope) -> bool:
    """Whether the body is told to be JSON in the usual words."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            return value in JSON
    return False
