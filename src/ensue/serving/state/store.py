"""What every store of live histories promises, whatever it writes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, Protocol

import polars as pl

from ensue.errors import ConfigError, QueryError
from ensue.serving.events import LiveEvent
from ensue.serving.state.history import History
from ensue.serving.state.names import Names

DAY = 86_400.0


Pace = Literal["at once", "together", "alone"]


@dataclass(frozen=True)
class Limits:
    """How much a store may hold.

    Attributes:
        events: the most live events of one history, and the most that a run has kept of it; the oldest go.
        histories: the most histories with live events; those that have been without a new one for longest go.
        idle: seconds without a new event after which live events go.

    Raises:
        ConfigError: a limit is not positive.
    """

    events: int = 10_000
    histories: int = 1_000_000
    idle: float = 90 * DAY

    def __post_init__(self) -> None:
        for one in fields(self):
            if not getattr(self, one.name) > 0:
                raise ConfigError(
                    f"{one.name}={getattr(self, one.name)} is no limit: take a positive number."
                )


@dataclass(frozen=True)
class Appended:
    """What became of a batch. `new + repeated + outdated + erased` are all its events.

    Attributes:
        new: events that the histories hold now.
        repeated: events that they held before.
        late: of the new ones, those that were put in before an event that was there.
        outdated: older than all that a full history holds, and not kept.
        erased: of before the erasure of their user or session, and not kept.
        ahead: of all, those whose time lay ahead of the server's clock, and that are placed at their arrival.
        evicted: histories that went, since there were too many.
    """

    new: int = 0
    repeated: int = 0
    late: int = 0
    outdated: int = 0
    erased: int = 0
    ahead: int = 0
    evicted: int = 0


@dataclass(frozen=True)
class Erased:
    """What an erasure took away.

    Attributes:
        events: live events of the user, or of the session.
        kept: its events that a run had kept.
        sessions: histories of sessions that went with their user.
        clean: whether the bytes are gone from all files of the store too; if not, `expire` tries again.
    """

    events: int = 0
    kept: int = 0
    sessions: int = 0
    clean: bool = True


@dataclass(frozen=True)
class Expired:
    """What went since it was too old.

    Attributes:
        histories: whose live events went.
        events: how many.
    """

    histories: int = 0
    events: int = 0


@dataclass(frozen=True)
class Kept:
    """What of a run's histories went into a store.

    Attributes:
        users: histories.
        events: how many.
        erased: users who were left out, in whole or in part, since they have been erased.
        already: whether these very histories had been there, so that nothing had to be done.
    """

    users: int = 0
    events: int = 0
    erased: int = 0
    already: bool = False


@dataclass(frozen=True)
class Counts:
    """How much a store holds.

    Attributes:
        histories: with live events.
        events: live ones, those filed under user and session counted under both.
        kept: events that a run has kept.
        erased: users and sessions that are remembered as erased, by a keyed hash.
        bytes: of its files, or of its server's memory.
    """

    histories: int
    events: int
    kept: int
    erased: int
    bytes: int


class Store(Protocol):
    """Histories that lose nothing: live events, and those that a run has kept, until they are erased or expire.

    Any number of threads may use one store, and any number of processes may open the same one: what one has written,
    all read at once. Every method raises StateError where the store cannot be reached or written, and then nothing of
    the call is done, and the store is as good as before once the cause is gone.

    Attributes:
        notes: what the operator should know about how it is set up.
        pace: how small writes are best made: "at once" where one is over before a thread would have begun, "together"
            where several cost as much as one, "alone" where others do not have to wait for one.
    """

    notes: tuple[str, ...]
    pace: Pace

    def append(self, events: Sequence[LiveEvent]) -> Appended:
        """Files events, all or none; when this returns they are safe.

        An event is filed under its user, under its session, or under both, by its time and then by its arrival.
        """

    def append_each(self, told: Sequence[Sequence[LiveEvent]], *, wait: bool = True) -> list[Appended] | None:
        """Files several batches in one write, each as `append` would one after the other; all or none.

        Args:
            told: batches.
            wait: for another process that writes; otherwise the answer is None then, and nothing is done.
        """

    def tidy(self) -> None:
        """Does what must be done every second or so, and no request should wait for."""

    def history(
        self, *, user: str | None = None, session: str | None = None, most: int | None = None
    ) -> History:
        """The last events of a user or of a session, all there are unless `most` is given.

        Raises:
            QueryError: neither or both are given, or `most` is not positive.
        """

    def revision(self, *, user: str | None = None, session: str | None = None) -> int:
        """The revision of a history, cheaper than the history."""

    def changes(self) -> int:
        """A number that grows with every change of the store."""

    def erase(self, *, user: str | None = None, session: str | None = None) -> Erased:
        """Takes away all about a user, with the sessions that the user was seen in; or all about a session.

        Nothing that happened before the erasure comes back: neither by a late delivery nor by `keep`.
        """

    def erased(self, users: Sequence[str]) -> dict[str, int]:
        """Those of some users who have been erased, and until when: microseconds since 1970 UTC."""

    def erasures(self) -> int:
        """How many users and sessions are remembered as erased."""

    def keep(self, histories: pl.DataFrame, source: str) -> Kept:
        """Takes over the histories that a run has kept, in place of those of an earlier run.

        Args:
            histories: columns user and item, oldest first; time, event, rating, session and others if there are.
            source: names the data, such as a hash of its file; the same one again is nothing to do.
        """

    def expire(self) -> Expired:
        """Takes away what is older than the limits allow; to be called now and then."""

    def counts(self) -> Counts:
        """How much there is."""

    def close(self) -> None:
        """Lets go of files and connections; nothing is lost without it."""


def named(names: Names, user: str | None, session: str | None) -> bytes:
    """The name of the one history that is asked for.

    Raises:
        QueryError: neither or both are given.
    """
    if (user is None) == (session is None):
        raise QueryError("Give a user or a session, one of them.")
    return names.user(user) if user is not None else names.session(str(session))


def most_of(most: int | None, limits: Limits) -> int:
    """How many events of a history are wanted; the live and the kept of a full one make twice its limit.

    Raises:
        QueryError: not a positive number.
    """
    if most is None:
        return 2 * limits.events
    if most < 1:
        raise QueryError(f"most={most} is no number of events: take 1 or more.")
    return most
