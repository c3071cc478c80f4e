"""Asking for help is quick, and importing ensue brings nothing heavy."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ensue import ladder

HEAVY = {"torch", "onnx", "onnxscript", "onnxruntime", "polars", "scipy", "pandas", "sklearn"}


def loaded(code: str) -> set[str]:
    """The heavy libraries that a fresh interpreter holds after running this."""
    end = f"\nimport sys\nprint('|', *sorted({HEAVY!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code + end], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.rpartition("|")[2].split())


def test_this_way_of_looking_sees_a_heavy_library() -> None:
    assert loaded("import scipy") == {"scipy"}


def test_importing_ensue_brings_nothing_heavy() -> None:
    assert loaded("import ensue") == set()


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"], ["recommend", "--help"]])
def test_help_brings_nothing_heavy(words: list[str]) -> None:
    code = f"""
import sys
from ensue.cli import main
sys.argv = {["ensue", *words]!r}
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert loaded(code) == set()


def test_help_answers_in_half_a_second() -> None:
    command = Path(sys.executable).with_name("ensue")
    tries = []
    for _ in range(5):  # processor time, and the quickest: other work on the machine is not what is measured
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run([str(command), "--help"], capture_output=True, text=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        tries.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        assert run.returncode == 0, run.stderr
        assert "recommend" in run.stdout
    assert min(tries) < 0.5, tries


def test_whoever_asks_a_saved_model_imports_nothing_of_how_it_came_about() -> None:
    code = """
import sys
from ensue import ladder
import ensue
ensue.load, ladder.load, ladder.histories
rooms = {"ensue.ladder.running", "ensue.ladder.outcome", "ensue.reporting", "ensue.events.datasets"}
print(sorted(rooms & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.stdout.strip(), run.returncode) == ("[]", 0), run.stderr


def test_every_name_of_the_ladder_has_its_home() -> None:
    assert {name for name in ladder.__all__ if getattr(ladder, name, None) is None} == set()
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        _ = ladder.lode
