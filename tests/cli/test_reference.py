"""The page of the command line is what the commands say of themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ensue.cli import reference

PROJECT = Path(__file__).parents[2]


def test_the_page_in_the_project_is_fresh() -> None:
    assert (PROJECT / reference.PAGE).read_text(encoding="utf-8") == reference.page(), "run `make docs`"


def test_every_command_has_its_section_without_colour() -> None:
    page = reference.page()
    for words in ("", " demo", " run", " data", " data audit", " data convert", " recommend", " doctor"):
        assert f"## ensue{words}\n" in page
    assert "\x1b" not in page
    assert max(map(len, page.splitlines())) <= 120


def test_a_stale_page_fails_and_writing_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reference.main(["--check"]) == 1
    assert "is stale: run `make docs`" in capsys.readouterr().err
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    page = tmp_path / reference.PAGE
    page.write_text(page.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert reference.main(["--check"]) == 1
    assert reference.main(["--chekc"]) == 2


@pytest.mark.parametrize("columns", ["40", "200"])
def test_the_page_does_not_depend_on_the_terminal(tmp_path: Path, columns: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ensue.cli.reference"],
        cwd=tmp_path, env=os.environ | {"COLUMNS": columns, "FORCE_COLOR": "1"}, timeout=60, check=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert (tmp_path / reference.PAGE).read_text(encoding="utf-8") == reference.page()
