"""Makes the environment of a peer: a folder of its own with exactly the packages that its list names.

    python benchmarks/peers/environments.py [peer ...]

They lie in ~/.cache/ensue-benchmarks, or in the folder that ENSUE_PEERS names, one folder a peer, and are made when
they are first needed. Delete one to have it made anew; nothing else is kept of it. The lists in `requirements/` name
every package with its version, as they were installed with Python 3.11.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

LISTS = Path(__file__).resolve().parent / "requirements"
STAMP = ".made-from"
SIZES = {"rectools": 1.3, "replay": 1.6, "recbole": 1.6, "keras": 1.6}
"""Gigabytes on disk, roughly, with a build of torch for processors alone; other builds of it take several more."""


def peers() -> list[str]:
    """The peers that there are lists for."""
    return sorted(path.stem for path in LISTS.glob("*.txt"))


def home() -> Path:
    """Where the environments lie."""
    chosen = os.environ.get("ENSUE_PEERS")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "ensue-benchmarks"


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, which is made if it is not there or its list has changed."""
    if peer not in peers():
        raise SystemExit(f"There is no peer '{peer}': take some of {', '.join(peers())}.")
    wanted, folder = LISTS / f"{peer}.txt", home() / peer
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    mark = hashlib.sha256(wanted.read_bytes()).hexdigest()
    if python.exists() and (folder / STAMP).exists() and (folder / STAMP).read_text(encoding="ascii") == mark:
        return python
    print(f"{peer}: installing into {folder}, about {SIZES[peer]:g} GB and a few minutes", flush=True)
    began = time.monotonic()
    if folder.exists():
        if not (folder / "pyvenv.cfg").exists():
            raise SystemExit(f"{folder} is no environment of Python: name another folder in ENSUE_PEERS.")
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    quietly = ["--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run([str(python), "-m", "pip", "install", *quietly, "-r", str(wanted)])
    if done.returncode:
        raise SystemExit(
            f"{peer} could not be installed, see above: leave it out with --peers, or give Python 3.11, "
            "for which its list was made."
        )
    (folder / STAMP).write_text(mark, encoding="ascii")
    print(f"{peer}: installed in {time.monotonic() - began:.0f} s", flush=True)
    return python


if __name__ == "__main__":
    for name in sys.argv[1:] or peers():
        print(f"{name}: {python_of(name)}")
