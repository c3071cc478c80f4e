"""What goes wrong, in one shape: `{"error": {"code", "message", "where"}}`, with what to do in the message."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from ensue.errors import ArtifactError, EnsueError, MissingExtraError, StateError

told = logging.getLogger("ensue.serving")

SHOWN = {"k", "limit", "most", "weight", "seed", "share", "titles", "explain", "timings", "exclude_seen"}
"""Fields whose value a message may repeat: no ids, and nothing of a person."""


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": words,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {
                            "type": "object",
                            "required": ["code", "message"],
                            "properties": {name: {"type": "string"} for name in ("code", "message", "where")},
                        }
                    },
                }
            }
        },
    }
    for status, words in {
        400: "The body is not JSON",
        401: "A key is needed",
        403: "The key does not hold the scope, or a page of another site asks",
        404: "There is no such thing",
        408: "The body did not come in time",
        413: "Too much at once",
        422: "Something of the request cannot be; the message says what",
        429: "Too many requests of one asker",
        501: "Not installed",
        503: "Too many requests at once, or histories cannot be reached just now",
    }.items()
}
"""What can go wrong, for OpenAPI."""


class Problem(Exception):  # noqa: N818 - it is an answer
    """An answer that is none.

    Attributes:
        status: of HTTP.
        code: a word for programs.
        message: for people: what, and what to do.
        where: which part of the request, or "".
        headers: what else the answer says.
    """

    def __init__(
        self, status: int, code: str, message: str, where: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.where = status, code, message, where
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer of HTTP."""
        parts = {"code": self.code, "message": self.message} | ({"where": self.where} if self.where else {})
        error = {name: part.encode("utf-8", "backslashreplace").decode() for name, part in parts.items()}
        return Response(
            orjson.dumps({"error": error}), self.status, self.headers, media_type="application/json"
        )


def problem_of(fault: EnsueError) -> Problem:
    """What a fault of ours is to who asked."""
    if isinstance(fault, StateError):  # whose text names places of this machine
        return Problem(
            503,
            "state-unavailable",
            "Histories cannot be read or written just now, and nothing of this was done: send it again later; "
            "the log of the service says why.",
            headers={"retry-after": "1"},
        )
    if isinstance(fault, ArtifactError):
        return Problem(422, "model-refused", str(fault))
    if isinstance(fault, MissingExtraError):
        return Problem(501, "not-installed", str(fault))
    return Problem(422, "invalid", str(fault))


def told_of(fault: EnsueError) -> Problem:
    """What a fault of ours is to who asked; one of the histories is also told to the operator."""
    if isinstance(fault, StateError):
        told.error("%s", fault)
    return problem_of(fault)


def invalid(errors: list[Mapping[str, Any]]) -> Problem:
    """The faults of a request that is not of the shape that is wanted, the first few of them."""
    told = [_told(error) for error in errors[:5]]
    where = _shortened(".".join(str(step) for step in errors[0]["loc"] if step != "body")) if errors else ""
    more = f" And {len(errors) - 5} more." if len(errors) > 5 else ""
    malformed = bool(errors) and errors[0]["type"] == "json_invalid"
    return Problem(
        400 if malformed else 422, "malformed" if malformed else "invalid", " ".join(told) + more, where
    )


def _told(error: Mapping[str, Any]) -> str:
    place = ".".join(str(step) for step in error["loc"] if step not in ("body", "query", "path"))
    if error["type"] == "json_invalid":
        return "The body is not JSON: send one object, as UTF-8."
    if error["type"] == "extra_forbidden":
        return f"{_shortened(place)}: there is no such key; /openapi.json lists them."
    if not place and isinstance(error.get("input"), bytes):
        return "The body is not taken as JSON: send it with Content-Type: application/json."
    said = str(error["msg"])
    value = error.get("input")
    shown = str(error["loc"][-1]) in SHOWN and isinstance(value, bool | int | float | str)
    was = f" (it was {str(value)[:40]!r})" if shown else ""
    return f"{_shortened(place) or 'the body'}: {said[:1].lower()}{said[1:]}{was}."


def _shortened(place: str) -> str:
    return place if len(place) <= 80 else f"{place[:77]}..."
