"""The time of the server, for filing and for expiry, with neither spoilt by a clock that is set."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Two clocks in one: the wall's, which may be set, and one that only ever goes on, from where both began.

    Where they differ, what is written down takes the later one, and what is taken away goes by the earlier one: a clock
    that jumps keeps histories longer, and never loses one.

    Args:
        latest: a time that is known to have passed, in microseconds since 1970 UTC: the last that a store has seen.
        wall: nanoseconds since 1970 UTC.
        steady: nanoseconds since any moment, never going back.
    """

    def __init__(
        self,
        latest: int = 0,
        *,
        wall: Callable[[], int] = time.time_ns,
        steady: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall, self._steady = wall, steady
        self._offset = max(wall(), latest * 1000) - steady()

    def later(self) -> int:
        """Microseconds since 1970 UTC: the time to write down."""
        return max(self._wall(), self._steady() + self._offset) // 1000

    def earlier(self) -> int:
        """Microseconds since 1970 UTC: the time to judge age by."""
        return min(self._wall(), self._steady() + self._offset) // 1000
