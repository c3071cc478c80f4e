"""The commands of a page, run as they stand, in this process."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from ensue.cli import call

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: str, kind: str) -> list[str]:
    """The blocks of one kind of `docs/examples/PAGE`."""
    text = (ROOT / "docs" / "examples" / page).read_text(encoding="utf-8")
    return [body for found, body in BLOCK.findall(text) if found == kind]


def commands(page: str, data: Path) -> list[list[str]]:
    """The words of each command, with the folder of data in the place of `$ENSUE_DATA`."""
    lines = [line for body in blocks(page, "sh") for line in body.splitlines() if line.startswith("ensue ")]
    assert lines, f"{page} has no commands"
    return [shlex.split(line.replace("$ENSUE_DATA", str(data)))[1:] for line in lines]


def run_all(page: str, data: Path) -> None:
    """Runs them in the folder that it is called in, where `examples` is that of the project."""
    if not Path("examples").exists():
        Path("examples").symlink_to(ROOT / "examples")
    for words in commands(page, data):
        assert call(words) == 0, words
