"""What must work without torch does: by declaration, and in an interpreter that has only the base installation."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import ensue

PROJECT = Path(__file__).parents[1]

TORCH_ROOMS = {
    *("training", "neural_model", "feeding", "contrast", "rowwise", "optimizers", "optimisation", "steppers"),
    *(
        "export",
        "lowering",
        "checkpoints",
        "losses",
        "network",
        "scorer",
        "network_settings",
        "side",
        "waiting",
        "rating_head",
        "second_head",
        "item_vectors",
    ),
    *(
        "item_features",
        "new_items",
        "models.neural",
        "learning",
        "team",
        "members",
        "further",
        "judging",
        "prior",
        "dropout",
    ),
}
"""The modules that may import torch when they are imported."""

FAMILIES = "models"
"""Holds both kinds of families; its parts are looked at one by one."""

EXTRAS = (
    "torch",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "optuna",
    "implicit",
    "redis",
    "sqlalchemy",
    "pandas",
    "pyarrow",
    "sklearn",
    "ranx",
    "hypothesis",
    "psycopg",
)


def rooms() -> set[str]:
    """Every module directly in the package, and the two families of models."""
    names = {module.name for module in pkgutil.iter_modules(ensue.__path__)}
    return names | {"models.counting", "models.ratings", "models.neural"}


def contract(identity: str) -> dict[str, list[str]]:
    """One contract of import-linter, as pyproject.toml has it."""
    linter = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]
    found: list[dict[str, list[str]]] = [c for c in linter["contracts"] if c["id"] == identity]
    return found[0]


def bare(code: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh interpreter where nothing but the base installation can be imported."""
    head = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
    return subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, timeout=60)


def test_every_module_is_declared_free_of_torch_or_one_of_the_torch_rooms() -> None:
    free = {name.removeprefix("ensue.") for name in contract("torch")["source_modules"]}
    assert not free & TORCH_ROOMS
    assert free | TORCH_ROOMS | {FAMILIES} == rooms()


def test_every_module_has_its_place_in_the_layers() -> None:
    layers = [name.strip("() ") for layer in contract("layers")["layers"] for name in layer.split("|")]
    assert sorted(layers) == sorted(name for name in rooms() if "." not in name)


def test_everything_outside_the_torch_rooms_is_imported_in_the_base_installation() -> None:
    run = bare(
        f"""
import importlib, json, pkgutil
failures = {{}}
for room in {sorted(rooms() - TORCH_ROOMS - {FAMILIES, "__main__"})!r}:
    try:
        module = importlib.import_module("ensue." + room)
        for found in pkgutil.walk_packages(getattr(module, "__path__", ()), module.__name__ + "."):
            importlib.import_module(found.name)
    except Exception as error:
        failures[room] = repr(error)
print(json.dumps(failures))
"""
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {}


def test_a_torch_room_is_not_imported_there() -> None:
    run = bare("import ensue.training")
    assert run.returncode == 1
    assert run.stderr.rstrip().endswith("ModuleNotFoundError: No module named 'torch'")


def test_the_base_installation_has_the_counting_models_and_says_what_the_others_need() -> None:
    run = bare(
        """
import json
from ensue.errors import MissingExtraError
from ensue.model import models
try:
    models.get("lstm")
except MissingExtraError as error:
    message = str(error)
print(json.dumps([models.names(), sorted({m.library for m in models.missing()}), models.get("markov").name, message]))
"""
    )
    assert run.returncode == 0, run.stderr
    names, libraries, markov, message = json.loads(run.stdout)
    assert {"markov", "rules", "popular"} <= set(names)
    assert not {"lstm", "transformer"} & set(names)
    assert libraries == ["torch"]
    assert markov == "markov"
    assert message.startswith("no model is called 'lstm' in this installation")
    assert message.endswith("needs torch: pip install 'ensue[train]'")
