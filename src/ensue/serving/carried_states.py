"""States of networks after what they have read: those used last, so that one more event costs them one step."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

State = NDArray[np.float32]
"""All that a network carries from one event to the next, in one row."""

LIFETIME = 3_600.0
"""Seconds that a state stays for which nobody has asked."""

ENTRY = 400
"""Bytes that a state takes beside its numbers: its name, its place in the order, what Python and NumPy hold of it."""


class CarriedStates:
    """States by the digest of all that led to them, made with the `key` of this process alone.

    Their name is the content of what was read, and not whose it is. So nothing has to be followed: after a late event,
    after an erasure, with another model a history is another one, and finds no state of before. Whoever is erased is to
    leave no state behind either, so that all of them are dropped then (`clear`); one that nobody asks for goes within
    `LIFETIME`.

    Args:
        most: bytes of all states; 0 keeps none.
        lifetime: seconds that a state stays unused.
        clock: seconds, never going back.
    """

    def __init__(
        self, most: int, lifetime: float = LIFETIME, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most, self.lifetime = most, lifetime
        self.bytes, self.continued, self.anew = 0, 0, 0
        self.key = secrets.token_bytes(32)
        self._clock = clock
        self._held: OrderedDict[bytes, tuple[float, State]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._held)

    def find(self, digests: Sequence[bytes]) -> tuple[int, State] | None:
        """The first of some states that is there, with its place among them; None if none is.

        Args:
            digests: of what led to each, the state that is most wanted first.
        """
        with self._lock:
            for place, digest in enumerate(digests):
                held = self._held.get(digest)
                if held is not None and held[0] >= self._clock() - self.lifetime:
                    self._held[digest] = self._clock(), held[1]
                    self._held.move_to_end(digest)
                    self.continued += 1
                    return place, held[1]
            self.anew += 1
        return None

    def keep(self, digest: bytes, state: State) -> None:
        """Keeps a state, in the place of those that were not used for longest.

        Args:
            digest: of what led to it.
            state: must not be changed afterwards.
        """
        size = state.nbytes + ENTRY
        if size > self.most:
            return
        with self._lock:
            before = self._held.pop(digest, None)
            self.bytes += size - (0 if before is None else before[1].nbytes + ENTRY)
            self._held[digest] = self._clock(), state
            while self.bytes > self.most:
                self._drop_oldest()

    def expire(self) -> None:
        """Drops what nobody has asked for within the lifetime."""
        with self._lock:
            until = self._clock() - self.lifetime
            while self._held and next(iter(self._held.values()))[0] < until:
                self._drop_oldest()

    def clear(self) -> None:
        """Drops all of them."""
        with self._lock:
            self._held.clear()
            self.bytes = 0

    def _drop_oldest(self) -> None:
        _, (_, state) = self._held.popitem(last=False)
        self.bytes -= state.nbytes + ENTRY
