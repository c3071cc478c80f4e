"""Features of items as settings ask for them: a name, or a table that says how a column is to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ensue.encodings import KINDS as COLUMN_KINDS
from ensue.errors import ConfigError, nearest

KINDS = (*COLUMN_KINDS, "values", "vector")

Described = str | Mapping[str, Any]
"""A feature as settings give it: the name of a column, or a table with it and how it is to be read."""


@dataclass(frozen=True)
class Wanted:
    """A column of the items that is wanted as a feature, and how it is to be read.

    Attributes:
        column: its name.
        kind: one of `KINDS`; None follows the type of the column by the rule of `ensue.features`.
        separator: parts the values of a text; "" for a text that is one value; None for "|" if any text of the
            column holds it.
    """

    column: str
    kind: str | None = None
    separator: str | None = None

    @classmethod
    def of(cls, described: object) -> Wanted:
        """What a name, or a table with the keys `column`, `kind` and `separator`, asks for.

        Raises:
            ConfigError: it is neither, or a key or value of the table cannot be.

        Example:
            >>> Wanted.of({"column": "genres", "kind": "values", "separator": ";"})
            Wanted(column='genres', kind='values', separator=';')
        """
        if isinstance(described, str):
            return cls(described)
        example = '{"column": "genres", "kind": "values", "separator": "|"}'
        if not isinstance(described, Mapping) or "column" not in described:
            raise ConfigError(
                f"{described!r} is neither the name of a column nor a table that names one, such as {example}."
            )
        known = [entry.name for entry in fields(cls)]
        for key, value in described.items():
            if key not in known:
                raise ConfigError(
                    f"The table of '{described['column']}' has no key '{key}', only {', '.join(known)}."
                    f"{nearest(str(key), known)}"
                )
            if not isinstance(value, str):
                raise ConfigError(
                    f"{key} = {value!r} of '{described['column']}' is no text; write it like {example}."
                )
        found = cls(**described)
        check_kind(found.column, found.kind)
        if found.separator and found.kind not in (None, "values"):
            raise ConfigError(
                f"Column '{found.column}' has a separator, which parts several values, and is asked for as "
                f"'{found.kind}': leave one of the two out."
            )
        return found


def check_kind(name: str, kind: str | None) -> None:
    """Nothing, if a column can be asked for as this kind; `ConfigError` if not."""
    if kind is not None and kind not in KINDS:
        raise ConfigError(
            f"Column '{name}' cannot be read as '{kind}', only as {', '.join(KINDS)}.{nearest(kind, KINDS)}"
        )
