"""What README and guide tell people to type is run here, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_every_command_and_every_line_of_python_of_a_page_runs(page: str, tmp_path: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    assert {kind for kind, _ in blocks} == {"sh", "python"}
    shell = "\n".join(body for kind, body in blocks if kind == "sh")
    python = "\n".join(body for kind, body in blocks if kind == "python")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in (["bash", "-euo", "pipefail", "-c", shell], [sys.executable, "-W", "error", "-c", python]):
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        assert done.stdout.strip()


@pytest.mark.parametrize(
    "page", sorted(str(p.relative_to(ROOT)) for p in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
)
def test_every_link_of_a_page_leads_to_a_file(page: str) -> None:
    here = ROOT / page
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", here.read_text(encoding="utf-8"))
    missing = [link for link in links if not (here.parent / link).exists()]
    assert missing == []


def test_the_page_of_benchmarks_is_made_from_the_rows(tmp_path: Path) -> None:
    made = tmp_path / "page.html"
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "page.py", made], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    kept = (ROOT / "docs" / "benchmarks.html").read_text(encoding="utf-8")
    assert made.read_text(encoding="utf-8") == kept, "make it anew: python benchmarks/page.py"


def test_the_flagship_is_told_as_its_page_has_it() -> None:
    """The page is made from the rows; a figure that is told in front must be one of them."""
    told = (ROOT / "README.md").read_text(encoding="utf-8")
    told = told[told.index("**The flagship**") : told.index("Every model beside the others")]
    figures = re.findall(r"\b0(\.\d{4})\b", told)
    assert len(figures) >= 14
    page = (ROOT / "docs" / "flagship.md").read_text(encoding="utf-8")
    assert [one for one in figures if one not in page] == []
