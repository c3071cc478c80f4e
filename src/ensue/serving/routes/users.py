"""What is known of a user or a session, and its erasure."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ensue.errors import StateError
from ensue.serving.problems import Problem
from ensue.serving.service import Here, Service, said
from ensue.serving.state import History

router = APIRouter(prefix="/v1", tags=["users"])

Name = Annotated[str, Path(min_length=1, max_length=512)]
Most = Annotated[int, Query(ge=1, le=10_000)]
NOT_WRITTEN = "what the run has kept could not be written anew, which is tried again: the log says why"
OWN_SESSIONS = (
    "the request log still holds what was answered to a session by its own id, until that is erased too"
)
LATER = "models that were trained earlier still reflect what was erased, until they are trained anew"


@router.get("/users/{user:path}", summary="The history of a user, newest first")
async def user(user: Name, here: Here, most: Most = 100) -> Response:
    """Events that were told, and those that the run has kept."""
    return said(_shown(here, await here.quick(partial(here.store.history, user=user, most=most))))


@router.get("/sessions/{session:path}", summary="The history of a session, newest first")
async def session(session: Name, here: Here, most: Most = 100) -> Response:
    """Events that were told."""
    return said(_shown(here, await here.quick(partial(here.store.history, session=session, most=most))))


@router.delete("/users/{user:path}", summary="Erase a user")
async def erase_user(user: Name, here: Here) -> Response:
    """Takes away all events of a user and its sessions, from memory and from disk."""
    return said(await run_in_threadpool(_erased, here, user=user))


@router.delete("/sessions/{session:path}", summary="Erase a session")
async def erase_session(session: Name, here: Here) -> Response:
    """Takes away all events of a session."""
    return said(await run_in_threadpool(_erased, here, session=session))


def _erased(here: Service, user: str | None = None, session: str | None = None) -> dict[str, Any]:
    """Takes somebody out of the histories, the memory of networks, the request log, and what the run has kept.

    The store comes first: once it remembers the erasure, what fails or is killed afterwards is made good at the next
    start at the latest.
    """
    erased = here.store.erase(user=user, session=session)
    here.host.forget()
    gone = {"events": erased.events, "kept": erased.kept, "sessions": erased.sessions}
    written = user is None or here.kept.forget(user)
    if here.log is not None:
        try:
            gone["logged"] = here.log.erase(user, session)
        except OSError as fault:
            raise StateError(f"The request log could not be written anew: {fault.strerror}.") from fault
    notes = [LATER] + ([] if written else [NOT_WRITTEN])
    notes += [OWN_SESSIONS] if erased.sessions and here.log is not None else []
    return {"erased": gone, "clean": erased.clean and written, "note": "; ".join(notes)}


def _shown(here: Service, found: History) -> dict[str, Any]:
    if not len(found):
        raise Problem(
            404, "unknown", "Nothing is known of this one: no event was told, and the run has kept none."
        )
    catalogue = here.host.current.recommender.catalogue
    codes = catalogue.encode(found.items).tolist()
    rows = []
    for row, time, code in zip(found.rows, found.times, codes, strict=True):
        plain: dict[str, Any] = {"item": row.item, "known": code >= 0}
        if time is not None:
            plain["time"] = time.isoformat()
        title = catalogue.titles[code] if code >= 0 else None
        more = {"title": title, "event": row.type, "rating": row.rating}
        rows.append(plain | {name: value for name, value in more.items() if value is not None})
    return {"events": rows[::-1], "revision": found.revision}
