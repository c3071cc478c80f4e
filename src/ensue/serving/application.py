"""The service as an application of ASGI: built from settings, with nothing at import."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from ensue.errors import EnsueError
from ensue.reranking import load as load_reranker
from ensue.serving.control import EVERY, control_at
from ensue.serving.direct import Direct
from ensue.serving.guard import Guard
from ensue.serving.host import Host
from ensue.serving.kept_histories import KeptHistories
from ensue.serving.keys import KeyRing
from ensue.serving.measures import Measures
from ensue.serving.page import PATHS, pages
from ensue.serving.patience import SECONDS
from ensue.serving.problems import PROBLEMS, Problem, invalid, told_of
from ensue.serving.request_log import RequestLog
from ensue.serving.routes import ROUTERS
from ensue.serving.service import Service
from ensue.serving.settings import Settings, checked
from ensue.serving.shadowing import Shadowing
from ensue.serving.state import Limits, open_store
from ensue.serving.telling import Telling
from ensue.version import __version__

told = logging.getLogger("ensue.serving")

EXPIRES = 60.0
"""Seconds between two looks for what is too old."""

TIDIES = 1.0
"""Seconds between two times that the histories are put in order."""

LOOKS = 0.5
"""Seconds between two looks whether somebody is to be taken out of what the run has kept."""

SWITCH = 0.0002
"""Seconds after which a thread may take its turn: some of them keep other processes from writing meanwhile."""


def application(settings: Settings) -> FastAPI:
    """The service, its model loaded and its histories open.

    Raises:
        ConfigError: it would listen to strangers, or its keys or rules have faults.
        ArtifactError: its model cannot be loaded.
        StateError: its histories cannot be opened.
    """
    settings = checked(settings)
    ring = KeyRing(settings.keys)
    control = control_at(settings.store)
    host = Host(settings, control)
    limits = Limits(events=settings.bounds.history)
    store = open_store(settings.store, limits, power_safe=settings.power_safe)
    for note in store.notes:
        told.warning("%s", note)
    kept = KeptHistories(settings.run, store, limits, shared=settings.remote)
    kept.take_over()
    measures = Measures(host.states)
    log = (
        RequestLog(settings.request_log, control.secret(), settings.bounds.log)
        if settings.request_log
        else None
    )
    app = FastAPI(
        title="ensue",
        version=__version__,
        summary="What comes next for this sequence?",
        lifespan=_living,
        openapi_url="/openapi.json",
        docs_url=None,  # its page would load scripts of another site
        redoc_url=None,
        responses=PROBLEMS,
    )
    reranker = load_reranker(settings.reranker, threads=settings.threads) if settings.reranker else None
    service = Service(
        settings, store, Telling(store), host, measures, log, Shadowing(measures, log), kept, reranker
    )
    app.state.service, app.state.ring = service, ring
    for router in ROUTERS:
        app.include_router(router)
    if settings.ads:
        from ensue.serving.routes.ads import offer

        offer(app, settings.ads)
    if settings.page:
        pages(app)
    app.add_exception_handler(EnsueError, _ours)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(Direct, service=service)
    app.add_middleware(
        _Guarded, ring=ring, bounds=settings.bounds, measures=measures, origins=settings.origins,
        pages=PATHS if settings.page else frozenset(),
    )  # fmt: skip
    if settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.origins), allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "x-api-key", "content-type"],
        )  # fmt: skip
    return app


class _Guarded(Guard):
    """The guard, as Starlette adds it."""


@contextlib.asynccontextmanager
async def _living(app: FastAPI) -> AsyncIterator[dict[str, float]]:
    """Looks for changes of other processes, and for what is too old, as long as the process lives."""
    service: Service = app.state.service
    tasks = [
        asyncio.create_task(_again(EVERY, service.host.look, "changes of other processes cannot be seen")),
        asyncio.create_task(_again(EVERY, app.state.ring.look, "the keys cannot be looked at")),
        asyncio.create_task(_again(EXPIRES, service.store.expire, "what is too old cannot be taken away")),
        asyncio.create_task(_again(EXPIRES, service.host.states.expire, "old states cannot be dropped")),
        asyncio.create_task(_again(TIDIES, service.store.tidy, "the histories cannot be put in order")),
        asyncio.create_task(_again(LOOKS, service.kept.look, "who was erased elsewhere cannot be seen")),
    ]
    sys.setswitchinterval(SWITCH)
    gc.collect()
    gc.freeze()  # what is there now stays: to look through it again and again would have requests wait
    try:
        yield {SECONDS: service.settings.bounds.seconds}
    finally:
        for task in tasks:
            task.cancel()
        service.store.close()


async def _again(pause: float, act: Callable[[], object], words: str) -> None:
    """Does something in a thread every so often; after a failure a second later at the earliest."""
    while True:
        await asyncio.sleep(pause)
        try:
            await asyncio.to_thread(act)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the next time it may succeed
            told.warning("%s: %s", words, fault)
            await asyncio.sleep(1.0)


async def _ours(request: Request, fault: Exception) -> Response:
    return told_of(cast(EnsueError, fault)).response()


async def _problem(request: Request, fault: Exception) -> Response:
    return cast(Problem, fault).response()


async def _invalid(request: Request, fault: Exception) -> Response:
    errors: list[Mapping[str, Any]] = list(cast(RequestValidationError, fault).errors())
    return invalid(errors).response()


async def _http(request: Request, fault: Exception) -> Response:
    found = cast(HTTPException, fault)
    code, words = {
        400: ("malformed", "The body is not JSON: send one object, as UTF-8."),
        404: ("not-found", "There is nothing here: /openapi.json lists what can be asked."),
        405: ("not-allowed", "It is not asked in this way: see /openapi.json."),
    }.get(found.status_code, ("refused", str(found.detail)))
    return Problem(found.status_code, code, words, headers=found.headers).response()
