"""What is told, written down together with what else is told at that moment, so that each costs little."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.concurrency import run_in_threadpool

from ensue.errors import StateError
from ensue.serving.events import LiveEvent
from ensue.serving.state import Appended, Store

FEW = 50
"""Events that are written where they are told of; a larger batch would have others wait for milliseconds."""

TOGETHER = 256
"""The most batches of one write."""

WAIT, PAUSE, LONGEST = 5.0, 0.001, 0.01
"""Seconds to wait for another process that writes in all, and between two tries: at first, and at last."""

Told = tuple[Sequence[LiveEvent], "asyncio.Future[Appended]"]


class Telling:
    """The way of events into a store: each is answered once it is safe there.

    A thread would cost more than a small write does, and would wait for the interpreter between any two statements of
    it, while it keeps all other processes from writing. So a store whose writes are over at once is written to from
    the loop itself: what has come in one turn of it makes one write. If another process is writing, the loop goes on
    and tries again in a millisecond, with what has come meanwhile.

    Args:
        store: of the histories.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Told] = []
        self._writer: asyncio.Task[None] | None = None

    async def append(self, events: Sequence[LiveEvent]) -> Appended:
        """What became of some events, all or none of which are safe when this returns.

        Raises:
            StateError: the store cannot be written; none of them is there.
        """
        if self._store.pace == "alone" or len(events) > FEW:
            return await run_in_threadpool(self._store.append, events)
        future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._writing())
        return await future

    async def _writing(self) -> None:
        """Writes until nothing waits."""
        try:
            while self._waiting:
                told, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                await self._write(told)
        finally:
            self._writer = None

    async def _write(self, told: Sequence[Told]) -> None:
        """Writes some batches together; each alone if that fails, so that none fails for another."""
        try:
            found = await self._written([events for events, _ in told])
        except Exception as fault:  # noqa: BLE001 - whatever it is, who told of it is to know
            if len(told) > 1:
                for one in told:
                    await self._write([one])
            else:
                _answer(told[0][1], fault)
            return
        for (_, future), appended in zip(told, found, strict=True):
            _answer(future, appended)

    async def _written(self, batches: Sequence[Sequence[LiveEvent]]) -> list[Appended]:
        if self._store.pace == "together":
            return await run_in_threadpool(self._store.append_each, batches) or []
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + WAIT, PAUSE
        while (found := self._store.append_each(batches, wait=False)) is None:
            if loop.time() > until:
                raise StateError(f"The store is locked by another process for more than {WAIT:g} s.")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST)
        return found


def _answer(future: asyncio.Future[Appended], found: Appended | Exception) -> None:
    if future.done():  # whoever told of it went away
        return
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)
