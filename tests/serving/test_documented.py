"""Every example of docs/serving.md is run as it stands, against a running service."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.serving.service_process import Service, running

from ensue.serving.settings import Settings, settings_of

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
COMMANDS = [
    command
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for command in re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", block, flags=re.MULTILINE)).splitlines()
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def documented(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("documented")
    with running(shutil.copytree(trained, folder / "run"), folder=folder) as found:
        yield found


def test_every_request_of_the_page_is_answered(documented: Service) -> None:
    assert len(COMMANDS) >= 20
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    asked = set()
    for command in COMMANDS:
        here = command.replace(":8000/", f":{documented.port}/")
        found = subprocess.run(["bash", "-c", here], capture_output=True, text=True, timeout=30)
        answer = json.loads(found.stdout)
        assert "error" not in answer, (command, answer)
        asked |= set(re.findall(r":8000(/v1/[a-z]+(?:/[a-z]+)?)", command))
    described = set(documented.get("/openapi.json")["paths"])
    routes = {path for path in described if path.startswith("/v1/") and "{" not in path}
    assert routes - asked == {"/v1/rating"}  # which is for models of ratings


def test_the_settings_of_the_page_are_all_there_are_with_their_defaults() -> None:
    shown = tomllib.loads(blocks("toml")[0])
    rules = shown["rules"]
    found = asdict(settings_of(shown["serve"] | {"rules": rules}))
    assert found == asdict(Settings("runs/first", rules=rules))
    assert set(shown["serve"]) | {"rules"} == set(asdict(Settings("r")))


def test_a_network_answers_without_ensue(documented: Service) -> None:
    (code,) = blocks("python")
    code = code.replace("runs/first", str(documented.folder / "run"))
    assert "ensue" not in code
    lines = [line for line in code.splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 15
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    documented.answer("admin/swap", folder="lstm")
    expected = documented.items(history=["A", "B", "C"], k=3, exclude_seen=False)
    assert found.stdout.strip() == str(expected)
