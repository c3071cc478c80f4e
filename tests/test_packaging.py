"""The pins are complete and are what is tested; the base is light; nothing is shipped that may not be."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
PINS = dict(
    line.split("==")
    for line in (PROJECT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)

DATA_FILES = {"u.data", "u.item", "u.user", "ratings.dat", "movies.dat", "ratings.csv", "movies.csv"}
LARGEST = 400_000
"""Bytes. Sources and pages are far smaller; a data set is not."""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(*extras: str) -> set[str]:
    """Every distribution that `pip install 'ensue[extras]'` brings on this machine."""
    found: set[str] = set()
    todo = [("ensue", extra) for extra in ("", *extras)]
    done = set()
    while todo:
        name, extra = todo.pop()
        if (name, extra) in done:
            continue
        done.add((name, extra))
        found.add(name)
        for text in importlib.metadata.requires(name) or []:
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                todo += [(canonical(wanted.name), more) for more in ("", *wanted.extras)]
    return found - {"ensue"}


def test_every_pin_is_one_exact_version_without_place_or_build() -> None:
    for name, version in PINS.items():
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name), name
        assert re.fullmatch(r"[0-9][A-Za-z0-9.]*", version), f"{name}=={version}"


def test_everything_that_is_installed_is_pinned_and_of_the_pinned_version() -> None:
    pins = {canonical(name): version for name, version in PINS.items()}
    # On some platforms torch brings the libraries of its GPU build; which, is up to the index and the driver.
    needed = {name for name in closure("train", "dev") if not name.startswith(("nvidia-", "cuda-", "triton"))}
    assert needed <= set(pins), "add the missing to constraints.txt"
    installed = {name: importlib.metadata.version(name).partition("+")[0] for name in needed}
    assert installed == {name: pins[name] for name in needed}, "install with -c constraints.txt"


@pytest.mark.skipif(
    sys.platform != "linux" or sys.version_info[:2] != (3, 11), reason="pins serve others too"
)
def test_nothing_is_pinned_that_is_not_needed() -> None:
    assert {canonical(name) for name in PINS} <= closure("train", "dev")


def test_the_base_is_light() -> None:
    assert not closure() & {"torch", "onnx", "onnxscript", "onnxruntime", "pandas", "pyarrow", "scikit-learn"}
    assert "torch" not in closure("run")
    assert {"torch", "onnx", "onnxscript", "onnxruntime"} <= closure("train")


def test_every_extra_that_a_message_or_a_page_names_exists() -> None:
    pages = [*PROJECT.glob("src/**/*.py"), *PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")]
    named = {
        (extra, str(page.relative_to(PROJECT)))
        for page in pages
        for group in re.findall(r"ensue\[([a-z][a-z,]*)\]", page.read_text(encoding="utf-8"))
        for extra in group.split(",")
    }
    declared = PYPROJECT["project"]["optional-dependencies"]
    assert {extra for extra, _ in named} >= {"train", "run"}
    assert not {where for where in named if where[0] not in declared}


def test_the_licence_is_apache_2_and_is_shipped() -> None:
    text = (PROJECT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert PYPROJECT["project"]["license"] == "Apache-2.0"
    assert PYPROJECT["project"]["license-files"] == ["LICENSE"]


def test_no_data_set_is_part_of_the_project() -> None:
    git = shutil.which("git")
    listed = git and subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    if not listed or listed.returncode:
        pytest.skip("not a git clone: what is part of the project is not known")
    files = [PROJECT / name for name in listed.stdout.split("\0") if name]
    assert PROJECT / "pyproject.toml" in files
    named = {str(path) for path in files if path.name in DATA_FILES and path.is_file()}
    assert not named, "data sets are fetched, never committed: docs/decisions/0007-data-licences.md"
    large = {
        str(path): path.stat().st_size for path in files if path.is_file() and path.stat().st_size > LARGEST
    }
    assert not large
