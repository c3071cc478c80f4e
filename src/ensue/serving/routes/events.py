"""What has just happened."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from ensue.serving.events import check_numbers, read_events
from ensue.serving.service import Here, said

router = APIRouter(prefix="/v1", tags=["events"])

EXAMPLES = [
    {"user": "u1", "item": "A", "time": "2024-01-31T08:00:00Z"},
    {"events": [{"user": "u1", "item": "A", "id": "e1"}, {"session": "s9", "item": "C", "event": "view"}]},
]


@router.post("/events", summary="Tell of one event, or of a batch that is taken whole or not at all")
async def events(content: Annotated[Any, Body(examples=EXAMPLES)], here: Here) -> Response:
    """The same event may be sent again: it counts once. Events that come late are put in their place."""
    listed = content.get("events") if isinstance(content, dict) and set(content) == {"events"} else content
    told = read_events(listed)
    check_numbers(told, here.host.numbers)
    taken = await here.telling.append(told)
    counts = asdict(taken)
    for kind, count in counts.items():
        if count:
            here.measures.events.labels(kind).inc(count)
    return said(counts)
