"""Why is this item there?"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ensue.explaining import Explanation, explain
from ensue.serving.asking import asking, wanted_k
from ensue.serving.schemas import Explain
from ensue.serving.service import Here, said

router = APIRouter(prefix="/v1", tags=["explain"])


@router.post("/explain", summary="Which events of the history drove an item's score")
async def why(asked: Explain, here: Here) -> Response:
    """Exact parts of models whose scores are sums; of others, what is lost when an event is left out."""
    served = here.host.for_whom(asked.user or asked.session)
    k = max(wanted_k(asked.k, here.settings.bounds), 1)

    def task() -> Explanation:
        found = asking(asked, served, here.store, here.settings.bounds)
        return explain(
            served.recommender, found.question, asked.item, k,
            exclude=asked.exclude, exclude_seen=asked.exclude_seen, most=asked.most,
        )  # fmt: skip

    explanation = await run_in_threadpool(task)
    withdrawn = asked.item in here.host.availability.state[1]
    notes = ["it is withdrawn, and in no answer"] if withdrawn else []
    plain = explanation.to_json()
    return said({**plain, "notes": [*plain["notes"], *notes], "model": served.to_json()})
