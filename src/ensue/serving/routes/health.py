"""Whether it lives, whether it can answer, and what it has done."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from ensue.serving.service import Here, said
from ensue.version import __version__

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="The process lives")
async def healthz() -> Response:
    """Nothing else is looked at."""
    return said({"status": "ok", "ensue": __version__})


@router.get("/readyz", summary="It can answer")
async def readyz(here: Here) -> Response:
    """A model is loaded, and the histories can be read."""
    await here.quick(partial(here.store.revision, user=""))
    served = here.host.current
    apart = {} if served.made is None else {"items": served.made.to_json()}
    return said({"status": "ready", "model": served.to_json(), **apart})


@router.get("/metrics", summary="For Prometheus")
async def metrics(here: Here) -> Response:
    """Of the process that happens to answer."""
    lost = 0 if here.log is None else here.log.lost
    return Response(here.measures.page(here.host.current, lost), media_type=CONTENT_TYPE_LATEST)
