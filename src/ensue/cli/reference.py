"""`python -m ensue.cli.reference [--check]`: docs/cli.md from the help of every command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WIDTH = 100
PAGE = Path("docs/cli.md")

HEAD = """# The command line

This page is what `ensue --help` and its commands print, written by `make docs`; a check fails when it is stale.

Standard output has results only, with `--json` nothing but JSON; progress and notes go to standard error. Exit status:
0 done, 2 a mistake that you can mend (one line says which), 1 a fault of ensue, 130 interrupted.
"""


def page() -> str:
    """The page: the same on every machine."""
    import typer

    from ensue.cli.application import app

    return "\n".join([HEAD, *_sections("ensue", typer.main.get_command(app), None)])


def _sections(name: str, command: Any, parent: Any) -> Iterator[str]:
    """The section of a command, then those of the commands inside it."""
    context = command.make_context(
        name, [], parent, resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH, color=False
    )
    lines = [line.rstrip() for line in command.get_help(context).strip().split("\n")]
    yield f"## {context.command_path}\n\n```text\n" + "\n".join(lines) + "\n```\n"
    for inner, found in getattr(command, "commands", {}).items():
        yield from _sections(inner, found, context)


def main(words: list[str]) -> int:
    """Writes the page, or with --check says whether it is as it would be written; returns the exit status."""
    if words not in ([], ["--check"]):
        sys.stderr.write("usage: python -m ensue.cli.reference [--check]\n")
        return 2
    for name in ("COLUMNS", "TERMINAL_WIDTH"):
        os.environ.pop(name, None)
    text = page()
    if not words:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{PAGE} is stale: run `make docs`, and commit it.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
