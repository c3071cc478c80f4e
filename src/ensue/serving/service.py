"""What the routes of one process share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ensue.reranking import Reranker
from ensue.serving.host import Host
from ensue.serving.kept_histories import KeptHistories
from ensue.serving.measures import Measures
from ensue.serving.request_log import RequestLog
from ensue.serving.settings import Settings
from ensue.serving.shadowing import Shadowing
from ensue.serving.state import Store
from ensue.serving.telling import Telling

T = TypeVar("T")

LARGE = 100_000
"""Items from which on an answer is a matter of milliseconds, during which others should not wait."""


@dataclass(frozen=True, eq=False)
class Service:
    """One process of a service.

    Attributes:
        settings: as it was set up.
        store: of live histories.
        telling: writes events into it.
        host: of models.
        measures: what it tells of itself.
        log: of answers, None where none is kept.
        shadowing: asks another model beside.
        kept: histories that the run has kept in a file.
        reranker: puts candidates in order; None leaves that to the model.
    """

    settings: Settings
    store: Store
    telling: Telling
    host: Host
    measures: Measures
    log: RequestLog | None
    shadowing: Shadowing
    kept: KeptHistories
    reranker: Reranker | None = None

    async def quick(self, task: Callable[[], T]) -> T:
        """What a task of about a millisecond gives.

        It is done at once, since a thread would cost as much again; unless the histories are on another machine or the
        catalogue is large: then others must not wait for it.
        """
        if self.settings.remote or len(self.host.current.recommender.catalogue) > LARGE:
            return await run_in_threadpool(task)
        return task()


async def service_of(request: Request) -> Service:
    """The service that a request is asked of."""
    found: Service = request.app.state.service
    return found


Here = Annotated[Service, Depends(service_of)]


def said(content: Any, status: int = 200) -> Response:
    """An answer of JSON, written without going through models again."""
    return Response(orjson.dumps(content), status, media_type="application/json")
