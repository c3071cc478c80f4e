"""Components as an experiment file describes them: by name, or by a table with the name and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from ensue.errors import ConfigError, nearest
from ensue.registry import Registry

T = TypeVar("T")


def component_of(registry: Registry[T], described: str | Mapping[str, Any], what: str, example: str) -> T:
    """The component of a name, or of a table with a name and settings.

    Args:
        registry: where it is looked for.
        described: the name, or a table such as {"name": "sampled-softmax", "negatives": 256}.
        what: how messages call it, such as "loss".
        example: a name that messages show.

    Raises:
        ConfigError: unknown name or setting, or a value of a wrong kind.
    """
    from pydantic import TypeAdapter, ValidationError

    if isinstance(described, str):
        return registry.get(described)()
    settings = dict(described)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        article = "An" if what[0] in "aeiou" else "A"
        raise ConfigError(
            f'{article} {what} needs a name, such as {{name = "{example}"}}; got {dict(described)}.'
        )
    kind = registry.get(name)
    known = [entry.name for entry in fields(kind)]  # type: ignore[arg-type]
    for key in settings:
        if key not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"The {what} {name} has no setting '{key}'; {has}.{nearest(key, known)}")
    try:
        return TypeAdapter(kind).validate_json(json.dumps(settings, default=str), strict=True)
    except ValidationError as found:
        fault = found.errors()[0]
        raise ConfigError(
            f"The {what} {name}: {fault['loc'][0]} = {fault['input']!r}: "
            f"{fault['msg'][0].lower()}{fault['msg'][1:]}."
        ) from found
