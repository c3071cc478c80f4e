"""Which ads?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ensue.ads.artifact import Saved, load
from ensue.ads.asking import MOST_EVENTS, AdEvent, AdQuestion, answer
from ensue.serving.service import Here, said

router = APIRouter(prefix="/v1", tags=["ads"])


def offer(app: FastAPI, folder: str | Path) -> None:
    """Has an application answer about ads too, from a saved click model.

    Raises:
        ArtifactError: the model cannot be loaded.
    """
    app.state.ads = load(folder)
    app.include_router(router)


@router.post("/ads", summary="Which ads for this person: by bid x probability of a click, within caps")
async def ads(asked: AdQuestion, request: Request, here: Here) -> Response:
    """A user's events are those that were told, of type "impression" or "click", whose item is the ad."""
    saved: Saved = request.app.state.ads

    def task() -> dict[str, Any]:
        events = None
        if asked.user is not None:
            rows = here.store.history(user=asked.user).rows[-MOST_EVENTS:]
            events = [
                AdEvent.model_construct(ad=row.item, time=row.time / 1e6, event=row.type)
                for row in rows
                if row.type in ("impression", "click")
            ]
        return answer(saved, asked, events)

    return said(await run_in_threadpool(task))  # some ten milliseconds, for which others should not wait
