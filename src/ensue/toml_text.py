"""Plain values as the text of a TOML file: what `tomllib` reads back as the same values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def toml_of(content: Mapping[str, Any]) -> str:
    """The text of a TOML file; a value of None has no place in TOML, and its key is left out.

    Args:
        content: text, numbers, booleans, lists and tables of these.

    Raises:
        TypeError: a value is of another kind.

    >>> print(toml_of({"seed": 1, "models": {"rules": {"window": 3}}}))
    seed = 1
    <BLANKLINE>
    [models.rules]
    window = 3
    <BLANKLINE>
    """
    import tomli_w

    return tomli_w.dumps(_held(content))


def _held(value: Any) -> Any:
    """A value without what is None in it."""
    if isinstance(value, Mapping):
        return {name: _held(one) for name, one in value.items() if one is not None}
    return [_held(one) for one in value] if isinstance(value, list | tuple) else value
