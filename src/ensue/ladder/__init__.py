"""The ladder: every model of an experiment fitted, chosen on validation, refitted, saved, and tested as saved.

What is taken from here is imported when it is taken: whoever asks a saved model needs nothing of how it came about.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "FIGURES": "ensue.run_folder",
    "HISTORIES": "ensue.run_folder",
    "MODELS": "ensue.run_folder",
    "RESULTS": "ensue.run_folder",
    "SIMULATED": "ensue.ladder.logs",
    "Outcome": "ensue.ladder.outcome",
    "Rung": "ensue.ladder.outcome",
    "comparison": "ensue.run_folder",
    "histories": "ensue.run_folder",
    "learnt": "ensue.ladder.rungs",
    "load": "ensue.run_folder",
    "load_log": "ensue.ladder.logs",
    "model_folder": "ensue.run_folder",
    "reading": "ensue.ladder.logs",
    "reads": "ensue.ladder.rungs",
    "run": "ensue.ladder.running",
}

__all__ = [
    "FIGURES",
    "HISTORIES",
    "MODELS",
    "RESULTS",
    "SIMULATED",
    "Outcome",
    "Rung",
    "comparison",
    "histories",
    "learnt",
    "load",
    "load_log",
    "model_folder",
    "reading",
    "reads",
    "run",
]

if TYPE_CHECKING:
    from ensue.ladder.logs import SIMULATED, load_log, reading
    from ensue.ladder.outcome import Outcome, Rung
    from ensue.ladder.rungs import learnt, reads
    from ensue.ladder.running import run
    from ensue.run_folder import (
        FIGURES,
        HISTORIES,
        MODELS,
        RESULTS,
        comparison,
        histories,
        load,
        model_folder,
    )


def __getattr__(name: str) -> Any:
    """A name of the ladder, imported from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ensue.ladder' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
