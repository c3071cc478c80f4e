"""Live histories in a Redis server, shared by services on several machines."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, urlencode

import polars as pl

from ensue.errors import MissingExtraError, StateError
from ensue.serving.events import LiveEvent
from ensue.serving.state import redis_scripts as scripts
from ensue.serving.state.clock import Clock
from ensue.serving.state.filing import Filing, filings
from ensue.serving.state.history import History, Row, merged
from ensue.serving.state.kept import Piece, pieces
from ensue.serving.state.names import Names, new_key
from ensue.serving.state.store import Appended, Counts, Erased, Expired, Kept, Limits, Pace, most_of, named

PREFIX = "ensue:"
_AT_ONCE = 500
"""Histories that expire in one step: others wait for no longer than that takes."""

_SILENT = 60_000
"""Milliseconds after which a process that takes over kept histories, and is no longer heard of, counts as gone."""

_SHIFT = 2**63
"""What is added to a time so that its digits order as it does."""


class RedisStore:
    """A `Store` in a Redis server (6.2 or later; one server or one with replicas, no cluster).

    What `append` has acknowledged is as safe as the server's own settings make it; `notes` says where they lose events.

    Args:
        address: such as `redis://host:6379/0`; `?prefix=shop:` parts stores on one server.
        limits: how much it may hold.
        wait: seconds until a server that does not answer is given up.
        clock: makes the clock of this server from the last time that the store has seen.

    Raises:
        MissingExtraError: the client is not installed.
        StateError: the server cannot be reached, or refuses.
    """

    def __init__(
        self,
        address: str,
        limits: Limits | None = None,
        *,
        wait: float = 2.0,
        clock: Callable[[int], Clock] = Clock,
    ) -> None:
        plain, self._prefix, self._place = parted(address)
        self._limits, self._client, self._faults = limits or Limits(), *client_at(plain, self._place, wait)
        self._append = self._client.register_script(scripts.APPEND)
        self._history = self._client.register_script(scripts.HISTORY)
        self._erase = self._client.register_script(scripts.ERASE)
        self._expire = self._client.register_script(scripts.EXPIRE)
        self._flip = self._client.register_script(scripts.FLIP)
        state = f"{self._prefix}state"
        with self._reached():
            self._client.hsetnx(state, "key", new_key().hex())
            # A server that has lost its data must not give numbers that it gave before.
            for name, value in {"changes": time.time_ns() // 1000, "generation": 0, "flipped": 0}.items():
                self._client.hsetnx(state, name, value)
            self._names = Names(bytes.fromhex(self._client.hget(state, "key").decode()))
            latest = self._client.zrange(f"{self._prefix}seen", -1, -1, withscores=True)
            self.notes = _notes(self._client.info())
        self._clock = clock(int(latest[0][1]) if latest else 0)

    pace: Pace = "alone"

    def append(self, events: Sequence[LiveEvent]) -> Appended:
        """See `Store.append`."""
        if not events:
            return Appended()
        now = self._clock.later()
        filed = filings(events, self._names, now)
        limits = {"events": self._limits.events, "histories": self._limits.histories, "now": now}
        written = json.dumps([_written(one) for one in filed])
        with self._reached():
            new, repeated, late, outdated, erased, evicted = self._append(
                args=[self._prefix, json.dumps(limits), written]
            )
        ahead = sum(one.ahead for one in filed if one.primary)
        return Appended(new, repeated, late, outdated, erased, ahead, evicted)

    def append_each(self, told: Sequence[Sequence[LiveEvent]], *, wait: bool = True) -> list[Appended] | None:
        """See `Store.append_each`; here each is a write of its own."""
        return [self.append(events) for events in told]

    def tidy(self) -> None:
        """See `Store.tidy`: the server does it."""

    def history(
        self, *, user: str | None = None, session: str | None = None, most: int | None = None
    ) -> History:
        """See `Store.history`."""
        name, wanted = named(self._names, user, session), most_of(most, self._limits)
        live, kept, revision, settled = self._asked(name, wanted)
        rows = merged([_row(one) for one in reversed(live)], [_row(one) for one in reversed(kept)], wanted)
        return History(rows, revision, settled)

    def revision(self, *, user: str | None = None, session: str | None = None) -> int:
        """See `Store.revision`."""
        return self._asked(named(self._names, user, session), 0)[2]

    def changes(self) -> int:
        """See `Store.changes`."""
        with self._reached():
            return int(self._client.hget(f"{self._prefix}state", "changes"))

    def erase(self, *, user: str | None = None, session: str | None = None) -> Erased:
        """See `Store.erase`; the server rewrites its files meanwhile, where they are its own to rewrite."""
        name = named(self._names, user, session)
        args = [self._prefix, name.hex(), _key(self._clock.later()), int(user is not None)]
        with self._reached():
            live, kept, sessions = self._erase(args=args)
            clean = self._clean()
        return Erased(live, kept, sessions, clean)

    def erased(self, users: Sequence[str]) -> dict[str, int]:
        """See `Store.erased`."""
        with self._reached():
            until = self._client.hgetall(f"{self._prefix}erased")
        names = ((user, self._names.user(user).hex().encode()) for user in users)
        return {user: _time(until[name]) for user, name in names if name in until}

    def erasures(self) -> int:
        """See `Store.erasures`."""
        with self._reached():
            return int(self._client.hlen(f"{self._prefix}erased"))

    def expire(self) -> Expired:
        """See `Store.expire`."""
        histories = events = 0
        before = self._clock.earlier() - int(self._limits.idle * 1_000_000)
        while True:
            with self._reached():
                some, gone = self._expire(args=[self._prefix, before, _AT_ONCE])
            histories, events = histories + some, events + gone
            if some < _AT_ONCE:
                break
        with self._reached():
            if self._client.hget(f"{self._prefix}state", "unclean") == b"1":
                self._clean()
        return Expired(histories, events)

    def counts(self) -> Counts:
        """See `Store.counts`."""
        with self._reached():
            asked = self._client.pipeline(transaction=False)
            asked.zcard(f"{self._prefix}seen")
            asked.hmget(f"{self._prefix}state", "events", "kept")
            asked.hlen(f"{self._prefix}erased")
            asked.info("memory")
            histories, (events, kept), erased, memory = asked.execute()
        return Counts(histories, int(events or 0), int(kept or 0), erased, memory["used_memory"])

    def close(self) -> None:
        """See `Store.close`."""
        self._client.close()

    def keep(self, histories: pl.DataFrame, source: str) -> Kept:
        """See `Store.keep`."""
        token = secrets.token_hex(8)
        if not self._claimed(source, token):
            return Kept(already=True)
        users = events = 0
        try:
            with self._reached():
                left = int(self._client.hget(f"{self._prefix}state", "coming") or 0)
                generation = int(self._client.hincrby(f"{self._prefix}state", "changes", 1))
                self._client.hset(f"{self._prefix}state", "coming", generation)
            self._sweep(left)  # by one that was killed
            for piece in pieces(histories, self._limits.events):
                self._take_over(piece, generation)
                users, events = users + len(piece.users), events + len(piece.items)
            with self._reached():
                erased, gone, before = self._flip(args=[self._prefix, generation, events, source])
        except BaseException:
            with suppress(StateError), self._reached():
                self._client.delete(f"{self._prefix}claim")
            raise
        if erased < 0:
            raise StateError(
                "Another process has begun to take over kept histories meanwhile: nothing was changed by this one."
            )
        self._sweep(int(before))
        return Kept(users, events - gone, erased)

    def _asked(self, name: bytes, most: int) -> tuple[list[bytes], list[bytes], int, int]:
        with self._reached():
            live, kept, revision, settled, flipped = self._history(args=[self._prefix, name.hex(), most])
        return live, kept, max(int(revision), int(flipped)), max(int(settled), int(flipped))

    def _claimed(self, source: str, token: str) -> bool:
        """Whether kept histories are to be written, once no other process writes any; False if they are there."""
        claim = f"{self._prefix}claim"
        while True:
            with self._reached():
                mine = self._client.set(claim, token, nx=True, px=_SILENT)
                there = self._client.hget(f"{self._prefix}state", "source")
                if there is not None and there.decode() == source:
                    if mine:
                        self._client.delete(claim)
                    return False
                if mine:
                    return True
            time.sleep(0.1)

    def _take_over(self, piece: Piece, generation: int) -> None:
        """Writes some of the coming generation; what has been erased is taken out before it counts."""
        with self._reached():
            last = int(self._client.hincrby(f"{self._prefix}state", "changes", len(piece.items)))
            number, start = last - len(piece.items) + 1, 0
            columns = (piece.items, piece.types, piece.ratings, piece.sessions, piece.more)
            bodies = [json.dumps([*values, None]) for values in zip(*columns, strict=True)]
            members = [
                f"{_key(moment)}{number + place:016d}{body}"
                for place, (moment, body) in enumerate(zip(piece.times, bodies, strict=True))
            ]
            names = [self._names.user(user).hex() for user in piece.users]
            writing = self._client.pipeline(transaction=False)
            for name, count in zip(names, piece.counts, strict=True):
                writing.zadd(
                    f"{self._prefix}k:{generation}:{name}", dict.fromkeys(members[start : start + count], 0)
                )
                start += count
            writing.sadd(f"{self._prefix}g:{generation}", *names)
            writing.pexpire(f"{self._prefix}claim", _SILENT)
            writing.execute()

    def _sweep(self, generation: int) -> None:
        """Takes away a generation that no longer counts."""
        with self._reached():
            names = f"{self._prefix}g:{generation}"
            while gone := self._client.spop(names, _AT_ONCE):
                self._client.unlink(*(f"{self._prefix}k:{generation}:{name.decode()}" for name in gone))

    def _clean(self) -> bool:
        """Has the server write its files anew; whether it has none in which erased bytes could be left."""
        clean = True
        try:
            if self._client.info("persistence").get("aof_enabled"):
                clean = False
                self._client.bgrewriteaof()
            if self._client.config_get("save").get("save"):
                clean = False
                self._client.bgsave(schedule=True)
            self._client.hset(f"{self._prefix}state", "unclean", 0)
        except (
            self._faults
        ):  # one is under way that began before, or this is not ours to ask for: again at `expire`
            return False
        return clean

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except self._faults as fault:
            raise StateError(
                f"The store {self._place} cannot be used: {type(fault).__name__}: {fault}. See that the server runs, "
                "can be reached and has memory left; what was asked can be sent again."
            ) from fault


def client_at(address: str, shown: str, wait: float) -> tuple[Any, Any]:
    """A client, and the class of its faults."""
    try:
        import redis
        from redis.backoff import ConstantBackoff
        from redis.retry import Retry
    except ImportError:
        raise MissingExtraError(
            "Redis is reached through its client, which is missing: pip install 'ensue[redis]'."
        ) from None
    try:
        client = redis.Redis.from_url(
            address,
            socket_timeout=wait,
            socket_connect_timeout=wait,
            retry=Retry(ConstantBackoff(0.05), 1),  # a connection that the server has closed meanwhile
        )
    except ValueError as fault:
        raise StateError(f"{shown} is no address of a Redis server: {fault}.") from fault
    return client, redis.RedisError


def parted(address: str) -> tuple[str, str, str]:
    """The address for the client, the prefix of all keys, and the address as it may be shown."""
    plain, _, query = address.partition("?")
    options = parse_qsl(query)
    others = urlencode([pair for pair in options if pair[0] != "prefix"])
    scheme, _, place = plain.partition("://")
    return (
        f"{plain}?{others}" if others else plain,
        dict(options).get("prefix", PREFIX),
        f"{scheme}://{place.rpartition('@')[2]}",
    )


def _notes(info: dict[str, Any]) -> tuple[str, ...]:
    """Where a server's own settings lose events."""
    notes = []
    if not info.get("aof_enabled"):
        notes.append(
            "Redis writes no append-only file, so events since its last snapshot go when it ends: set appendonly yes"
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory") and policy != "noeviction":
        notes.append(
            f"Redis drops keys when its memory is full ({policy}), histories among them: "
            "set maxmemory-policy noeviction"
        )
    return tuple(notes)


def _key(moment: int) -> str:
    """A time as digits that order as it does."""
    return f"{moment + _SHIFT:016x}"


def _time(key: bytes) -> int:
    """The time of some digits."""
    return int(key[:16], 16) - _SHIFT


def _written(one: Filing) -> dict[str, object]:
    """A filing as the scripts read it."""
    identity = "" if one.id is None else one.id.hex()
    return {
        "name": one.name.hex(),
        "primary": one.primary,
        "user": "" if one.user is None else one.user.hex(),
        "time": _key(one.time),
        "id": identity,
        "known": one.known.hex(),
        "item": one.item,
        "type": one.type,
        "body": json.dumps([one.item, one.type, one.rating, one.session, one.more, identity or None]),
    }


def _row(member: bytes) -> Row:
    item, type_, rating, session, more, _ = json.loads(member[32:])
    return Row(_time(member), int(member[16:32]), item, type_, rating, session, more)
