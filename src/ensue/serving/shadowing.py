"""A second model asked beside the one that answers: how alike they are, without anybody waiting for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from ensue.questions import Question
from ensue.serving.answering import answered
from ensue.serving.measures import Measures
from ensue.serving.request_log import RequestLog
from ensue.serving.schemas import Recommend
from ensue.serving.served import Served

told = logging.getLogger("ensue.serving")

AT_ONCE = 2
"""Questions to the shadow that are worked on at a time; while so many are, others are not put to it."""


class Shadowing:
    """Puts questions to a shadow after they have been answered.

    Args:
        measures: count how often, and how much of an answer both share.
        log: also told, if there is one.
    """

    def __init__(self, measures: Measures, log: RequestLog | None) -> None:
        self._measures, self._log = measures, log
        self._under_way: set[asyncio.Task[None]] = set()

    def ask(
        self, shadow: Served, asked: Recommend, question: Question, k: int, entry: Mapping[str, Any]
    ) -> None:
        """Has the shadow answer too, unless it is behind already.

        Args:
            shadow: the model.
            asked: the request.
            question: of it.
            k: how many items.
            entry: what the log says of the answer that was given.
        """
        if len(self._under_way) >= AT_ONCE:
            self._measures.shadow.labels("skipped").inc()
            return
        task = asyncio.create_task(asyncio.to_thread(self._ask, shadow, asked, question, k, entry))
        self._under_way.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._measures.shadow.labels("failed").inc()
            told.warning("the shadow could not answer: %s", type(task.exception()).__name__)

    def _ask(
        self, shadow: Served, asked: Recommend, question: Question, k: int, entry: Mapping[str, Any]
    ) -> None:
        began = time.perf_counter()
        less = {"explain": False, "titles": False, "features": [], "ratings": False, "timings": False}
        plain = asked.model_copy(update=less)
        items = [row["item"] for row in answered(shadow, plain, question, k)["items"]]
        milliseconds = 1000 * (time.perf_counter() - began)
        given = entry["items"]
        both = len(set(items) & set(given)) / max(len(items), len(given), 1)
        self._measures.shadow.labels("asked").inc()
        self._measures.alike.observe(both)
        if self._log is not None:
            self._log.add(
                {
                    **entry,
                    "part": "shadow",
                    "model": shadow.to_json(),
                    "items": items,
                    "shared": round(both, 4),
                    "milliseconds": round(milliseconds, 3),
                }
            )
