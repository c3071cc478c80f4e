"""Live histories: the truth that a service answers from, kept in SQLite or in Redis."""

from __future__ import annotations

from ensue.serving.state.history import History, Row
from ensue.serving.state.store import Appended, Counts, Erased, Expired, Kept, Limits, Store

__all__ = [
    "Appended",
    "Counts",
    "Erased",
    "Expired",
    "History",
    "Kept",
    "Limits",
    "Row",
    "Store",
    "open_store",
]


def open_store(address: str, limits: Limits | None = None, *, power_safe: bool = False) -> Store:
    """The store at an address: `redis://`, `rediss://` or `unix://` for a server, or the path of a SQLite file.

    Args:
        address: where; a new file is made.
        limits: how much it may hold.
        power_safe: of a file: whether each write survives the loss of power too, at the price of a sync.

    Raises:
        StateError: it cannot be reached or opened.
        MissingExtraError: the client of Redis is not installed.
    """
    if address.startswith(("redis://", "rediss://", "unix://")):
        from ensue.serving.state.redis import RedisStore

        return RedisStore(address, limits)
    from ensue.serving.state.sqlite import SqliteStore

    return SqliteStore(address, limits, power_safe=power_safe)
