"""Text, tables and code as Markdown, as code hosts show it: nothing that is reported becomes markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MARKUP = re.compile(r"([\\`*_\[\]<>|~])")
_FIRST = re.compile(r"^(\s*)([#+\-=]+)(?=\s|$)")
_NUMBERED = re.compile(r"^(\s*\d+)([.)])(?=\s|$)")


def plain(value: object) -> str:
    """A value as one line of text: signs of markup are escaped, and control characters become visible."""
    shown = "".join(
        letter
        if letter.isprintable()
        else " "
        if letter == "\n"
        else letter.encode("unicode_escape").decode()
        for letter in str(value)
    )
    escaped = _MARKUP.sub(r"\\\1", shown.replace("&", "&amp;"))
    return _NUMBERED.sub(r"\1\\\2", _FIRST.sub(r"\1\\\2", escaped))


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[int] = ()) -> str:
    """A table of pipes; columns of numbers stand to the right.

    Args:
        heads: names of the columns.
        rows: cells.
        numbers: places of the columns that hold numbers.
    """
    rule = ["---:" if place in numbers else "---" for place in range(len(heads))]
    body = [[plain(cell) or " " for cell in row] for row in (heads, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (body[0], rule, *body[1:]))


def code(content: str, language: str = "") -> str:
    """Text as it is typed, within a fence longer than any in it."""
    longest = max((len(found) for found in re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{content.rstrip()}\n{fence}"


def details(summary: str, content: str) -> str:
    """What is shown once its summary is opened."""
    said = summary.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<details><summary>{said}</summary>\n\n{content}\n\n</details>"
