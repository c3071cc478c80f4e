"""The page to try the service: a few files of its own, which hold no data and fetch nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

_HTML, _CSS, _JS = "text/html", "text/css", "text/javascript"

FILES = {
    "/": ("index.html", _HTML),
    "/page/page.css": ("page.css", _CSS),
    "/page/rows.css": ("rows.css", _CSS),
    "/page/page.js": ("page.js", _JS),
    "/page/elements.js": ("elements.js", _JS),
    "/page/history.js": ("history.js", _JS),
    "/page/reasons.js": ("reasons.js", _JS),
    "/page/search.js": ("search.js", _JS),
    "/page/service.js": ("service.js", _JS),
    "/page/slate.js": ("slate.js", _JS),
    "/page/told.js": ("told.js", _JS),
}
"""Path, file beside this one, and kind of each part of the page."""

PATHS = frozenset(FILES)
"""What may be fetched without a key: the page asks for one itself."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""What a browser lets the page do: no script and no style but its own files, and no word to another server."""


def pages(app: FastAPI) -> None:
    """Adds the page to an application, at `/`."""
    for path, (name, kind) in FILES.items():
        content = files(__name__).joinpath(name).read_bytes()
        app.add_api_route(path, _given(content, kind), methods=["GET", "HEAD"], include_in_schema=False)


def _given(content: bytes, kind: str) -> Callable[[], Coroutine[Any, Any, Response]]:
    headers = {"content-security-policy": POLICY, "cross-origin-opener-policy": "same-origin"}

    async def given() -> Response:
        return Response(content, headers=headers, media_type=kind)

    return given
