"""Which rating is expected of an item: by a model of ratings, or by one that has learnt them beside next items."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from ensue.expected_ratings import rate
from ensue.serving.answering import rating_of
from ensue.serving.asking import asking
from ensue.serving.schemas import Rating
from ensue.serving.service import Here, said

router = APIRouter(prefix="/v1", tags=["other questions"])


@router.post("/rating", summary="Which ratings are expected")
async def rating(asked: Rating, here: Here) -> Response:
    """Of a model that has learnt ratings, alone or beside next items."""
    served = here.host.for_whom(asked.user or asked.session)
    rating_of(served)  # a model that has learnt none is refused before anything is looked up

    def task() -> dict[str, Any]:
        question = asking(asked, served, here.store, here.settings.bounds).question
        found = rate(served.recommender, question, asked.items)
        return {
            "ratings": [
                {"item": item, "rating": round(found[item], 4)} for item in asked.items if item in found
            ],
            "unknown": [item for item in asked.items if item not in found],
            "model": served.to_json(),
        }

    return said(await here.quick(task))
