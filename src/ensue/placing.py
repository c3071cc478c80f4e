"""A folder that takes its place in one step: whoever reads there meets the old one or the new one, not half of one."""

from __future__ import annotations

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
