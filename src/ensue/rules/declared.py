"""Rules as TOML or a request declares them, checked before anything is answered."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensue.errors import ConfigError, EnsueError, nearest
from ensue.rules.rule import Rule
from ensue.rules.rule import rules as known_rules
from ensue.rules.ruling import Rules

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def read_rules(declared: Mapping[str, Any], where: str = "rules") -> Rules:
    """The rules of a table of tables, as `[rules]` of a TOML file holds them.

    Args:
        declared: by the name of a rule its settings, or a list of settings for several of its kind.
        where: what the table is called, for messages.

    Raises:
        ConfigError: all faults at once: rules and settings that do not exist, values of a wrong kind, numbers that
            cannot be.

    Example:
        >>> found = read_rules({"availability": {"deny": ["x"]}, "cap": [{"column": "genre", "most": 2}]})
        >>> [rule.name for rule in found.rules]
        ['availability', 'cap']
    """
    if not isinstance(declared, Mapping):
        raise ConfigError(
            f"{where} must be a table of rules, such as {{'availability': {{'deny': ['id']}}}}."
        )
    faults: list[str] = []
    found: list[Rule] = []
    names = known_rules.names()
    for name, settings in declared.items():
        place = f"{where}.{name}"
        if name not in names:
            faults.append(
                f"{place}: there is no such rule; known are {', '.join(names)}.{nearest(name, names)}"
            )
            continue
        several = isinstance(settings, list)
        listed = list(settings) if several else [settings]
        if len(listed) > 1 and known_rules.get(name).single:
            faults.append(f"{place} stands {len(listed)} times: it can stand only once.")
            continue
        for number, one in enumerate(listed):
            found += _read(name, one, f"{place}[{number}]" if several else place, faults)
    if faults:
        told = "\n".join(f"  {fault}" for fault in faults)
        raise ConfigError(f"{where} has {len(faults)} {'fault' if len(faults) == 1 else 'faults'}:\n{told}")
    return Rules(tuple(found))


def read_rules_file(path: str | Path) -> Rules:
    """The rules in the table `[rules]` of a TOML file, whatever else it holds.

    Raises:
        ConfigError: the file is missing, is not TOML, has no such table, or the rules have faults.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path} is not TOML: {fault}.") from fault
    except OSError as fault:
        raise ConfigError(f"{path} cannot be read: {fault.strerror}.") from fault
    if "rules" not in content:
        raise ConfigError(f"{path} has no table [rules], such as [rules.cap] with column and most.")
    return read_rules(content["rules"], f"{path}: rules")


@lru_cache
def _adapter(kind: type[Rule]) -> TypeAdapter[Rule]:
    """What checks the settings of a kind of rule; to build it takes as long as a hundred answers."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _read(name: str, settings: object, place: str, faults: list[str]) -> Iterator[Rule]:
    from pydantic import ValidationError

    kind = known_rules.get(name)
    if not isinstance(settings, Mapping):
        faults.append(f"{place} = {settings!r}: must be a table of settings.")
        return
    try:
        yield _adapter(kind).validate_json(json.dumps(settings, default=str))
    except ValidationError as found:
        known = [entry.name for entry in fields(kind)]
        faults += [_told(error, place, known) for error in found.errors()]
    except EnsueError as fault:
        faults.append(f"{place}: {fault}")


def _told(error: Mapping[str, Any], place: str, known: list[str]) -> str:
    """A fault in words: where, what, the value, and the nearest right key."""
    where = ".".join([place, *(str(step) for step in error["loc"])])
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        key = str(error["loc"][-1])
        return f"{where}: there is no such key; known are {', '.join(known)}.{nearest(key, known)}"
    if error["type"] in ("missing", "missing_argument"):
        return f"{where}: is missing."
    return f"{where} = {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}."
