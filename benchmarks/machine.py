"""Where figures were taken, and with which state of ensue."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
VECTORS = ("avx512_vnni", "avx_vnni", "avx512f", "avx2", "asimddp", "asimd")
"""Instructions that speeds hang on, the fastest first, by the names that Linux gives them."""


def machine(threads: int = 1) -> dict[str, Any]:
    """The machine, the versions, and the commit, with "+" where files that it holds have been changed since.

    Args:
        threads: that were used.
    """
    git = ["git", "-C", str(HERE)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    ours = [":/", ":!/benchmarks/results", ":!/docs"]
    changed = [*git, "status", "--porcelain", "--untracked-files=no", "--", *ours]
    dirty = subprocess.run(changed, capture_output=True, text=True)
    return {
        "commit": commit.stdout.strip() + ("+" if dirty.stdout.strip() else ""),
        "python": platform.python_version(),
        "torch": version("torch"),
        "processor": processor(),
        "vectors": vectors(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": threads,
    }


def processor() -> str:
    """The name of the processor."""
    described = Path("/proc/cpuinfo")
    if described.exists():
        for line in described.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def vectors() -> str:
    """The fastest of `VECTORS` that the processor has; "" where that is not known."""
    described = Path("/proc/cpuinfo")
    flags: set[str] = set()
    for line in described.read_text(encoding="utf-8").splitlines() if described.exists() else ():
        if line.startswith(("flags", "Features")):
            flags |= set(line.split(":", 1)[1].split())
    return next((name for name in VECTORS if name in flags), "")
