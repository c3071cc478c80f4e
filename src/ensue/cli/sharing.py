"""The option that says in how many processes a network is trained."""

from __future__ import annotations

from typing import Annotated

import typer

from ensue.cli.options import count


def sharing(text: str) -> int:
    """A number of processes as it was typed, 0 for "auto".

    Raises:
        BadParameter: it is none.
    """
    if text == "auto":
        return 0
    found = count(text)
    if not found:
        raise typer.BadParameter(f"'{text}' is neither auto nor at least 1")
    return found


Processes = Annotated[
    int | None,
    typer.Option(
        parser=sharing,
        metavar="N",
        help="Processes that train a network together; auto goes by its kind. [default: auto]",
    ),
]
