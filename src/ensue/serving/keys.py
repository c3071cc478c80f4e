"""Keys of those who may ask: random texts of which only hashes are kept, each with what it may do."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensue.errors import ConfigError

SCOPES = ("read", "write", "admin")
"""Ask; tell of events and erase people; change models and the catalogue. None holds another."""

told = logging.getLogger("ensue.serving")

PREFIX = "ensue_"
_LARGEST = 1_000_000


@dataclass(frozen=True)
class Key:
    """One key, without its text.

    Attributes:
        name: what it is called, for logs and for taking it back.
        scopes: what it may do.
        salt: of the hash.
        digest: hash of salt and text.
    """

    name: str
    scopes: frozenset[str]
    salt: bytes
    digest: bytes


@dataclass(frozen=True)
class Keys:
    """The keys that are good.

    Attributes:
        held: all of them; an empty one asks for no key.
    """

    held: tuple[Key, ...] = ()

    def find(self, text: str) -> Key | None:
        """The key that a text is, compared with every one in the same time whether it matches or not."""
        found = None
        for key in self.held:
            if hmac.compare_digest(_digest(key.salt, text), key.digest):
                found = key
        return found


class KeyRing:
    """The keys that are good now: those of a file, which may change at any time.

    It is looked at again and again by each process for itself. What cannot be read changes nothing: an editor may be in
    the middle of writing, and a service that nobody can ask is no safer than one whose keys of before are good. A file
    that says that there are no keys is another matter: then nobody may ask.

    Args:
        path: of the file; "" asks for no key.

    Raises:
        ConfigError: it is missing, damaged, without keys, or others may read or write it.
    """

    def __init__(self, path: str | Path = "") -> None:
        self.asks, self._path = bool(path), Path(path)
        self.keys = read_keys(path) if path else Keys()
        self._seen: tuple[object, ...] = ()

    def find(self, text: str) -> Key | None:
        """The good key that a text is."""
        return self.keys.find(text)

    def look(self) -> None:
        """Takes over what the file has become, as a whole; says once what is wrong with it."""
        if not self.asks:
            return
        fault: ConfigError | None = None
        content = b""
        try:
            content = _content(self._path)
            keys = _parsed(self._path, content)
        except ConfigError as found:
            fault = found
        seen = (content, str(fault))
        if seen == self._seen:
            return
        self._seen = seen
        if fault is not None:
            told.warning("the keys of before stay good: %s", fault)
        elif keys != self.keys:
            self.keys = keys
            told.info("the keys have changed: %d are good now", len(keys.held))


def read_keys(path: str | Path) -> Keys:
    """The keys of a file that `new_key` has written.

    Raises:
        ConfigError: it is missing, damaged, without keys, or others may read or write it.
    """
    path = Path(path)
    keys = _parsed(path, _content(path))
    if not keys.held:
        raise ConfigError(f"{path} holds no key: `ensue keys new {path}` adds one.")
    return keys


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as handle:
            if os.name == "posix" and os.fstat(handle.fileno()).st_mode & 0o077:
                raise ConfigError(f"{path} can be read or changed by others: chmod 600 {path}")
            content = handle.read(_LARGEST + 1)
    except OSError as fault:
        raise ConfigError(
            f"{path} cannot be read ({fault.strerror}): `ensue keys new {path}` makes one."
        ) from fault
    if len(content) > _LARGEST:
        raise ConfigError(f"{path} is larger than {_LARGEST:,} bytes, as no file of keys is: make it anew.")
    return content


def _parsed(path: Path, content: bytes) -> Keys:
    try:
        listed = json.loads(content)["keys"]
        held = tuple(
            Key(
                str(one["name"]),
                frozenset(one["scopes"]),
                bytes.fromhex(one["salt"]),
                bytes.fromhex(one["digest"]),
            )
            for one in listed
        )
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise ConfigError(f"{path} holds no keys of ours ({fault}): make it anew.") from fault
    return Keys(held)


def new_key(path: str | Path, name: str, scopes: Sequence[str]) -> str:
    """The text of a new key, which is kept nowhere; its hash is added to the file.

    Raises:
        ConfigError: a scope does not exist, the name is taken, or the file cannot be written.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise ConfigError(f"There is no scope '{(unknown or [''])[0]}': take some of {', '.join(SCOPES)}.")
    path = Path(path)
    listed: list[dict[str, Any]] = []
    if path.exists():
        listed = [_plain(key) for key in _parsed(path, _content(path)).held]
    if any(one["name"] == name for one in listed):
        raise ConfigError(
            f"{path} has a key '{name}' already: take another name, or `ensue keys drop {path} {name}`."
        )
    text, salt = PREFIX + secrets.token_urlsafe(32), secrets.token_bytes(16)
    _write(path, [*listed, _plain(Key(name, frozenset(scopes), salt, _digest(salt, text)))])
    return text


def drop_key(path: str | Path, name: str) -> None:
    """Takes a key out of the file.

    Raises:
        ConfigError: there is none of this name.
    """
    held = read_keys(path).held
    if all(key.name != name for key in held):
        raise ConfigError(f"{path} has no key '{name}': it has {', '.join(key.name for key in held)}.")
    _write(Path(path), [_plain(key) for key in held if key.name != name])


def _plain(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": [scope for scope in SCOPES if scope in key.scopes],
        "salt": key.salt.hex(),
        "digest": key.digest.hex(),
    }


def _write(path: Path, listed: list[dict[str, Any]]) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as handle:
            json.dump({"keys": listed}, handle, indent=1)
        fresh.replace(path)
    except OSError as fault:
        raise ConfigError(f"{path} cannot be written: {fault.strerror}.") from fault


def _digest(salt: bytes, text: str) -> bytes:
    """Keys are random and long, so that a fast hash is as good as a slow one."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=salt, digest_size=32).digest()
