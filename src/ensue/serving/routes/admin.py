"""Models and the catalogue, changed while the service runs."""

from __future__ import annotations

from itertools import islice
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ensue.artifacts import DESCRIPTION
from ensue.serving.problems import Problem
from ensue.serving.schemas import Beside, Items, Swap
from ensue.serving.service import Here, Service, said

router = APIRouter(prefix="/v1/admin", tags=["admin"])

MOST_FOLDERS = 1_000
"""Folders that are looked at for models."""


@router.get("/models", summary="The models that answer, and those that could")
async def models(here: Here) -> Response:
    """What lies in the folder that models are taken from."""
    return said(await run_in_threadpool(_models, here))


@router.post("/swap", summary="Put another model in place")
async def swap(asked: Swap, here: Here) -> Response:
    """It is loaded, checked and asked first; requests go on meanwhile, and a broken one changes nothing."""
    fresh = await run_in_threadpool(here.host.swap, asked.folder)
    return said({"model": fresh.described()})


@router.post("/rollback", summary="Put the model before in place again")
async def rollback(here: Here) -> Response:
    """The one that answered before the last swap."""
    fresh = await run_in_threadpool(here.host.rollback)
    return said({"model": fresh.described()})


@router.post("/beside", summary="Ask another model beside, or let it answer some")
async def beside(asked: Beside, here: Here) -> Response:
    """A shadow is asked and never answers; a split answers a share of users, always the same ones."""
    if asked.split is None and asked.share:
        raise Problem(422, "invalid", "share: name the model that is to answer them, as split.", "share")
    await run_in_threadpool(here.host.beside, asked.shadow, asked.split, asked.share)
    return said(_models(here))


@router.post("/items", summary="Withdraw items from all answers, or restore them")
async def items(asked: Items, here: Here) -> Response:
    """Items that no model knows are taken too: they stay withdrawn when a new model knows them."""
    if asked.state == "added":
        raise Problem(
            422,
            "needs-update",
            "A model scores the items that it was made with and no others: make one that knows these by "
            "`ensue update`, and swap it in.",
            "state",
        )
    change = here.host.withdraw if asked.state == "withdrawn" else here.host.restore
    await run_in_threadpool(change, asked.items)
    codes = here.host.current.recommender.catalogue.encode(asked.items)
    return said(
        {
            "withdrawn": len(here.host.availability.state[1]),
            "unknown": [i for i, c in zip(asked.items, codes, strict=True) if c < 0],
        }
    )


def _models(here: Service) -> dict[str, Any]:
    root = here.settings.models_root
    there = islice(root.iterdir(), MOST_FOLDERS) if root.is_dir() else ()
    models = here.host.models
    return {
        "current": models.current.described(),
        "shadow": None if models.shadow is None else models.shadow.described(),
        "split": None if models.split is None else {**models.split.described(), "share": models.share},
        "folders": sorted(path.name for path in there if (path / DESCRIPTION).is_file()),
    }
