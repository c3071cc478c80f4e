"""What is written where: results to standard output, all else to standard error, and no control characters."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from unicodedata import category

from ensue.errors import EnsueError

if TYPE_CHECKING:
    from rich.table import Table

NARROW = 100
"""Below this many columns a table breaks its cells in two lines."""

_JOINERS = "\u200c\u200d"
"""Invisible, and part of the spelling in some scripts."""


def prepare() -> None:
    """Makes text that the terminal cannot show appear escaped, rather than end the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def abandon() -> None:
    """Lets the process end quietly after its reader went away."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - lives until the process ends


def plain(text: str) -> str:
    """Text that is safe on a terminal: control characters of ids, titles and files are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or category(letter) == "Zs" or letter in _JOINERS
        else letter.encode("unicode_escape").decode()
        for letter in text
    )  # fmt: skip


def out(text: str = "", *, fold: bool = True) -> None:
    """A line of the result.

    Args:
        text: plain text.
        fold: break it between words where a terminal is too narrow; not wanted for what is to be copied.
    """
    sys.stdout.write(_lines(text, fold and sys.stdout.isatty()))


def note(text: str) -> None:
    """A line for the reader that is no part of the result."""
    sys.stderr.write(_lines(text, sys.stderr.isatty()))
    sys.stderr.flush()


def _lines(text: str, fold: bool) -> str:
    """Text as it is written: without control characters, and folded at the width of a terminal if wanted."""
    shown = [plain(line) for line in text.split("\n")]
    if fold:
        import textwrap

        indent = [" " * (len(line) - len(line.lstrip()) + 2) for line in shown]
        folded = [
            textwrap.wrap(
                line, width(), subsequent_indent=begin, break_long_words=False, break_on_hyphens=False
            )
            for line, begin in zip(shown, indent, strict=True)
        ]
        shown = [line for lines in folded for line in lines or [""]]
    return "\n".join(shown) + "\n"


def emit(value: Any) -> None:
    """The result for programs: one JSON document."""
    unicode = (sys.stdout.encoding or "utf-8").lower().replace("-", "").startswith("utf")
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=not unicode, allow_nan=False) + "\n")


def simple() -> bool:
    """Whether text without control characters is wanted, even on a terminal."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def width() -> int:
    """Columns of the terminal; 80 where there is none, unless COLUMNS says otherwise."""
    import shutil

    return shutil.get_terminal_size((80, 24)).columns


def show(table: Table) -> None:
    """A table of the result."""
    from rich.console import Console

    how = False if simple() else None
    Console(
        file=sys.stdout, width=width(), markup=False, highlight=False, emoji=False, force_terminal=how
    ).print(table)


def table(*columns: str | tuple[str, dict[str, Any]], title: str = "") -> Table:
    """An empty table: a line under its head and nothing else.

    Args:
        columns: heads; with a second part, options of rich's `Table.add_column`.
        title: a line above it.
    """
    from rich import box
    from rich.table import Table

    made = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False, title=title or None
    )
    made.title_justify, made.title_style = "left", "bold"
    for column in columns:
        head, options = (column, {}) if isinstance(column, str) else column
        made.add_column(head, **options)
    return made


def row(made: Table, cells: Sequence[str], style: str = "") -> None:
    """A row of plain text: nothing in it is taken as markup."""
    from rich.text import Text

    made.add_row(*(Text("\n".join(plain(line) for line in cell.split("\n"))) for cell in cells), style=style)


def failed(fault: Exception) -> int:
    """Says what went wrong in one line, and gives the exit status."""
    if isinstance(fault, EnsueError):
        note(f"error: {fault}")
        return fault.exit_code
    usage = getattr(fault, "format_message", None)  # typer's own: an option or a value that cannot be
    if usage is not None:
        context = getattr(fault, "ctx", None)
        where = f" See: {context.command_path} --help" if context is not None else ""
        said = " ".join(usage().split()).replace("Value error, ", "")
        note(f"error: {said}{'' if said.endswith(('.', '?', ')')) else '.'}{where}")
        return 2
    note(
        f"error: ensue itself failed ({type(fault).__name__}: {fault}). Please report it, with what "
        "ENSUE_DEBUG=1 shows when you run the command again."
    )
    return 1
