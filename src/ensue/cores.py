"""How many cores this process may use."""

from __future__ import annotations

import os


def cores() -> int:
    """The cores that it is let run on, 1 at least: fewer than the machine has where it is held to some."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
