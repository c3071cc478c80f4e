"""The items that can be recommended."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ensue.serving.answering import plain
from ensue.serving.problems import Problem
from ensue.serving.served import Served
from ensue.serving.service import Here, said

router = APIRouter(prefix="/v1", tags=["items"])


@router.get("/items", summary="Items by title or id")
async def find(
    here: Here,
    query: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """Those whose title begins with the text, then those that hold it; the most frequent first."""
    served = here.host.current
    found = await run_in_threadpool(served.titles.find, query, limit)
    return said({"items": [_brief(served, index) for index in found], "model": served.to_json()})


@router.get("/items/{item:path}", summary="What is known of an item")
async def details(item: Annotated[str, Path(min_length=1, max_length=512)], here: Here) -> Response:
    """Its features, how often it was seen in training, and whether it can be had."""
    served = here.host.current
    catalogue = served.recommender.catalogue
    (code,) = catalogue.encode([item]).tolist()
    if code < 0:
        raise Problem(404, "unknown", "The model knows no such item: ids are text, exactly as in the log.")
    features: dict[str, Any] = {}
    if catalogue.features is not None:
        features = {
            name: value
            for name, value in catalogue.features.row(code, named=True).items()
            if name not in ("item", "title") and value is not None
        }
    withdrawn = item in here.host.availability.state[1]
    return said(
        _brief(served, code)
        | {
            "training_events": int(catalogue.counts[code]),
            "withdrawn": withdrawn,
            "features": {name: plain(value) for name, value in features.items()},
        }
    )


def _brief(served: Served, code: int) -> dict[str, Any]:
    catalogue = served.recommender.catalogue
    title = catalogue.titles[code]
    return {"item": catalogue.decode([code])[0]} | ({"title": title} if title is not None else {})
