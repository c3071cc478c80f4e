"""`ensue doctor`: is everything here that ensue needs?"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from ensue.cli.options import Json
from ensue.cores import cores
from ensue.version import __version__

VERSIONS = ("polars", "numpy", "scipy", "pydantic", "safetensors", "typer", "rich")
OK, FAILED, ABSENT = "OK", "FAIL", "absent"


def doctor(as_json: Json = False) -> None:
    """Check the installation, with a small job done for real.

    Ends with status 1 if something essential fails.
    """
    from ensue.cli import terminal

    checks = [*_versions(), *_machine(), *_extras(), *_cache(), _self_test()]
    healthy = all(state != FAILED for _, state, _ in checks)
    if as_json:
        rows = [{"check": name, "state": state, "found": found} for name, state, found in checks]
        terminal.emit({"healthy": healthy, "checks": rows})
    else:
        made = terminal.table(("check", {"no_wrap": True}), ("state", {"no_wrap": True}), "found")
        for check in checks:
            terminal.row(made, check)
        terminal.show(made)
        terminal.out()
        terminal.out("All is well." if healthy else "Something essential fails: see FAIL above.")
    if not healthy:
        raise typer.Exit(1)


Check = tuple[str, str, str]


def _versions() -> list[Check]:
    import platform

    found = [
        ("ensue", OK, __version__),
        ("python", OK, f"{platform.python_version()} on {platform.platform()}"),
    ]
    for library in VERSIONS:
        version = _version(library)
        found.append((library, OK if version else FAILED, version or "pip install ensue"))
    return found


def _version(library: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> list[Check]:
    found = [("cores", OK, str(cores()))]
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        found.append(("memory", OK, f"{memory:.1f} GiB"))
    except (AttributeError, OSError, ValueError):
        found.append(("memory", OK, "this system does not say"))
    return found


def _extras() -> list[Check]:
    """The libraries that are not in the base installation, and the GPU."""
    from importlib import import_module

    from ensue.registry import EXTRAS

    found = []
    for library, extra in EXTRAS.items():
        version = _version(library) if _importable(library) else None
        found.append(
            (library, OK, version) if version else (library, ABSENT, f"pip install 'ensue[{extra}]'")
        )
    if _importable("torch"):
        torch = import_module("torch")  # by name, as the registry does: this room works without it
        gpu = (
            torch.cuda.get_device_name(0)
            if torch.cuda.is_available()
            else "none; networks train on the cores"
        )
        found.append(("GPU", OK, gpu))
    return found


def _importable(library: str) -> bool:
    from importlib import util

    try:
        return util.find_spec(library) is not None
    except ModuleNotFoundError:
        return False


def _cache() -> list[Check]:
    from ensue.events import datasets

    folder = datasets.cache_folder()
    place = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    writable = os.access(place, os.W_OK)
    text = str(folder) if writable else f"{folder} cannot be written: set ENSUE_CACHE to a folder of yours"
    found = [("cache", OK if writable else ABSENT, text)]
    for name in datasets.DATASETS:
        where = datasets.locate(name)
        if where or name == datasets.ML_100K.name:
            found.append((name, OK, str(where)) if where else (name, ABSENT, f"ensue data fetch {name}"))
    return found


def _self_test() -> Check:
    """Fits a Markov chain on a simulated log, saves it, loads it, and asks it."""
    return tried("self-test", _markov)


def tried(name: str, job: Callable[[], str]) -> Check:
    """The outcome of a job as a check; whatever it raises is a failure."""
    try:
        return name, OK, job()
    except Exception as fault:  # noqa: BLE001 - a failure is the finding
        return name, FAILED, f"{type(fault).__name__}: {fault}"


def _markov() -> str:
    import tempfile
    import time

    import polars as pl

    from ensue import artifacts, runtime
    from ensue.events.log import EventLog
    from ensue.model import fit

    began = time.monotonic()
    ring = [f"item {number}" for number in range(20)]
    walk: dict[str, Any] = {
        "user": [f"u{n // 40}" for n in range(2000)],
        "item": [ring[n % 20] for n in range(2000)],
    }
    recommender = fit("markov", EventLog.of(pl.DataFrame(walk)), exclude_seen=False)
    with tempfile.TemporaryDirectory() as folder:
        artifacts.save(recommender, Path(folder) / "markov")
        answer = runtime.load(Path(folder) / "markov").recommend(["item 7"], k=1).items
    if answer != ("item 8",):
        raise AssertionError(f"after item 7 came {answer}, not item 8")
    return f"fitted, saved, loaded and asked a Markov chain in {time.monotonic() - began:.2f} s"
