"""Other questions to the same model: in which order, what is like it, what else for a basket."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from ensue.inputs import TIME
from ensue.open_baskets import open_question
from ensue.questions import Question
from ensue.rules import recommend
from ensue.serving.answering import listed
from ensue.serving.asking import asking, looked_up, wanted_k
from ensue.serving.problems import Problem
from ensue.serving.reranking import learnt_order, reranked
from ensue.serving.schemas import Basket, Rerank, Similar
from ensue.serving.served import Served
from ensue.serving.service import Here, Service, said
from ensue.suiting import TYPE

router = APIRouter(prefix="/v1", tags=["other questions"])


@router.post("/rerank", summary="Candidates of another engine, in a better order")
async def rerank(asked: Rerank, here: Here) -> Response:
    """By a re-ranker where there is one: an engine's scores and prices in, the parts of each score out if explained.

    Else by the model; the weight says how much it counts beside the scores that came along: 1 is the model alone.
    """
    served, bounds = here.host.for_whom(asked.user or asked.session), here.settings.bounds
    if len(asked.candidates) > bounds.candidates:
        raise Problem(
            413, "too-many", f"{bounds.candidates:,} candidates are taken at once: send fewer.", "candidates"
        )

    def task() -> dict[str, Any]:
        if here.reranker is not None:
            found = asking(asked, served, here.store, bounds, frozenset((TYPE, TIME)))
            at = found.question.at or datetime.now(UTC)
            question = replace(found.question, at=at)
            return learnt_order(here.reranker, asked, question, here.host.availability.state[1])
        found = asking(asked, served, here.store, bounds)
        return reranked(served, asked, found.question, here.host.availability.state[1])

    return said({**await here.quick(task), "model": served.to_json()})


@router.post("/similar", summary="What follows on these items, whoever asks")
async def similar(asked: Similar, here: Here) -> Response:
    """The answer for somebody who has had these items and nothing else."""
    served = here.host.current
    return said(await here.quick(partial(_for_set, here, served, asked.items, None, asked.k, asked.titles)))


@router.post("/basket", summary="What else for this basket; the order of its items says nothing")
async def basket(asked: Basket, here: Here) -> Response:
    """The history of the user, if one is named, comes before the basket."""
    served = here.host.for_whom(asked.user)
    return said(
        await here.quick(partial(_for_set, here, served, asked.basket, asked.user, asked.k, asked.titles))
    )


def _for_set(
    here: Service, served: Served, items: list[str], user: str | None, k: int | None, titles: bool
) -> dict[str, Any]:
    """The answer after some items that have no order: they are asked about in that of the catalogue."""
    at = datetime.now(UTC) if served.timed else None
    past = Question([], at=at)
    if user is not None:
        past = looked_up(served, here.store, user, None, at).question
    question = open_question(past, items, served.recommender.catalogue)
    slate, ruled = recommend(
        served.recommender, served.ruling, question, wanted_k(k, here.settings.bounds), exclude=items
    )
    return {
        "items": listed(served, slate, titles),
        "fallback": slate.fallback,
        "unknown": list(slate.unknown),
        "model": served.to_json(),
    } | ({"notes": list(ruled.notes)} if ruled.notes else {})
