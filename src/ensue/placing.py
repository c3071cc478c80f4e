"""A folder that takes its place in one step: whoever reads there meets the old one or the new one, not half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def beside(folder: Path) -> Path:
    """A fresh empty folder beside a place, to write to before it is put there.

    Args:
        folder: the place; the folders above it are made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))


def workshop(folder: Path) -> Path:
    """A fresh empty folder beside a place for what is not kept; those of processes that are gone are removed.

    Args:
        folder: the place; the folders above it are made.
    """
    begins = f".{folder.name}.work."
    for left in folder.parent.glob(f"{begins}*") if folder.parent.is_dir() else ():
        owner = left.name.removeprefix(begins).partition(".")[0]
        if owner.isdigit() and not _runs(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{begins}{os.getpid()}.", dir=folder.parent))


def _runs(process: int) -> bool:
    """Whether a process of this machine is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def put(fresh: Path, folder: Path) -> None:
    """Moves a folder to its place; what was there goes once that is done, and comes back if it cannot be.

    Args:
        fresh: the new one, on the same disk.
        folder: the place.
    """
    fresh.chmod(0o755)
    if not folder.exists():
        fresh.replace(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=old_prefix(folder), dir=folder.parent))
    folder.replace(old / "replaced")
    try:
        fresh.replace(folder)
    except OSError:
        (old / "replaced").replace(folder)
        raise
    finally:
        shutil.rmtree(old)


def old_prefix(folder: Path) -> str:
    """How the name of a folder begins that holds what is being replaced."""
    return f".{folder.name}.old."
