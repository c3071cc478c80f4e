"""Where figures come from: versions, machine and time, as a run keeps them. Nothing in it says whose machine it is."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ensue.version import __version__

LIBRARIES = ("numpy", "polars", "scipy", "torch", "onnx", "onnxruntime")
"""What figures may depend on; those that are not installed are left out."""


def provenance() -> dict[str, Any]:
    """Versions and machine of this process, and the time now, as plain values."""
    versions = {"ensue": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    machine = {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory_gb": _memory(),
        "threads": os.environ.get("OMP_NUM_THREADS") or None,
    }
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    return {"finished": finished, "versions": versions, "machine": machine}


def _processor() -> str:
    """The name of the processor, as far as the system tells."""
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def _memory() -> float | None:
    """Memory of the machine in gigabytes; None where the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None
