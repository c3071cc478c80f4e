"""What comes next?"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ensue.serving.answering import answered
from ensue.serving.asking import Asking, asking, wanted_k
from ensue.serving.problems import Problem
from ensue.serving.schemas import Recommend
from ensue.serving.served import Served
from ensue.serving.service import Here, Service, said

router = APIRouter(prefix="/v1", tags=["recommend"])


@router.post("/recommend", summary="What comes next for a user, a session, or a history that comes along")
async def recommend(asked: Recommend, here: Here) -> Response:
    """The best items, in your own ids; unknown items are told of and left out."""
    bounds = here.settings.bounds
    k = wanted_k(asked.k, bounds)
    if asked.explain and k > bounds.explained:
        raise Problem(
            422, "too-many", f"k={k} items cannot all be explained: ask for {bounds.explained} at most.", "k"
        )
    served = here.host.for_whom(asked.user or asked.session)

    def task() -> tuple[Asking, dict[str, Any]]:
        found = asking(asked, served, here.store, bounds)
        return found, answered(served, asked, found.question, k)

    found, answer = await (run_in_threadpool(task) if asked.explain else here.quick(task))
    if found.revision is not None:
        answer["revision"] = found.revision
    _told(here, asked, served, found, answer, k)
    return said(answer)


def _told(
    here: Service, asked: Recommend, served: Served, found: Asking, answer: dict[str, Any], k: int
) -> None:
    """Counts an answer, writes it down and puts the question to the shadow, where these are wanted."""
    here.measures.answers.labels(served.label, served.version).inc()
    if answer["fallback"]:
        here.measures.fallbacks.inc()
    models = here.host.models
    if here.log is None and models.shadow is None:
        return
    entry: dict[str, Any] = {
        "route": "recommend",
        "who": None if here.log is None else here.log.pseudonym(asked.user, asked.session),
        "part": "split" if served is models.split else "current",
        "model": served.to_json(),
        "events": len(found.question.history),
        "items": [row["item"] for row in answer["items"]],
        "fallback": answer["fallback"],
    }
    if here.log is not None:
        here.log.add(entry)
    if models.shadow is not None:
        here.shadowing.ask(models.shadow, asked, found.question, k, entry)
