"""The names under which a store files histories: keyed hashes, so that it holds no id of a user or session."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

SIZE = 16
"""Bytes of a name. Two of a billion ids share one with a chance of 1e-21."""


def new_key() -> bytes:
    """A key for a new store."""
    return secrets.token_bytes(32)


@dataclass(frozen=True)
class Names:
    """Names of users, sessions and events in one store.

    Attributes:
        key: the store's own, so that its names say nothing in another.
    """

    key: bytes = field(repr=False)

    def user(self, identity: str) -> bytes:
        """The name of a user's history."""
        return self._name(b"user", identity)

    def session(self, identity: str) -> bytes:
        """The name of a session's history."""
        return self._name(b"session", identity)

    def event(self, identity: str) -> bytes:
        """The name of an event by the id that its client gave."""
        return self._name(b"event", identity)

    def sent(self, identity: str) -> bytes:
        """The name of an event by what was sent, which no id that a client gives can forge."""
        return self._name(b"sent", identity)

    def _name(self, kind: bytes, identity: str) -> bytes:
        return hashlib.blake2b(identity.encode(), digest_size=SIZE, key=self.key, person=kind).digest()
