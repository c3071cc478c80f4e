"""Being told to stop: work that keeps its state ends at the next safe place, not in the middle of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether somebody has asked for the end."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Asks for it, as a handler of a signal; whoever asks twice does not want to wait.

        Args:
            number: of the signal.
            frame: where the program was.
        """
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stoppable(wanted: bool = True) -> Iterator[Stop]:
    """A context in which Ctrl-C and a polite end are noted, to be acted on where it is safe.

    Signals reach the main thread alone; elsewhere nothing changes.

    Args:
        wanted: False leaves the handlers alone.
    """
    stop = Stop()
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.ask) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
